package kernel

// Tile is one call of the matrix micro-kernel: a block of M rows and N columns
// of C, small enough to stay in registers while all of K passes by.
//
//	for i < M, j < N:
//	    C[i*LDC+j] = sum over s < Segments, k < K of
//	                     A[AOff[s] + i*ARS + k*AKS] * B[BOff[s] + k*BKS + j]
//	               + Bias[j]          if Bias is not nil
//	               + Res[i*LDRes+j]   if Res is not nil
//
// all of it times Scale, if that is not 0.
//
// A convolution has one segment per tap, its weight gradient one per image row,
// a matrix product just one. All strides and offsets count float32 elements;
// offsets may be negative, K and Segments may be zero.
//
// Memory is the caller's word. Every pointer points into its allocation; every
// element named above exists; rows of B may be read up to the tile's full width
// of NR columns, and 64 floats must be readable behind every buffer. Of C, Res
// and Bias only the first N columns are touched. Res may be C itself, which
// accumulates; otherwise C overlaps nothing.
//
// Rows of A that lie a multiple of 4 KiB apart fall into the same set of the
// first-level cache; with more than eight such rows, pack A first.
type Tile struct {
	C   *float32 // M rows of N columns
	LDC int      // distance of rows of C

	Res   *float32 // added to C; nil for none
	LDRes int      // distance of rows of Res

	Bias *float32 // N values added to each row; nil for none

	A   *float32
	ARS int // distance of rows of A
	AKS int // distance of neighbours in k of A

	B   *float32
	BKS int // distance of rows of B, that is of neighbours in k

	AOff     *int // Segments offsets into A
	BOff     *int // Segments offsets into B
	Segments int
	K        int // steps in each segment

	M int // 1 <= M <= MR()
	N int // 1 <= N <= NR()

	Scale float32 // multiplies the sum of it all; 0 stands for 1
}

// MR is the largest M of a tile in the active tier: 14 with AVX-512, 6 with
// AVX2, 4 in plain Go.
func MR() int { return active.mr }

// NR is the largest N of a tile in the active tier: 32 with AVX-512, 16 with
// AVX2, 8 in plain Go. Tiles of at most NR/2 columns run at half the width.
func NR() int { return active.nr }

// GemmTile computes one tile. It checks nothing but M and N; see Tile for what
// the caller guarantees.
//
// Each element is the sum of its products in the order of s and k, one rounding
// per term in the vector tiers, to which bias and residual are then added, in
// this order. It is therefore the same, bit for bit, in whatever tile it lies.
func GemmTile(t *Tile) {
	if uint(t.M-1) >= uint(active.mr) || uint(t.N-1) >= uint(active.nr) {
		panic("kernel: GemmTile: M or N outside the tile")
	}
	gemmTile(active.tier, t)
}
