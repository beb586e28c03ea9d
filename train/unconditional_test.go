package train

import (
	"image"
	"image/color"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/upscale"
)

// oneColour makes a folder of one picture of one colour.
func oneColour(t *testing.T, c color.NRGBA) string {
	t.Helper()
	img := image.NewNRGBA(image.Rect(0, 0, 16, 16))
	for i := range 16 * 16 {
		img.SetNRGBA(i%16, i/16, c)
	}
	dir := t.TempDir()
	writePNG(t, filepath.Join(dir, "a.png"), img)
	return dir
}

// TestUnconditionalLearnsWhatThereIs: trained on a single colour, a network makes it from any noise.
func TestUnconditionalLearnsWhatThereIs(t *testing.T) {
	sets := append(tinySets(), "train.objective=unconditional", "model.in_channels=3", "model.scale=1", "diffusion.residual=0",
		"train.steps=300", "train.rate=1e-2", "train.decay=cosine", "train.ema=0.9", "model.dropout=0", "model.fold=1", "train.sample_every=0")
	cfg, err := LoadConfig("", sets)
	if err != nil {
		t.Fatal(err)
	}
	dir := oneColour(t, color.NRGBA{230, 60, 128, 255})
	res := mustRun(t, Options{Config: cfg, OutDir: t.TempDir(), Data: []string{dir}})
	m, err := model.Load(res.Model)
	if err != nil {
		t.Fatal(err)
	}
	if !m.Config.Unconditional() || m.Config.Scale != 1 || !m.Record.Unconditional || !strings.Contains(m.Record.Summary, "noise alone") {
		t.Errorf("the model says of itself %+v, %+v", m.Config, m.Record)
	}
	if _, err := upscale.New(m); err == nil || !strings.Contains(err.Error(), "sr3 sample") {
		t.Errorf("it can be told to enlarge: %v", err)
	}
	g, err := upscale.NewGenerator(m)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	var first []float32
	for seed := range uint64(3) {
		img, _, err := g.Generate(t.Context(), upscale.Options{Seed: seed, Steps: 20, Threads: 1 + int(seed)})
		if err != nil {
			t.Fatal(err)
		}
		var mean [3]float64
		for i, v := range img.Pix {
			mean[i%3] += float64(v) / float64(len(img.Pix)/3)
		}
		for c, want := range []float64{230, 60, 128} {
			if got := (mean[c] + 1) * 127.5; math.Abs(got-want) > 12 {
				t.Errorf("seed %d: channel %d is %.0f in the mean, want %.0f", seed, c, got, want)
			}
		}
		if seed > 0 && slices.Equal(first, img.Pix) {
			t.Error("two seeds give the same image")
		}
		first = img.Pix
	}
	again, _, err := g.Generate(t.Context(), upscale.Options{Seed: 2, Steps: 20, Threads: 1})
	if err != nil || !slices.Equal(again.Pix, first) {
		t.Errorf("the same seed gives other bytes on another number of threads (%v)", err)
	}
}

// TestUnconditionalIsChecked: what does not go together is refused with the setting's name.
func TestUnconditionalIsChecked(t *testing.T) {
	good := append(tinySets(), "train.objective=unconditional", "model.in_channels=3", "model.scale=1", "diffusion.residual=0")
	if _, err := LoadConfig("", good); err != nil {
		t.Fatal(err)
	}
	for set, want := range map[string]string{
		"model.in_channels=6":    "in_channels",
		"model.scale=4":          "model.scale",
		"diffusion.residual=4":   "residual",
		"train.objective=sr3":    "scale",
		"model.predictor=a":      "predictor",
		"model.augment_levels=3": "augment_levels",
	} {
		if _, err := LoadConfig("", append(slices.Clone(good), set)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s gives %v", set, err)
		}
	}
}

// TestUnconditionalWindows: a run does not begin with crops or pictures of another size than the windows that images are
// made in, unless the network works alike on all; one that began so goes on.
func TestUnconditionalWindows(t *testing.T) {
	base := []string{"train.objective=unconditional", "model.in_channels=3", "model.scale=1", "diffusion.residual=0", "train.steps=1"}
	larger := []string{"data.crop=32", "train.sample_size=32"}
	attention := []string{"model.attention=[4]", "model.no_middle_attention=false"}
	for _, c := range []struct {
		name  string
		sets  []string
		fails bool
	}{
		{"as large", attention, false},
		{"larger crops", append([]string{"data.crop=32"}, attention...), true},
		{"larger pictures", append([]string{"train.sample_size=32"}, attention...), true},
		{"no attention", append([]string{"model.attention=[]", "model.no_middle_attention=true", "model.fold=1"}, larger...), false},
	} {
		cfg := tinyConfig(t, append(slices.Clone(base), c.sets...)...)
		_, err := Run(t.Context(), Options{Config: cfg, OutDir: t.TempDir(), Data: []string{images(t)}})
		if fails := err != nil; fails != c.fails || fails && !strings.Contains(err.Error(), "image_size") {
			t.Errorf("%s: %v", c.name, err)
		}
		if err := cfg.checkFresh(); (err != nil) != c.fails {
			t.Errorf("%s, dry: %v", c.name, err)
		}
	}
	cfg := tinyConfig(t, append(slices.Clone(base), append(attention, larger...)...)...)
	text, err := cfg.TOML()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parseConfig(text); err != nil {
		t.Errorf("a run that began so cannot go on: %v", err)
	}
}
