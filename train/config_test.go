package train

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/diffusion"
)

func TestDefaultConfigIsValidAndRoundTrips(t *testing.T) {
	cfg, err := LoadConfig("", nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := cfg.TOML()
	if err != nil {
		t.Fatal(err)
	}
	again, err := parseConfig(text)
	if err != nil || !reflect.DeepEqual(cfg, again) {
		t.Fatalf("read back: %v\n%+v\n%+v", err, cfg, again)
	}
	for _, section := range []string{"[model]", "[diffusion]", "[diffusion.schedule]", "[data]", "[train]"} {
		if !strings.Contains(text, section) {
			t.Errorf("no %s in\n%s", section, text)
		}
	}
}

func TestFileAndSets(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.toml")
	text := "[model]\npreset = \"faces16-128\"\nscale = 8\n[diffusion]\nprediction = \"eps\"\nresidual = 0.0\n[data]\ncrop = 128\n[train]\nrate = 1e-4\nsteps = 10\n"
	if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	cfg, err := LoadConfig(file, []string{"train.rate=3e-5", "diffusion.schedule.steps=1000", "model.name=faces", "train.batch = 8", "data.dirs=[\"a\", \"b\"]"})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Model.Family != "classic" || cfg.Model.Scale != 8 || cfg.Model.Name != "faces" || cfg.Model.Preset != "" {
		t.Errorf("[model] %+v", cfg.Model)
	}
	if cfg.Train.Rate != 3e-5 || cfg.Train.Steps != 10 || cfg.Train.Batch != 8 || cfg.Train.EMA != DefaultConfig().Train.EMA {
		t.Errorf("[train] %+v", cfg.Train)
	}
	if cfg.Diffusion.Schedule.Steps != 1000 || cfg.Diffusion.Schedule.Kind != diffusion.KindLinear || !reflect.DeepEqual(cfg.Data.Dirs, []string{"a", "b"}) {
		t.Errorf("[diffusion] %+v, [data] %+v", cfg.Diffusion, cfg.Data)
	}
}

// TestMistakesAreNamed: each message holds the name of what is wrong.
func TestMistakesAreNamed(t *testing.T) {
	for set, want := range map[string]string{
		"train.rat=1e-4":              "train.rat",
		"trian.rate=1e-4":             "trian",
		"train.steps=1e4":             "steps",
		"train.rate=fast":             "rate",
		"train.rate":                  "section.key=value",
		"rate=1":                      "section",
		"train.rate.x=1":              "rate",
		"train.rate=-1":               "train.rate",
		"train.rate=nan":              "train.rate",
		"train.batch=0":               "train.batch",
		"train.micro_batch=5":         "train.micro_batch",
		"train.objective=gan":         "train.objective",
		"train.decay=step":            "train.decay",
		"train.ema=1":                 "train.ema",
		"train.clip=-1":               "train.clip",
		"train.log_steps=0":           "train.log_steps",
		"train.sample_size=10":        "train.sample_size",
		"train.val_examples=0":        "train.val_examples",
		"data.crop=60":                "data.crop",
		"data.workers=0":              "data.workers",
		"data.fit=stretch":            "fit",
		"diffusion.prediction=noise":  "noise",
		"diffusion.loss=l3":           "l3",
		"diffusion.gamma_draw=linear": "diffusion.gamma_draw",
		"diffusion.schedule.kind=sin": "diffusion.schedule",
		"diffusion.residual=-4":       "diffusion.residual",
		"diffusion.adaptive.gain=2":   "diffusion.adaptive",
		"model.preset=huge":           "lean-photo",
		"model.channels=97":           "channels",
		"model.scale=1":               "model.scale",
		"model.in_channels=3":         "residual",
		"model.out_channels=4":        "model.out_channels",
		"model.multipliers=[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]": "multipliers",
	} {
		if _, err := LoadConfig("", []string{set}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v does not hold %q", set, err, want)
		}
	}
}

func TestBadFiles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"syntax.toml": "[train\n", "unknown.toml": "[train]\nspeed = 1\n", "type.toml": "train = 3\n"} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadConfig(file, nil); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, file := range []string{dir, filepath.Join(dir, "missing.toml")} {
		if _, err := LoadConfig(file, nil); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func FuzzConfig(f *testing.F) {
	text, err := DefaultConfig().TOML()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add("[model]\npreset = \"tiny\"\n")
	f.Add("[model]\nmultipliers = [1,2,3]\nfold = 3\n[train]\nseed = -1\n")
	f.Fuzz(func(t *testing.T, text string) {
		cfg, err := parseConfig(text)
		if err != nil {
			return
		}
		again, err := cfg.TOML()
		if err != nil {
			t.Fatal(err)
		}
		back, err := parseConfig(again)
		if err != nil || !reflect.DeepEqual(cfg, back) {
			t.Fatalf("%+v is written and read as %+v, %v", cfg, back, err)
		}
	})
}

// TestPublishedConfigs: the configurations beside the cards of published models are read, find their manifest, and may begin.
func TestPublishedConfigs(t *testing.T) {
	files, err := filepath.Glob("../docs/models/*/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d configurations (%v)", len(files), err)
	}
	for _, file := range files {
		cfg, err := LoadConfig(file, nil)
		if err == nil {
			err = cfg.checkFresh()
		}
		if err != nil {
			t.Error(err)
			continue
		}
		if m := cfg.Data.Manifest; m != "" {
			if _, err := os.Stat(m); err != nil {
				t.Errorf("%s: data.manifest: %v", file, err)
			}
		}
	}
}
