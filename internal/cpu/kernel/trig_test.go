package kernel

import (
	"math"
	"testing"
)

// hardAngles calls f with the float32 next to multiples of pi/2 within the bound,
// where the reduction cancels most, and with their neighbours.
func hardAngles(run func(dst, x []float32), f func(x, got float32)) {
	var x, got [6]float32
	for n := 1; float64(n)*math.Pi/2 <= trigBound; n++ {
		v := float32(float64(n) * math.Pi / 2)
		down, up := math.Nextafter32(v, 0), math.Nextafter32(v, trigBound)
		x = [6]float32{v, -v, down, -down, up, -up}
		run(got[:], x[:])
		for i := range x {
			f(x[i], got[i])
		}
	}
}

func TestTrigAccuracy(t *testing.T) {
	forEachTier(t, func(t *testing.T) {
		for _, c := range []struct {
			name string
			run  func(dst, x []float32)
			want func(float64) float64
		}{{"sin", Sin, math.Sin}, {"cos", Cos, math.Cos}} {
			worst, where := 0.0, float32(0)
			note := func(x, got float32) {
				if math.IsInf(float64(x), 0) {
					if got == got {
						t.Fatalf("%s(%v) = %v", c.name, x, got)
					}
					return
				}
				e := ulps(got, c.want(float64(x)))
				if e > worst {
					worst, where = e, x
				}
				if !(e <= 2) || !(got >= -1 && got <= 1) {
					t.Fatalf("%s(%v) = %v, want %v: %v ULP", c.name, x, got, c.want(float64(x)), e)
				}
			}
			sweep(c.run, note)
			hardAngles(c.run, note)
			t.Logf("%s: %.3f ULP at %v", c.name, worst, where)
		}
	})
}

// Each element is its own, wherever it lies and whatever its neighbours are.
func TestTrigSpecials(t *testing.T) {
	inf, nan, minusZero := float32(math.Inf(1)), float32(math.NaN()), float32(math.Copysign(0, -1))
	big := float32(1e30)
	forEachTier(t, func(t *testing.T) {
		for _, c := range []struct {
			name    string
			run     func(dst, x []float32)
			x, want float32
		}{
			{"sin", Sin, 0, 0}, {"sin", Sin, minusZero, minusZero},
			{"sin", Sin, inf, nan}, {"sin", Sin, -inf, nan}, {"sin", Sin, nan, nan}, {"sin", Sin, 1e-40, 1e-40},
			{"sin", Sin, big, float32(math.Sin(float64(big)))}, {"sin", Sin, -200000, float32(math.Sin(-200000))},
			{"cos", Cos, 0, 1}, {"cos", Cos, inf, nan}, {"cos", Cos, nan, nan}, {"cos", Cos, 1e-40, 1},
			{"cos", Cos, big, float32(math.Cos(float64(big)))}, {"cos", Cos, -200000, float32(math.Cos(200000))},
		} {
			for n := 1; n < 50; n++ { // once in every lane and loop
				x := make([]float32, n)
				for i := range x {
					x[i] = 0.5
				}
				half := make([]float32, n)
				c.run(half, x)
				x[n-1] = c.x
				c.run(x, x)
				for i, got := range x[:n-1] {
					if got != half[i] {
						t.Fatalf("%s(0.5) = %v beside %v, %v without", c.name, got, c.x, half[i])
					}
				}
				if got := x[n-1]; math.Float32bits(got) != math.Float32bits(c.want) && !(got != got && c.want != c.want) {
					t.Errorf("%s(%v) = %v in element %d, want %v", c.name, c.x, got, n-1, c.want)
				}
			}
		}
	})
}
