package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// tileCase is a tile in memory of its own: C between canaries, inputs random,
// everything outside of what the tile may use NaN.
type tileCase struct {
	tile       Tile
	c, res     []float32
	bias, a, b []float32
	aoff, boff []int
}

const guard = 67

// tileSpec says what to build. accumulate makes Res be C.
type tileSpec struct {
	m, n, k, segments     int
	bias, res, accumulate bool
	columns               bool // A stored with k as the slow index
}

func (s tileSpec) String() string {
	return fmt.Sprintf("%dx%dx%d segments %d bias %v res %v accumulate %v columns %v",
		s.m, s.n, s.k, s.segments, s.bias, s.res, s.accumulate, s.columns)
}

// canary is what stands around outputs; no test computes it.
const canary = -12345.678

func canaries(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = canary
	}
	return x
}

func nans(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(math.NaN())
	}
	return x
}

func newTileCase(r *rand.Rand, s tileSpec) *tileCase {
	c := &tileCase{}
	nr, ldc, ldres := NR(), s.n+r.IntN(5), s.n+r.IntN(5)
	ars, aks := s.k+r.IntN(3), 1
	if s.columns {
		ars, aks = 1, s.m+r.IntN(3)
	}
	bks := nr + r.IntN(3)
	span := s.m*ars + s.k*aks + 1
	c.c = canaries(2*guard + s.m*ldc)
	c.a = nans(2*guard + s.segments*span)
	c.b = nans(2*guard + s.segments*s.k*bks)
	origin := guard + (s.segments-1)/2*span // some offsets of A become negative
	for seg := range s.segments {
		c.aoff = append(c.aoff, guard+(s.segments-1-seg)*span-origin)
		c.boff = append(c.boff, seg*s.k*bks)
		for k := range s.k {
			for i := range s.m {
				c.a[origin+c.aoff[seg]+i*ars+k*aks] = normal(r)
			}
			for j := range s.n {
				c.b[guard+c.boff[seg]+k*bks+j] = normal(r)
			}
		}
	}
	c.tile = Tile{C: &c.c[guard], LDC: ldc, A: &c.a[origin], ARS: ars, AKS: aks, B: &c.b[guard], BKS: bks,
		Segments: s.segments, K: s.k, M: s.m, N: s.n}
	if s.segments > 0 {
		c.tile.AOff, c.tile.BOff = &c.aoff[0], &c.boff[0]
	}
	if r.IntN(2) == 0 {
		c.tile.Scale = normal(r)
	}
	if s.bias {
		c.bias = randoms(r, s.n)
		c.tile.Bias = &c.bias[0]
	}
	switch {
	case s.accumulate:
		c.tile.Res, c.tile.LDRes = c.tile.C, ldc
		for i := range s.m {
			copy(c.c[guard+i*ldc:], randoms(r, s.n))
		}
	case s.res:
		c.res = nans(s.m*ldres + 64)
		c.tile.Res, c.tile.LDRes = &c.res[0], ldres
		for i := range s.m {
			copy(c.res[i*ldres:], randoms(r, s.n))
		}
	}
	return c
}

func normal(r *rand.Rand) float32 { return float32(r.NormFloat64()) }

func randoms(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = normal(r)
	}
	return x
}

// want is the tile in float64, with the sum of magnitudes beside each element
// to bound rounding by.
func (c *tileCase) want() (value, magnitude []float64) {
	t := &c.tile
	for i := range t.M {
		for j := range t.N {
			var sum, mag float64
			add := func(v float64) { sum += v; mag += math.Abs(v) }
			for s := range t.Segments {
				for k := range t.K {
					add(float64(*at(t.A, c.aoff[s]+i*t.ARS+k*t.AKS)) * float64(*at(t.B, c.boff[s]+k*t.BKS+j)))
				}
			}
			if t.Bias != nil {
				add(float64(c.bias[j]))
			}
			if t.Res != nil {
				add(float64(*at(t.Res, i*t.LDRes+j)))
			}
			if t.Scale != 0 {
				sum, mag = sum*float64(t.Scale), mag*math.Abs(float64(t.Scale))
			}
			value, magnitude = append(value, sum), append(magnitude, mag)
		}
	}
	return value, magnitude
}

// check runs the tile and compares it with want; every other element of c must
// still be a canary.
func (c *tileCase) check(run func(*Tile)) error {
	want, magnitude := c.want()
	run(&c.tile)
	t := &c.tile
	for p, v := range c.c {
		i, j := (p-guard)/t.LDC, (p-guard)%t.LDC
		inside := p >= guard && i < t.M && j < t.N
		if !inside {
			if v != canary {
				return fmt.Errorf("wrote element %d outside of the tile", p-guard)
			}
			continue
		}
		e := i*t.N + j
		bound := float64(t.K*t.Segments+3) * 0x1p-24 * magnitude[e]
		if d := math.Abs(float64(v) - want[e]); !(d <= bound) {
			return fmt.Errorf("row %d column %d: got %v, want %v", i, j, v, want[e])
		}
	}
	return nil
}

func TestGemmTile(t *testing.T) {
	forEachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for m := 1; m <= MR(); m++ {
			for n := 1; n <= NR(); n++ {
				for _, k := range []int{1, 2, 3, 4, 5, 7, 16, 33} {
					mode := r.IntN(16)
					s := tileSpec{m: m, n: n, k: k, segments: 1 + r.IntN(3), bias: mode&1 != 0,
						res: mode&2 != 0, accumulate: mode&6 == 4, columns: mode&8 != 0}
					if err := newTileCase(r, s).check(GemmTile); err != nil {
						t.Fatalf("%v: %v", s, err)
					}
				}
			}
		}
	})
}

func TestGemmTileModes(t *testing.T) {
	forEachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		for mode := range 16 {
			for segments := range 4 {
				for _, n := range []int{1, NR()/2 - 1, NR() / 2, NR()/2 + 1, NR() - 1, NR()} {
					for _, k := range []int{0, 1, 6} {
						s := tileSpec{m: MR(), n: n, k: k, segments: segments, bias: mode&1 != 0,
							res: mode&2 != 0, accumulate: mode&4 != 0, columns: mode&8 != 0}
						if err := newTileCase(r, s).check(GemmTile); err != nil {
							t.Fatalf("%v: %v", s, err)
						}
					}
				}
			}
		}
	})
}

func TestRefTile(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		s := tileSpec{m: 1 + r.IntN(MR()), n: 1 + r.IntN(NR()), k: r.IntN(20), segments: r.IntN(4),
			bias: r.IntN(2) == 0, res: r.IntN(2) == 0, accumulate: r.IntN(2) == 0, columns: r.IntN(2) == 0}
		if err := newTileCase(r, s).check(refTile); err != nil {
			t.Fatalf("%v: %v", s, err)
		}
	}
}

// TestGemmTileCut cuts a tile at every row and column and demands the same bits.
func TestGemmTileCut(t *testing.T) {
	forEachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(7, 8))
		c := newTileCase(r, tileSpec{m: MR(), n: NR(), k: 21, segments: 2, bias: true, res: true})
		GemmTile(&c.tile)
		want := append([]float32(nil), c.c...)
		for cut := range (MR() - 1) * (NR() - 1) {
			m, n := 1+cut%(MR()-1), 1+cut/(MR()-1)
			copy(c.c, canaries(len(c.c)))
			for _, p := range [][4]int{{0, 0, m, n}, {m, 0, MR() - m, n}, {0, n, m, NR() - n}, {m, n, MR() - m, NR() - n}} {
				part := c.tile
				part.C = at(part.C, p[0]*part.LDC+p[1])
				part.Res = at(part.Res, p[0]*part.LDRes+p[1])
				part.Bias = at(part.Bias, p[1])
				part.A = at(part.A, p[0]*part.ARS)
				part.B = at(part.B, p[1])
				part.M, part.N = p[2], p[3]
				GemmTile(&part)
			}
			for i := range want {
				if math.Float32bits(want[i]) != math.Float32bits(c.c[i]) {
					t.Fatalf("cut at %d,%d: element %d is %v, was %v", m, n, i-guard, c.c[i], want[i])
				}
			}
		}
	})
}

func TestGemmTileAllocates(t *testing.T) {
	forEachTier(t, func(t *testing.T) {
		a, b, c, off := [64]float32{}, [64]float32{}, [64]float32{}, [1]int{}
		if n := testing.AllocsPerRun(10, func() {
			t := Tile{C: &c[0], LDC: 1, A: &a[0], ARS: 1, AKS: 1, B: &b[0], BKS: 1, AOff: &off[0], BOff: &off[0],
				Segments: 1, K: 1, M: 1, N: 1}
			GemmTile(&t)
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

func TestGemmTilePanics(t *testing.T) {
	forEachTier(t, func(t *testing.T) {
		for _, size := range [][2]int{{0, 1}, {1, 0}, {MR() + 1, 1}, {1, NR() + 1}, {-1, 1}} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%v did not panic", size)
					}
				}()
				GemmTile(&Tile{M: size[0], N: size[1]})
			}()
		}
	})
}

// TestTileLayout holds the offsets that the assembly uses.
func TestTileLayout(t *testing.T) {
	if unsafe.Sizeof(int(0)) != 8 {
		t.Skip("no assembly for this platform")
	}
	var x Tile
	got := []uintptr{unsafe.Offsetof(x.C), unsafe.Offsetof(x.LDC), unsafe.Offsetof(x.Res), unsafe.Offsetof(x.LDRes),
		unsafe.Offsetof(x.Bias), unsafe.Offsetof(x.A), unsafe.Offsetof(x.ARS), unsafe.Offsetof(x.AKS),
		unsafe.Offsetof(x.B), unsafe.Offsetof(x.BKS), unsafe.Offsetof(x.AOff), unsafe.Offsetof(x.BOff),
		unsafe.Offsetof(x.Segments), unsafe.Offsetof(x.K), unsafe.Offsetof(x.M), unsafe.Offsetof(x.N), unsafe.Offsetof(x.Scale)}
	for i, offset := range got {
		if offset != uintptr(8*i) {
			t.Errorf("field %d is at %d", i, offset)
		}
	}
}

func FuzzGemmTile(f *testing.F) {
	f.Add(uint64(1), 6, 16, 5, 2, 0)
	f.Add(uint64(2), 14, 32, 9, 1, 15)
	f.Fuzz(func(t *testing.T, seed uint64, m, n, k, segments, mode int) {
		forEachTier(t, func(t *testing.T) {
			pick := func(v, limit int) int { return int(uint(v) % uint(limit)) }
			s := tileSpec{m: 1 + pick(m, MR()), n: 1 + pick(n, NR()), k: pick(k, 80), segments: pick(segments, 12),
				bias: mode&1 != 0, res: mode&2 != 0, accumulate: mode&4 != 0, columns: mode&8 != 0}
			if err := newTileCase(rand.New(rand.NewPCG(seed, 0)), s).check(GemmTile); err != nil {
				t.Fatalf("%v: %v", s, err)
			}
		})
	})
}
