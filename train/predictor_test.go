package train

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/checkpoint"
	"github.com/sr3-go/sr3/dataset"
	"github.com/sr3-go/sr3/degrade"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/upscale"
)

// trained runs a few steps and returns the exported model.
func trained(t *testing.T, data string, sets ...string) (*model.Model, string) {
	t.Helper()
	res := mustRun(t, Options{Config: tinyConfig(t, append(sets, "train.steps=6", "train.ema=0", "train.rate=1e-2")...), OutDir: t.TempDir(), Data: []string{data}})
	m, err := model.Load(res.Model)
	if err != nil {
		t.Fatal(err)
	}
	return m, res.Model
}

// TestPredictorIsRefined trains behind a predictor: conditions are what the predictor makes of whole images, and the
// exported model holds it and upscales like the trainer's pictures.
func TestPredictorIsRefined(t *testing.T) {
	data := wholeImages(t, 16)
	first, path := trained(t, data, "train.objective=regression")
	sets := []string{"model.predictor=" + path, "diffusion.residual=10"}
	both, bothPath := trained(t, data, sets...)
	if both.Predictor == nil || both.Predictor.Config.Diffusion.Residual != first.Config.Diffusion.Residual {
		t.Fatal("the exported model has no predictor")
	}
	for name, w := range first.Weights {
		if furthest(w, both.Predictor.Weights[name]) != 0 {
			t.Fatalf("%s is not the predictor's", name)
		}
	}

	cfg := tinyConfig(t, sets...)
	cfg.Data.Dirs = []string{data}
	opt := cfg.dataOptions(nil)
	var free func()
	var err error
	if opt.Enlarge, free, err = predictorHook(first); err != nil {
		t.Fatal(err)
	}
	defer free()
	set, err := dataset.Open(cfg.Data.Dirs, opt)
	if err != nil {
		t.Fatal(err)
	}
	opt.Flip, opt.Rotate = false, false
	s, err := newState(cfg, &Start{Weights: both.Weights})
	if err != nil {
		t.Fatal(err)
	}
	draw, err := newSampler(cfg, s, opt)
	if err != nil {
		t.Fatal(err)
	}
	defer draw.close()
	b, n := draw.pictures, 16*16*3
	for i := range b.N {
		want := upscaled(t, first, toBytes(b.HR[i*n:][:n]), 16, 16)
		if d := furthest(want, b.X[i*n:][:n]); d > 0.5/127.5+1e-6 {
			t.Errorf("condition %d is %g from the predictor's result, more than rounding", i, d)
		}
	}
	if _, err := set.Batch(3); err != nil {
		t.Fatal(err)
	}

	// Going on from the model takes its predictor too.
	next, err := LoadInitConfig(t.TempDir(), bothPath, "", nil)
	if err != nil || next.Model.Predictor != bothPath {
		t.Fatalf("going on with predictor %q: %v", next.Model.Predictor, err)
	}
	if p, err := openPredictor(next); err != nil || !p.Config.Regression() {
		t.Fatal(err)
	}
}

func TestPredictorRefuses(t *testing.T) {
	data := wholeImages(t, 16)
	_, refines := trained(t, data)
	_, regresses := trained(t, data, "train.objective=regression")
	_, coarse := trained(t, data, "train.objective=regression", "data.quantise=true")
	_, told := trained(t, data, toldSets("train.objective=regression")...)
	for want, sets := range map[string][]string{
		"data.quantise = true":       {"model.predictor=" + coarse},
		"must be told of the same":   {"model.predictor=" + told},
		"refines; want a regression": {"model.predictor=" + refines},
		"model.scale is 2":           {"model.predictor=" + regresses, "model.scale=2"},
		"missing.safetensors":        {"model.predictor=" + filepath.Join(t.TempDir(), "missing.safetensors")},
	} {
		_, err := Run(t.Context(), Options{Config: tinyConfig(t, append(sets, "train.steps=1")...), OutDir: t.TempDir(), Data: []string{data}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error about %q, got %v", want, err)
		}
	}
	for _, set := range []string{"train.objective=regression", "data.quantise=true", "model.in_channels=3"} {
		if _, err := LoadConfig("", append(tinySets(), "model.predictor="+regresses, set)); err == nil {
			t.Errorf("a predictor with %s is accepted", set)
		}
	}
}

// TestPredictorIsToldWhatIsLost trains behind a regression of degraded images: conditions are made of images that have
// lost what their examples say, and the predictor is told of it, as it is when the model is used.
func TestPredictorIsToldWhatIsLost(t *testing.T) {
	data := wholeImages(t, 16)
	first, path := trained(t, data, toldSets("train.objective=regression")...)
	both, _ := trained(t, data, toldSets("model.predictor="+path, "augment.versions=2", "augment.condition_blur.probability=1", "augment.condition_blur.high=1")...)

	enlarge, free, err := predictorHook(first)
	if err != nil {
		t.Fatal(err)
	}
	defer free()
	low := make([]uint8, 4*4*3)
	for i := range low {
		low[i] = uint8(i * 5)
	}
	blur, noise, quality := 0.5, 4.0, 80
	want := enlarged(t, first, low, 4, 4, upscale.Input{Blur: &blur, Noise: &noise, Quality: &quality})
	pix, err := enlarge(low, 4, 4, degrade.Amount{Blur: blur, Noise: noise, Quality: quality})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(pix, toBytes(want)) {
		t.Error("the condition is not what the predictor makes when it is told")
	}
	if clean, err := enlarge(low, 4, 4, degrade.Amount{}); err != nil || slices.Equal(pix, clean) {
		t.Errorf("the condition does not depend on what is lost (%v)", err)
	}

	// An outer network that adds nothing leaves what the predictor makes.
	for name, w := range both.Weights {
		if !strings.HasPrefix(name, "augment") {
			clear(w)
		}
	}
	clean, none := 0.0, 0
	a := enlarged(t, both, low, 4, 4, upscale.Input{Blur: &blur, Noise: &noise, Quality: &quality})
	b := enlarged(t, both, low, 4, 4, upscale.Input{Blur: &clean, Noise: &clean, Quality: &none})
	alone := furthest(want, enlarged(t, first, low, 4, 4, upscale.Input{Blur: &clean, Noise: &clean, Quality: &none}))
	if d := furthest(a, b); d < alone/2 {
		t.Errorf("what is lost changes the predictor's result by %g, and the model's by %g", alone, d)
	}
}

// TestPredictorStaysTheSame: a run goes on behind the weights that it began with, whatever else their file says, and not
// behind others that took their place.
func TestPredictorStaysTheSame(t *testing.T) {
	data, out := wholeImages(t, 16), t.TempDir()
	first, path := trained(t, data, "train.objective=regression")
	run := func(steps string) (Result, error) {
		return Run(t.Context(), Options{Config: tinyConfig(t, "model.predictor="+path, "train.steps="+steps), OutDir: out, Data: []string{data}})
	}
	if _, err := run("2"); err != nil {
		t.Fatal(err)
	}
	first.Config.Licence = "CC0-1.0"
	if err := first.Save(path, checkpoint.F16); err != nil {
		t.Fatal(err)
	}
	res, err := run("4")
	if err != nil {
		t.Fatal(err)
	}
	if p := loadRecord(t, res.Model).Runs[0].Predictor; p == nil || p.Weights != first.WeightsDigest() {
		t.Errorf("the card tells of the predictor %+v", p)
	}
	stats, err := os.ReadFile(filepath.Join(out, statsFile))
	if err != nil || !strings.Contains(string(stats), `"predictor_psnr"`) || strings.Contains(string(stats), `"bicubic_psnr"`) {
		t.Errorf("the result of the predictor is taken for bicubic enlargement: %s, %v", stats, err)
	}
	for _, values := range first.Weights {
		values[0]++
		break
	}
	if err := first.Save(path, checkpoint.F16); err != nil {
		t.Fatal(err)
	}
	if _, err := run("6"); err == nil || !strings.Contains(err.Error(), "others than when the run began") {
		t.Errorf("another predictor under the same name: %v", err)
	}
}
