package cascade

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/upscale"
)

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "faces.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestParse(t *testing.T) {
	for name, want := range map[string][]string{"": {"photo-x4"}, "a": {"a"}, "a,b": {"a", "b"}, " a , b ": {"a", "b"}, "dir/a.safetensors,b": {"dir/a.safetensors", "b"}} {
		c, err := Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range c.Stages {
			got = append(got, s.Model)
		}
		if !slices.Equal(got, want) || c.Settings() != "" {
			t.Errorf("%q is %v with %q, want %v", name, got, c.Settings(), want)
		}
	}
	for _, name := range []string{"a,", ",", "a,,b", strings.Repeat("a,", 8) + "a"} {
		if c, err := Parse(name); err == nil {
			t.Errorf("%q is taken for %v", name, c)
		}
	}
	odd := filepath.Join(t.TempDir(), "a,b.safetensors")
	if err := os.WriteFile(odd, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := Parse(odd); err != nil || len(c.Stages) != 1 {
		t.Errorf("a file with a comma in its name is %v, %v", c, err)
	}
}

func TestRead(t *testing.T) {
	path := write(t, `scale = 16
[[stage]]
model = "face-16-128"
steps = 100
temperature = 0.9
[[stage]]
model = "second.safetensors"
sampler = "ddim"
consistent = true
`)
	beside := filepath.Join(filepath.Dir(path), "second.safetensors")
	if err := os.WriteFile(beside, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Parse(path)
	if err != nil {
		t.Fatal(err)
	}
	if c.Scale != 16 || c.Stages[0].Model != "face-16-128" || c.Stages[0].options().Steps != 100 || c.Stages[1].Model != beside || !*c.Stages[1].options().Consistent {
		t.Errorf("read as %+v", c)
	}
	want := "scale=16 1:steps=100,sampler=,schedule=,variance=,eta=0,temperature=0.9 2:steps=0,sampler=ddim,schedule=,variance=,eta=0,temperature=0,consistent=true"
	if got := c.Settings(); got != want {
		t.Errorf("settings %q, want %q", got, want)
	}
}

func TestReadRefuses(t *testing.T) {
	for text, reason := range map[string]string{
		"":                                    "0 stages",
		"[[stage]]\nsteps = 3":                "names no model",
		"[[stage]]\nmodel = 'a'\nstep = 3":    "means nothing",
		"[[stage]]\nmodel = 3":                "incompatible",
		"nonsense":                            "expected",
		strings.Repeat("# long\n", 1<<20/7+1): "too many",
		strings.Repeat("[[stage]]\nmodel = 'a'\n", 9): "9 stages",
	} {
		path := write(t, text)
		if _, err := Read(path); err == nil || !strings.Contains(err.Error(), reason) || !strings.Contains(err.Error(), path) {
			t.Errorf("%.40q gives %v, want the path and %q", text, err, reason)
		}
	}
}

// TestOpen: every model is asked for once, one alone is no cascade, and what cannot
// be opened or joined is an error.
func TestOpen(t *testing.T) {
	var asked []string
	open := func(name string) (*model.Model, error) {
		if asked = append(asked, name); name == "none" {
			return nil, errors.New("no such model")
		}
		return model.Open("")
	}
	u, err := (&Cascade{Stages: []Stage{{Model: "a"}, {Model: "b", Steps: 3}}}).Open(open)
	if err != nil || u.Config().Scale != 16 || !slices.Equal(asked, []string{"a", "b"}) {
		t.Fatalf("opened %v (%v)", asked, err)
	}
	if u, err = (&Cascade{Stages: []Stage{{Model: "a"}}}).Open(open); err != nil || u.Config().Name != model.DefaultName {
		t.Errorf("one model: %v", err)
	}
	if _, ok := u.(*upscale.Upscaler); !ok {
		t.Errorf("one model is a %T", u)
	}
	if u, err = (&Cascade{Scale: 2, Stages: []Stage{{}}}).Open(nil); err == nil {
		t.Errorf("no name opens %v", u)
	}
	for _, c := range []*Cascade{{}, {Scale: 1, Stages: []Stage{{Model: "a"}}}, {Stages: []Stage{{Model: "a"}, {Model: "none"}}}} {
		if _, err := c.Open(open); err == nil {
			t.Errorf("%+v opens", c)
		}
	}
}

// TestEta: 0 in a file is no fresh noise, nothing the model's default, and what is no share is refused.
func TestEta(t *testing.T) {
	for text, want := range map[string]float64{"": 0, "eta = 0": upscale.EtaNone, "eta = 0.0": upscale.EtaNone, "eta = 0.5": 0.5} {
		c, err := Read(write(t, "[[stage]]\nmodel = \"a\"\n"+text))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if got := c.Stages[0].Apply(upscale.Options{}).Eta; got != want {
			t.Errorf("%q is the eta %g, want %g", text, got, want)
		}
	}
	c, err := Read(write(t, "[[stage]]\nmodel = \"a\"\neta = 0"))
	if err != nil || !strings.Contains(c.Settings(), "eta=none,") {
		t.Errorf("no fresh noise is described as %q, %v", c.Settings(), err)
	}
	for _, text := range []string{"eta = -1", "eta = 1.01", "eta = nan"} {
		if _, err := Read(write(t, "[[stage]]\nmodel = \"a\"\n"+text)); err == nil || !strings.Contains(err.Error(), "stage 1 of 1: eta") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
