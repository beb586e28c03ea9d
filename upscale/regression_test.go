package upscale

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/diffusion"
	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/refine"
	"github.com/sr3-go/sr3/resample"
	"github.com/sr3-go/sr3/unet"
)

// regressionModel is leanModel's network as a regression.
func regressionModel(t testing.TB) *model.Model {
	t.Helper()
	m := leanModel(t)
	m.Config.Objective, m.Config.Inference = model.ObjectiveRegression, model.Inference{}
	m.Config.Diffusion = model.Diffusion{Prediction: diffusion.PredictX0, Loss: diffusion.L2, Residual: 4}
	if err := m.Config.Validate(); err != nil {
		t.Fatal(err)
	}
	return m
}

func newRegression(t testing.TB, m *model.Model) *Upscaler {
	t.Helper()
	u, err := New(m)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(u.Close)
	return u
}

// TestRegressionIsOneCall compares the result with a call of the network made by hand.
func TestRegressionIsOneCall(t *testing.T) {
	m := regressionModel(t)
	img := testImage(8, 8)
	x := make([]float32, 32*32*3)
	if err := resample.Resize(x, img.Pix, 32, 32, 8, 8, 3, resample.Bicubic, 1); err != nil {
		t.Fatal(err)
	}
	vars, err := variablesOf(m.Config.Network, m.Weights)
	if err != nil {
		t.Fatal(err)
	}
	level := func(diffusion.Gamma) float32 { return 0 }
	net, err := newNetwork(networkOptions{config: m.Config.Network, levelOf: level, vars: vars, height: 32, width: 32, threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer net.close()
	want := make([]float32, len(x))
	if err := net.Predict(want, x, make([]float32, len(x)), 1); err != nil {
		t.Fatal(err)
	}
	for i := range want {
		want[i] = min(max(x[i]+want[i]/4, -1), 1)
	}
	steps := 0
	out, report, err := newRegression(t, m).Upscale(t.Context(), img, Options{OnStep: func(s Step) {
		steps++
		if s.Gamma != 1 || s.Index != 1 || s.Steps != 1 || !slices.Equal(s.Preview().Pix, want) {
			t.Errorf("step %+v", s)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	worst := 0.0
	for i := range want {
		worst = max(worst, math.Abs(float64(out.Pix[i]-want[i])))
	}
	if worst > 1e-6 || steps != 1 {
		t.Errorf("the result differs by %g, after %d steps", worst, steps)
	}
	if report.Objective != model.ObjectiveRegression || report.Sampler != "" || report.Steps != 1 || report.Schedule != "" {
		t.Errorf("report %+v", report)
	}
}

// TestRegressionByWindows wants the same bytes on any number of threads, passes chained, and one call a window.
func TestRegressionByWindows(t *testing.T) {
	var want []float32
	for _, threads := range []int{1, 2, 3} {
		windows, share := 0, 0.0
		o := Options{Scale: 8, Tile: 64, Overlap: 16, Threads: threads, OnWindow: func(p Progress) {
			windows++
			share = p.Share()
		}}
		out, report, err := newRegression(t, regressionModel(t)).Upscale(t.Context(), testImage(29, 19), o)
		if err != nil {
			t.Fatal(err)
		}
		if out.Width != 232 || out.Height != 152 || report.Passes != 2 || report.Windows < 4 || windows <= report.Windows || share != 1 {
			t.Errorf("%dx%d, %d windows, share %v: %+v", out.Width, out.Height, windows, share, report)
		}
		if want == nil {
			want = out.Pix
		}
		if !slices.Equal(want, out.Pix) {
			t.Fatalf("%d threads give another image", threads)
		}
	}
}

// TestRegressionOnTimesteps: what the noisy image is told by a whole number is left out in the same way.
func TestRegressionOnTimesteps(t *testing.T) {
	m := regressionModel(t)
	cfg := m.Config
	cfg.Network = unet.Config{Family: unet.FamilyDDPM, InChannels: 6, OutChannels: 3, Channels: 8, Multipliers: []int{1, 2}, Blocks: 1, Attention: []int{}, ImageSize: 32, Groups: 4}
	u := newRegression(t, randomModel(t, cfg))
	if _, _, err := u.Upscale(t.Context(), testImage(9, 7), Options{}); err != nil {
		t.Error(err)
	}
}

func TestRegressionRefusesRefinement(t *testing.T) {
	u := newRegression(t, regressionModel(t))
	for name, o := range map[string]Options{
		"steps": {Steps: 1}, "sampler": {Sampler: refine.SamplerDDIM}, "schedule": {Schedule: refine.ScheduleLogSNR},
		"variance": {Variance: refine.VarianceBeta}, "eta": {Eta: 0.5}, "seed": {Seed: 1},
	} {
		out, _, err := u.Upscale(t.Context(), testImage(4, 4), o)
		if err == nil || out != nil || !strings.Contains(err.Error(), "regression") || !strings.Contains(err.Error(), "leave out "+name) {
			t.Errorf("%s: %v", name, err)
		}
		if check := u.Check(o); check == nil || !strings.HasSuffix(err.Error(), check.Error()) {
			t.Errorf("%s: Check says %v", name, check)
		}
	}
	if err := u.Check(Options{Scale: 2, Tile: 64}); err != nil {
		t.Error(err)
	}
	if err := newUpscaler(t).Check(Options{Steps: 3, Seed: 2}); err != nil {
		t.Error(err)
	}
}

func TestRegressionBreaks(t *testing.T) {
	m := regressionModel(t)
	for _, w := range m.Weights {
		for i := range w {
			w[i] = 1e30
		}
	}
	if _, _, err := newRegression(t, m).Upscale(t.Context(), testImage(5, 5), Options{}); !errors.Is(err, refine.ErrNotFinite) {
		t.Errorf("overflow: %v", err)
	}
	m = regressionModel(t)
	m.Config.Diffusion.Residual = 0
	for _, w := range m.Weights {
		clear(w)
	}
	var flat *ConstantError
	if _, _, err := newRegression(t, m).Upscale(t.Context(), testImage(5, 5), Options{}); !errors.As(err, &flat) {
		t.Errorf("a grey result: %v", err)
	}
	if _, _, err := newRegression(t, m).Upscale(t.Context(), imageio.New(5, 5), Options{}); err != nil {
		t.Error(err)
	}
}
