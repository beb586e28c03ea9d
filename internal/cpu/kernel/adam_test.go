package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestAdam(t *testing.T) {
	forEachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(19, 20))
		for n := range 40 {
			for _, withEMA := range []bool{false, true} {
				checkAdam(t, r, n, withEMA)
			}
		}
	})
}

// checkAdam does five steps beside the formula in float64.
func checkAdam(t *testing.T, r *rand.Rand, n int, withEMA bool) {
	t.Helper()
	const gscale, lr, b1, b2, eps, decay = 0.5, 1e-3, 0.9, 0.999, 1e-8, 0.9999
	p, m, v := guarded(r, n, canaries), guarded(r, n, canaries), guarded(r, n, canaries)
	clear(m)
	clear(v)
	var ema []float32
	if withEMA {
		ema = guarded(r, n, canaries)
		copy(ema, p)
	}
	wp, wm, wv, we := make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range p {
		wp[i], we[i] = float64(p[i]), float64(p[i])
	}
	for step := 1; step <= 5; step++ {
		g := guarded(r, n, nans)
		c1, c2 := 1-math.Pow(b1, float64(step)), 1-math.Pow(b2, float64(step))
		Adam(p, g, m, v, ema, gscale, lr, b1, b2, eps, float32(c1), float32(c2), decay)
		for i := range n {
			gi := float64(g[i]) * gscale
			wm[i] = wm[i]*b1 + gi*(1-b1)
			wv[i] = wv[i]*b2 + gi*gi*(1-b2)
			wp[i] -= lr * (wm[i] / c1) / (math.Sqrt(wv[i]/c2) + eps)
			we[i] = we[i]*decay + wp[i]*(1-decay)
			near := func(got float32, want float64) bool {
				return math.Abs(float64(got)-want) <= 1e-6*math.Abs(want)+1e-7
			}
			if !near(p[i], wp[i]) || !near(m[i], wm[i]) || !near(v[i], wv[i]) || withEMA && !near(ema[i], we[i]) {
				t.Fatalf("%d elements, step %d, element %d: got %v %v %v, want %v %v %v", n, step, i, p[i], m[i], v[i], wp[i], wm[i], wv[i])
			}
		}
	}
	if !intact(p) || !intact(m) || !intact(v) || withEMA && !intact(ema) {
		t.Fatalf("%d elements: wrote behind the end", n)
	}
}

func TestComplement(t *testing.T) {
	for x, want := range map[float32]float64{0.9: 0.1, 0.999: 0.001, 0.9999: 0.0001, 0: 1, 1: 0, 0.5: 0.5} {
		if got := complement(x); got != float32(want) {
			t.Errorf("complement(%v) = %v, want %v", x, got, want)
		}
	}
}
