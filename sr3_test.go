package sr3

import (
	"image"
	"image/color"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sr3-go/sr3/diffusion"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/refine"
	"github.com/sr3-go/sr3/unet"
)

// testModel is an untrained x4 model of a few thousand parameters.
func testModel(t testing.TB) *model.Model {
	t.Helper()
	cfg := model.Config{
		FormatVersion: model.FormatVersion, Name: "untrained-x4", Scale: 4,
		Network: unet.Config{
			Family: unet.FamilyLean, InChannels: 6, OutChannels: 3, Channels: 8, Multipliers: []int{1, 2}, Blocks: 1,
			Attention: []int{}, ImageSize: 32, Groups: 4, Fold: 4, FiLM: true, NoMiddleAttention: true,
		},
		Diffusion: model.Diffusion{
			Prediction: diffusion.PredictV, Loss: diffusion.L2, Residual: 4, Schedule: diffusion.TrainingSchedule(), GammaDraw: diffusion.DrawCosine,
		},
		Inference: model.Inference{
			Sampler: refine.SamplerDPMPP2M, Steps: 2, Schedule: refine.Schedule{Kind: refine.ScheduleLogSNR}, Clip: true,
		},
	}
	weights, err := unet.Initialize(cfg.Network, 1)
	if err != nil {
		t.Fatal(err)
	}
	return &model.Model{Config: cfg, Weights: weights}
}

func TestUpscaleStoresItsSettings(t *testing.T) {
	up, err := New(testModel(t))
	if err != nil {
		t.Fatal(err)
	}
	defer up.Close()
	src := image.NewNRGBA(image.Rect(3, 5, 10, 11))
	for i := range src.Pix {
		src.Pix[i] = uint8(37 * i)
	}
	in, err := FromImage(src)
	if err != nil {
		t.Fatal(err)
	}
	in.Meta.Text = map[string]string{"Author": "somebody"}
	out, err := up.Upscale(t.Context(), in, Options{Seed: 9})
	if err != nil {
		t.Fatal(err)
	}
	if out.Width != 28 || out.Height != 24 || in.Meta.Text[TextKey] != "" {
		t.Errorf("%dx%d; the input's text is %v", out.Width, out.Height, in.Meta.Text)
	}
	path := filepath.Join(t.TempDir(), "large.png")
	if err := WriteFile(path, out); err != nil {
		t.Fatal(err)
	}
	back, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r, ok := ReportOf(back)
	if !ok || r.Seed != 9 || r.Model != "untrained-x4" || r.Steps != 2 || back.Meta.Text["Author"] != "somebody" {
		t.Errorf("stored settings %+v, %v", r, ok)
	}
	if _, ok := ReportOf(in); ok {
		t.Error("settings found where there are none")
	}
}

// TestSamples: draws, mean and map say what they are, and draws can be made again alone.
func TestSamples(t *testing.T) {
	up, err := New(testModel(t))
	if err != nil {
		t.Fatal(err)
	}
	defer up.Close()
	src := image.NewNRGBA(image.Rect(0, 0, 9, 7))
	for i := range src.Pix {
		src.Pix[i] = uint8(37 * i)
	}
	in, err := FromImage(src)
	if err != nil {
		t.Fatal(err)
	}
	var seeds []uint64
	s, err := up.Samples(t.Context(), in, Options{Seed: 7}, 3, func(i int, draw *Image) error {
		r, ok := ReportOf(draw)
		if !ok || r.Draws != 0 {
			t.Errorf("draw %d: %+v", i, r)
		}
		seeds = append(seeds, r.Seed)
		alone, err := up.Upscale(t.Context(), in, Options{Seed: r.Seed})
		if err != nil || !slices.Equal(alone.Pix, draw.Pix) || alone.Meta.Text[TextKey] != draw.Meta.Text[TextKey] {
			t.Errorf("draw %d is another picture alone (%v)", i, err)
		}
		return nil
	})
	if err != nil || !slices.Equal(seeds, []uint64{7, 8, 9}) {
		t.Fatal(err, seeds)
	}
	heat, err := DeviationMap(s, 0)
	if err != nil {
		t.Fatal(err)
	}
	for want, img := range map[string]*Image{"mean": s.Mean, "deviation": heat} {
		if r, ok := ReportOf(img); !ok || r.Statistic != want || r.Draws != 3 || r.Seed != 7 {
			t.Errorf("%s: %+v", want, r)
		}
	}
	if in.Meta.Text[TextKey] != "" {
		t.Error("the input's text was changed")
	}
	if _, err := up.Samples(t.Context(), in, Options{}, 1, nil); err == nil || up.CheckSamples(Options{}, 1) == nil {
		t.Error("one draw was not refused")
	}
	if _, err := up.Samples(t.Context(), in, Options{}, 2, nil); err != nil {
		t.Error(err)
	}
}

func TestImageConversions(t *testing.T) {
	src := image.NewNRGBA(image.Rect(-2, 4, 5, 9))
	for y := src.Rect.Min.Y; y < src.Rect.Max.Y; y++ {
		for x := src.Rect.Min.X; x < src.Rect.Max.X; x++ {
			src.SetNRGBA(x, y, color.NRGBA{uint8(x*40 + 90), uint8(y * 25), uint8(x * y), uint8(128 + 9*x)})
		}
	}
	img, err := FromImage(src)
	if err != nil {
		t.Fatal(err)
	}
	out := img.NRGBA()
	for y := range 5 {
		for x := range 7 {
			if got, want := out.NRGBAAt(x, y), src.NRGBAAt(x-2, y+4); got != want {
				t.Fatalf("pixel %d, %d: %v became %v", x, y, want, got)
			}
		}
	}
}

func TestOpenUnknown(t *testing.T) {
	t.Setenv("SR3_MODELS", t.TempDir())
	if _, err := Open("no-such-model"); err == nil {
		t.Error("an unknown model was opened")
	}
}
