package model

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sr3-go/sr3/checkpoint"
	"github.com/sr3-go/sr3/diffusion"
	"github.com/sr3-go/sr3/unet"
)

const (
	nanoGen = "../checkpoint/testdata/I10_E1_gen.pth"
	nanoOpt = "../checkpoint/testdata/I10_E1_opt.pth"
)

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func ptr[T any](v T) *T { return &v }

func TestImportNano(t *testing.T) {
	config := readFile(t, "testdata/nano.json")
	m, report, err := ImportPyTorch(nanoGen, ImportOptions{ConfigJSON: config, Name: "nano", Scale: 4})
	if err != nil {
		t.Fatal(err)
	}
	want := unet.Config{Family: unet.FamilyClassic, InChannels: 6, OutChannels: 3, Channels: 8, Multipliers: []int{1, 2, 2},
		Blocks: 1, Attention: []int{8}, ImageSize: 16, Groups: 4}.Resolved()
	if diff := cmp.Diff(want, m.Config.Network); diff != "" {
		t.Error(diff)
	}
	if s := m.Config.Diffusion.Schedule; s != (diffusion.ScheduleConfig{Kind: "linear", Steps: 12, Start: 1e-4, End: 0.3}) {
		t.Errorf("schedule %+v", s)
	}
	if report.Tensors != 174 || report.Layout != "" || report.Parameters != m.Parameters() || m.Parameters() == 0 {
		t.Errorf("report %+v", report)
	}
	// One convolution against the file, element by element.
	dict, err := checkpoint.StateDict(nanoGen)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range dict {
		if e.Name != networkPrefix+"downs.0.weight" {
			continue
		}
		v, err := e.Float32s()
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range v { // [8, 6, 3, 3]
			o, c, kh, kw := i/54, i/9%6, i/3%3, i%3
			if got := m.Weights["downs.0.weight"][((kh*3+kw)*6+c)*8+o]; got != x {
				t.Fatalf("weight %d %d %d %d is %g, want %g", o, c, kh, kw, got, x)
			}
		}
	}
	// The stream format gives the same model, and flags in place of the
	// configuration too.
	other, _, err := ImportPyTorch("../checkpoint/testdata/legacy_gen.pth", ImportOptions{
		Groups: ptr(4), Dropout: ptr(0.0), ImageSize: ptr(16), Name: "nano", Scale: 4})
	if err != nil {
		t.Fatal(err)
	}
	m.Config.Source, other.Config.Source = "", ""
	if diff := cmp.Diff(m, other); diff != "" {
		t.Error(diff)
	}
}

func TestImportDDPM(t *testing.T) {
	m, _, err := ImportPyTorch("testdata/ddpm_gen.pth", ImportOptions{ConfigJSON: readFile(t, "testdata/ddpm.json")})
	if err != nil {
		t.Fatal(err)
	}
	if n := m.Config.Network; n.Family != unet.FamilyDDPM || n.Channels != 8 || !slices.Equal(n.Attention, []int{8}) {
		t.Errorf("network %+v", n)
	}
	if s := m.Config.Diffusion.Schedule; s != (diffusion.ScheduleConfig{Kind: "linear", Steps: 50, Start: 1e-4, End: 0.02}) {
		t.Errorf("schedule %+v", s)
	}
	if m.Config.Name != "ddpm_gen" || m.Config.Scale != 0 {
		t.Errorf("name %q, scale %d", m.Config.Name, m.Config.Scale)
	}
}

// TestImportNeverGuesses changes one setting at a time: the error must name a
// parameter and the value that would fit.
func TestImportNeverGuesses(t *testing.T) {
	config := string(readFile(t, "testdata/nano.json"))
	replace := func(old, new string) func() string {
		return func() string {
			if !strings.Contains(config, old) {
				t.Fatalf("the configuration has no %s", old)
			}
			return strings.Replace(config, old, new, 1)
		}
	}
	for _, tt := range []struct {
		name   string
		config func() string
		want   []string
	}{
		{"none", func() string { return "" }, []string{"norm_groups, dropout, image_size cannot be told", "--config", "--norm-groups"}},
		{"multiplier", replace("  2,\n   2", "  1,\n   2"), []string{"denoise_fn.downs.3.res_block.block1.block.3.weight has 16 channels", "channel_multiplier[1] would be 2", "says 1"}},
		{"levels", replace("  2,\n   2", "  2"), []string{"3 levels", "[1 2 2]"}},
		{"channels", replace(`"inner_channel": 8`, `"inner_channel": 16`), []string{"downs.0.weight", "inner_channel would be 8"}},
		{"in", replace(`"in_channel": 6`, `"in_channel": 3`), []string{"downs.0.weight", "in_channel would be 6"}},
		{"out", replace(`"out_channel": 3`, `"out_channel": 6`), []string{"final_conv.block.3.weight", "out_channel would be 3"}},
		{"blocks", replace(`"res_blocks": 1`, `"res_blocks": 2`), []string{"denoise_fn.downs.2.conv.weight", "res_blocks would be 1"}},
		{"attention", replace("[\n   8\n  ]", "[16]"), []string{"denoise_fn.downs.1 has no attention", "would not contain 16"}},
		{"no attention", replace("[\n   8\n  ]", "[]"), []string{"denoise_fn.downs.3 has attention", "attn_res would contain 8"}},
		{"image size", replace(`"image_size": 16`, `"image_size": 32`), []string{"denoise_fn.downs.3 has attention", "attn_res would contain 16 (with image_size 32)"}},
		{"groups", replace(`"norm_groups": 4`, `"norm_groups": 3`), []string{"groups"}},
		{"steps", replace(`"n_timestep": 12`, `"n_timestep": 2000`), []string{"n_timestep would be 12", "says 2000"}},
		{"schedule", replace(`"linear_end": 0.3`, `"linear_end": 0.2`), []string{"betas run from 0.0001 to 0.3", "linear(0.0001, 0.2, 12)"}},
		{"kind", replace(`{`, `{"which_model_G":"ddpm",`), []string{"noise_level_mlp.1.weight", `which_model_G would be "sr3"`}},
		{"no unet", func() string { return `{"model":{}}` }, []string{`no "unet"`}},
		{"not JSON", func() string { return `{"unet":` }, []string{"config"}},
		{"fraction", replace(`"norm_groups": 4`, `"norm_groups": 4.5`), []string{"4.5 is not a whole number"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var opts ImportOptions
			if text := tt.config(); text != "" {
				opts.ConfigJSON = []byte(text)
			}
			_, _, err := ImportPyTorch(nanoGen, opts)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range append(tt.want, nanoGen) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
		})
	}
}

func TestForeignConfig(t *testing.T) {
	text := `{ // a comment, with "quotes"
  "name": "http://not.a.comment", "phase": "train",
  "datasets": {"train": {"l_resolution": 16, "r_resolution": 128}},
  "model": { "which_model_G": "sr3", // use the ddpm or sr3 network structure
    "unet": {"in_channel": 6, "out_channel": 3, "inner_channel": 64, "channel_multiplier": [1, 2, 4, 8, 8],
      "attn_res": [
        // 8,
        16
      ], "res_blocks": 2, "dropout": 0.2},
    "beta_schedule": {"train": {"schedule": "linear", "n_timestep": 2e3, "linear_start": 1e-6, "linear_end": 1e-2},
      "val": {"schedule": "linear", "n_timestep": 2000, "linear_start": 1e-6, "linear_end": 1e-2}},
    "diffusion": {"image_size": 128, "channels": 3, "conditional": true}}
}`
	c, err := parseForeignConfig([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	train := diffusion.ScheduleConfig{Kind: "linear", Steps: 2000, Start: 1e-6, End: 1e-2}
	want := &foreignConfig{which: "sr3", in: ptr(6), out: ptr(3), channels: ptr(64), multipliers: []int{1, 2, 4, 8, 8}, blocks: ptr(2),
		attention: &[]int{16}, groupsNull: true, dropout: ptr(0.2), imageSize: ptr(128), scale: 8, train: &train, val: &train}
	if diff := cmp.Diff(want, c, cmp.AllowUnexported(foreignConfig{})); diff != "" {
		t.Error(diff)
	}
}

// foreignShapes returns the shapes of a network as a checkpoint has them.
func foreignShapes(t *testing.T, c unet.Config) (shapes map[string][]int, count int64) {
	t.Helper()
	params, err := unet.Parameters(c)
	if err != nil {
		t.Fatal(err)
	}
	shapes = map[string][]int{}
	for _, p := range params {
		shapes[p.Name] = foreignShape(p.Shape)
	}
	return shapes, unet.Count(params)
}

func TestKnownLayouts(t *testing.T) {
	for preset, want := range map[string]struct {
		layout  string
		tensors int
	}{"faces16-128": {"16_128", 362}, "faces64-512": {"64_512", 229}, "sample-128": {"sample_128", 362}} {
		config, err := unet.Preset(preset)
		if err != nil {
			t.Fatal(err)
		}
		shapes, count := foreignShapes(t, config)
		im := &importer{report: Report{Parameters: count}}
		got, err := im.network(shapes)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(config, got); diff != "" || im.report.Layout != want.layout || len(shapes) != want.tensors {
			t.Errorf("%s: layout %q, %d tensors\n%s", preset, im.report.Layout, len(shapes), diff)
		}
		// Settings that are given go before those of the layout.
		im = &importer{report: Report{Parameters: count}, opts: ImportOptions{Groups: ptr(8)}}
		if got, err := im.network(shapes); err != nil || got.Groups != 8 || got.Dropout != config.Dropout {
			t.Errorf("%s with groups 8: %+v, %v", preset, got, err)
		}
		// One channel more or less, and it is no longer known.
		shapes["final_conv.block.3.weight"][0]++
		if _, err := (&importer{report: Report{Parameters: count}}).network(shapes); err == nil || !strings.Contains(err.Error(), "cannot be told") {
			t.Errorf("%s, changed: %v", preset, err)
		}
	}
}

// TestFirstMisfit damages the shapes of a network that is otherwise whole.
func TestFirstMisfit(t *testing.T) {
	config, err := unet.Preset("tiny")
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(s map[string][]int){
		"denoise_fn.mid.0.attn.qkv.weight": func(s map[string][]int) {
			delete(s, "mid.0.attn.qkv.weight")
			delete(s, "ups.0.res_block.res_conv.bias")
		},
		"denoise_fn.ups.2.res_block.block1.block.3.weight": func(s map[string][]int) { s["ups.2.res_block.block1.block.3.weight"][0]++ },
		"denoise_fn.downs.0.weight has shape":              func(s map[string][]int) { s["downs.0.weight"] = []int{16, 6, 5, 5} },
		`"ups.99.conv.bias" is no part`:                    func(s map[string][]int) { s["ups.99.conv.bias"] = []int{1} },
		"no parameter downs.0.weight":                      func(s map[string][]int) { delete(s, "downs.0.weight") },
		"downs.2.res_block.block1.block.3.weight has 17":   func(s map[string][]int) { s["downs.2.res_block.block1.block.3.weight"][0]++ },
		"no block before downs.1.conv.weight": func(s map[string][]int) {
			s["downs.1.conv.weight"] = []int{1, 1, 3, 3}
			delete(s, "downs.1.res_block.block1.block.3.weight")
		},
		"downs.5 differs from the level's first block": func(s map[string][]int) { s["downs.5.attn.norm.weight"] = []int{1} },
		"1 blocks before downs.8., 2 in the first":     func(s map[string][]int) { delete(s, "downs.8.res_block.block1.block.3.weight") },
		"multiple of inner_channel": func(s map[string][]int) {
			s["downs.7.res_block.block1.block.3.weight"][0]++
			s["downs.8.res_block.block1.block.3.weight"][0]++
		},
		"downs.0.weight has shape [16 6 3], not that of a con": func(s map[string][]int) { s["downs.0.weight"] = []int{16, 6, 3} },
	} {
		shapes, count := foreignShapes(t, config)
		change(shapes)
		im := &importer{report: Report{Parameters: count}, opts: ImportOptions{Groups: ptr(8), Dropout: ptr(0.0), ImageSize: ptr(32)}}
		_, err := im.network(shapes)
		if err == nil {
			t.Errorf("%s: no error", name)
		} else if !strings.Contains(err.Error(), name) {
			t.Logf("%s: %v", name, err)
			t.Errorf("error lacks %q", name)
		}
	}
}

func TestRecogniseSchedule(t *testing.T) {
	for _, c := range []diffusion.ScheduleConfig{
		{Kind: "linear", Steps: 2000, Start: 1e-6, End: 1e-2}, {Kind: "linear", Steps: 1, Start: 0.1, End: 0.1}, {Kind: "quad", Steps: 100, Start: 1e-4, End: 0.02},
		{Kind: "warmup10", Steps: 200, Start: 1e-4, End: 0.02}, {Kind: "warmup50", Steps: 200, Start: 1e-4, End: 0.02},
		{Kind: "const", Steps: 50, End: 0.01}, {Kind: "jsd", Steps: 100}, {Kind: "cosine", Steps: 1000},
	} {
		s, err := c.Build()
		if err != nil {
			t.Fatal(err)
		}
		var betas []float64
		for i := range s.Steps() {
			betas = append(betas, float64(float32(s.Beta(i+1))))
		}
		got, ok := recogniseSchedule(betas)
		if !ok || (got != c && !(c.Kind == "const" && got.Kind == "linear" && got.End == c.End)) {
			t.Errorf("%+v recognised as %+v, %v", c, got, ok)
		}
		if !sameBetas(got, betas) {
			t.Errorf("%+v does not give the betas of %+v", got, c)
		}
		if len(betas) > 1 {
			betas[len(betas)/2] *= 1.001
			if got, ok := recogniseSchedule(betas); ok {
				t.Errorf("%+v with one beta changed recognised as %+v", c, got)
			}
		}
	}
}

func TestUnnamedScheduleIsKept(t *testing.T) {
	im := &importer{}
	var d Diffusion
	want := []float64{0.1, 0.5, 0.2}
	if err := im.setSchedule(checkpoint.FromFloat64s([]int{3}, want), &d); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(d.Betas, want) || d.Schedule.Kind != "" || len(im.report.Notes) != 1 {
		t.Errorf("%+v, %v", d, im.report.Notes)
	}
	for _, bad := range []*checkpoint.Tensor{nil, checkpoint.FromFloat64s([]int{0}, nil), checkpoint.FromFloat64s([]int{1}, []float64{-1}), checkpoint.FromFloat64s(nil, []float64{0.1})} {
		if err := im.setSchedule(bad, &Diffusion{}); err == nil {
			t.Errorf("%v accepted", bad)
		}
	}
}

func TestImportOptimizer(t *testing.T) {
	m, _, err := ImportPyTorch(nanoGen, ImportOptions{ConfigJSON: readFile(t, "testdata/nano.json")})
	if err != nil {
		t.Fatal(err)
	}
	state, err := ImportOptimizer(nanoOpt, m)
	if err != nil {
		t.Fatal(err)
	}
	if state.Iter != 10 || state.Epoch != 1 || state.Step == 0 || state.Beta2 != 0.999 || state.LearningRate != 1e-4 {
		t.Errorf("%+v", state)
	}
	for name, w := range m.Weights {
		if len(state.M[name]) != len(w) || len(state.V[name]) != len(w) {
			t.Errorf("%s: %d and %d values, want %d", name, len(state.M[name]), len(state.V[name]), len(w))
		}
		if slices.Min(state.V[name]) < 0 {
			t.Errorf("%s: a negative mean square", name)
		}
	}
	// Element by element against the file, for the last parameter but one.
	o, err := checkpoint.OptimizerState(nanoOpt)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := o.Params[len(o.Params)-2].M.Float32s() // [3, 8, 3, 3]
	if err != nil {
		t.Fatal(err)
	}
	for i, x := range raw {
		at := ((i/3%3*3+i%3)*8+i/9%8)*3 + i/72
		if got := state.M["final_conv.block.3.weight"][at]; got != x {
			t.Fatalf("element %d is %g, want %g", i, got, x)
		}
	}
	if _, err := ImportOptimizer(nanoGen, m); err == nil {
		t.Error("weights accepted as a state")
	}
	if _, err := ImportOptimizer(nanoOpt, small(t)); err == nil || !strings.Contains(err.Error(), "lean") {
		t.Errorf("other family: %v", err)
	}
	tiny, err := unet.Preset("tiny")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ImportOptimizer(nanoOpt, &Model{Config: Config{Network: tiny}}); err == nil || !strings.Contains(err.Error(), "parameters") {
		t.Errorf("other size: %v", err)
	}
	wide := m.Config
	wide.Network.Channels = 16
	if _, err := ImportOptimizer(nanoOpt, &Model{Config: wide}); err == nil || !strings.Contains(err.Error(), "want [64 16]") {
		t.Errorf("other width: %v", err)
	}
}

func FuzzForeignConfig(f *testing.F) {
	f.Add(readFile(f, "testdata/nano.json"))
	f.Add([]byte(`{"model":{"unet":{"attn_res":[16]/*x*/,"dropout":1e3}}} // end`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := parseForeignConfig(data); err == nil {
			_ = c.compare(structure{multipliers: []int{1, 2}, evidence: map[string]string{}})
		}
	})
}
