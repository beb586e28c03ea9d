package upscale

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/internal/philox"
	"github.com/sr3-go/sr3/metric"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/resample"
	"github.com/sr3-go/sr3/residual"
)

// inconsistency is what metric.Consistency gives, for any aspect: the error of
// the 8-bit result reduced in 8 bits.
func inconsistency(t *testing.T, low, result *imageio.Image) float64 {
	t.Helper()
	want, got := low.RGB8(), make([]uint8, len(low.Pix))
	err := resample.Resize8(got, result.RGB8(), low.Height, low.Width, result.Height, result.Width, 3, resample.Bicubic, 1)
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for i := range want {
		d := (float64(want[i]) - float64(got[i])) / 255
		sum += d * d
	}
	return sum / float64(len(want)) * 1e5
}

// smoothImage has waves of an amplitude in 8-bit levels; above 127 there are
// places that are black or white. testImage has waves so short that no image
// within the range is reduced to it.
func smoothImage(w, h int, amplitude float64) *imageio.Image {
	img := imageio.New(w, h)
	for i := range img.Pix {
		y, x, c := float64(i/3/w), float64(i/3%w), float64(i%3)
		v := 127 + amplitude*math.Sin(0.5*y+c)*math.Cos(0.4*x)
		img.Pix[i] = float32(min(max(math.Round(v), 0), 255)/127.5 - 1)
	}
	return img
}

func TestConsistentResults(t *testing.T) {
	refining, regression := newUpscaler(t), newRegression(t, regressionModel(t))
	for _, c := range []struct {
		u         *Upscaler
		o         Options
		w         int // of the input, which has 13 rows
		amplitude float64
	}{
		{refining, Options{}, 17, 150},
		{refining, Options{Tile: 32, Overlap: 8, Sampler: "ancestral", Seed: 3}, 21, 150},
		{refining, Options{Scale: 3}, 17, 150},
		{refining, Options{Scale: 1}, 17, 150},
		{refining, Options{Scale: 1.3, Steps: 2, Sampler: "ddim"}, 17, 100},
		{refining, Options{Scale: 1.1}, 31, 100},
		{refining, Options{Scale: 8}, 9, 150},
		{refining, Options{Width: 61}, 17, 150},
		{refining, Options{Width: 40, Height: 120}, 17, 150},
		{regression, Options{}, 17, 150},
		{regression, Options{Scale: 5}, 9, 150},
	} {
		t.Run(fmt.Sprintf("%s %+v", c.u.cfg.Objective, c.o), func(t *testing.T) {
			img := smoothImage(c.w, 13, c.amplitude)
			before, report, err := c.u.Upscale(t.Context(), img, c.o)
			if err != nil || report.Consistent {
				t.Fatalf("%v, report %+v", err, report)
			}
			c.o.Consistent = new(true)
			after, report, err := c.u.Upscale(t.Context(), img, c.o)
			if err != nil || !report.Consistent {
				t.Fatalf("%v, report %+v", err, report)
			}
			a, b := inconsistency(t, img, before), inconsistency(t, img, after)
			t.Logf("consistency %.3g, without the option %.3g", b, a)
			if b > 0.3 || a < 10*b {
				t.Errorf("consistency %.3g, without the option %.3g", b, a)
			}
			if low, high := slices.Min(after.Pix), slices.Max(after.Pix); low < -1 || high > 1 {
				t.Errorf("values from %g to %g", low, high)
			}
		})
	}
}

// Estimates of y0 stand for images that are reduced to the input exactly, before
// they are clipped.
func TestConstraintIsExact(t *testing.T) {
	in, out := size{13, 9}, size{52, 36}
	low := testImage(in.w, in.h).Pix
	y0, x := make([]float32, out.pixels()*3), make([]float32, out.pixels()*3)
	adaptive := residual.Scale{Floor: 0.01, Gain: 2, Knee: 0.1, Radius: 2}
	for _, d := range []model.Diffusion{{}, {Residual: 4}, {Residual: 1, Adaptive: adaptive}} {
		philox.New(1, 1).Normal(y0, 0)
		philox.New(1, 2).Normal(x, 0)
		c, err := newConsistency(low, in, out, 2)
		if err != nil {
			t.Fatal(err)
		}
		target := (&Upscaler{cfg: model.Config{Diffusion: d}}).newTarget(x, out, 2)
		target.meet(c)
		target.constrain(false)(y0)
		img := make([]float32, len(y0))
		target.Image(img, y0)
		got, err := metric.FloatConsistency(metric.FloatImage{Height: in.h, Width: in.w, Pix: low},
			metric.FloatImage{Height: out.h, Width: out.w, Pix: img}, 1)
		if err != nil || got > 1e-9*1e5 {
			t.Errorf("%+v: consistency %g, %v", d, got, err)
		}
		target.constrain(true)(y0)
		target.Image(img, y0)
		if low, high := slices.Min(img), slices.Max(img); low < -1-1e-6 || high > 1+1e-6 {
			t.Errorf("%+v: clipped to %g to %g", d, low, high)
		}
	}
}

// TestConsistentAtTheEnds starts far from an image whose input is black and white
// nearly everywhere, where clipping and projecting are against each other.
func TestConsistentAtTheEnds(t *testing.T) {
	in, out := size{24, 32}, size{96, 128}
	hr := imageio.New(out.w, out.h)
	for i := range out.pixels() {
		if y, x := i/out.w, i%out.w; (x/7+y/11)%2 == 0 || x > 100 {
			hr.Pix[3*i], hr.Pix[3*i+1], hr.Pix[3*i+2] = 1, 1, -1
		}
	}
	low8 := make([]uint8, in.pixels()*3)
	if err := resample.Resize8(low8, hr.RGB8(), in.h, in.w, out.h, out.w, 3, resample.Bicubic, 1); err != nil {
		t.Fatal(err)
	}
	low, err := imageio.FromRGB8(in.w, in.h, low8)
	if err != nil {
		t.Fatal(err)
	}
	start := imageio.New(out.w, out.h)
	philox.New(5, 1).Normal(start.Pix, 0)
	clamp(start.Pix, -1, 1)
	c, err := newConsistency(low.Pix, in, out, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.settle(t.Context(), start.Pix, tolerance(8)); err != nil {
		t.Fatal(err)
	}
	before := inconsistency(t, low, start)
	if err := c.roundToBytes(t.Context(), start, low8); err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.settle(cancelled, start.Pix, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := c.roundToBytes(cancelled, start, low8); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if after := inconsistency(t, low, start); after > 1 || after > before/3 {
		t.Errorf("consistency %.3g, before rounding %.3g", after, before)
	}
	if low, high := slices.Min(start.Pix), slices.Max(start.Pix); low < -1 || high > 1 {
		t.Errorf("values from %g to %g", low, high)
	}
}

func TestConsistentOnThreads(t *testing.T) {
	u := newUpscaler(t)
	var want []float32
	for _, threads := range []int{1, 2, 3} {
		out, _, err := u.Upscale(t.Context(), testImage(45, 37), Options{Threads: threads, Consistent: new(true), Steps: 2})
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = out.Pix
		}
		if !slices.Equal(want, out.Pix) {
			t.Fatalf("%d threads give another image", threads)
		}
	}
}

// Grey results are consistent as grey; transparent images with the colours that
// were filled in.
func TestConsistentGrayAndAlpha(t *testing.T) {
	u := newUpscaler(t)
	img := smoothImage(14, 14, 110)
	img.Gray = true
	for i := 0; i < len(img.Pix); i += 3 {
		img.Pix[i+1], img.Pix[i+2] = img.Pix[i], img.Pix[i]
	}
	img.Alpha = make([]float32, 14*14)
	for i := range img.Alpha {
		if i%14 > 4 {
			img.Alpha[i] = 1
		}
	}
	out, _, err := u.Upscale(t.Context(), img, Options{Consistent: new(true)})
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(out.Pix); i += 3 {
		if out.Pix[i] != out.Pix[i+1] || out.Pix[i] != out.Pix[i+2] {
			t.Fatal("a grey image got colours")
		}
	}
	filled := *img
	filled.Pix = slices.Clone(img.Pix)
	imageio.BleedAlpha(&filled)
	if got := inconsistency(t, &filled, out); got > 0.3 {
		t.Errorf("consistency %.3g", got)
	}
}

// An image of 16 bits is met to within such levels.
func TestConsistentSixteenBits(t *testing.T) {
	img := smoothImage(14, 9, 110)
	img.Depth = 16
	out, _, err := newUpscaler(t).Upscale(t.Context(), img, Options{Consistent: new(true)})
	if err != nil {
		t.Fatal(err)
	}
	low := make([]float32, len(img.Pix))
	if err := resample.Resize(low, out.Pix, 9, 14, 36, 56, 3, resample.Bicubic, 1); err != nil {
		t.Fatal(err)
	}
	worst := 0.0
	for i := range low {
		worst = max(worst, math.Abs(float64(low[i]-img.Pix[i])))
	}
	if worst > 1/32767.5 {
		t.Errorf("off by %g levels of 16 bits", worst*32767.5)
	}
}

// A model whose results are not clipped is projected all the same.
func TestConsistentWithoutClip(t *testing.T) {
	m := leanModel(t)
	m.Config.Inference.Clip = false
	img := smoothImage(10, 10, 150)
	for _, o := range []Options{{Consistent: new(true)}, {Consistent: new(true), Sampler: "unipc"}} {
		out, _, err := newRegression(t, m).Upscale(t.Context(), img, o)
		if err != nil {
			t.Fatal(err)
		}
		if got := inconsistency(t, img, out); got > 0.3 {
			t.Errorf("%+v: consistency %.3g", o, got)
		}
	}
}

// The mean of consistent draws is consistent, and so is what comes after a
// predictor.
func TestConsistentDraws(t *testing.T) {
	img := smoothImage(14, 9, 150)
	u := newRegression(t, predicted(t, regressionModel(t)))
	s, err := u.Samples(t.Context(), img, Options{Consistent: new(true)}, 3, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := inconsistency(t, img, s.Mean); got > 0.3 || !s.Report.Consistent {
		t.Errorf("consistency of the mean %.3g, report %+v", got, s.Report)
	}
}

// TestConsistentByDefault: the model's default holds where nothing is said, and never for an image that is known to have
// lost something, such as a JPEG of low quality.
func TestConsistentByDefault(t *testing.T) {
	m := leanModel(t)
	m.Config.Inference.Consistent = true
	for _, c := range []struct {
		quality int
		say     *bool
		want    bool
	}{{0, nil, true}, {0, new(false), false}, {0, new(true), true}, {95, nil, true}, {70, nil, false}, {70, new(true), true}} {
		img := testImage(12, 9)
		img.Quality = c.quality
		_, report, err := newRegression(t, m).Upscale(t.Context(), img, Options{Steps: 1, Consistent: c.say})
		if err != nil || report.Consistent != c.want {
			t.Errorf("quality %d, said %v: consistent is %v, %v", c.quality, c.say, report.Consistent, err)
		}
	}
}
