package model

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sr3-go/sr3/checkpoint"
	"github.com/sr3-go/sr3/diffusion"
	"github.com/sr3-go/sr3/refine"
)

// regression is small's network as a regression.
func regression(t testing.TB) *Model {
	t.Helper()
	m := small(t)
	m.Config.Objective, m.Config.Inference = ObjectiveRegression, Inference{}
	m.Config.Diffusion = Diffusion{Prediction: diffusion.PredictX0, Loss: diffusion.L2, Residual: 4}
	return m
}

func TestRegressionRoundTrip(t *testing.T) {
	want := regression(t)
	path := filepath.Join(t.TempDir(), "regression.safetensors")
	if err := want.Save(path, checkpoint.F16); err != nil {
		t.Fatal(err)
	}
	got, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want.Config, got.Config); d != "" || !got.Config.Regression() {
		t.Error(d)
	}
	if _, err := got.Config.RefineOptions(); err == nil || !strings.Contains(err.Error(), "regression") {
		t.Errorf("a regression is refined: %v", err)
	}
}

// TestObjectiveOfRefinement: where nothing is said nothing is written, and a refinement may be said to be one.
func TestObjectiveOfRefinement(t *testing.T) {
	m := small(t)
	if text, err := marshal(m.Config); err != nil || bytes.Contains(text, []byte("objective")) || m.Config.Regression() {
		t.Errorf("%s, %v", text, err)
	}
	m.Config.Objective = ObjectiveSR3
	if err := m.Config.Validate(); err != nil || m.Config.Regression() {
		t.Error(err)
	}
}

func TestObjectiveRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(c *Config)
		want   string
	}{
		"unknown":    {func(c *Config) { c.Objective = "gan" }, `"gan": want "sr3" or "regression"`},
		"sampler":    {func(c *Config) { c.Inference.Sampler = refine.SamplerDDIM }, "inference"},
		"steps":      {func(c *Config) { c.Inference.Steps = 4 }, "inference"},
		"schedule":   {func(c *Config) { c.Diffusion.Schedule = diffusion.TrainingSchedule() }, "diffusion.schedule"},
		"betas":      {func(c *Config) { c.Diffusion.Betas = []float64{0.1} }, "betas"},
		"draw":       {func(c *Config) { c.Diffusion.GammaDraw = diffusion.DrawCosine }, "gamma_draw"},
		"prediction": {func(c *Config) { c.Diffusion.Prediction = diffusion.PredictV }, `want "x0"`},
		"condition":  {func(c *Config) { c.Network.InChannels = 3 }, "condition"},
		"refinement": {func(c *Config) { c.Objective = "" }, "schedule"},
		"loss":       {func(c *Config) { c.Diffusion.Loss = "l3" }, "l3"},
	} {
		m := regression(t)
		c.change(&m.Config)
		if err := m.Config.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRegressionInputs(t *testing.T) {
	noisy, level := []float32{1, 2, 3}, []float32{4}
	RegressionInputs(noisy, level)
	if noisy[0] != 0 || noisy[2] != 0 || level[0] != 0 {
		t.Errorf("%v, %v", noisy, level)
	}
}

// TestRegressionCard: a card says which kind it describes, and no more than is true of it.
func TestRegressionCard(t *testing.T) {
	refined, err := Card{Name: "a", Scale: 4, Limits: []string{"It is small."}}.Markdown()
	if err != nil {
		t.Fatal(err)
	}
	regressed, err := Card{Name: "a", Scale: 4, Limits: []string{"It is small."}, Regression: true}.Markdown()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ card, has, hasNot string }{
		{refined, "- Detail that the input does not determine is made up: two runs with different seeds differ. Do not use the output", "regression"},
		{regressed, "The same image gives the same result. Do not use the output", "seeds differ"},
		{refined, "tags: [super-resolution, diffusion, sr3]\n---", "blurred"},
		{regressed, "tags: [super-resolution, regression, sr3]\n---", "diffusion"},
		{refined, "| scale | x4 |\n| network |", "kind"},
		{regressed, "| scale | x4 |\n| kind | regression: one call of the network, nothing is refined |\n| network |", "made up"},
		{regressed, "- It is small.\n- Detail", "<no value>"},
	} {
		if !strings.Contains(c.card, c.has) || strings.Contains(c.card, c.hasNot) {
			t.Errorf("want %q and not %q in\n%s", c.has, c.hasNot, c.card)
		}
	}
}
