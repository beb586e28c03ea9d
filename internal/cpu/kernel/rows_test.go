package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// widths are numbers of channels around the blocks of every tier.
var widths = []int{1, 2, 3, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 47, 48, 63, 64, 65, 95, 96, 97, 128, 129}

// rowCase is the random data of the kernels over rows, each slice at an odd
// start: inputs between NaN, outputs between canaries.
type rowCase struct {
	rows, width           int
	x, g, dst             []float32
	a, b, p, q, r, s1, s2 []float32
}

func newRowCase(r *rand.Rand, rows, width int) *rowCase {
	c := &rowCase{rows: rows, width: width}
	for _, s := range []*[]float32{&c.x, &c.g} {
		*s = guarded(r, rows*width, nans)
	}
	c.dst = guarded(r, rows*width, canaries)
	for _, s := range []*[]float32{&c.a, &c.b, &c.p, &c.q, &c.r} {
		*s = guarded(r, width, nans)
	}
	c.s1, c.s2 = guarded(r, width, canaries), guarded(r, width, canaries)
	return c
}

// guarded is n random numbers with guards on both sides.
func guarded(r *rand.Rand, n int, guards func(int) []float32) []float32 {
	offset := 1 + r.IntN(16)
	x := guards(offset + n + guard)
	copy(x[offset:], randoms(r, n))
	return x[offset : offset+n]
}

// intact tells whether the canaries behind x are still there.
func intact(x []float32) bool {
	for _, v := range x[len(x) : len(x)+guard] {
		if v != canary {
			return false
		}
	}
	return true
}

func (c *rowCase) dz(i, j int, silu bool) float64 {
	g := float64(c.g[i])
	if silu {
		g *= wantSiluGrad(float64(c.x[i])*float64(c.a[j]) + float64(c.b[j]))
	}
	return g
}

func TestRows(t *testing.T) {
	kernels := map[string]struct {
		run  func(c *rowCase, dst []float32)
		want func(c *rowCase, i, j int) float64
	}{
		"AddRow": {func(c *rowCase, dst []float32) { AddRow(dst, c.x, c.a) },
			func(c *rowCase, i, j int) float64 { return float64(c.x[i]) + float64(c.a[j]) }},
		"MulRow": {func(c *rowCase, dst []float32) { MulRow(dst, c.x, c.a) },
			func(c *rowCase, i, j int) float64 { return float64(c.x[i]) * float64(c.a[j]) }},
		"NormApply": {func(c *rowCase, dst []float32) { NormApply(dst, c.x, c.a, c.b, false) },
			func(c *rowCase, i, j int) float64 { return float64(c.x[i])*float64(c.a[j]) + float64(c.b[j]) }},
		"NormApply with silu": {func(c *rowCase, dst []float32) { NormApply(dst, c.x, c.a, c.b, true) },
			func(c *rowCase, i, j int) float64 {
				return wantSilu(float64(c.x[i])*float64(c.a[j]) + float64(c.b[j]))
			}},
		"NormGradInput": {func(c *rowCase, dst []float32) { NormGradInput(dst, c.x, c.g, c.a, c.b, c.p, c.q, c.r, false) },
			func(c *rowCase, i, j int) float64 {
				return c.dz(i, j, false)*float64(c.p[j]) + float64(c.x[i])*float64(c.q[j]) + float64(c.r[j])
			}},
		"NormGradInput with silu": {func(c *rowCase, dst []float32) { NormGradInput(dst, c.x, c.g, c.a, c.b, c.p, c.q, c.r, true) },
			func(c *rowCase, i, j int) float64 {
				return c.dz(i, j, true)*float64(c.p[j]) + float64(c.x[i])*float64(c.q[j]) + float64(c.r[j])
			}},
	}
	forEachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(13, 14))
		for name, k := range kernels {
			for _, width := range widths {
				for _, rows := range []int{0, 1, 2, 5} {
					c := newRowCase(r, rows, width)
					k.run(c, c.dst)
					if !intact(c.dst) {
						t.Fatalf("%s, %d rows of %d: wrote behind the end", name, rows, width)
					}
					for i, v := range c.dst {
						if want := k.want(c, i, i%width); !(math.Abs(float64(v)-want) <= 1e-6*(1+math.Abs(want))*4) {
							t.Fatalf("%s, %d rows of %d: element %d is %v, want %v", name, rows, width, i, v, want)
						}
					}
					for _, in := range []*[]float32{&c.x, &c.g} {
						before := append([]float32(nil), *in...)
						if k.run(c, *in); in == &c.x || name[:5] == "NormG" {
							for i := range c.dst {
								if (*in)[i] != c.dst[i] {
									t.Fatalf("%s, %d rows of %d: in place, element %d differs", name, rows, width, i)
								}
							}
						}
						copy(*in, before)
					}
				}
			}
		}
	})
}

func TestColumnSums(t *testing.T) {
	kernels := map[string]struct {
		run  func(c *rowCase)
		want func(c *rowCase, i, j int) (first, second float64)
	}{
		"SumRows": {func(c *rowCase) { SumRows(c.s1, c.x) },
			func(c *rowCase, i, j int) (float64, float64) { return float64(c.x[i]), 0 }},
		"Moments": {func(c *rowCase) { Moments(c.s1, c.s2, c.x) },
			func(c *rowCase, i, j int) (float64, float64) {
				return float64(c.x[i]), float64(c.x[i]) * float64(c.x[i])
			}},
		"NormGradSums": {func(c *rowCase) { NormGradSums(c.s1, c.s2, c.x, c.g, c.a, c.b, false) },
			func(c *rowCase, i, j int) (float64, float64) {
				dz := c.dz(i, j, false)
				return dz, dz * float64(c.x[i])
			}},
		"NormGradSums with silu": {func(c *rowCase) { NormGradSums(c.s1, c.s2, c.x, c.g, c.a, c.b, true) },
			func(c *rowCase, i, j int) (float64, float64) {
				dz := c.dz(i, j, true)
				return dz, dz * float64(c.x[i])
			}},
	}
	forEachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(15, 16))
		for name, k := range kernels {
			for _, width := range widths {
				for _, rows := range []int{0, 1, 2, 3, 40} {
					c := newRowCase(r, rows, width)
					want1, want2 := make([]float64, width), make([]float64, width)
					for j := range width {
						want1[j], want2[j] = float64(c.s1[j]), float64(c.s2[j])
					}
					for i := range c.x {
						first, second := k.want(c, i, i%width)
						want1[i%width] += first
						want2[i%width] += second
					}
					k.run(c)
					if !intact(c.s1) || !intact(c.s2) {
						t.Fatalf("%s, %d rows of %d: wrote behind the end", name, rows, width)
					}
					for j := range width {
						if math.Abs(float64(c.s1[j])-want1[j]) > 1e-4 || math.Abs(float64(c.s2[j])-want2[j]) > 1e-4 {
							t.Fatalf("%s, %d rows of %d: channel %d is %v and %v, want %v and %v", name, rows, width, j,
								c.s1[j], c.s2[j], want1[j], want2[j])
						}
					}
				}
			}
		}
	})
}

func TestSums(t *testing.T) {
	forEachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(17, 18))
		for n := range 2*64 + 2 {
			for offset := range 17 {
				buf, buf2 := nans(offset+n+guard), nans(offset+n+guard)
				x, y := buf[offset:offset+n], buf2[offset:offset+n]
				copy(x, randoms(r, n))
				copy(y, randoms(r, n))
				var sum, squares, dot float64
				top := math.Inf(-1)
				for i := range x {
					sum += float64(x[i])
					squares += float64(x[i]) * float64(x[i])
					dot += float64(x[i]) * float64(y[i])
					top = max(top, float64(x[i]))
				}
				for name, pair := range map[string][2]float64{"Sum": {Sum(x), sum}, "SumSquares": {SumSquares(x), squares},
					"Dot": {Dot(x, y), dot}} {
					if math.Abs(pair[0]-pair[1]) > 1e-13*float64(n+1) {
						t.Fatalf("%s of %d: got %v, want %v", name, n, pair[0], pair[1])
					}
				}
				if got := Max(x); float64(got) != top {
					t.Fatalf("Max of %d: got %v, want %v", n, got, top)
				}
			}
		}
	})
}

func TestMaxPassesOverNaN(t *testing.T) {
	forEachTier(t, func(t *testing.T) {
		for n := 1; n < 140; n++ {
			for at := range n {
				x := nans(n)
				x[at] = -3
				if got := Max(x); got != -3 {
					t.Fatalf("Max of %d NaN but for element %d: got %v", n, at, got)
				}
			}
			if got := Max(nans(n)); !math.IsInf(float64(got), -1) {
				t.Fatalf("Max of %d NaN: got %v", n, got)
			}
		}
	})
}

// TestNormApplyRows compares rows that lie apart with the same rows one by one.
func TestNormApplyRows(t *testing.T) {
	forEachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		for _, width := range widths {
			for _, rows := range []int{0, 1, 2, 5} {
				for _, silu := range []bool{false, true} {
					ds, xs := width+r.IntN(3), width+r.IntN(3)
					x, a, b := randoms(r, rows*xs+width), randoms(r, width), randoms(r, width)
					want, got := canaries(rows*ds+width+guard), canaries(rows*ds+width+guard)
					for i := range rows {
						NormApply(want[i*ds:i*ds+width], x[i*xs:i*xs+width], a, b, silu)
					}
					NormApplyRows(got, ds, x, xs, rows, a, b, silu)
					if !slices.Equal(want, got) {
						t.Fatalf("width %d, %d rows, silu %v: differs", width, rows, silu)
					}
				}
			}
		}
	})
}
