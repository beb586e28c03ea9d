package model

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sr3-go/sr3/checkpoint"
	"github.com/sr3-go/sr3/diffusion"
	"github.com/sr3-go/sr3/refine"
	"github.com/sr3-go/sr3/unet"
)

// small is a model of random weights that F16 holds exactly.
func small(t testing.TB) *Model {
	t.Helper()
	m := &Model{
		Card: "# Test\n",
		Config: Config{
			FormatVersion: FormatVersion, Name: "small", Scale: 4,
			Network: unet.Config{Family: unet.FamilyLean, InChannels: 6, OutChannels: 3, Channels: 16, Multipliers: []int{1, 2},
				Blocks: 1, Attention: []int{}, ImageSize: 32, Groups: 4, Fold: 4, FiLM: true, NoMiddleAttention: true}.Resolved(),
			Diffusion: Diffusion{Prediction: diffusion.PredictV, Loss: diffusion.L2, Residual: 4,
				Schedule: diffusion.TrainingSchedule(), GammaDraw: diffusion.DrawCosine},
			Inference: Inference{Sampler: refine.SamplerDPMPP2M, Steps: 8, Schedule: refine.Schedule{Kind: refine.ScheduleLogSNR}, Clip: true},
		},
		Weights: map[string][]float32{},
	}
	params, err := unet.Parameters(m.Config.Network)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range params {
		w := make([]float32, p.Len())
		for i := range w {
			w[i] = float32(i%64-32) / 16
		}
		m.Weights[p.Name] = w
	}
	return m
}

func TestSaveLoad(t *testing.T) {
	for _, as := range []checkpoint.DType{checkpoint.F16, checkpoint.F32} {
		want := small(t)
		path := filepath.Join(t.TempDir(), "small.safetensors")
		if err := want.Save(path, as); err != nil {
			t.Fatal(err)
		}
		got, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", as, diff)
		}
		if len(got.Digest) != 64 {
			t.Errorf("digest %q", got.Digest)
		}
		var again bytes.Buffer
		if err := got.Encode(&again, as); err != nil {
			t.Fatal(err)
		}
		if data, _ := os.ReadFile(path); !bytes.Equal(data, again.Bytes()) {
			t.Error("saving what was loaded gives other bytes")
		}
	}
}

func TestSaveRefuses(t *testing.T) {
	for name, change := range map[string]func(m *Model){
		"NaN":            func(m *Model) { firstOf(m)[0] = float32(math.NaN()) },
		"infinity":       func(m *Model) { firstOf(m)[0] = float32(math.Inf(1)) },
		"too large":      func(m *Model) { firstOf(m)[0] = 1e6 },
		"missing weight": func(m *Model) { m.Weights = nil },
		"bad config":     func(m *Model) { m.Config.Diffusion.Prediction = "noise" },
	} {
		m := small(t)
		change(m)
		dir := t.TempDir()
		if err := m.Save(filepath.Join(dir, "m.safetensors"), checkpoint.F16); err == nil {
			t.Errorf("%s: no error", name)
		}
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Errorf("%s: left %v", name, left)
		}
	}
}

func firstOf(m *Model) []float32 {
	return m.Weights[sortedKeys(m.Weights)[0]]
}

func TestLoadRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(f *checkpoint.File)
		want   string
	}{
		{"no config", func(f *checkpoint.File) { delete(f.Meta, ConfigKey) }, "not a model file"},
		{"later version", func(f *checkpoint.File) {
			f.Meta[ConfigKey] = strings.Replace(f.Meta[ConfigKey], `"format_version":1`, `"format_version":2`, 1)
		}, "update sr3"},
		{"unknown setting", func(f *checkpoint.File) { f.Meta[ConfigKey] = `{"sharpness":1,` + f.Meta[ConfigKey][1:] }, "sharpness"},
		{"not JSON", func(f *checkpoint.File) { f.Meta[ConfigKey] = "]" }, "config"},
		{"other width", func(f *checkpoint.File) {
			f.Meta[ConfigKey] = strings.Replace(f.Meta[ConfigKey], `"channels":16`, `"channels":24`, 1)
		}, "the configuration says"},
		{"huge network", func(f *checkpoint.File) {
			f.Meta[ConfigKey] = strings.Replace(f.Meta[ConfigKey], `"channels":16`, `"channels":4096`, 1)
		}, "parameter"},
		{"missing tensor", func(f *checkpoint.File) { delete(f.Tensors, f.Names()[0]) }, "missing"},
		{"extra tensor", func(f *checkpoint.File) { f.Tensors["x"] = checkpoint.FromFloat32(nil, []float32{1}) }, "tensors where"},
		{"integers", func(f *checkpoint.File) {
			name := f.Names()[0]
			s := f.Tensors[name].Shape
			f.Tensors[name] = checkpoint.FromInt64s(s, make([]int64, f.Tensors[name].Len()))
		}, "I64"},
		{"NaN", func(f *checkpoint.File) { copy(f.Tensors[f.Names()[0]].Data, []byte{0xff, 0xff, 0xff, 0xff}) }, "diverged"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := small(t).file(checkpoint.F32)
			if err != nil {
				t.Fatal(err)
			}
			tt.change(f)
			path := filepath.Join(t.TempDir(), "m.safetensors")
			if _, err := checkpoint.Write(path, f); err != nil {
				t.Fatal(err)
			}
			if _, err := Load(path); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %v, want the path and %q", err, tt.want)
			}
		})
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(directoryVariable, dir)
	m := small(t)
	if err := m.Save(filepath.Join(dir, "mine.safetensors"), checkpoint.F16); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"mine", filepath.Join(dir, "mine.safetensors")} {
		if got, err := Open(name); err != nil || got.Digest != m.Digest {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := Open("yours")
	if err == nil || !strings.Contains(err.Error(), "mine") || !strings.Contains(err.Error(), dir) {
		t.Errorf("unknown name: %v", err)
	}
	if _, err := Open("../checkpoint/testdata/I10_E1_gen.pth"); err == nil || !strings.Contains(err.Error(), "sr3 model import") {
		t.Errorf("PyTorch file: %v", err)
	}
	for _, name := range Embedded() {
		if got, err := Open(name); err != nil || got.Config.Name != name || got.Card == "" {
			t.Errorf("embedded %s: %v, or its name or card is wrong", name, err)
		}
	}
}

// TestDirectories: a list of folders is searched in its order; without one, a folder "models" here is found.
func TestDirectories(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	m := small(t)
	for _, path := range []string{filepath.Join(first, "a"), filepath.Join(second, "a"), filepath.Join(second, "b")} {
		if err := m.Save(path+extension, checkpoint.F16); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv(directoryVariable, first+string(os.PathListSeparator)+second)
	if a, b := Find("a"), Find("b"); filepath.Dir(a) != first || filepath.Dir(b) != second || Find("c") != "" {
		t.Errorf("a is %s, b is %s, c is %q", a, b, Find("c"))
	}
	if names := Installed(); !slices.Equal(names, []string{"a", "b"}) {
		t.Errorf("installed: %v", names)
	}
	t.Setenv(directoryVariable, "")
	t.Chdir(t.TempDir())
	if err := os.Mkdir("models", 0o777); err != nil {
		t.Fatal(err)
	}
	if err := m.Save(filepath.Join("models", "here"+extension), checkpoint.F16); err != nil {
		t.Fatal(err)
	}
	if got, err := Open("here"); err != nil || got.Digest != m.Digest {
		t.Error(err)
	}
}

// TestForeignFiles: in the folder that nobody named, files without a configuration are passed over, and damaged
// models are not.
func TestForeignFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv(directoryVariable, "")
	if err := os.Mkdir("models", 0o777); err != nil {
		t.Fatal(err)
	}
	path := func(name string) string { return filepath.Join("models", name+extension) }
	if err := small(t).Save(path("ours"), checkpoint.F16); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path("ours"))
	if err != nil {
		t.Fatal(err)
	}
	foreign := checkpoint.File{Meta: map[string]string{"format": "pt"}, Tensors: map[string]*checkpoint.Tensor{"w": {DType: checkpoint.U8, Shape: []int{3}, Data: []byte{1, 2, 3}}}}
	if _, err := checkpoint.Write(path("theirs"), &foreign); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"cut": whole[:len(whole)-100], "empty": nil, "text": []byte("version https://example.org"), "long": {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, '{', '}'},
	} {
		if err := os.WriteFile(path(name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("nowhere", path("gone")); err != nil {
		t.Skip(err)
	}
	for _, tt := range []struct {
		name string
		is   bool
	}{{"ours", true}, {"cut", true}, {"theirs", false}, {"empty", false}, {"text", false}, {"long", false}} {
		if is, err := IsModel(path(tt.name)); is != tt.is || err != nil {
			t.Errorf("%s: %v, %v", tt.name, is, err)
		}
		if found := Find(tt.name) != ""; found != tt.is {
			t.Errorf("%s is found: %v", tt.name, found)
		}
		if _, err := Open(tt.name); (err == nil) != (tt.name == "ours") || err != nil && !strings.Contains(err.Error(), path(tt.name)) {
			t.Errorf("%s: error %v does not name the file", tt.name, err)
		}
	}
	if is, err := IsModel(path("gone")); is || err == nil {
		t.Errorf("a file that is not there is a model: %v, %v", is, err)
	}
	if names := Installed(); !slices.Equal(names, []string{"cut", "ours"}) {
		t.Errorf("installed: %v", names)
	}
	t.Setenv(directoryVariable, "models") // now somebody named it
	if names := Installed(); !slices.Equal(names, []string{"cut", "empty", "gone", "long", "ours", "text", "theirs"}) {
		t.Errorf("installed where it was named: %v", names)
	}
}

func TestLayoutRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rank := rapid.SampledFrom([]int{0, 1, 2, 4}).Draw(t, "rank")
		shape := rapid.SliceOfN(rapid.IntRange(1, 5), rank, rank).Draw(t, "shape")
		n := 1
		for _, d := range shape {
			n *= d
		}
		data := make([]float32, n)
		for i := range data {
			data[i] = float32(i)
		}
		native, values, err := ToNative("w", shape, data)
		if err != nil {
			t.Fatal(err)
		}
		back, again, err := FromNative("w", native, values)
		if err != nil || !cmp.Equal(append([]int{}, back...), append([]int{}, shape...)) || !cmp.Equal(again, data) {
			t.Fatalf("%v -> %v -> %v, %v", shape, native, back, err)
		}
	})
	// One convolution by hand: out 2, in 1, 1x2 kernel.
	native, values, err := ToNative("w", []int{2, 1, 1, 2}, []float32{1, 2, 3, 4})
	if err != nil || !cmp.Equal(native, []int{1, 2, 1, 2}) || !cmp.Equal(values, []float32{1, 3, 2, 4}) {
		t.Errorf("%v %v %v", native, values, err)
	}
	if _, _, err := ToNative("w", []int{2, 2}, make([]float32, 3)); err == nil {
		t.Error("wrong size accepted")
	}
	if _, _, err := ToNative("w", []int{1, 1, 1}, make([]float32, 1)); err == nil {
		t.Error("rank 3 accepted")
	}
}

func TestRefineOptionsOfTrainingSchedule(t *testing.T) {
	c := small(t).Config
	c.Inference = Inference{Sampler: refine.SamplerAncestral, Schedule: refine.Schedule{Kind: refine.ScheduleTraining}}
	c.Diffusion.Schedule = diffusion.ScheduleConfig{Kind: diffusion.KindLinear, Steps: 5, Start: 1e-4, End: 0.3}
	named := levels(t, c)
	s, err := c.Diffusion.NoiseSchedule()
	if err != nil {
		t.Fatal(err)
	}
	c.Diffusion.Schedule = diffusion.ScheduleConfig{}
	for i := range 5 {
		c.Diffusion.Betas = append(c.Diffusion.Betas, s.Beta(i+1))
	}
	if listed := levels(t, c); len(listed) != 6 || !cmp.Equal(named, listed) {
		t.Errorf("named %v, listed %v", named, listed)
	}
}

func levels(t *testing.T, c Config) []diffusion.Gamma {
	t.Helper()
	o, err := c.RefineOptions()
	if err != nil {
		t.Fatal(err)
	}
	s, err := o.Schedule.Build(o.Steps)
	if err != nil {
		t.Fatal(err)
	}
	var out []diffusion.Gamma
	for i := range s.Steps() + 1 {
		out = append(out, s.Gamma(i))
	}
	return out
}

func TestCard(t *testing.T) {
	c := Card{
		Name: "photo-x4", Summary: "Photos, four times as large.", Scale: 4, Parameters: 5700000, Network: "lean-photo", Licence: "CC-BY-4.0",
		Data: []CardSource{{Name: "photos: \"train\"", Licence: "CC0", Images: 800, URL: "https://example.org/a"}}, Command: "sr3 train --data photos",
		Compute: "2 cores, 10 h", Tables: []CardTable{{Title: "Results", Header: []string{"metric", "a|b"}, Rows: [][]string{{"PSNR", "24.1"}}}}, Limits: []string{"Text."},
	}
	text, err := c.Markdown()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"---\nlicense: \"CC-BY-4.0\"\n", `  - "photos: \"train\""`, "\n# photo-x4\n", "| scale | x4 |\n", "| parameters | 5700000 |",
		"```\nsr3 train --data photos\n```", "| metric | a\\|b | \n|---|---|\n| PSNR | 24.1 | \n", "| 800 | CC0 |\n", "- Text.\n- Detail", "Compute: 2 cores",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("card lacks %q:\n%s", want, text)
		}
	}
	c.Tables[0].Rows[0] = []string{"PSNR"}
	if _, err := c.Markdown(); err == nil {
		t.Error("short row accepted")
	}
	if text, err := (Card{Name: "x"}).Markdown(); err != nil || strings.Count(text, "unknown") < 3 {
		t.Errorf("empty card: %v\n%s", err, text)
	}
}

func FuzzParseConfig(f *testing.F) {
	text, err := json.Marshal(small(f).Config)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := ParseConfig(data); err == nil {
			if _, err := unet.Parameters(c.Network); err != nil {
				t.Fatal(err)
			}
		}
	})
}
