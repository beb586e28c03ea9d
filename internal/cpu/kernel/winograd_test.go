package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestWinogradTransforms compares every transform, in every tier, with the matrix
// products in float64, on grids with gaps whose guards must stay.
func TestWinogradTransforms(t *testing.T) {
	zeros := make([]float32, 200)
	for _, w := range []struct {
		name    string
		l       [][]float32
		in, out int
		bias    bool
		run     func(dst, src Grid, n int, bias []float32)
	}{
		{"input", winogradBT, 6, 6, false, func(d, s Grid, n int, _ []float32) { WinogradInput(d, s, n) }},
		{"output", winogradAT, 6, 4, true, WinogradOutput},
		{"grad", winogradA, 4, 6, false, func(d, s Grid, n int, _ []float32) { WinogradGrad(d, s, n) }},
		{"weights", winogradG, 3, 6, false, func(d, s Grid, n int, _ []float32) { WinogradWeights(d, s, n) }},
		{"input of 2x2", winograd2BT, 5, 5, false, func(d, s Grid, n int, _ []float32) { WinogradInput2(d, s, n) }},
		{"output of 2x2", winograd2AT, 5, 4, true, WinogradOutput2},
		{"weights of 2x2", winograd2G, 2, 5, false, func(d, s Grid, n int, _ []float32) { WinogradWeights2(d, s, n) }},
		{"weights grad", winogradGT, 6, 3, false, func(d, s Grid, n int, _ []float32) { WinogradWeightsGrad(d, s, n) }},
	} {
		t.Run(w.name, func(t *testing.T) {
			forEachTier(t, func(t *testing.T) {
				r := rand.New(rand.NewPCG(5, 6))
				for _, n := range widths {
					sCol, dCol := n+r.IntN(5), n+1+r.IntN(5)
					sRow, dRow := w.in*sCol+r.IntN(7), w.out*dCol+r.IntN(7)
					src := guarded(r, (w.in-1)*(sRow+sCol)+n, nans)
					bias := zeros
					if w.bias {
						bias = guarded(r, n, nans)
					}
					dst := canaries((w.out-1)*(dRow+dCol) + n + guard)
					w.run(Grid{dst, dRow, dCol}, Grid{src, sRow, sCol}, n, bias)
					checkSandwich(t, w.l, dst, dRow, dCol, src, sRow, sCol, n, bias)
				}
			})
		})
	}
}

// TestWinogradOutputAdd compares the transform with residual and scale with the
// plain one, followed by them, also where the residual is what is overwritten.
func TestWinogradOutputAdd(t *testing.T) {
	testOutputAdd(t, 6, WinogradOutput, WinogradOutputAdd)
	testOutputAdd(t, 5, WinogradOutput2, WinogradOutputAdd2)
}

func testOutputAdd(t *testing.T, side int, output func(dst, src Grid, n int, bias []float32), outputAdd func(dst, src Grid, n int, bias, res []float32, scale float32)) {
	forEachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(7, 8))
		for _, n := range widths {
			row, col := 4*(n+2)+3, n+2
			size := 3*(row+col) + n
			src, bias := Grid{randoms(r, side*side*n), side * n, n}, randoms(r, n)
			for _, inPlace := range []bool{false, true} {
				want, got := canaries(size+guard), canaries(size+guard)
				output(Grid{want, row, col}, src, n, bias)
				res := got
				if !inPlace {
					res = randoms(r, size)
				}
				scale := normal(r)
				for i := range 16 {
					for c := range n {
						at := i/4*row + i%4*col + c
						if inPlace {
							res[at] = normal(r)
						}
						want[at] = (want[at] + res[at]) * scale
					}
				}
				outputAdd(Grid{got, row, col}, src, n, bias, res, scale)
				for i := range want {
					if d := math.Abs(float64(got[i] - want[i])); !(d <= 1e-5*(1+math.Abs(float64(want[i])))) {
						t.Fatalf("n=%d in place %v: element %d is %v, want %v", n, inPlace, i, got[i], want[i])
					}
				}
			}
		}
	})
}

// checkSandwich compares dst with L src L' + bias, and everything between and
// behind its vectors with the canary.
func checkSandwich(t *testing.T, l [][]float32, dst []float32, dRow, dCol int, src []float32, sRow, sCol, n int, bias []float32) {
	t.Helper()
	written := make([]bool, len(dst))
	for i := range l {
		for j := range l {
			for c := range n {
				var want, size float64
				for p, f := range l[i] {
					for q, h := range l[j] {
						v := float64(f) * float64(h) * float64(src[p*sRow+q*sCol+c])
						want += v
						size += math.Abs(v)
					}
				}
				at := i*dRow + j*dCol + c
				written[at] = true
				if want += float64(bias[c]); !(math.Abs(float64(dst[at])-want) <= 1e-6*(size+math.Abs(want)+1e-3)) {
					t.Fatalf("n=%d: element (%d, %d) channel %d is %v, want %v", n, i, j, c, dst[at], want)
				}
			}
		}
	}
	for i, v := range dst {
		if !written[i] && v != canary {
			t.Fatalf("n=%d: wrote between the vectors, at %d", n, i)
		}
	}
}

// TestWinogradMatricesConvolve checks the identity the transforms are for.
func TestWinogradMatricesConvolve(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, c := range []struct {
		side, taps     int
		input, weights func(dst, src Grid, n int)
		output         func(dst, src Grid, n int, bias []float32)
	}{
		{6, 3, WinogradInput, WinogradWeights, WinogradOutput},
		{5, 2, WinogradInput2, WinogradWeights2, WinogradOutput2},
	} {
		n := c.side * c.side
		d, w := randoms(r, n), randoms(r, c.taps*c.taps)
		u, v, m, y := make([]float32, n), make([]float32, n), make([]float32, n), make([]float32, 16)
		c.input(Grid{v, c.side, 1}, Grid{d, c.side, 1}, 1)
		c.weights(Grid{u, c.side, 1}, Grid{w, c.taps, 1}, 1)
		for i := range m {
			m[i] = u[i] * v[i]
		}
		c.output(Grid{y, 4, 1}, Grid{m, c.side, 1}, 1, []float32{0.5})
		for i := range 4 {
			for j := range 4 {
				want := 0.5
				for p := range c.taps {
					for q := range c.taps {
						want += float64(d[(i+p)*c.side+j+q]) * float64(w[p*c.taps+q])
					}
				}
				if math.Abs(float64(y[i*4+j])-want) > 2e-5 {
					t.Errorf("%dx%d taps: pixel (%d, %d) is %v, want %v", c.taps, c.taps, i, j, y[i*4+j], want)
				}
			}
		}
	}
}

func BenchmarkWinogradInput(b *testing.B) {
	const n = 128
	dst, src := make([]float32, 36*n*28), make([]float32, 36*n)
	for b.Loop() {
		WinogradInput(Grid{dst, 6 * n * 28, n * 28}, Grid{src, 6 * n, n}, n)
	}
}
