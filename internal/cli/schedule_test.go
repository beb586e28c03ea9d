package cli

import (
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/diffusion"
	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/internal/tune"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/refine"
	"github.com/sr3-go/sr3/upscale"
)

func TestWithSection(t *testing.T) {
	for _, c := range []struct{ card, want string }{
		{"", "## S\n\nnew\n"},
		{"# A\n\ntext\n", "# A\n\ntext\n\n## S\n\nnew\n"},
		{"# A\n\n## S\n\nold\n\n- of it\n", "# A\n\n## S\n\nnew\n"},
		{"## S\n\nold\n\n## T\n\nmore\n", "## S\n\nnew\n\n## T\n\nmore\n"},
		{"# A\n\n## Sun\n\nkept\n\n## S\nold\n## T\n", "# A\n\n## Sun\n\nkept\n\n## S\n\nnew\n\n## T\n"},
	} {
		if got := withSection(c.card, "S", " new\n\n"); got != c.want {
			t.Errorf("%q becomes %q, want %q", c.card, got, c.want)
		}
	}
}

// A table goes into the record where there is one, so that more can be added later, and comes once.
func TestAddTable(t *testing.T) {
	table := model.CardTable{Title: "T", Header: []string{"a", "b"}, Rows: [][]string{{"1", "2"}}, Notes: []string{"Said."}}
	for _, hand := range []bool{true, false} {
		m := &model.Model{Config: model.Config{Name: "m"}, Card: "# By hand\n"}
		if !hand {
			if err := m.SetRecord(model.Card{}); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if err := addTable(m, table); err != nil {
				t.Fatal(err)
			}
		}
		if strings.Count(m.Card, "## T\n") != 1 || !strings.Contains(m.Card, "| 1 | 2 |") || !strings.Contains(m.Card, "Said.") {
			t.Errorf("card\n%s", m.Card)
		}
		if err := m.CheckRecord(); hand != errors.Is(err, model.ErrNoRecord) {
			t.Errorf("by hand %v: %v", hand, err)
		}
	}
}

// TestFinalsLeaveOutFailures: settings that make no sense on the crops of the check do not end a search, not even if
// they are the model's own.
func TestFinalsLeaveOutFailures(t *testing.T) {
	m, err := model.Load("../../testdata/untrained-x4.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	m.Config.Diffusion.Prediction, m.Config.Inference.Clip = diffusion.PredictEps, false
	up, err := upscale.New(m)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(up.Close)
	dir := t.TempDir()
	img := imageio.New(32, 32)
	for i := range img.Pix {
		img.Pix[i] = float32(i%97)/97 - 0.5
	}
	if _, err := imageio.WriteFile(filepath.Join(dir, "a.png"), img, imageio.Options{}); err != nil {
		t.Fatal(err)
	}
	crops, _, err := tune.Data{Dir: dir, Crops: 1, Side: 32, Scale: 4}.Load(1)
	if err != nil {
		t.Fatal(err)
	}
	good := refine.Candidate{Sampler: refine.SamplerDDIM, Gammas: []float64{0.9}, Temperature: 1}
	bad := refine.Candidate{Sampler: refine.SamplerUniPC, Gammas: []float64{1e-300}, Temperature: 1}
	for _, own := range []refine.Candidate{good, bad} {
		r := &searchRun{searchFlags: &searchFlags{calls: 1}, model: m, meter: newMeter(io.Discard, true)}
		r.check = tune.Scorer{Upscaler: up, Crops: crops, SpreadWeight: 1, Threads: 1}
		r.present.Candidate = own
		found := &refine.SearchResult{Trials: []refine.Trial{{Candidate: good, Score: 1}, {Candidate: bad, Score: 0.5}}}
		list, err := r.finals(t.Context(), found)
		if err != nil || len(list) != 1 || list[0].Sampler != good.Sampler {
			t.Fatalf("own %v: %v, %v", own, list, err)
		}
		if text := r.checkTable(list); strings.Contains(text, "no result") != (own.Sampler == bad.Sampler) {
			t.Errorf("own %v:\n%s", own, text)
		}
	}
	r := &searchRun{searchFlags: &searchFlags{calls: 1}, model: m, meter: newMeter(io.Discard, true)}
	r.check = tune.Scorer{Upscaler: up, Crops: crops, SpreadWeight: 1, Threads: 1}
	r.present.Candidate = bad
	if _, err := r.finals(t.Context(), &refine.SearchResult{}); !errors.Is(err, refine.ErrNotFinite) {
		t.Errorf("nothing that makes sense: %v", err)
	}
}
