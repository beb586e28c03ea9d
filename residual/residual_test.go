package residual

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/sr3-go/sr3/internal/philox"
)

var adaptive = Scale{Floor: 0.001, Gain: 2, Knee: 0.13, Radius: 2}

// plainFactor is the factor of a pixel by the definition, in float64.
func plainFactor(s Scale, x []float32, h, w, row, column int, factor float64) float64 {
	at := func(y, c, i int) float64 { return float64(x[(y*w+c)*3+i]) }
	window := func(y, c int, f func(y, c int)) (n float64) {
		for yy := max(0, y-s.Radius); yy <= min(h-1, y+s.Radius); yy++ {
			for cc := max(0, c-s.Radius); cc <= min(w-1, c+s.Radius); cc++ {
				f(yy, cc)
				n++
			}
		}
		return n
	}
	variance := func(y, c int) float64 {
		sum := 0.0
		for i := range 3 {
			mean := 0.0
			n := window(y, c, func(yy, cc int) { mean += at(yy, cc, i) })
			mean /= n
			d := 0.0
			window(y, c, func(yy, cc int) { d += (at(yy, cc, i) - mean) * (at(yy, cc, i) - mean) })
			sum += d / n / 3
		}
		return sum
	}
	v := 0.0
	n := window(row, column, func(y, c int) { v += variance(y, c) })
	g := math.Sqrt(v / n)
	return factor / (s.Floor + s.Gain*g/(1+g/s.Knee))
}

// TestFactors compares with the definition, on any size and number of threads.
func TestFactors(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h, w := rapid.IntRange(1, 12).Draw(rt, "h"), rapid.IntRange(1, 12).Draw(rt, "w")
		s := adaptive
		s.Radius = rapid.IntRange(1, 4).Draw(rt, "radius")
		x := make([]float32, h*w*3)
		philox.New(rapid.Uint64().Draw(rt, "seed"), 1).Normal(x, 0)
		if rapid.Bool().Draw(rt, "flat") {
			for i := range x {
				x[i] = 0.3
			}
		}
		got, other := make([]float32, h*w), make([]float32, h*w)
		s.Factors(got, x, h, w, 1.5, 1)
		s.Factors(other, x, h, w, 1.5, 3)
		if !slices.Equal(got, other) {
			rt.Fatal("threads change the factors")
		}
		for i, f := range got {
			if want := plainFactor(s, x, h, w, i/w, i%w, 1.5); math.Abs(float64(f)-want) > 1e-4*want {
				rt.Fatalf("%dx%d pixel %d: %v, want %v", h, w, i, f, want)
			}
		}
	})
}

// TestTargetsInvert: an image and its y0 stand for each other, clamped ones lie in the
// range, and noise is as small as the residual was enlarged.
func TestTargetsInvert(t *testing.T) {
	const h, w = 9, 7
	x, image, y0, back := make([]float32, h*w*3), make([]float32, h*w*3), make([]float32, h*w*3), make([]float32, h*w*3)
	philox.New(1, 1).Normal(x, 0)
	philox.New(1, 2).Normal(image, 0)
	for _, c := range []struct {
		factor float64
		scale  Scale
	}{{0, Scale{}}, {8, Scale{}}, {1, adaptive}, {0, adaptive}} {
		target := New(c.factor, c.scale, x, h, w, 2)
		if f, one := target.Factor(); f != float32(c.factor) || one != (c.factor == 0 || !c.scale.Active()) {
			t.Errorf("%+v: factor %v, one for all: %v", c, f, one)
		}
		target.Of(y0, image)
		target.Image(back, y0)
		for i := range image {
			if math.Abs(float64(back[i]-image[i])) > 1e-5 {
				t.Fatalf("%+v: element %d comes back as %v, was %v", c, i, back[i], image[i])
			}
		}
		target.Clamp(y0)
		target.Image(back, y0)
		for i := range image {
			if want := min(max(image[i], -1), 1); math.Abs(float64(back[i]-want)) > 1e-5 {
				t.Fatalf("%+v: element %d is clamped to %v, want %v", c, i, back[i], want)
			}
		}
		target.Of(y0, image)
		target.Noisy(back, y0, 1)
		target.Image(y0, y0)
		if c.factor != 0 && !slices.Equal(back, y0) {
			t.Errorf("%+v: without noise, what is seen is not the image", c)
		}
	}
}

func TestScaleIsChecked(t *testing.T) {
	if err := (Scale{}).Validate(); err != nil || (Scale{}).Active() {
		t.Errorf("the zero scale: %v", err)
	}
	if err := adaptive.Validate(); err != nil {
		t.Error(err)
	}
	for _, s := range []Scale{{Floor: 1}, {Floor: 0, Gain: 1, Knee: 1, Radius: 1}, {Floor: 1, Gain: math.NaN(), Knee: 1, Radius: 1}, {Floor: 1, Gain: 1, Knee: 0, Radius: 1},
		{Floor: 1, Gain: 1, Knee: 1, Radius: 17}, {Floor: 1, Gain: 1, Knee: math.Inf(1), Radius: 1}} {
		if s.Validate() == nil {
			t.Errorf("%+v is valid", s)
		}
	}
}
