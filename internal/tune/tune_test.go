package tune

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/internal/philox"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/refine"
	"github.com/sr3-go/sr3/upscale"
)

// folder writes images of noise with the given sides.
func folder(t *testing.T, sides ...int) string {
	t.Helper()
	dir := t.TempDir()
	for i, side := range sides {
		noise := make([]float32, side*side*3)
		philox.New(uint64(i), 9).Normal(noise, 0)
		pix := make([]uint8, len(noise))
		for k, v := range noise {
			pix[k] = uint8(min(max(128+30*v, 0), 255))
		}
		img, err := imageio.FromRGB8(side, side, pix)
		if err == nil {
			_, err = imageio.WriteFile(filepath.Join(dir, fmt.Sprintf("%c.png", 'a'+i)), img, imageio.Options{})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func names(crops []Crop) (list []string) {
	for _, c := range crops {
		name, _, _ := strings.Cut(c.Name, "+")
		list = append(list, name)
	}
	return list
}

func TestLoad(t *testing.T) {
	dir := folder(t, 70, 64, 80, 64, 20, 90, 66)
	search, check, err := Data{Dir: dir, Crops: 3, Side: 32, Scale: 4}.Load(1)
	if err != nil {
		t.Fatal(err)
	}
	all := append(names(search), names(check)...)
	slices.Sort(all)
	if want := []string{"a", "b", "c", "d", "f", "g"}; !slices.Equal(all, want) {
		t.Errorf("crops of %v, want one of each of %v: e is too small", all, want)
	}
	for _, c := range search {
		if c.truth.Height != 32 || len(c.truth.Pix) != 32*32*3 || c.lr.Width != 8 || c.lr.Height != 8 {
			t.Errorf("%s: truth %dx%d, input %dx%d", c.Name, c.truth.Width, c.truth.Height, c.lr.Width, c.lr.Height)
		}
	}
	again, _, err := Data{Dir: dir, Crops: 3, Side: 32, Scale: 4}.Load(2)
	if err != nil || Digest(again) != Digest(search) {
		t.Errorf("the same crops have other pixels, %v", err)
	}
	other, _, err := Data{Dir: dir, Crops: 3, Side: 32, Scale: 4, Seed: 1}.Load(1)
	if err != nil || Digest(other) == Digest(search) {
		t.Errorf("another seed gives the same crops, %v", err)
	}
	many, _, err := Data{Dir: dir, Crops: 20, Side: 32, Scale: 4}.Load(1)
	if err != nil || len(many) != 20 {
		t.Errorf("%d crops of 20, %v", len(many), err)
	}
	// Images that are too small are passed over as often as one comes to them.
	if many, _, err = (Data{Dir: folder(t, 20, 20, 64), Crops: 5, Side: 32, Scale: 4}).Load(1); err != nil || len(many) != 5 {
		t.Errorf("%d crops of 5 from one image among small ones, %v", len(many), err)
	}
	for _, c := range []struct {
		d      Data
		reason string
	}{
		{Data{Dir: dir, Crops: 1, Side: 128, Scale: 4}, "no image has 128x128"},
		{Data{Dir: dir, Crops: 0, Side: 32, Scale: 4}, "0 images"},
		{Data{Dir: dir, Crops: 1, Side: 34, Scale: 4}, "multiple"},
		{Data{Dir: dir, Crops: 1, Side: 32, Scale: 1}, "scale 1"},
		{Data{Dir: filepath.Join(dir, "none"), Crops: 1, Side: 32, Scale: 4}, "none"},
	} {
		if _, _, err := c.d.Load(1); err == nil || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%+v: error %v does not name %q", c.d, err, c.reason)
		}
	}
}

func scorer(t *testing.T) (Scorer, model.Inference) {
	t.Helper()
	m, err := model.Load("../../testdata/untrained-x4.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	up, err := upscale.New(m)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(up.Close)
	crops, _, err := Data{Dir: folder(t, 40, 40), Crops: 2, Side: 32, Scale: 4}.Load(1)
	if err != nil {
		t.Fatal(err)
	}
	return Scorer{Upscaler: up, Crops: crops, SpreadWeight: 1, Threads: 1}, m.Config.Inference
}

// Scores do not depend on threads nor on what was scored before, and settings matter.
func TestScore(t *testing.T) {
	s, own := scorer(t)
	candidate := refine.Candidate{Sampler: refine.SamplerDDIM, Gammas: []float64{0.9, 0.01}, Temperature: 1}
	settings := Settings(own, candidate)
	first, err := s.Score(t.Context(), settings)
	if err != nil {
		t.Fatal(err)
	}
	if v := (first.Crops[0] + first.Crops[1]) / 2; math.Abs(v-first.Value) > 1e-12 || math.Abs(first.Error-first.Spread/2-first.Value) > 1e-12 || !(first.PSNR > 0) {
		t.Errorf("score %+v", first)
	}
	candidate.Temperature = 0.3
	cool, err := s.Score(t.Context(), Settings(own, candidate))
	if err != nil || !(cool.Spread < first.Spread) {
		t.Errorf("spread %g at temperature 0.3, %g at 1, %v", cool.Spread, first.Spread, err)
	}
	s.Threads = 2
	if again, err := s.Score(t.Context(), settings); err != nil || fmt.Sprint(again) != fmt.Sprint(first) {
		t.Errorf("again %+v, first %+v, %v", again, first, err)
	}
	s.SpreadWeight = 0
	if weighted, err := s.Score(t.Context(), settings); err != nil || weighted.Value != weighted.Error {
		t.Errorf("without spread %+v, %v", weighted, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Score(ctx, settings); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestSettings(t *testing.T) {
	from := model.Inference{Sampler: "ancestral", Steps: 7, Variance: "posterior", Clip: true, Temperature: 0.5}
	c := refine.Candidate{Sampler: "ddim", Gammas: []float64{0.9, 0.1}, Eta: 0.2, Temperature: 1}
	got := Settings(from, c)
	if got.Sampler != "ddim" || got.Steps != 2 || got.Schedule.Kind != refine.ScheduleExplicit || got.Eta != 0.2 || got.Temperature != 0 ||
		!got.Clip || got.Variance != "posterior" {
		t.Errorf("%+v", got)
	}
}

func TestDifference(t *testing.T) {
	a, b := Score{Crops: []float64{1, 2, 6}}, Score{Crops: []float64{2, 2, 4}}
	mean, e := Difference(a, b) // differences -1, 0, 2
	if math.Abs(mean-1./3) > 1e-12 || math.Abs(e-math.Sqrt((16./9+1./9+25./9)/2/3)) > 1e-12 {
		t.Errorf("mean %g, error %g", mean, e)
	}
}

func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.jsonl")
	c := refine.Candidate{Sampler: "ddim", Gammas: []float64{1. / 3, 1e-9 / 7}, Eta: 0.1, Temperature: 0.9}
	failed := refine.Candidate{Sampler: "heun", Gammas: []float64{0.5}, Temperature: 1}
	j, err := OpenJournal(path, "mine")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(j.Add(Entry{Candidate: c, Score: Score{Value: 1. / 7, Crops: []float64{2}}}), j.Add(Entry{Candidate: failed, Failed: true}), j.Close()); err != nil {
		t.Fatal(err)
	}
	cut, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = cut.WriteString(`{"sampler":"uni`)
	cut.Close()
	for range 2 { // the second time, after another entry
		j, err = OpenJournal(path, "mine")
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := j.Find(c); !ok || e.Value != 1./7 || e.Failed {
			t.Errorf("found %+v, %v", e, ok)
		}
		if e, ok := j.Find(failed); !ok || !e.Failed {
			t.Errorf("found %+v, %v", e, ok)
		}
		other := c
		other.Eta = 0.2
		if err := errors.Join(j.Add(Entry{Candidate: other}), j.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := OpenJournal(path, "theirs"); err == nil || !strings.Contains(err.Error(), "another search") {
		t.Errorf("another search: %v", err)
	}
	for text, reason := range map[string]string{"": "not the log", "photo\n": "not the log", "{\"search\":\"mine\"}\nx\n": "line 2"} {
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenJournal(path, "mine"); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%q: error %v does not name %q", text, err, reason)
		}
	}
	if j, err := OpenJournal("", "mine"); err != nil || j.Add(Entry{Candidate: c}) != nil || j.Close() != nil {
		t.Errorf("in memory: %v", err)
	}
}
