package train

import (
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/dataset"
	"github.com/sr3-go/sr3/degrade"
	"github.com/sr3-go/sr3/internal/philox"
	"github.com/sr3-go/sr3/model"
)

// toldSets degrade and tell the network of it.
func toldSets(more ...string) []string {
	return append([]string{
		"model.augment_levels=3", "augment.blur.probability=0.5", "augment.blur.high=1.2", "augment.noise.probability=0.5",
		"augment.noise.low=2", "augment.noise.high=20", "augment.jpeg.probability=0.5", "augment.jpeg.low=30", "augment.jpeg.high=95",
	}, more...)
}

func TestAugmentRoundTrips(t *testing.T) {
	cfg := tinyConfig(t, toldSets("augment.condition_blur.probability=0.5", "augment.condition_blur.low=0.4", "augment.condition_blur.high=0.6")...)
	text, err := cfg.TOML()
	if err != nil {
		t.Fatal(err)
	}
	again, err := parseConfig(text)
	if err != nil || !reflect.DeepEqual(cfg, again) {
		t.Fatalf("read back: %v\n%+v\n%+v", err, cfg, again)
	}
	if cfg.Augment.JPEG != (degrade.Range{Probability: 0.5, Low: 30, High: 95}) || cfg.Augment.ConditionBlur.Low != 0.4 {
		t.Errorf("[augment] %+v", cfg.Augment)
	}
	m := modelConfig(cfg)
	if err := m.Validate(); err != nil {
		t.Fatal(err)
	}
	back := DefaultConfig()
	back.AdoptModel(&model.Model{Config: m})
	if !reflect.DeepEqual(back.Augment, cfg.Augment) || back.Model.AugmentLevels != 3 {
		t.Errorf("taken over from a model: %+v, want %+v", back.Augment, cfg.Augment)
	}
	back.AdoptModel(&model.Model{Config: modelConfig(tinyConfig(t))})
	if back.Augment != DefaultConfig().Augment || back.Model.AugmentLevels != 0 {
		t.Errorf("taken over from a clean model: %+v", back.Augment)
	}
}

func TestAugmentMistakesAreNamed(t *testing.T) {
	for want, sets := range map[string][]string{
		"want 0, or 3":            toldSets("model.augment_levels=2"),
		"nothing in [augment]":    {"model.augment_levels=3"},
		"blur.probability":        {"augment.blur.probability=2"},
		"jpeg.low":                {"augment.jpeg.probability=1", "augment.jpeg.low=50", "augment.jpeg.high=40"},
		"condition_blur":          {"augment.condition_blur.probability=1", "augment.condition_blur.high=9"},
		"augment.fog":             {"augment.fog.probability=1"},
		"augment.versions = 0":    {"augment.versions=0"},
		"augment.versions = 1000": {"augment.versions=1000000"},
		"without a condition has": toldSets("model.in_channels=3", "diffusion.residual=0"),
	} {
		if _, err := LoadConfig("", append(tinySets(), sets...)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error %v, want %q", sets, err, want)
		}
	}
}

// TestNetworkIsToldOfItsExamples: the levels of a batch are those of what its images lost, in the batch's order, in
// whole batches and in micro-batches; and the loss depends on them.
func TestNetworkIsToldOfItsExamples(t *testing.T) {
	cfg := tinyConfig(t, toldSets("train.batch=8", "model.dropout=0")...)
	e := drawExamples(t, cfg, 2)
	if len(e.lost) != 8*degrade.Levels {
		t.Fatalf("%d levels", len(e.lost))
	}
	for i, amount := range e.Lost {
		if want := cfg.Augment.Levels(amount); !slices.Equal(e.lost[3*i:3*i+3], want[:]) {
			t.Errorf("example %d lost %v and is told as %v", i, amount, e.lost[3*i:3*i+3])
		}
	}
	loss := func(cfg Config, e *examples) float64 {
		s := randomState(t, cfg)
		step, err := newStepper(cfg, s.vars)
		if err != nil {
			t.Fatal(err)
		}
		defer step.close()
		value, _ := step.step(e, s.hyper())
		return value
	}
	whole := loss(cfg, e)
	micro := cfg
	micro.Train.MicroBatch = 2
	if parts := loss(micro, e); parts < whole*(1-1e-5) || parts > whole*(1+1e-5) {
		t.Errorf("loss %v, in parts %v", whole, parts)
	}
	deaf := *e
	deaf.lost = make([]float32, len(e.lost))
	if other := loss(cfg, &deaf); other == whole {
		t.Error("the loss does not depend on the levels")
	}
}

// TestTrainingTold trains, stops, resumes, exports and begins another run from the model.
func TestTrainingTold(t *testing.T) {
	data, out := []string{images(t)}, t.TempDir()
	val := "data.val=[\"" + filepath.ToSlash(data[0]) + "\"]"
	sets := toldSets("train.steps=6", "train.checkpoint_steps=3", "train.sample_steps=3", val)
	whole := filepath.Join(out, "whole")
	res := mustRun(t, Options{Config: tinyConfig(t, sets...), OutDir: whole, Data: data})
	parts := filepath.Join(out, "parts")
	mustRun(t, Options{Config: tinyConfig(t, append(sets, "train.steps=3")...), OutDir: parts, Data: data})
	mustRun(t, Options{Config: tinyConfig(t, sets...), OutDir: parts, Data: data})
	sameState(t, readState(t, whole), readState(t, parts))

	m, err := model.Load(res.Model)
	if err != nil {
		t.Fatal(err)
	}
	if c := m.Config.Condition; c.Degradation == nil || c.Degradation.Noise.High != 20 || m.Config.Network.AugmentLevels != 3 {
		t.Errorf("the model says %+v", c)
	}
	if !strings.Contains(m.Card, "noise up to 20/255") {
		t.Errorf("the card does not say what it was trained on:\n%s", m.Card)
	}
	if w := m.Weights["augment.1.weight"]; slices.Max(w) == 0 && slices.Min(w) == 0 {
		t.Error("the levels were not learnt")
	}
	if _, err := Run(t.Context(), Options{Config: tinyConfig(t, append(sets, "augment.noise.high=30")...), OutDir: whole, Data: data}); err == nil ||
		!strings.Contains(err.Error(), "augment.noise.high") {
		t.Errorf("going on with levels of another meaning: %v", err)
	}
	next, err := LoadInitConfig("", res.Model, "", []string{"data.crop=16", "train.steps=1", "train.batch=2"})
	if err != nil {
		t.Fatal(err)
	}
	mustRun(t, Options{Config: next, OutDir: filepath.Join(out, "next"), Data: data, Init: res.Model})
}

// TestCleanModelGrows begins a told run from a model that was trained on clean images: its weights are taken over, and
// what is new begins by changing nothing.
func TestCleanModelGrows(t *testing.T) {
	data, out := []string{images(t)}, t.TempDir()
	clean := mustRun(t, Options{Config: tinyConfig(t, "train.steps=3"), OutDir: filepath.Join(out, "clean"), Data: data}).Model
	m, err := model.Load(clean)
	if err != nil {
		t.Fatal(err)
	}
	if c := m.Config.Condition; c != (model.Condition{}) || m.Config.Network.AugmentLevels != 0 {
		t.Errorf("a clean model says %+v", c)
	}
	cfg, err := LoadInitConfig("", clean, "", toldSets("train.steps=1", "train.batch=2", "train.rate=1e-9", "train.sample_refine=2", "train.sample_count=1"))
	if err != nil {
		t.Fatal(err)
	}
	start, err := openStart(Options{Config: cfg, Init: clean})
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range m.Weights {
		if !slices.Equal(start.Weights[name], values) {
			t.Errorf("%s is not taken over", name)
		}
	}
	added := slices.DeleteFunc(slices.Sorted(maps.Keys(start.Weights)), func(name string) bool { return m.Weights[name] != nil })
	if !slices.Equal(added, []string{"augment.0.bias", "augment.0.weight", "augment.1.bias", "augment.1.weight"}) {
		t.Errorf("added %v", added)
	}
	mustRun(t, Options{Config: cfg, OutDir: filepath.Join(out, "told"), Data: data, Init: clean})
	_, err = openStart(Options{Config: cfg, Init: clean, Optimizer: "any_opt.pth"})
	if err == nil || !strings.Contains(err.Error(), "--optimizer") {
		t.Errorf("an optimiser's state for it: %v", err)
	}
	wider := cfg
	wider.Model.Channels = 16
	if _, err := openStart(Options{Config: wider, Init: clean}); err == nil || !strings.Contains(err.Error(), "its network is") {
		t.Errorf("another network: %v", err)
	}
	// The other way round something would be lost.
	told := filepath.Join(out, "told", modelFile)
	cfg.Model.AugmentLevels = 0
	if _, err := openStart(Options{Config: cfg, Init: told}); err == nil || !strings.Contains(err.Error(), "its network is") {
		t.Errorf("a told model in a clean run: %v", err)
	}
}

// TestConditionBlur: examples that it happens to are smoother, the others are as they were.
func TestConditionBlur(t *testing.T) {
	dir := images(t)
	batch := func(sets ...string) *dataset.Batch {
		cfg := tinyConfig(t, append(sets, "train.batch=16")...)
		set, err := dataset.Open([]string{dir}, cfg.dataOptions(nil))
		if err != nil {
			t.Fatal(err)
		}
		b, err := set.Batch(0)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	plain := batch()
	blurred := batch("augment.condition_blur.probability=0.5", "augment.condition_blur.low=0.8", "augment.condition_blur.high=1")
	if !slices.Equal(plain.HR, blurred.HR) {
		t.Error("the crops differ")
	}
	n, happened := len(plain.X)/16, 0
	for k := range 16 {
		a, b := plain.X[k*n:][:n], blurred.X[k*n:][:n]
		if slices.Equal(a, b) {
			continue
		}
		happened++
		want := slices.Clone(a)
		degrade.Blur(want, 16, 16, 3, 0.9)
		if roughness(b) >= roughness(a) || roughness(b) > 1.2*roughness(want) {
			t.Errorf("example %d: roughness %v, was %v", k, roughness(b), roughness(a))
		}
	}
	if happened < 3 || happened > 13 {
		t.Errorf("%d of 16 examples are blurred", happened)
	}
	if (AugmentConfig{}).blurCondition() != nil {
		t.Error("there is a blur without any")
	}
	x := make([]float32, 16*16*3)
	always := AugmentConfig{ConditionBlur: degrade.Range{Probability: 1, Low: 1, High: 1}}
	x[400] = 1
	want := slices.Clone(x)
	degrade.Blur(want, 16, 16, 3, 1)
	if always.blurCondition()(x, 16, philox.New(1, 1)); !slices.Equal(x, want) {
		t.Error("not the blur of that sigma")
	}
}

// roughness is the sum of squared differences of neighbours in rows of 16 pixels.
func roughness(x []float32) (sum float64) {
	for i := 3; i < len(x); i++ {
		if i%48 >= 3 {
			d := float64(x[i] - x[i-3])
			sum += d * d
		}
	}
	return sum
}
