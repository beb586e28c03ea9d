package cli

import (
	"slices"
	"testing"

	"github.com/sr3-go/sr3"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/unet"
	"github.com/sr3-go/sr3/upscale"
)

// untrained is a small network that makes the channels of an image from so many.
func untrained(t *testing.T, in, scale int) *model.Model {
	t.Helper()
	cfg := unet.Config{
		Family: unet.FamilyLean, InChannels: in, OutChannels: 3, Channels: 16, Multipliers: []int{1}, Blocks: 1,
		ImageSize: 16, Groups: 4, Fold: 2, FiLM: true, NoMiddleAttention: true, EmbeddingScale: 5000,
	}
	m, err := model.Untrained("test", cfg, scale, 1, 0.02)
	if err != nil {
		t.Fatal(err)
	}
	m.Config.Inference.Steps = 2
	return m
}

// TestDrawOfGeneratorAndEnlarger: the model behind a generator goes on with the noise of the next pass; what the
// generator makes is as without it.
func TestDrawOfGeneratorAndEnlarger(t *testing.T) {
	g, err := upscale.NewGenerator(untrained(t, 3, 1))
	if err != nil {
		t.Fatal(err)
	}
	up, err := sr3.New(untrained(t, 6, 2))
	if err != nil {
		t.Fatal(err)
	}
	d := &drawer{generator: g, enlarger: up, models: 2}
	defer d.close()
	o := sr3.Options{Seed: 7, Threads: 1}
	got, err := d.draw(t.Context(), nil, o, func(float64) {})
	if err != nil {
		t.Fatal(err)
	}
	alone := &drawer{generator: g, models: 1}
	made, err := alone.draw(t.Context(), nil, o, func(float64) {})
	if err != nil {
		t.Fatal(err)
	}
	o.PassesBefore = 1
	want, err := up.Upscale(t.Context(), made, o)
	if err != nil || !slices.Equal(got.Pix, want.Pix) {
		t.Errorf("the second stage does not draw the noise of a second pass (%v)", err)
	}
	o.PassesBefore = 0
	same, err := up.Upscale(t.Context(), made, o)
	if err != nil || slices.Equal(got.Pix, same.Pix) {
		t.Errorf("both networks start from the same noise (%v)", err)
	}
}
