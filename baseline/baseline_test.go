package baseline_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/baseline"
	"github.com/sr3-go/sr3/diffusion"
	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/upscale"
)

func open(t *testing.T, o *baseline.Opener, text string) baseline.Method {
	t.Helper()
	spec, err := baseline.ParseSpec(text)
	if err != nil {
		t.Fatal(err)
	}
	m, err := o.Open(spec)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func read(t *testing.T, name string) *imageio.Image {
	t.Helper()
	img, err := imageio.ReadFile(filepath.Join("..", "resample", "testdata", name), imageio.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestParseSpec(t *testing.T) {
	for text, want := range map[string]baseline.Spec{
		"bicubic":          {Kind: baseline.KindFilter, Name: "bicubic"},
		"lanczos":          {Kind: baseline.KindFilter, Name: "lanczos"},
		"imdn=out/a=b":     {Kind: baseline.KindFolder, Name: "imdn", Source: "out/a=b"},
		"my gan=c:/x":      {Kind: baseline.KindFolder, Name: "my gan", Source: "c:/x"},
		"sr3:photo-x4":     {Kind: baseline.KindSR3, Source: "photo-x4"},
		"regression:a/b.x": {Kind: baseline.KindRegression, Source: "a/b.x"},
		"sr3:m,eta=0":      {Kind: baseline.KindSR3, Source: "m", Options: upscale.Options{Eta: upscale.EtaNone}},
		"sr3:m,steps=10,sampler=ddim,seed=18446744073709551615,eta=0.5,schedule=paper,variance=beta,tile=64,overlap=8,name=mine": {
			Kind: baseline.KindSR3, Source: "m", Name: "mine", Options: upscale.Options{
				Steps: 10, Sampler: "ddim", Seed: 1<<64 - 1, Eta: 0.5, Schedule: "paper", Variance: "beta", Tile: 64, Overlap: 8}},
		"sr3:m,consistent=true":         {Kind: baseline.KindSR3, Source: "m", Options: upscale.Options{Consistent: new(true)}},
		"regression:m,consistent=1":     {Kind: baseline.KindRegression, Source: "m", Options: upscale.Options{Consistent: new(true)}},
		"sr3:m,seed=1,consistent=false": {Kind: baseline.KindSR3, Source: "m", Options: upscale.Options{Seed: 1, Consistent: new(false)}},
		"sr3:m,samples=8":               {Kind: baseline.KindSR3, Source: "m", Samples: 8},
		"regression:m,tile=64":          {Kind: baseline.KindRegression, Source: "m", Options: upscale.Options{Tile: 64}},
	} {
		got, err := baseline.ParseSpec(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got.Options.OnStep, got.Options.OnWindow = nil, nil
		if got.Kind != want.Kind || got.Name != want.Name || got.Source != want.Source || got.Options.Steps != want.Options.Steps ||
			got.Options.Sampler != want.Options.Sampler || got.Options.Seed != want.Options.Seed || got.Options.Eta != want.Options.Eta ||
			(got.Options.Consistent != nil) != (want.Options.Consistent != nil) || got.Options.Schedule != want.Options.Schedule || got.Options.Variance != want.Options.Variance ||
			got.Samples != want.Samples || got.Options.Tile != want.Options.Tile || got.Options.Overlap != want.Options.Overlap {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"":                       "want one of bicubic",
		"photo-x4":               "sr3:MODEL",
		"=dir":                   "NAME=DIR with both",
		"x=":                     "NAME=DIR with both",
		"sr3:":                   "which model",
		"sr3:m,steps":            "KEY=VALUE",
		"sr3:m,steps=0":          "whole number from 1",
		"sr3:m,steps=3,steps=4":  "twice",
		"sr3:m,stepz=3":          `no setting "stepz"; there are name, sampler, steps`,
		"sr3:m,samples=1":        "whole number from 2",
		"regression:m,samples=2": `no setting "samples"`,
		"sr3:m,sampler=euler":    "want one of ancestral",
		"sr3:m,schedule=x":       "want one of paper",
		"sr3:m,variance=x":       "want one of posterior, beta",
		"sr3:m,consistent=maybe": "want true or false",
		"sr3:m,eta=1.5":          "0 to 1",
		"sr3:m,eta=NaN":          "0 to 1",
		"sr3:m,seed=-1":          "whole number",
		"regression:m,steps=3":   `no setting "steps"; there are name, consistent, tile, overlap`,
		"regression:m,sampler=x": `no setting "sampler"`,
	} {
		if _, err := baseline.ParseSpec(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v does not say %q", text, err, want)
		}
	}
}

func FuzzParseSpec(f *testing.F) {
	for _, s := range []string{"bicubic", "a=b", "sr3:m,steps=3,seed=1", "regression:x,tile=8"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := baseline.ParseSpec(text)
		if err == nil && (s.Kind == "" || s.Kind != baseline.KindFilter && s.Source == "") {
			t.Errorf("%q gives %+v", text, s)
		}
	})
}

// The bicubic filter gives the bytes that Pillow gave.
func TestFilters(t *testing.T) {
	lr, want := read(t, "coffee_lr4.png"), read(t, "coffee_bicubic4.png")
	in := baseline.Input{Name: "coffee", LR: lr, Width: want.Width, Height: want.Height}
	pixels := map[string][]uint8{}
	for _, name := range []string{"nearest", "bicubic", "lanczos"} {
		m := open(t, &baseline.Opener{Threads: 2}, name)
		got, err := m.Upscale(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		pixels[name] = got.RGB8()
		if info := m.Info(); info.Name != name || info.Kind != baseline.KindFilter || info.Costly || info.Series != "" {
			t.Errorf("%s: info %+v", name, info)
		}
	}
	if !bytes.Equal(pixels["bicubic"], want.RGB8()) {
		t.Error("bicubic is not Pillow's")
	}
	if bytes.Equal(pixels["bicubic"], pixels["lanczos"]) {
		t.Error("lanczos is bicubic")
	}
	low := lr.RGB8()
	for i, v := range pixels["nearest"] {
		x, y, c := i/3%want.Width, i/3/want.Width, i%3
		if v != low[3*(y/4*lr.Width+x/4)+c] {
			t.Fatalf("nearest: sample %d is %d", i, v)
		}
	}
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	data, err := os.ReadFile("../resample/testdata/coffee_bicubic4.png")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "sub"), 0o777); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"coffee.png": data, "sub/cup.PNG": data, "broken.png": data[:100]} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	m := open(t, &baseline.Opener{}, "theirs="+dir)
	if got, want := m.Info().Settings, "images in "+filepath.Base(dir); got != want {
		t.Errorf("a report that is passed on says %q, want %q", got, want)
	}
	lr, want := read(t, "coffee_lr4.png"), read(t, "coffee_bicubic4.png")
	for _, name := range []string{"coffee", "sub/cup"} {
		in := baseline.Input{Name: name, LR: lr, Width: want.Width, Height: want.Height}
		got, err := m.Upscale(t.Context(), in)
		if err != nil || !slices.Equal(got.Pix, want.Pix) {
			t.Errorf("%s is not what lies there (%v)", name, err)
		}
		if v, err := m.Version(in); err != nil || !strings.HasPrefix(v, "file ") {
			t.Errorf("version %q, %v", v, err)
		}
	}
	in := baseline.Input{Name: "tea", LR: lr, Width: 4, Height: 4}
	if _, err := m.Upscale(t.Context(), in); !errors.Is(err, baseline.ErrNoResult) || !strings.Contains(err.Error(), "tea") {
		t.Errorf("a missing result gives %v", err)
	}
	if _, err := m.Version(in); !errors.Is(err, baseline.ErrNoResult) {
		t.Errorf("the version of a missing result gives %v", err)
	}
	in.Name = "coffee"
	if _, err := m.Upscale(t.Context(), in); err == nil || !strings.Contains(err.Error(), "want 4x4") {
		t.Errorf("a result of another size gives %v", err)
	}
	in.Name = "broken"
	if _, err := m.Upscale(t.Context(), in); !errors.Is(err, imageio.ErrCorrupt) {
		t.Errorf("a broken result gives %v", err)
	}
	spec, err := baseline.ParseSpec("none=" + filepath.Join(dir, "absent"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&baseline.Opener{}).Open(spec); err == nil || !strings.Contains(err.Error(), "absent") {
		t.Errorf("a missing folder gives %v", err)
	}
}

const untrained = "../testdata/untrained-x4.safetensors"

func TestModels(t *testing.T) {
	loads := 0
	o := &baseline.Opener{Threads: 1, OpenModel: func(name string) (*model.Model, error) { loads++; return model.Open(name) }}
	defer o.Close()
	texts := []string{"sr3:" + untrained, "sr3:" + untrained + ",steps=3", "sr3:" + untrained + ",steps=2,seed=7", "sr3:" + untrained + ",steps=2,seed=8,name=mine"}
	var methods []baseline.Method
	var versions []string
	in := baseline.Input{Name: "a", LR: imageio.New(8, 6), Width: 32, Height: 24}
	for i := range in.LR.Pix {
		in.LR.Pix[i] = float32(i%17)/17 - 0.5
	}
	for _, text := range texts {
		m := open(t, o, text)
		v, err := m.Version(in)
		if err != nil || slices.Contains(versions, v) {
			t.Errorf("%s: version %q, %v", text, v, err)
		}
		methods, versions = append(methods, m), append(versions, v)
	}
	if loads != 1 {
		t.Errorf("one model was loaded %d times", loads)
	}
	steps := methods[0].Info().Steps
	if v, _ := open(t, o, texts[0]+",seed=0,steps="+string(rune('0'+steps))).Version(in); steps > 9 || v != versions[0] {
		t.Errorf("asking for the default of %d steps is another method: %q, %q", steps, v, versions[0])
	}
	if a, b := methods[0].Info(), methods[1].Info(); a.Series == "" || a.Series != b.Series || b.Steps != 3 || !b.Costly || len(b.Model) != 64 {
		t.Errorf("info %+v and %+v", a, b)
	}
	if methods[0].Info().Series == methods[2].Info().Series {
		t.Error("methods of different seeds are one series")
	}
	if name := methods[2].Info().Name; !strings.HasSuffix(name, ", 2 steps, seed 7") || methods[3].Info().Name != "mine" {
		t.Errorf("names %q and %q", name, methods[3].Info().Name)
	}
	shares := 0.0
	in.OnShare = func(s float64) { shares = s }
	first, err := methods[2].Upscale(t.Context(), in)
	if err != nil || first.Width != 32 || first.Height != 24 || shares != 1 {
		t.Fatalf("share %v, error %v", shares, err)
	}
	other, err := methods[3].Upscale(t.Context(), in)
	if err != nil || slices.Equal(first.Pix, other.Pix) {
		t.Errorf("another seed gives the same (%v)", err)
	}
	again, err := methods[2].Upscale(t.Context(), in)
	if err != nil || !slices.Equal(first.Pix, again.Pix) {
		t.Errorf("the same seed gives another result (%v)", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := methods[0].Upscale(ctx, in); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	spec, err := baseline.ParseSpec("regression:" + untrained)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Open(spec); err == nil || !strings.Contains(err.Error(), "refine") {
		t.Errorf("a model that refines as a regression: %v", err)
	}
}

// TestMeanOfDraws compares the result with the mean of draws made one by one.
func TestMeanOfDraws(t *testing.T) {
	o := &baseline.Opener{Threads: 1}
	defer o.Close()
	in := baseline.Input{Name: "a", LR: read(t, "coffee_lr4.png"), Width: 128, Height: 96}
	mean := make([]float64, 3*128*96)
	m, err := model.Open(untrained)
	if err != nil {
		t.Fatal(err)
	}
	up, err := upscale.New(m)
	if err != nil {
		t.Fatal(err)
	}
	defer up.Close()
	for seed := range uint64(3) {
		draw, _, err := up.Upscale(t.Context(), in.LR, upscale.Options{Width: 128, Height: 96, Seed: 4 + seed})
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range draw.Pix {
			mean[i] += float64(v) / 3
		}
	}
	method := open(t, o, "sr3:"+untrained+",seed=4,samples=3")
	share := 0.0
	in.OnShare = func(s float64) { share = s }
	got, err := method.Upscale(t.Context(), in)
	if err != nil || share != 1 {
		t.Fatalf("share %v: %v", share, err)
	}
	for i, v := range got.RGB8() {
		if want := (mean[i] + 1) * 127.5; math.Abs(float64(v)-want) > 0.5+1e-3 {
			t.Fatalf("sample %d is %d, want %v", i, v, want)
		}
	}
	one := open(t, o, "sr3:"+untrained+",seed=4")
	if a, b := method.Info(), one.Info(); !strings.HasSuffix(a.Name, ", seed 4, mean of 3 draws") || !strings.Contains(a.Settings, "samples=3") ||
		a.Series == b.Series || strings.Contains(b.Settings, "samples") {
		t.Errorf("info %+v and %+v", a, b)
	}
	va, errA := method.Version(in)
	vb, errB := one.Version(in)
	if va == vb || errA != nil || errB != nil {
		t.Errorf("the version of one draw is that of three: %q", va)
	}
}

func TestRegression(t *testing.T) {
	o := &baseline.Opener{Threads: 1, OpenModel: func(string) (*model.Model, error) {
		m, err := model.Open(untrained)
		if err != nil {
			return nil, err
		}
		m.Config.Objective, m.Config.Inference = model.ObjectiveRegression, model.Inference{}
		m.Config.Diffusion = model.Diffusion{Prediction: diffusion.PredictX0, Loss: diffusion.L2, Residual: 1}
		return m, m.Config.Validate()
	}}
	defer o.Close()
	m := open(t, o, "regression:base")
	if info := m.Info(); info.Name != "base, regression" || info.Steps != 0 || info.Series != "" || info.Kind != baseline.KindRegression {
		t.Errorf("info %+v", info)
	}
	in := baseline.Input{Name: "a", LR: read(t, "coffee_lr4.png"), Width: 128, Height: 96}
	if out, err := m.Upscale(t.Context(), in); err != nil || out.Width != 128 || out.Height != 96 {
		t.Errorf("%v", err)
	}
	spec, err := baseline.ParseSpec("sr3:base")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Open(spec); err == nil || !strings.Contains(err.Error(), "is a regression: give it as regression:MODEL") {
		t.Errorf("a regression as a model that refines: %v", err)
	}
}
