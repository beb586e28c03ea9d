package upscale

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/metric"
)

// cascadeOf joins models; each is named after its place.
func cascadeOf(t testing.TB, stages ...Stage) *Cascade {
	t.Helper()
	c, err := NewCascade(0, stages...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// TestCascadeIsItsStages: two stages give what two calls by hand give, with the
// noise of a second pass in the second, and one stage is the model alone.
func TestCascadeIsItsStages(t *testing.T) {
	first, second := newRegression(t, leanModel(t)), newRegression(t, predicted(t, regressionModel(t)))
	img := testImage(5, 7)
	o := Options{Seed: 11, Threads: 1}
	alone, _, err := first.Upscale(t.Context(), img, o)
	if err != nil {
		t.Fatal(err)
	}
	one, _, err := cascadeOf(t, Stage{Upscaler: first}).Upscale(t.Context(), img, o)
	if err != nil || !slices.Equal(one.Pix, alone.Pix) {
		t.Errorf("a cascade of one differs from its model (%v)", err)
	}
	want, _, err := second.Upscale(t.Context(), alone, Options{Seed: passSeed(11, 1), Steps: 2, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	c := cascadeOf(t, Stage{Upscaler: first}, Stage{Upscaler: second, Options: Options{Steps: 2}})
	got, report, err := c.Upscale(t.Context(), img, o)
	if err != nil {
		t.Fatal(err)
	}
	if got.Width != 5*16 || got.Height != 7*16 || !slices.Equal(got.Pix, want.Pix) {
		t.Errorf("the cascade's %dx%d differs from its stages one after the other", got.Width, got.Height)
	}
	if len(report.Stages) != 2 || report.Stages[0].Steps != 3 || report.Stages[1].Steps != 2 || report.Passes != 2 || report.Scale != 16 || report.Steps != 5 {
		t.Errorf("report %+v", report)
	}
	if report.Model != "test-x4,test-x4" || c.Config().Scale != 16 || c.Config().Name != report.Model {
		t.Errorf("named %s and %s, scale %d", report.Model, c.Config().Name, c.Config().Scale)
	}
}

// TestCascadeSizes: stages make what the next ones need, and the last reaches the
// size asked for, by running again if it must.
func TestCascadeSizes(t *testing.T) {
	u := newRegression(t, leanModel(t))
	c := cascadeOf(t, Stage{Upscaler: u}, Stage{Upscaler: u})
	for _, k := range []struct {
		o      Options
		first  size
		result size
		passes int
	}{
		{Options{}, size{24, 20}, size{96, 80}, 2},
		{Options{Scale: 8}, size{12, 10}, size{48, 40}, 2},
		{Options{Scale: 3}, size{6, 5}, size{18, 15}, 2}, // the first has nothing to do but is asked
		{Options{Scale: 20}, size{24, 20}, size{120, 100}, 3},
		{Options{Width: 33}, size{10, 9}, size{40, 33}, 2},
	} {
		in := size{6, 5}
		targets, err := c.targets(in, k.o)
		if err != nil {
			t.Fatal(err)
		}
		if targets[0] != k.first || targets[1] != k.result {
			t.Errorf("%+v: stages make %v, want %v and %v", k.o, targets, k.first, k.result)
		}
		img := testImage(in.w, in.h)
		out, report, err := c.Upscale(t.Context(), img, k.o)
		if err != nil {
			t.Fatal(err)
		}
		if w, h, err := c.ResultSize(in.w, in.h, k.o); err != nil || w != out.Width || h != out.Height || out.Height != k.result.h || report.Passes != k.passes {
			t.Errorf("%+v: %dx%d in %d passes, announced as %dx%d (%v)", k.o, out.Width, out.Height, report.Passes, w, h, err)
		}
	}
	if _, _, err := c.ResultSize(100, 100, Options{MaxPixels: 1000}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large a result gives %v", err)
	}
}

// TestCascadeIsConsistent: the last result is consistent with the image, not with
// what the first stage made alone; alpha is that of the image enlarged once.
func TestCascadeIsConsistent(t *testing.T) {
	u := newRegression(t, leanModel(t))
	c := cascadeOf(t, Stage{Upscaler: u}, Stage{Upscaler: u})
	img := testImage(12, 9)
	for i, v := range img.Pix { // values that 8 bits hold
		img.Pix[i] = float32(math.Round(float64(v+1)*100)/127.5 - 0.8)
	}
	img.Alpha = make([]float32, 9*12)
	for i := range img.Alpha {
		img.Alpha[i] = 1 - float32(i%12)/24
	}
	out, report, err := c.Upscale(t.Context(), img, Options{Consistent: new(true)})
	if err != nil || !report.Consistent {
		t.Fatal(err, report)
	}
	got, err := metric.Consistency(metric.Image{Width: 12, Height: 9, Pix: img.RGB8()}, metric.Image{Width: out.Width, Height: out.Height, Pix: out.RGB8()}, 1)
	if err != nil || got > 1 {
		t.Errorf("consistency %v (%v)", got, err)
	}
	want, _, err := u.Upscale(t.Context(), img, Options{Scale: 16})
	if err != nil || !slices.Equal(out.Alpha, want.Alpha) {
		t.Errorf("alpha is not the image's enlarged once (%v)", err)
	}
}

// TestCascadeProgress: steps count passes of all stages, and the share of the work
// grows to 1, over draws too.
func TestCascadeProgress(t *testing.T) {
	c := cascadeOf(t, Stage{Upscaler: newRegression(t, regressionModel(t))}, Stage{Upscaler: newRegression(t, leanModel(t))})
	var steps []Step
	share := 0.0
	o := Options{Seed: 3, Steps: 4, OnStep: func(s Step) { steps = append(steps, s) }, OnWindow: func(p Progress) {
		if p.Share() <= share || p.Passes != 2 || p.Draws != 2 {
			t.Errorf("%+v after %v", p, share)
		}
		share = p.Share()
	}}
	var draws []*imageio.Image
	s, err := c.Samples(t.Context(), testImage(6, 6), o, 2, func(_ int, d *imageio.Image, r *Report) error {
		draws = append(draws, d)
		if r.Seed != uint64(2+len(draws)) || r.Stages[0].Seed != 0 {
			t.Errorf("draw %d has seeds %d and %d", len(draws), r.Seed, r.Stages[0].Seed)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if share != 1 || len(steps) != 2*(1+4) || steps[0].Pass != 1 || steps[1].Pass != 2 || steps[1].Steps != 4 {
		t.Errorf("share %v after %d steps %+v", share, len(steps), steps)
	}
	if slices.Equal(draws[0].Pix, draws[1].Pix) || s.Report.Draws != 2 || len(s.Report.Stages) != 2 {
		t.Errorf("draws do not differ, or the report %+v", s.Report)
	}
}

// TestCascadeRefuses: wrong settings name their stage.
func TestCascadeRefuses(t *testing.T) {
	if _, err := NewCascade(0); err == nil {
		t.Error("a cascade of nothing")
	}
	u := newRegression(t, leanModel(t))
	c := cascadeOf(t, Stage{Upscaler: u}, Stage{Upscaler: u, Options: Options{Sampler: "magic"}})
	if err := c.Check(Options{}); err == nil || !strings.Contains(err.Error(), "stage 2") || strings.Contains(err.Error(), "stage 1") {
		t.Errorf("a wrong sampler in stage 2 gives %v", err)
	}
	if err := c.CheckSamples(Options{Sampler: "ddim"}, 1); err == nil {
		t.Error("one draw is taken for several")
	}
	all := cascadeOf(t, Stage{Upscaler: newRegression(t, regressionModel(t))})
	if err := all.CheckSamples(Options{}, 2); err == nil {
		t.Error("regressions have draws")
	}
}

// TestPassesBefore: passes count on from those that made the image, in all stages, and the report says so.
func TestPassesBefore(t *testing.T) {
	u := newRegression(t, leanModel(t))
	img := testImage(5, 4)
	for name, e := range map[string]Enlarger{"model": u, "repeated": u, "cascade": cascadeOf(t, Stage{Upscaler: u}, Stage{Upscaler: u})} {
		t.Run(name, func(t *testing.T) {
			o := Options{Seed: passSeed(11, 3), Steps: 2, Threads: 1}
			if name == "repeated" {
				o.Scale = 8
			}
			want, _, err := e.Upscale(t.Context(), img, o)
			if err != nil {
				t.Fatal(err)
			}
			o.Seed, o.PassesBefore = 11, 3
			got, report, err := e.Upscale(t.Context(), img, o)
			if err != nil || !slices.Equal(got.Pix, want.Pix) {
				t.Errorf("the noise is not that of the passes after the third (%v)", err)
			}
			if report.Seed != 11 || report.PassesBefore != 3 {
				t.Errorf("report %+v", report)
			}
		})
	}
}
