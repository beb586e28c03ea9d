package upscale

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sr3-go/sr3/diffusion"
	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/internal/philox"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/refine"
	"github.com/sr3-go/sr3/unet"
)

// leanModel is a tiny x4 model with random weights.
func leanModel(t testing.TB) *model.Model {
	t.Helper()
	cfg := model.Config{
		FormatVersion: model.FormatVersion, Name: "test-x4", Scale: 4,
		Network: unet.Config{
			Family: unet.FamilyLean, InChannels: 6, OutChannels: 3, Channels: 8, Multipliers: []int{1, 2}, Blocks: 1,
			Attention: []int{}, ImageSize: 32, Groups: 4, Fold: 4, FiLM: true, NoMiddleAttention: true,
		},
		Diffusion: model.Diffusion{
			Prediction: diffusion.PredictV, Loss: diffusion.L2, Residual: 4, Schedule: diffusion.TrainingSchedule(), GammaDraw: diffusion.DrawCosine,
		},
		Inference: model.Inference{
			Sampler: refine.SamplerDPMPP2M, Steps: 3, Schedule: refine.Schedule{Kind: refine.ScheduleLogSNR}, Clip: true,
		},
	}
	return randomModel(t, cfg)
}

// randomModel gives every parameter weights that keep activations near one;
// untrained networks end in zeros and would hide mistakes.
func randomModel(t testing.TB, cfg model.Config) *model.Model {
	t.Helper()
	params, err := unet.Parameters(cfg.Network)
	if err != nil {
		t.Fatal(err)
	}
	m := &model.Model{Config: cfg, Weights: map[string][]float32{}}
	for i, p := range params {
		w := make([]float32, p.Len())
		philox.New(7, uint64(i)).Normal(w, 0)
		fan := p.Len() / p.Shape[len(p.Shape)-1]
		for k := range w {
			w[k] *= float32(0.5 / math.Sqrt(float64(fan)))
			if p.Init.Kind == unet.InitOnes {
				w[k]++
			}
		}
		m.Weights[p.Name] = w
	}
	return m
}

func newUpscaler(t testing.TB) *Upscaler {
	t.Helper()
	u, err := New(leanModel(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(u.Close)
	return u
}

// testImage has 8-bit levels and no two equal rows.
func testImage(w, h int) *imageio.Image {
	img := imageio.New(w, h)
	for i := range img.Pix {
		img.Pix[i] = float32(math.Round(100*math.Sin(float64(i)*0.3)+127)/127.5 - 1)
	}
	return img
}

func TestSizes(t *testing.T) {
	u := newUpscaler(t)
	for _, s := range []size{{1, 1}, {1, 7}, {13, 5}, {11, 17}, {23, 2}} {
		out, report, err := u.Upscale(t.Context(), testImage(s.w, s.h), Options{Tile: 32, Overlap: 8})
		if err != nil {
			t.Fatalf("%v: %v", s, err)
		}
		if out.Width != 4*s.w || out.Height != 4*s.h || out.Validate() != nil {
			t.Errorf("%v became %dx%d (%v)", s, out.Width, out.Height, out.Validate())
		}
		if report.Scale != 4 || report.Passes != 1 || report.Steps != 3 {
			t.Errorf("%v: report %+v", s, report)
		}
	}
}

func TestExactSizes(t *testing.T) {
	u := newUpscaler(t)
	for _, c := range []struct {
		o      Options
		w, h   int
		passes int
	}{
		{Options{Scale: 2}, 14, 10, 1},
		{Options{Scale: 3}, 21, 15, 1},
		{Options{Scale: 1}, 7, 5, 1},
		{Options{Scale: 8}, 56, 40, 2},
		{Options{Scale: 2.5}, 18, 13, 1},
		{Options{Width: 27}, 27, 19, 1},
		{Options{Width: 30}, 30, 21, 2},
		{Options{Height: 30}, 42, 30, 2},
		{Options{Width: 20, Height: 40}, 20, 40, 2},
	} {
		c.o.Steps = 1
		out, report, err := u.Upscale(t.Context(), testImage(7, 5), c.o)
		if err != nil {
			t.Fatalf("%+v: %v", c.o, err)
		}
		if out.Width != c.w || out.Height != c.h || report.Passes != c.passes {
			t.Errorf("%+v gave %dx%d in %d passes, want %dx%d in %d", c.o, out.Width, out.Height, report.Passes, c.w, c.h, c.passes)
		}
	}
}

// TestPlanPasses checks that chains reach the target and never run on more than
// they need.
func TestPlanPasses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := size{rapid.IntRange(1, 50).Draw(t, "h"), rapid.IntRange(1, 50).Draw(t, "w")}
		scale := rapid.IntRange(2, 8).Draw(t, "scale")
		target := size{rapid.IntRange(in.h, 40*in.h).Draw(t, "H"), rapid.IntRange(in.w, 40*in.w).Draw(t, "W")}
		sizes := planPasses(in, target, scale)
		if sizes[0] != in {
			t.Fatalf("the first pass starts from %v", sizes[0])
		}
		last := sizes[len(sizes)-1].times(scale)
		if last.h < target.h || last.w < target.w {
			t.Fatalf("%v from %v does not reach %v: %v", last, in, target, sizes)
		}
		for i := 1; i < len(sizes); i++ {
			if before := sizes[i-1].times(scale); sizes[i].h > before.h || sizes[i].w > before.w {
				t.Fatalf("pass %d enlarges its input by resampling: %v", i, sizes)
			}
			if sizes[i].h > target.h || sizes[i].w > target.w {
				t.Fatalf("pass %d starts above the target: %v", i, sizes)
			}
		}
	})
}

func TestThreadsDoNotMatter(t *testing.T) {
	var want []float32
	for _, threads := range []int{1, 2, 3} {
		u := newUpscaler(t)
		for range 2 {
			out, _, err := u.Upscale(t.Context(), testImage(29, 19), Options{Tile: 64, Overlap: 16, Threads: threads, Seed: 5})
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
}

func TestSeedMatters(t *testing.T) {
	u := newUpscaler(t)
	a, _, errA := u.Upscale(t.Context(), testImage(8, 8), Options{Seed: 1})
	b, _, errB := u.Upscale(t.Context(), testImage(8, 8), Options{Seed: 2})
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	if slices.Equal(a.Pix, b.Pix) {
		t.Error("two seeds give one image")
	}
}

// frozenStats replaces group statistics by constants, as a function of nothing.
func frozenStats(g *graph.Graph) func(string, *graph.Node, int, float32) *graph.Node {
	return func(_ string, x *graph.Node, groups int, _ float32) *graph.Node {
		values := make([]float32, x.Shape[0]*groups*2)
		for i := range groups {
			values[2*i], values[2*i+1] = 0.1*float32(i), 1.3
		}
		return g.Constant(values, x.Shape[0], groups, 2)
	}
}

// TestTiledNetworkEqualsWhole checks a real U-Net: with frozen statistics and
// windows that overlap by its receptive field, windows leave no trace.
func TestTiledNetworkEqualsWhole(t *testing.T) {
	m := leanModel(t)
	cfg := m.Config.Network
	reach, ok, err := unet.ReceptiveField(cfg)
	if err != nil || !ok {
		t.Fatalf("receptive field: %v %v", ok, err)
	}
	const h, w = 64, 640
	x, y := make([]float32, h*w*3), make([]float32, h*w*3)
	philox.New(1, 1).Normal(x, 0)
	philox.New(1, 2).Normal(y, 0)
	overlap := 2*reach + 2
	t.Logf("receptive field: %d pixels to each side", reach)
	whole := denoise(t, m, x, y, Geometry{Height: h, Width: w, Multiple: cfg.Multiple(), Window: w})
	tiled := denoise(t, m, x, y, Geometry{Height: h, Width: w, Multiple: cfg.Multiple(), Window: overlap + 64, Overlap: overlap, Receptive: reach})
	low, high, worst := slices.Min(whole), slices.Max(whole), 0.0
	for i := range whole {
		worst = max(worst, math.Abs(float64(whole[i]-tiled[i])))
	}
	if worst > 1e-4*float64(high-low) {
		t.Errorf("tiled and whole differ by %g of a range of %g", worst, high-low)
	}
}

// denoise runs the network with frozen statistics over one image.
func denoise(t *testing.T, m *model.Model, x, y []float32, geo Geometry) []float32 {
	t.Helper()
	plan, err := NewPlan(geo)
	if err != nil {
		t.Fatal(err)
	}
	if geo.Overlap > 0 && plan.Windows() < 2 {
		t.Fatalf("%d windows test nothing", plan.Windows())
	}
	vars, err := variablesOf(m.Config.Network, m.Weights)
	if err != nil {
		t.Fatal(err)
	}
	h, w := plan.WindowSize()
	level := func(g diffusion.Gamma) float32 { return float32(g.Alpha()) }
	net, err := newNetwork(networkOptions{config: m.Config.Network, levelOf: level, vars: vars, height: h, width: w, threads: 2, stats: frozenStats})
	if err != nil {
		t.Fatal(err)
	}
	defer net.close()
	d, err := NewDenoiser(plan, net, x)
	if err != nil {
		t.Fatal(err)
	}
	dst := make([]float32, len(x))
	if err := d.Denoise(t.Context(), dst, y, 0.3); err != nil {
		t.Fatal(err)
	}
	return dst
}

func TestCancellation(t *testing.T) {
	u := newUpscaler(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	windows := 0
	_, _, err := u.Upscale(ctx, testImage(40, 40), Options{Tile: 32, Overlap: 8, OnWindow: func(p Progress) {
		if windows++; windows == 5 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || windows != 5 {
		t.Errorf("error %v after %d windows, want cancellation after 5", err, windows)
	}
}

func TestCallbacks(t *testing.T) {
	u := newUpscaler(t)
	var steps []string
	last := 0.0
	_, _, err := u.Upscale(t.Context(), testImage(10, 6), Options{Scale: 8, Tile: 32, Overlap: 8,
		OnStep: func(s Step) {
			img := s.Preview()
			steps = append(steps, fmt.Sprintf("%d/%d %d/%d %dx%d", s.Pass, s.Passes, s.Index, s.Steps, img.Width, img.Height))
			if err := img.Validate(); err != nil || slices.Max(img.Pix) > 1 {
				t.Errorf("preview: %v", err)
			}
		},
		OnWindow: func(p Progress) {
			if p.Share() <= last {
				t.Errorf("share %v after %v", p.Share(), last)
			}
			last = p.Share()
		}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"1/2 1/3 40x24", "1/2 2/3 40x24", "1/2 3/3 40x24", "2/2 1/3 80x48", "2/2 2/3 80x48", "2/2 3/3 80x48"}
	if d := cmp.Diff(want, steps); d != "" {
		t.Error(d)
	}
	if last != 1 {
		t.Errorf("the work ended at a share of %v", last)
	}
}

func TestAlphaAndGray(t *testing.T) {
	u := newUpscaler(t)
	img := testImage(9, 9)
	img.Gray, img.Depth = true, 16
	makeGray(img.Pix)
	img.Alpha = make([]float32, 81)
	for i := range img.Alpha {
		if i%9 > 4 {
			img.Alpha[i] = 1
		} else {
			img.Pix[3*i], img.Pix[3*i+1], img.Pix[3*i+2] = 1, 1, 1 // hidden white
		}
	}
	before := slices.Clone(img.Pix)
	out, _, err := u.Upscale(t.Context(), img, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(before, img.Pix) {
		t.Error("the input was changed")
	}
	if !out.Gray || out.Depth != 16 || len(out.Alpha) != 36*36 {
		t.Errorf("gray %v, depth %d, %d alpha values", out.Gray, out.Depth, len(out.Alpha))
	}
	if out.Alpha[0] != 0 || out.Alpha[35] != 1 {
		t.Errorf("alpha goes from %v to %v", out.Alpha[0], out.Alpha[35])
	}
	for i := 0; i < len(out.Pix); i += 3 {
		if out.Pix[i] != out.Pix[i+1] || out.Pix[i] != out.Pix[i+2] {
			t.Fatal("a grey image got colours")
		}
	}
}

func TestRefusals(t *testing.T) {
	u := newUpscaler(t)
	bad := testImage(4, 4)
	bad.Pix[5] = float32(math.NaN())
	for name, c := range map[string]struct {
		img *imageio.Image
		o   Options
	}{
		"NaN":             {bad, Options{}},
		"reduction":       {testImage(4, 4), Options{Scale: 0.5}},
		"narrower":        {testImage(4, 4), Options{Width: 3}},
		"scale and width": {testImage(4, 4), Options{Scale: 2, Width: 8}},
		"too large":       {testImage(4, 4), Options{Scale: 4, MaxPixels: 255}},
		"NaN scale":       {testImage(4, 4), Options{Scale: math.NaN()}},
		"sampler":         {testImage(4, 4), Options{Sampler: "euler"}},
		"schedule":        {testImage(4, 4), Options{Schedule: "fast"}},
		"steps":           {testImage(4, 4), Options{Steps: -1}},
	} {
		if out, _, err := u.Upscale(t.Context(), c.img, c.o); err == nil || out != nil {
			t.Errorf("%s was not refused", name)
		}
	}
}

// TestFlatResult checks that a broken network's black image is an error.
func TestFlatResult(t *testing.T) {
	m := leanModel(t)
	m.Config.Diffusion.Residual = 0
	m.Config.Diffusion.Prediction = diffusion.PredictX0
	for _, w := range m.Weights {
		clear(w)
	}
	u, err := New(m)
	if err != nil {
		t.Fatal(err)
	}
	var flat *ConstantError
	if _, _, err := u.Upscale(t.Context(), testImage(5, 5), Options{}); !errors.As(err, &flat) {
		t.Errorf("error %v, want a ConstantError", err)
	}
	if _, _, err := u.Upscale(t.Context(), imageio.New(5, 5), Options{}); err != nil {
		t.Errorf("one flat colour from one flat colour: %v", err)
	}
}

// TestFlatResultOfNoise: where there was no image, the error speaks of none.
func TestFlatResultOfNoise(t *testing.T) {
	m := leanModel(t)
	m.Config.Diffusion.Residual, m.Config.Diffusion.Prediction = 0, diffusion.PredictX0
	m.Config.Network.InChannels = 3
	m.Weights = randomModel(t, m.Config).Weights
	for _, w := range m.Weights {
		clear(w)
	}
	g, err := NewGenerator(m)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	var flat *ConstantError
	_, _, err = g.Generate(t.Context(), Options{})
	if !errors.As(err, &flat) || strings.Contains(err.Error(), "though the image") || !strings.Contains(err.Error(), "not trained") {
		t.Errorf("error %v, want a ConstantError that blames the network", err)
	}
}

func TestUpscalerIsShared(t *testing.T) {
	u := newUpscaler(t)
	want, _, err := u.Upscale(t.Context(), testImage(12, 12), Options{})
	if err != nil {
		t.Fatal(err)
	}
	errs := make(chan error, 4)
	for range cap(errs) {
		go func() {
			out, _, err := u.Upscale(t.Context(), testImage(12, 12), Options{Threads: 1})
			if err == nil && !slices.Equal(out.Pix, want.Pix) {
				err = errors.New("another image")
			}
			errs <- err
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// TestDefaultsAreReplaced: Options.Inference stands for all of the model's defaults, and a default eta can be turned off.
func TestDefaultsAreReplaced(t *testing.T) {
	m := leanModel(t)
	m.Config.Inference.Eta = 0.7
	u, plain := open(t, m), open(t, leanModel(t))
	want, _ := enlarged(t, plain, testImage(7, 6), Options{})
	fresh, report := enlarged(t, u, testImage(7, 6), Options{})
	if report.Eta != 0.7 || slices.Equal(fresh, want) {
		t.Errorf("eta %v", report.Eta)
	}
	got, report := enlarged(t, u, testImage(7, 6), Options{Eta: EtaNone})
	if report.Eta != 0 || !slices.Equal(got, want) {
		t.Errorf("without fresh noise: eta %v", report.Eta)
	}
	if _, report := enlarged(t, u, testImage(7, 6), Options{Sampler: refine.SamplerHeun}); report.Eta != 0 {
		t.Errorf("a sampler without fresh noise reports eta %v", report.Eta)
	}
	settings := m.Config.Inference
	settings.Eta, settings.Consistent = 0, true
	got, report = enlarged(t, u, testImage(7, 6), Options{Inference: &settings})
	want, _ = enlarged(t, plain, testImage(7, 6), Options{Consistent: new(true)})
	if !report.Consistent || !slices.Equal(got, want) {
		t.Errorf("settings in place of the model's: %+v", report)
	}
}
