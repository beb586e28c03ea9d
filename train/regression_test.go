package train

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/diffusion"
	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/metric"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/resample"
	"github.com/sr3-go/sr3/upscale"
)

// wholeImages makes a folder of pictures that are one crop each, so that nothing around a crop has a part in its
// condition.
func wholeImages(t testing.TB, side int) string {
	t.Helper()
	dir := t.TempDir()
	for i := range 3 {
		img := image.NewNRGBA(image.Rect(0, 0, side, side))
		for y := range side {
			for x := range side {
				img.SetNRGBA(x, y, color.NRGBA{uint8(x * y * (i + 1)), uint8(x / 3 * 40), uint8((x + i*y) / 4 * 50), 255})
			}
		}
		writePNG(t, filepath.Join(dir, fmt.Sprintf("%d.png", i)), img)
	}
	return dir
}

func writePNG(t testing.TB, path string, img image.Image) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := png.Encode(f, img); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRegressionUpscalesAsTrained trains a regression, exports it, and wants of package upscale what the trainer draws
// with the same weights, for each family and kind of target.
func TestRegressionUpscalesAsTrained(t *testing.T) {
	for _, sets := range [][]string{
		{},
		{"diffusion.residual=0", "data.quantise=true"},
		adaptiveSets(),
		{"model.preset=tiny", "model.family=ddpm", "model.attention=[]"},
	} {
		base := tinySets()
		if slices.Contains(sets, "model.family=ddpm") {
			base = slices.DeleteFunc(base, func(s string) bool { return strings.HasPrefix(s, "model.multipliers") })
		}
		cfg, err := LoadConfig("", append(append(base, sets...), "train.objective=regression", "train.steps=12", "train.ema=0", "train.rate=1e-2"))
		if err != nil {
			t.Fatal(err)
		}
		data := []string{wholeImages(t, 16)}
		res := mustRun(t, Options{Config: cfg, OutDir: t.TempDir(), Data: data})
		m, err := model.Load(res.Model)
		if err != nil {
			t.Fatalf("%v: %v", sets, err)
		}
		compareWithDrawing(t, cfg, m, data)
	}
}

// compareWithDrawing upscales what the trainer's pictures were made from.
func compareWithDrawing(t *testing.T, cfg Config, m *model.Model, data []string) {
	t.Helper()
	cfg.Data.Dirs = data
	s, err := newState(cfg, &Start{Weights: m.Weights})
	if err != nil {
		t.Fatal(err)
	}
	draw, err := newSampler(cfg, s, cfg.dataOptions(nil))
	if err != nil {
		t.Fatal(err)
	}
	defer draw.close()
	draw.load()
	want, err := draw.draw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := draw.pictures
	n := b.H * b.W * 3
	for i := range b.N {
		got := upscaled(t, m, toBytes(b.HR[i*n:][:n]), b.H, b.W)
		if d := furthest(got, want[i*n:][:n]); d > 1e-5 {
			t.Errorf("%s, residual %v: picture %d differs by %g", cfg.Model.Family, cfg.Diffusion.Residual, i, d)
		}
	}
	if d := furthest(want, b.X); d < 1e-3 {
		t.Errorf("%s: the network adds only %g", cfg.Model.Family, d)
	}
	// The comparison would notice another level or another noisy image.
	other := make([]float32, len(want))
	for _, c := range []struct {
		noisy []float32
		gamma diffusion.Gamma
	}{{make([]float32, len(want)), 1e-3}, {b.HR, 0}} {
		if err := draw.denoise(t.Context(), other, c.noisy, c.gamma); err != nil {
			t.Fatal(err)
		}
		cfg.image(other, b)
		if furthest(other, want) < 1e-4 {
			t.Errorf("%s: level %v with another noisy image makes no difference", cfg.Model.Family, c.gamma)
		}
	}
}

// upscaled reduces an image as training does, and enlarges it.
func upscaled(t *testing.T, m *model.Model, pix []uint8, h, w int) []float32 {
	t.Helper()
	k := m.Config.Scale
	low := make([]uint8, len(pix)/k/k)
	if err := resample.Resize8(low, pix, h/k, w/k, h, w, 3, resample.Bicubic, 1); err != nil {
		t.Fatal(err)
	}
	return enlarged(t, m, low, h/k, w/k, upscale.Input{})
}

// enlarged is what a model makes of an image of h x w pixels.
func enlarged(t *testing.T, m *model.Model, low []uint8, h, w int, in upscale.Input) []float32 {
	t.Helper()
	img, err := imageio.FromRGB8(w, h, low)
	if err != nil {
		t.Fatal(err)
	}
	u, err := upscale.New(m)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	out, _, err := u.Upscale(t.Context(), img, upscale.Options{Input: in})
	if err != nil {
		t.Fatal(err)
	}
	return out.Pix
}

func furthest(a, b []float32) float64 {
	d := 0.0
	for i := range a {
		d = max(d, math.Abs(float64(a[i]-b[i])))
	}
	return d
}

// TestRegressionRun: what a run leaves says what it is, and the best model is that of the highest PSNR.
func TestRegressionRun(t *testing.T) {
	data := []string{images(t)}
	out := t.TempDir()
	cfg := tinyConfig(t, "train.objective=regression", "train.steps=9", "train.sample_steps=1", "train.rate=3e-2", "train.warmup=0", "train.ema=0")
	cfg.Data.Val = data
	res := mustRun(t, Options{Config: cfg, OutDir: out, Data: data})
	m, err := model.Load(res.Model)
	if err != nil {
		t.Fatal(err)
	}
	c := m.Config
	if !c.Regression() || c.Diffusion.Prediction != diffusion.PredictX0 || c.Diffusion.Loss != diffusion.L2 || c.Inference.Sampler != "" {
		t.Errorf("configuration %+v", c)
	}
	for _, want := range []string{"Regression baseline", "9 steps", "| regression, l2 loss", "blurred"} {
		if !strings.Contains(m.Card, want) {
			t.Errorf("the card does not say %q:\n%s", want, m.Card)
		}
	}
	bestStep, bestPSNR := 0, math.Inf(-1)
	for _, r := range readStats(t, out) {
		if r.LossVal == 0 {
			continue
		}
		if r.PSNRVal <= 0 {
			t.Errorf("validation without a PSNR: %+v", r)
		}
		if r.PSNRVal > bestPSNR {
			bestStep, bestPSNR = r.Step, r.PSNRVal
		}
	}
	best, err := model.Load(filepath.Join(out, bestFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{fmt.Sprintf("after %d steps", bestStep), fmt.Sprintf("%.2f dB, mean of 4 crops of 16x16", bestPSNR)} {
		if !best.Config.Regression() || !strings.Contains(best.Card, want) {
			t.Errorf("the best model's card does not say %q:\n%s", want, best.Card)
		}
	}
	if got := readState(t, out).Meta[metaBest]; got != fmt.Sprint(-bestPSNR) {
		t.Errorf("the checkpoint's best score is %s, want %v", got, -bestPSNR)
	}
	adopted, err := LoadInitConfig(t.TempDir(), res.Model, "", nil)
	if err != nil || adopted.Train.Objective != ObjectiveRegression || adopted.Diffusion.Schedule.Kind == "" {
		t.Errorf("the configuration that goes on from it is %+v, %v", adopted, err)
	}
	if _, err := LoadInitConfig(t.TempDir(), res.Model, "", []string{"train.objective=sr3"}); err != nil {
		t.Errorf("refinement that begins from a regression: %v", err)
	}
}

// TestHeldOutPSNR compares the PSNR of a network that adds nothing with that of the enlarged images.
func TestHeldOutPSNR(t *testing.T) {
	data := []string{images(t)}
	cfg := tinyConfig(t, "train.objective=regression", "train.val_examples=8")
	cfg.Data.Dirs, cfg.Data.Val = data, data
	s, err := newState(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	sampler, err := newSampler(cfg, s, cfg.dataOptions(nil))
	if err != nil {
		t.Fatal(err)
	}
	defer sampler.close()
	sampler.load()
	got, err := sampler.validate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := 0.0
	for k := range 2 {
		e, err := sampler.val.examples(k)
		if err != nil {
			t.Fatal(err)
		}
		n := e.H * e.W * 3
		for i := range e.N {
			at := func(v []float32) metric.Image {
				return metric.Image{Height: e.H, Width: e.W, Pix: toBytes(v[i*n:][:n])}
			}
			psnr, err := metric.PSNR(at(e.HR), at(e.X))
			if err != nil {
				t.Fatal(err)
			}
			want += psnr / 8
		}
	}
	if math.Abs(got.psnr-want) > 1e-9*want {
		t.Errorf("PSNR %v, want %v", got.psnr, want)
	}
	if sharp, smooth := (validation{loss: 2, psnr: 30}), (validation{loss: 1, psnr: 29}); !(sharp.score(cfg) < smooth.score(cfg)) {
		t.Error("a regression is not chosen by PSNR")
	} else if cfg.Train.Objective = ObjectiveSR3; !(smooth.score(cfg) < sharp.score(cfg)) {
		t.Error("a refinement is not chosen by its loss")
	}
}

// TestRegressionLoss: it is the mean squared error to the residual of a call with nothing but the condition, whatever
// the weighting of noise levels.
func TestRegressionLoss(t *testing.T) {
	cfg := tinyConfig(t, "train.objective=regression", "diffusion.weighting=snr-trunc", "model.dropout=0", "diffusion.residual=2.5")
	s := randomState(t, cfg)
	e := drawExamples(t, cfg, 1)
	out := network(t, cfg, s, e, make([]float32, len(e.HR)))
	want := 0.0
	for i, v := range out {
		d := float64(v) - 2.5*(float64(e.HR[i])-float64(e.X[i]))
		want += d * d / float64(len(out))
	}
	step, err := newStepper(cfg, s.vars)
	if err != nil {
		t.Fatal(err)
	}
	defer step.close()
	if got, _ := step.step(e, s.hyper()); math.Abs(got-want) > 1e-5*want {
		t.Errorf("loss %v, want %v", got, want)
	}
}
