package unet

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/internal/graph"
)

// TestToldNetworkGrows: augmentation levels add four parameters and change no other, neither its values nor its place
// among the rest; and until the second layer is trained, the prediction is that of the network without, to the last bit.
func TestToldNetworkGrows(t *testing.T) {
	for _, cfg := range []Config{smallLean(), smallPaper(false), smallClassic(FamilyClassic), smallClassic(FamilyDDPM)} {
		t.Run(cfg.Family, func(t *testing.T) {
			before, after := parameterNames(t, cfg), parameterNames(t, told(cfg))
			added := []string{"augment.0.weight", "augment.0.bias", "augment.1.weight", "augment.1.bias"}
			rest := slices.DeleteFunc(slices.Clone(after), func(name string) bool { return slices.Contains(added, name) })
			if len(after) != len(before)+len(added) || !slices.Equal(rest, before) {
				t.Fatalf("parameters %v, without levels %v", after, before)
			}
			old, err := Initialize(cfg, 3)
			if err != nil {
				t.Fatal(err)
			}
			fresh, err := Initialize(told(cfg), 3)
			if err != nil {
				t.Fatal(err)
			}
			for name, values := range old {
				if !slices.Equal(values, fresh[name]) {
					t.Errorf("%s starts elsewhere", name)
				}
			}
			if all := append(fresh["augment.1.weight"], fresh["augment.1.bias"]...); slices.Max(all) != 0 || slices.Min(all) != 0 {
				t.Error("the last layer does not start at zero")
			}
			if w := fresh["augment.0.weight"]; slices.Max(w) == slices.Min(w) {
				t.Error("the first layer starts at a constant")
			}
			weights := randomWeights(t, cfg)
			grown := maps.Clone(weights)
			for _, name := range added {
				for _, v := range fresh[name] {
					grown[name] = append(grown[name], float64(v))
				}
			}
			if !slices.Equal(predict(t, cfg, weights, nil), predict(t, told(cfg), grown, []float64{0.3, 1, 0.6})) {
				t.Error("the prediction differs")
			}
			grown["augment.1.weight"][3] = 0.5
			if slices.Equal(predict(t, cfg, weights, nil), predict(t, told(cfg), grown, []float64{0.3, 1, 0.6})) {
				t.Error("the network does not listen")
			}
		})
	}
}

func parameterNames(t *testing.T, cfg Config) []string {
	t.Helper()
	params, err := Parameters(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range params {
		names = append(names, p.Name)
	}
	return names
}

// predict runs a network on fixed images.
func predict(t *testing.T, cfg Config, weights map[string][]float64, levels []float64) []float64 {
	t.Helper()
	net := newTestNet(t, cfg, 1, 8, 8, 1, weights)
	net.m.Set("condition", random(8*8*3, 0.5, 1))
	net.m.Set("noisy", random(8*8*3, 0.5, 2))
	net.m.Set("level", []float64{0.7})
	net.m.Set("seed", []float64{1, 2})
	if levels != nil {
		net.m.Set("augment", levels)
	}
	net.m.Run(net.out)
	return net.m.Value(net.out)
}

// TestEveryLevelIsHeard: each level and each image changes its own prediction alone.
func TestEveryLevelIsHeard(t *testing.T) {
	cfg := told(smallLean())
	net := newTestNet(t, cfg, 2, 8, 8, 2, randomWeights(t, cfg))
	net.randomInputs()
	run := func(levels ...float64) []float64 {
		net.m.Set("augment", levels)
		net.m.Run(net.out)
		return slices.Clone(net.m.Value(net.out))
	}
	base := run(0, 0, 0, 0, 0, 0)
	half := len(base) / 2
	for k := range 6 {
		levels := make([]float64, 6)
		levels[k] = 0.5
		got := run(levels...)
		first, second := !slices.Equal(got[:half], base[:half]), !slices.Equal(got[half:], base[half:])
		if first != (k < 3) || second != (k >= 3) {
			t.Errorf("level %d of image %d changes the first image: %v, the second: %v", k%3, k/3, first, second)
		}
	}
}

func TestLevelsAreChecked(t *testing.T) {
	for want, change := range map[string]func(*graph.Graph, *Config, *Inputs){
		"levels are missing": func(_ *graph.Graph, _ *Config, in *Inputs) { in.Augment = nil },
		"has none":           func(_ *graph.Graph, c *Config, _ *Inputs) { c.AugmentLevels = 0 },
		"want [2, 3]":        func(g *graph.Graph, _ *Config, in *Inputs) { in.Augment = g.Input("other", 2, 4) },
		"or [1, 3]":          func(g *graph.Graph, _ *Config, in *Inputs) { in.Augment = g.Input("other", 3, 3) },
		"augment_levels":     func(_ *graph.Graph, c *Config, _ *Inputs) { c.AugmentLevels = -1 },
		"want 0 to 64":       func(_ *graph.Graph, c *Config, _ *Inputs) { c.AugmentLevels = 65 },
		"without a condition": func(_ *graph.Graph, c *Config, in *Inputs) {
			c.InChannels, in.Condition = 3, nil
		},
	} {
		cfg := told(smallLean())
		g, in := inputs(cfg, 2, 8, 8, 2)
		change(g, &cfg, &in)
		if _, err := Build(g, cfg, in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	cfg := told(smallLean())
	g, in := inputs(cfg, 2, 8, 8, 2)
	in.Augment = g.Input("all", 1, 3)
	if _, err := Build(g, cfg, in); err != nil {
		t.Errorf("levels for the whole batch: %v", err)
	}
}
