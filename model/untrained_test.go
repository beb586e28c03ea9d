package model

import (
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/sr3-go/sr3/checkpoint"
	"github.com/sr3-go/sr3/unet"
)

// TestUntrained checks that an untrained model is what training starts from, can be
// saved, depends on its seed, and that perturbing leaves no layer at zero.
func TestUntrained(t *testing.T) {
	cfg, err := unet.Preset("tiny")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Family = unet.FamilyLean
	build := func(seed uint64, perturb float64) *Model {
		m, err := Untrained("fresh", cfg, 4, seed, perturb)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	plain := build(3, 0)
	start, err := unet.Initialize(cfg, 3)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(plain.Weights, start) {
		t.Error("the weights are not those that training starts from")
	}
	perturbed, again, other := build(3, 0.02), build(3, 0.02), build(4, 0.02)
	if !reflect.DeepEqual(perturbed.Weights, again.Weights) {
		t.Error("the same seed gives other weights")
	}
	for name, v := range perturbed.Weights {
		if !slices.ContainsFunc(v, func(x float32) bool { return x != 0 }) || slices.Equal(v, other.Weights[name]) {
			t.Errorf("%s is zero or does not depend on the seed", name)
		}
	}
	path := filepath.Join(t.TempDir(), "fresh.safetensors")
	if err := plain.Save(path, checkpoint.F32); err != nil {
		t.Fatal(err)
	}
	if back, err := Load(path); err != nil || !reflect.DeepEqual(back.Weights, plain.Weights) {
		t.Errorf("read back: %v", err)
	}
	stream, err := OpenStream(path)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	for name, want := range plain.Weights {
		got := make([]float32, len(want))
		if err := stream.ReadWeights(name, got); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s differs when it is read alone (%v)", name, err)
		}
	}
	if _, err := OpenStream("testdata/ddpm.json"); err == nil {
		t.Error("a file of JSON is opened as a model")
	}
	cfg.Groups = 7
	if _, err := Untrained("wrong", cfg, 4, 0, 0); err == nil {
		t.Error("a network that cannot be built is accepted")
	}
}
