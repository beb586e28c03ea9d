package upscale

import (
	"bytes"
	"errors"
	"image/jpeg"
	"slices"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/degrade"
	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/internal/philox"
	"github.com/sr3-go/sr3/model"
)

// toldModel is leanModel with a network that is told.
func toldModel(t testing.TB) *model.Model {
	t.Helper()
	cfg := leanModel(t).Config
	cfg.Network.AugmentLevels = degrade.Levels
	cfg.Condition.Degradation = &degrade.Settings{
		Blur: degrade.Range{Probability: 0.5, High: 2}, Noise: degrade.Range{Probability: 0.5, High: 20}, JPEG: degrade.Range{Probability: 0.5, Low: 30, High: 95},
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	return randomModel(t, cfg)
}

func open(t testing.TB, m *model.Model) *Upscaler {
	t.Helper()
	u, err := New(m)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(u.Close)
	return u
}

func enlarged(t *testing.T, u *Upscaler, img *imageio.Image, o Options) ([]float32, *Report) {
	t.Helper()
	out, report, err := u.Upscale(t.Context(), img, o)
	if err != nil {
		t.Fatal(err)
	}
	return out.Pix, report
}

// TestToldNetworkIsTold: what is said of the input reaches the network, each kind for itself; the report says what was
// told, and the same again gives the same bytes.
func TestToldNetworkIsTold(t *testing.T) {
	u, img := open(t, toldModel(t)), testImage(9, 8)
	none := Input{Blur: new(0.0), Noise: new(0.0), Quality: new(0)}
	base, report := enlarged(t, u, img, Options{Input: none})
	if report.Lost == nil || *report.Lost != (degrade.Amount{}) {
		t.Errorf("told %v", report.Lost)
	}
	for name, change := range map[string]func(*Input){
		"blur": func(in *Input) { in.Blur = new(1.0) }, "noise": func(in *Input) { in.Noise = new(9.0) }, "JPEG": func(in *Input) { in.Quality = new(50) },
	} {
		in := none
		change(&in)
		got, report := enlarged(t, u, img, Options{Input: in})
		if slices.Equal(got, base) {
			t.Errorf("%s: the network does not listen", name)
		}
		if *report.Lost != in.given() {
			t.Errorf("%s: told %v, want %v", name, report.Lost, in.given())
		}
		if again, _ := enlarged(t, u, img, Options{Input: in, Threads: 3}); !slices.Equal(got, again) {
			t.Errorf("%s: other bytes on other threads", name)
		}
	}
	if again, _ := enlarged(t, u, img, Options{Input: none}); !slices.Equal(base, again) {
		t.Error("what one image was told of is told of the next")
	}
}

// TestLaterPassesAreClean: only the image that is given has lost something, not what the model made of it.
func TestLaterPassesAreClean(t *testing.T) {
	u := open(t, toldModel(t))
	r := &run{Upscaler: u, lost: &degrade.Amount{Noise: 10}}
	if got := r.levels(0); !slices.Equal(got, []float32{0, 0.5, 0}) {
		t.Errorf("first pass: levels %v", got)
	}
	if got := r.levels(1); !slices.Equal(got, []float32{0, 0, 0}) {
		t.Errorf("second pass: levels %v", got)
	}
	noisy, _ := enlarged(t, u, testImage(4, 3), Options{Scale: 16, Input: Input{Noise: new(20.0)}})
	clean, report := enlarged(t, u, testImage(4, 3), Options{Scale: 16, Input: Input{Noise: new(0.0)}})
	if report.Passes != 2 || slices.Equal(noisy, clean) {
		t.Errorf("%d passes", report.Passes)
	}
}

// TestInputIsFoundOut: noise from the pixels, JPEG from the file, blur from the model.
func TestInputIsFoundOut(t *testing.T) {
	m := toldModel(t)
	m.Config.Condition.AssumedBlur = 0.6
	u := open(t, m)
	img := imageio.New(64, 48)
	for i := range img.Pix {
		img.Pix[i] = float32(i%192)/400 - 0.3
	}
	if got := u.findLost(img, Input{}); *got != (degrade.Amount{Blur: 0.6}) {
		t.Errorf("a smooth image: %v", got)
	}
	degrade.AddNoise(img.Pix, 8, philox.New(1, 1))
	if got := u.findLost(img, Input{}); got.Noise < 6.5 || got.Noise > 9.5 || got.Quality != 0 {
		t.Errorf("noise of 8: %v", got)
	}
	var file bytes.Buffer
	if err := jpeg.Encode(&file, img.NRGBA(), &jpeg.Options{Quality: 55}); err != nil {
		t.Fatal(err)
	}
	read, err := imageio.Decode(file.Bytes(), "test", imageio.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if got := u.findLost(read, Input{Blur: new(0.0)}); got.Quality != 55 || got.Blur != 0 {
		t.Errorf("a JPEG: %v", got)
	}
	if got := u.findLost(read, Input{Noise: new(3.0), Quality: new(0)}); got.Quality != 0 || got.Noise != 3 {
		t.Errorf("what is said counts: %v", got)
	}
}

func TestInputIsChecked(t *testing.T) {
	told, clean := open(t, toldModel(t)), newUpscaler(t)
	for want, o := range map[string]struct {
		u  *Upscaler
		in Input
	}{
		"trained on clean bicubic reductions alone": {clean, Input{Noise: new(1.0)}},
		"sigma up to 2":  {told, Input{Blur: new(2.5)}},
		"up to 20/255":   {told, Input{Noise: new(21.0)}},
		"30 and more":    {told, Input{Quality: new(29)}},
		"1 to 100":       {told, Input{Quality: new(101)}},
		"want 0 or more": {told, Input{Blur: new(-1.0)}},
	} {
		err := o.u.Check(Options{Input: o.in})
		_, _, again := o.u.Upscale(t.Context(), testImage(4, 4), Options{Input: o.in})
		if err == nil || !strings.Contains(err.Error(), want) || again == nil || !strings.HasSuffix(again.Error(), err.Error()) {
			t.Errorf("%q, then %v; want %q", err, again, want)
		}
	}
	if err := errors.Join(told.Check(Options{}), clean.Check(Options{}), told.Check(Options{Input: Input{Quality: new(30), Blur: new(2.0)}})); err != nil {
		t.Error(err)
	}
}

// TestCleanModelsAreAsTheyWere: no levels, nothing in the report.
func TestCleanModelsAreAsTheyWere(t *testing.T) {
	u := newUpscaler(t)
	if _, report := enlarged(t, u, testImage(5, 5), Options{}); report.Lost != nil {
		t.Errorf("told %v", report.Lost)
	}
	if got := (&run{Upscaler: u}).levels(0); got != nil {
		t.Errorf("levels %v", got)
	}
}

func TestRemarks(t *testing.T) {
	told, clean := open(t, toldModel(t)), newUpscaler(t)
	smooth := imageio.New(32, 32)
	noisy, small := imageio.New(48, 48), imageio.New(16, 16)
	for _, img := range []*imageio.Image{noisy, small} {
		clear(img.Pix)
		degrade.AddNoise(img.Pix, 15, philox.New(1, 1))
	}
	compressed := imageio.New(32, 32)
	compressed.Quality = 20
	for name, c := range map[string]struct {
		u    *Upscaler
		img  *imageio.Image
		want []string // a part of each
	}{
		"clean":               {clean, smooth, nil},
		"clean, noisy":        {clean, noisy, []string{"noise of 1"}},
		"clean, too small":    {clean, small, nil},
		"clean, compressed":   {clean, compressed, []string{"JPEG of quality 20"}},
		"told":                {told, smooth, []string{"no JPEG"}},
		"told, out of bounds": {told, compressed, []string{"JPEG of quality 20", "more than test-x4 was trained for"}},
	} {
		got := c.u.Remarks(c.img, Options{})
		if len(got) != len(c.want) {
			t.Errorf("%s: %q", name, got)
			continue
		}
		for i, part := range c.want {
			if !strings.Contains(got[i], part) {
				t.Errorf("%s: %q, want %q", name, got[i], part)
			}
		}
	}
}

// TestLostIsNotKept: what an image has lost is not projected back into it unless that is asked for.
func TestLostIsNotKept(t *testing.T) {
	m := toldModel(t)
	m.Config.Inference.Consistent = true
	u := open(t, m)
	for _, c := range []struct {
		noise float64
		say   *bool
		want  bool
	}{{0, nil, true}, {9, nil, false}, {9, new(true), true}} {
		in := Input{Blur: new(0.0), Noise: new(c.noise), Quality: new(0)}
		if _, report := enlarged(t, u, testImage(9, 8), Options{Input: in, Consistent: c.say}); report.Consistent != c.want {
			t.Errorf("noise %v: consistent is %v", c.noise, report.Consistent)
		}
	}
}
