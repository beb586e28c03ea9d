// Package philox is a counter-based random number generator: Philox4x32 with ten rounds, from Salmon, Moraes, Dror
// and Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3" (SC 2011).
//
// A counter-based generator has no state that advances. Number i of stream s under seed k is a pure function of
// (k, s, i), so noise can be indexed by what it belongs to (a pixel, a refinement step, an example of an epoch) and
// comes out the same whatever the order, the windows or the number of threads in which it is asked for.
package philox

import (
	"math"
	"math/bits"
)

// Multipliers and Weyl increments of Philox4x32, table 2 and section 4.3 of the paper.
const (
	multiplier0 = 0xD2511F53
	multiplier1 = 0xCD9E8D57
	weyl0       = 0x9E3779B9
	weyl1       = 0xBB67AE85
	rounds      = 10
)

// Stream is one of 2^64 independent sequences under a seed. It is a small value: copy it freely, use it from any
// number of goroutines. All methods of a Stream read the same underlying blocks, so numbers that must be independent
// of each other belong to different streams or to different counters.
type Stream struct {
	seed   uint64
	stream uint64
}

// New returns the sequence with the given number under seed. All values of both are valid.
func New(seed, stream uint64) Stream { return Stream{seed: seed, stream: stream} }

// Uint32x4 returns block number counter of the stream: four uniform 32-bit words. The 128-bit Philox counter is
// (counter, stream), low word first; the key is the seed.
func (s Stream) Uint32x4(counter uint64) [4]uint32 {
	c0, c1 := uint32(counter), uint32(counter>>32)
	c2, c3 := uint32(s.stream), uint32(s.stream>>32)
	k0, k1 := uint32(s.seed), uint32(s.seed>>32)
	for range rounds {
		p0 := uint64(multiplier0) * uint64(c0)
		p1 := uint64(multiplier1) * uint64(c2)
		c0, c1, c2, c3 = uint32(p1>>32)^c1^k0, uint32(p1), uint32(p0>>32)^c3^k1, uint32(p0)
		k0 += weyl0
		k1 += weyl1
	}
	return [4]uint32{c0, c1, c2, c3}
}

// Uint64 returns uniform 64-bit number i of the stream (half of block i/2).
func (s Stream) Uint64(i uint64) uint64 {
	b := s.Uint32x4(i / 2)
	h := 2 * (i % 2)
	return uint64(b[h]) | uint64(b[h+1])<<32
}

// Float64 returns uniform number i of the stream in [0, 1), a multiple of 2^-53.
func (s Stream) Float64(i uint64) float64 { return float64(s.Uint64(i)>>11) * 0x1p-53 }

// Intn returns uniform number i of the stream in [0, n). The bias of the multiply-shift reduction is below n/2^64.
// It panics when n <= 0.
func (s Stream) Intn(i uint64, n int) int {
	if n <= 0 {
		panic("philox: Intn of a non-positive bound")
	}
	hi, _ := bits.Mul64(s.Uint64(i), uint64(n))
	return int(hi)
}

// Normal fills dst with standard normal numbers offset, offset+1, ... of the stream: dst[k] depends on nothing but
// the seed, the stream and offset+k. Each block of four words gives four numbers by two Box-Muller transforms in
// float64; their magnitude is at most sqrt(-2 ln 2^-33) = 6.76. Offsets that are a multiple of 4 waste no work.
func (s Stream) Normal(dst []float32, offset uint64) {
	if skip := offset % 4; skip != 0 && len(dst) > 0 {
		four := s.normal4(offset / 4)
		n := copy(dst, four[skip:])
		dst, offset = dst[n:], offset+uint64(n)
	}
	block := offset / 4
	for len(dst) >= 4 {
		four := s.normal4(block)
		copy(dst[:4], four[:])
		dst = dst[4:]
		block++
	}
	if len(dst) > 0 {
		four := s.normal4(block)
		copy(dst, four[:])
	}
}

// normal4 turns one block into four standard normals.
func (s Stream) normal4(block uint64) [4]float32 {
	w := s.Uint32x4(block)
	a, b := boxMuller(w[0], w[1])
	c, d := boxMuller(w[2], w[3])
	return [4]float32{a, b, c, d}
}

// boxMuller maps two uniform words to two independent standard normals. Half a unit is added to the word under the
// logarithm, so it is never zero.
func boxMuller(u, v uint32) (float32, float32) {
	radius := math.Sqrt(-2 * math.Log((float64(u)+0.5)*0x1p-32))
	sin, cos := math.Sincos(2 * math.Pi * 0x1p-32 * float64(v))
	return float32(radius * cos), float32(radius * sin)
}
