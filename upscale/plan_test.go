package upscale

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/sr3-go/sr3/diffusion"
)

// drawGeometry draws images from 1x1 up and windows that are small enough for
// several to be needed.
func drawGeometry(t *rapid.T) Geometry {
	m := rapid.SampledFrom([]int{1, 2, 4, 8}).Draw(t, "multiple")
	window := rapid.IntRange(2, 10).Draw(t, "window") * m
	return Geometry{
		Height: rapid.IntRange(1, 90).Draw(t, "height"), Width: rapid.IntRange(1, 90).Draw(t, "width"),
		Multiple: m, Window: window, Overlap: rapid.IntRange(1, window-m).Draw(t, "overlap"),
		Receptive: rapid.IntRange(0, 12).Draw(t, "receptive"), Least: rapid.IntRange(0, window).Draw(t, "least"),
		Fit: rapid.Bool().Draw(t, "fit"),
	}
}

func TestPlanCovers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := drawGeometry(t)
		p, err := NewPlan(g)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range []axis{p.y, p.x} {
			checkAxis(t, a, g)
		}
	})
}

func checkAxis(t *rapid.T, a axis, g Geometry) {
	sum := make([]float64, a.padded)
	for k, o := range a.origins {
		if o%g.Multiple != 0 || o < 0 || o+a.window > a.padded {
			t.Fatalf("window %d at %d of %d does not fit", k, o, a.padded)
		}
		if k > 0 && a.origins[k-1]+a.window-o < min(g.Overlap, a.window) {
			t.Fatalf("windows %d and %d overlap by %d", k-1, k, a.origins[k-1]+a.window-o)
		}
		for i, w := range a.weights[k] {
			if w < 0 || w > 1 {
				t.Fatalf("weight %v", w)
			}
			sum[o+i] += float64(w)
		}
	}
	for p, s := range sum {
		if math.Abs(s-1) > 1e-6 {
			t.Fatalf("weights at %d sum to %v", p, s)
		}
	}
	if a.window%g.Multiple != 0 || a.padded%g.Multiple != 0 || a.padded < a.size {
		t.Fatalf("window %d, padded %d of %d", a.window, a.padded, a.size)
	}
}

// TestBlendIsIdentity cuts an image into windows and blends it together again.
func TestBlendIsIdentity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := drawGeometry(t)
		p, err := NewPlan(g)
		if err != nil {
			t.Fatal(err)
		}
		img := ramps(g.Height, g.Width)
		h, w := p.WindowSize()
		window, out := make([]float32, h*w*3), make([]float32, len(img))
		for i := range p.Windows() {
			p.Gather(window, img, i)
			p.Accumulate(out, window, i)
		}
		for i := range img {
			if math.Abs(float64(img[i]-out[i])) > 1e-5 {
				t.Fatalf("element %d: %v became %v", i, img[i], out[i])
			}
		}
	})
}

// ramps is an image whose every element is different.
func ramps(h, w int) []float32 {
	img := make([]float32, h*w*3)
	for i := range img {
		img[i] = float32(math.Sin(float64(i) * 0.7))
	}
	return img
}

func TestMirrorIndex(t *testing.T) {
	for _, c := range []struct {
		size, padded int
		want         []int32
	}{
		{1, 4, []int32{0, 0, 0, 0}},
		{2, 5, []int32{0, 1, 0, 1, 0}},
		{4, 9, []int32{0, 1, 2, 3, 2, 1, 0, 1, 2}},
		{3, 3, []int32{0, 1, 2}},
	} {
		if got := mirrorIndex(c.size, c.padded); !slices.Equal(got, c.want) {
			t.Errorf("mirrorIndex(%d, %d) = %v, want %v", c.size, c.padded, got, c.want)
		}
	}
}

func TestPlanRefuses(t *testing.T) {
	for _, g := range []Geometry{
		{Height: 0, Width: 4, Multiple: 1, Window: 8},
		{Height: 40, Width: 4, Multiple: 0, Window: 8},
		{Height: 40, Width: 40, Multiple: 8, Window: 8, Overlap: 3},
		{Height: 40, Width: 40, Multiple: 8, Window: 0},
	} {
		if _, err := NewPlan(g); err == nil {
			t.Errorf("%+v was planned", g)
		}
	}
}

// blur is a network with a known receptive field and zero padding, as a U-Net
// has: repeated 3x3 sums of x and y, which leave their mark along a window's
// border.
type blur struct{ h, w, passes int }

func (b blur) Predict(dst, x, y []float32, _ diffusion.Gamma) error {
	src := make([]float32, len(dst))
	for i := range src {
		src[i] = x[i] + 0.5*y[i]
	}
	for range b.passes {
		for r := range b.h {
			for c := range b.w * 3 {
				dst[r*b.w*3+c] = b.around(src, r, c)
			}
		}
		copy(src, dst)
	}
	return nil
}

func (b blur) around(src []float32, r, c int) float32 {
	sum := float32(0)
	for dr := -1; dr <= 1; dr++ {
		for dc := -3; dc <= 3; dc += 3 {
			if rr, cc := r+dr, c+dc; rr >= 0 && rr < b.h && cc >= 0 && cc < b.w*3 {
				sum += src[rr*b.w*3+cc] / 9
			}
		}
	}
	return sum
}

// TestTiledEqualsWhole checks that windows overlapping by the receptive field
// leave no trace of themselves.
func TestTiledEqualsWhole(t *testing.T) {
	const h, w, passes = 61, 83, 4
	x, y := ramps(h, w), ramps(w, h)
	denoise := func(window int) []float32 {
		p, err := NewPlan(Geometry{Height: h, Width: w, Multiple: 4, Window: window, Overlap: 2*passes + 2, Receptive: passes})
		if err != nil {
			t.Fatal(err)
		}
		wh, ww := p.WindowSize()
		d, err := NewDenoiser(p, blur{wh, ww, passes}, x)
		if err != nil {
			t.Fatal(err)
		}
		dst := make([]float32, len(x))
		if err := d.Denoise(t.Context(), dst, y, 0.5); err != nil {
			t.Fatal(err)
		}
		return dst
	}
	whole, tiled := denoise(96), denoise(24)
	for i := range whole {
		if math.Abs(float64(whole[i]-tiled[i])) > 1e-5 {
			t.Fatalf("element %d: %v whole, %v tiled", i, whole[i], tiled[i])
		}
	}
}

func TestDenoiserCancels(t *testing.T) {
	p, err := NewPlan(Geometry{Height: 64, Width: 64, Multiple: 4, Window: 16, Overlap: 4})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	d, err := NewDenoiser(p, blur{16, 16, 1}, ramps(64, 64))
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	d.OnWindow = func(done, total int) {
		if calls++; done == 3 {
			cancel()
		}
	}
	err = d.Denoise(ctx, make([]float32, 64*64*3), ramps(64, 64), 0.5)
	if !errors.Is(err, context.Canceled) || calls != 3 {
		t.Errorf("error %v after %d windows, want cancellation after 3", err, calls)
	}
}
