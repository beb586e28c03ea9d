package unet

import (
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"pgregory.net/rapid"

	"github.com/sr3-go/sr3/internal/graph"
)

func TestPresetsHaveThePublishedCounts(t *testing.T) {
	// paper-*: the reconstruction of Table A.1; faces*, sample: the released
	// checkpoints; operations as forward hooks on PyTorch's layers count them.
	want := map[string]struct {
		parameters int64
		tensors    int
		gflop      float64
	}{
		"paper-16-128":   {564_541_315, 570, 547.84},
		"paper-64-256":   {621_465_987, 672, 1764.61},
		"paper-64-512":   {614_170_563, 776, 2300.14},
		"paper-256-1024": {150_235_523, 692, 650.42},
		"faces16-128":    {97_807_491, 362, 91.67},
		"faces64-512":    {155_334_339, 229, 1241.82},
		"sample-128":     {97_805_763, 362, 91.62},
		"tiny":           {952_931, 240, 0.27},
		"lean-photo":     {4_771_248, 96, 0.82},
	}
	if len(want) != len(PresetNames()) {
		t.Errorf("presets are %v", PresetNames())
	}
	for name, w := range want {
		cfg, err := Preset(name)
		if err != nil {
			t.Error(err)
			continue
		}
		params, err := Parameters(cfg)
		if err != nil || Count(params) != w.parameters || len(params) != w.tensors {
			t.Errorf("%s: %d parameters in %d tensors, error %v; want %d in %d", name, Count(params), len(params), err, w.parameters, w.tensors)
		}
		flops, err := FLOPs(cfg, cfg.ImageSize, cfg.ImageSize)
		if err != nil || math.Abs(float64(flops)/1e9-w.gflop) > 0.005 {
			t.Errorf("%s: %.3f GFLOP, error %v; want %.2f", name, float64(flops)/1e9, err, w.gflop)
		}
	}
	if _, err := Preset("large"); err == nil || !strings.Contains(err.Error(), "lean-photo") {
		t.Errorf("an unknown preset gives %v", err)
	}
}

func TestPresetsAreFresh(t *testing.T) {
	a, _ := Preset("tiny")
	a.Multipliers[0] = 99
	if b, _ := Preset("tiny"); b.Multipliers[0] == 99 {
		t.Error("changing one copy of a preset changes the next")
	}
}

func TestConfigSurvivesItsFormats(t *testing.T) {
	for _, name := range PresetNames() {
		cfg, _ := Preset(name)
		text, err := json.Marshal(cfg)
		if err != nil {
			t.Fatal(err)
		}
		var fromJSON, fromTOML Config
		if err := json.Unmarshal(text, &fromJSON); err != nil || !reflect.DeepEqual(cfg, fromJSON) {
			t.Errorf("%s through JSON: %+v, error %v", name, fromJSON, err)
		}
		var out strings.Builder
		if err := toml.NewEncoder(&out).Encode(cfg); err != nil {
			t.Fatal(err)
		}
		if _, err := toml.Decode(out.String(), &fromTOML); err != nil || !reflect.DeepEqual(cfg, fromTOML) {
			t.Errorf("%s through TOML: %+v, error %v", name, fromTOML, err)
		}
	}
}

func TestValidateNamesTheField(t *testing.T) {
	for _, c := range []struct {
		preset string
		change func(*Config)
		want   string
	}{
		{"tiny", func(c *Config) { c.Family = "resnet" }, `family = "resnet"`},
		{"tiny", func(c *Config) { c.InChannels = 0 }, "in_channels = 0"},
		{"tiny", func(c *Config) { c.InChannels = 2 }, "in_channels = 2"},
		{"tiny", func(c *Config) { c.OutChannels = -1 }, "out_channels = -1"},
		{"tiny", func(c *Config) { c.Channels = 15 }, "channels = 15: want an even"},
		{"tiny", func(c *Config) { c.Channels = 1 << 40 }, "channels = 1099511627776"},
		{"tiny", func(c *Config) { c.Multipliers = nil }, "multipliers has 0"},
		{"tiny", func(c *Config) { c.Multipliers = slices.Repeat([]int{1}, 11) }, "multipliers has 11"},
		{"tiny", func(c *Config) { c.Multipliers[1] = 0 }, "multipliers[1] = 0"},
		{"tiny", func(c *Config) { c.Blocks = 0 }, "blocks = 0"},
		{"tiny", func(c *Config) { c.Blocks = math.MaxInt }, "blocks = 9223372036854775807"},
		{"tiny", func(c *Config) { c.ImageSize = 30 }, "image_size = 30: want a multiple of 4"},
		{"tiny", func(c *Config) { c.Attention = []int{9} }, "attention[0] = 9: want resolutions of the levels, which are [32 16 8]"},
		{"tiny", func(c *Config) { c.Attention = []int{8, 8} }, "attention[1] = 8: it is listed twice"},
		{"tiny", func(c *Config) { c.Groups = 0 }, "groups = 0"},
		{"tiny", func(c *Config) { c.Groups = 7 }, "groups = 7: downs.1.res_block.block1.block.0 normalises 16 channels"},
		{"tiny", func(c *Config) { c.Dropout = 1 }, "dropout = 1"},
		{"tiny", func(c *Config) { c.Dropout = math.NaN() }, "dropout = NaN"},
		{"tiny", func(c *Config) { c.EmbeddingScale = math.Inf(1) }, "embedding_scale = +Inf"},
		{"tiny", func(c *Config) { c.EmbeddingScale = -1 }, "embedding_scale = -1"},
		{"tiny", func(c *Config) { c.FiLM = true }, "film = true"},
		{"tiny", func(c *Config) { c.SkipScale = "concat" }, `skip_scale = "concat"`},
		{"paper-16-128", func(c *Config) { c.SkipScale = "both" }, `skip_scale = "both"`},
		{"paper-16-128", func(c *Config) { c.Fold = 2 }, "fold = 2"},
		{"paper-16-128", func(c *Config) { c.NoMiddleAttention = true }, "no_middle_attention = true"},
		{"paper-16-128", func(c *Config) { c.Channels = 4096 }, "channels = 4096 with multipliers [1 2 4 8 8]"},
		{"lean-photo", func(c *Config) { c.Fold = -4 }, "fold = -4"},
		{"lean-photo", func(c *Config) { c.ImageSize = 12 }, "image_size = 12: want a multiple of 8"},
	} {
		cfg, err := Preset(c.preset)
		if err != nil {
			t.Fatal(err)
		}
		c.change(&cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
		for what, err := range map[string]error{"Parameters": second(Parameters(cfg)), "FLOPs": second(FLOPs(cfg, 64, 64)), "Initialize": second(Initialize(cfg, 1))} {
			if err == nil {
				t.Errorf("%s takes what should be refused as %q", what, c.want)
			}
		}
	}
}

func second[T any](_ T, err error) error { return err }

// drawConfig draws configurations of which many are valid: small networks, and
// now and then a number from outside.
func drawConfig(t *rapid.T) Config {
	small := func(label string, values ...int) int {
		if rapid.IntRange(0, 60).Draw(t, label+" from anywhere") == 0 {
			return rapid.Int().Draw(t, label)
		}
		return rapid.SampledFrom(values).Draw(t, label)
	}
	cfg := Config{
		Family:     rapid.SampledFrom([]string{"classic", "ddpm", "paper", "lean"}).Draw(t, "family"),
		InChannels: small("in", 3, 4, 6), OutChannels: small("out", 1, 3), Channels: small("channels", 8, 12, 16),
		Blocks: small("blocks", 1, 2), Groups: small("groups", 1, 2, 4), ImageSize: small("size", 16, 32, 48),
		Dropout:        rapid.SampledFrom([]float64{0, 0.1}).Draw(t, "dropout"),
		EmbeddingScale: rapid.SampledFrom([]float64{0, 1, 100}).Draw(t, "embedding scale"),
	}
	for range rapid.IntRange(1, 4).Draw(t, "levels") {
		cfg.Multipliers = append(cfg.Multipliers, small("multiplier", 1, 2, 3))
	}
	if cfg.Family == "lean" {
		cfg.Fold = small("fold", 0, 1, 2, 4)
		cfg.NoMiddleAttention = rapid.Bool().Draw(t, "no middle attention")
	}
	if cfg.Family == "paper" || cfg.Family == "lean" {
		cfg.FiLM = rapid.Bool().Draw(t, "film")
		cfg.SkipScale = rapid.SampledFrom([]string{"", "residual", "concat", "none"}).Draw(t, "skip scale")
	}
	if rapid.Bool().Draw(t, "attend") {
		cfg.Attention = []int{rapid.SampledFrom(append(cfg.Resolutions(), 16)).Draw(t, "attention")}
	}
	return cfg
}

// TestAnyConfigBuildsOrIsRefused draws configurations: valid ones build at any
// fitting size, batch and conditioning, with the parameters that Parameters
// lists, a gradient for each and the right output; others give an error.
func TestAnyConfigBuildsOrIsRefused(t *testing.T) {
	drawn, valid := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		drawn++
		cfg := drawConfig(t)
		if cfg.Validate() != nil {
			return
		}
		valid++
		n := rapid.IntRange(1, 3).Draw(t, "images")
		h := cfg.Multiple() * rapid.IntRange(1, 3).Draw(t, "height")
		w := cfg.Multiple() * rapid.IntRange(1, 3).Draw(t, "width")
		g, in := inputs(cfg, n, h, w, rapid.SampledFrom([]int{1, n}).Draw(t, "levels of noise"))
		out, err := Build(g, cfg, in)
		if err != nil {
			t.Fatal(err)
		}
		if want := (graph.Shape{n, h, w, cfg.OutChannels}); !out.Shape.Equal(want) {
			t.Fatalf("the prediction is %v, want %v", out.Shape, want)
		}
		params, err := Parameters(cfg)
		if err != nil {
			t.Fatal(err)
		}
		vars := variables(g)
		if len(vars) != len(params) {
			t.Fatalf("%d variables, %d parameters", len(vars), len(params))
		}
		for i, v := range vars {
			if v.Op.(*graph.Variable).Label != params[i].Name || !v.Shape.Equal(params[i].Shape) {
				t.Fatalf("variable %v, parameter %+v", v, params[i])
			}
		}
		for i, d := range g.Gradients(g.Mean(g.Square(out)), vars) {
			if _, constant := d.Op.(*graph.Fill); constant || !d.Shape.Equal(params[i].Shape) {
				t.Fatalf("the gradient of %s is %v", params[i].Name, d)
			}
		}
	})
	if 20*valid < drawn { // close to half of them are
		t.Errorf("only %d of the %d drawn configurations were valid", valid, drawn)
	}
}

// inputs makes the inputs of a network in a new graph.
func inputs(cfg Config, n, h, w, levels int) (*graph.Graph, Inputs) {
	g := graph.New()
	in := Inputs{Noisy: g.Input("noisy", n, h, w, cfg.OutChannels), Level: g.Input("level", levels), Seed: g.Input("seed", 2)}
	if rest := cfg.InChannels - cfg.OutChannels; rest > 0 {
		in.Condition = g.Input("condition", n, h, w, rest)
	}
	if cfg.AugmentLevels > 0 {
		in.Augment = g.Input("augment", levels, cfg.AugmentLevels)
	}
	return g, in
}

// variables lists the variables of a graph in order.
func variables(g *graph.Graph) []*graph.Node {
	var out []*graph.Node
	for _, n := range g.Nodes() {
		if _, is := n.Op.(*graph.Variable); is {
			out = append(out, n)
		}
	}
	return out
}

func TestBuildRefusesWhatDoesNotFit(t *testing.T) {
	cfg, _ := Preset("tiny")
	for _, c := range []struct {
		change func(*graph.Graph, *Inputs)
		want   string
	}{
		{func(_ *graph.Graph, in *Inputs) { in.Noisy = nil }, "noisy image and the noise level"},
		{func(_ *graph.Graph, in *Inputs) { in.Level = nil }, "noisy image and the noise level"},
		{func(_ *graph.Graph, in *Inputs) { in.Condition = nil }, "condition of 3 channels is missing"},
		{func(g *graph.Graph, in *Inputs) { in.Condition = g.Input("c", 2, 8, 8, 4) }, "want [2, 8, 8, 3]"},
		{func(g *graph.Graph, in *Inputs) { in.Noisy = g.Input("y", 2, 8, 10, 3) }, "8x10: want sides that are multiples of 4"},
		{func(g *graph.Graph, in *Inputs) { in.Noisy = g.Input("y", 8, 8, 3) }, "want [N, H, W, 3]"},
		{func(g *graph.Graph, in *Inputs) { in.Level = g.Input("l", 3) }, "want [2] or [1]"},
		{func(g *graph.Graph, in *Inputs) { in.Seed = g.Input("s", 1) }, "the seed is [1]"},
	} {
		g, in := inputs(cfg, 2, 8, 8, 2)
		c.change(g, &in)
		if _, err := Build(g, cfg, in); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
	cfg.InChannels = 3
	g, in := inputs(cfg, 1, 8, 8, 1)
	in.Condition = g.Input("condition", 1, 8, 8, 3)
	if _, err := Build(g, cfg, in); err == nil || !strings.Contains(err.Error(), "leaves it no channel") {
		t.Errorf("a condition for an unconditional network: %v", err)
	}
}

func TestInitialize(t *testing.T) {
	cfg, _ := Preset("lean-photo")
	params, err := Parameters(cfg)
	if err != nil {
		t.Fatal(err)
	}
	a, err := Initialize(cfg, 7)
	if err != nil {
		t.Fatal(err)
	}
	again, _ := Initialize(cfg, 7)
	other, _ := Initialize(cfg, 8)
	if err := CheckValues(cfg, a); err != nil {
		t.Error(err)
	}
	if !reflect.DeepEqual(a, again) {
		t.Error("the same seed gives other values")
	}
	for _, p := range params {
		var sum, squares float64
		for _, v := range a[p.Name] {
			sum += float64(v)
			squares += float64(v) * float64(v)
		}
		n := float64(p.Len())
		switch p.Init.Kind {
		case InitZeros:
			if squares != 0 {
				t.Errorf("%s is not zero", p.Name)
			}
		case InitOnes:
			if sum != n || squares != n {
				t.Errorf("%s is not one", p.Name)
			}
		case InitNormal: // within six deviations of the estimates
			if std := math.Sqrt(squares / n); math.Abs(std-p.Init.Std) > 6*p.Init.Std/math.Sqrt(2*n) || math.Abs(sum/n) > 6*p.Init.Std/math.Sqrt(n) {
				t.Errorf("%s: mean %g, deviation %g, want %g", p.Name, sum/n, std, p.Init.Std)
			}
			if reflect.DeepEqual(a[p.Name], other[p.Name]) {
				t.Errorf("%s does not depend on the seed", p.Name)
			}
		}
	}
	for _, zero := range []string{"head.conv.weight", "up.0.1.conv2.weight"} {
		if slices.ContainsFunc(a[zero], func(v float32) bool { return v != 0 }) {
			t.Errorf("%s does not start at zero", zero)
		}
	}
}

func TestCheckValues(t *testing.T) {
	cfg, _ := Preset("tiny")
	fresh := func() map[string][]float32 {
		values, err := Initialize(cfg, 1)
		if err != nil {
			t.Fatal(err)
		}
		return values
	}
	missing, short, extra := fresh(), fresh(), fresh()
	delete(missing, "mid.0.attn.qkv.weight")
	short["downs.0.weight"] = short["downs.0.weight"][1:]
	extra["mid.2.weight"] = nil
	for want, values := range map[string]map[string][]float32{
		"mid.0.attn.qkv.weight of shape [1 1 64 192] is missing":             missing,
		"downs.0.weight has 863 values, want 864 for shape [3 3 6 16]":       short,
		"no parameter mid.2.weight; the weights are of another configuratio": extra,
	} {
		if err := CheckValues(cfg, values); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
