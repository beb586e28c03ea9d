package train

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/checkpoint"
	"github.com/sr3-go/sr3/dataset"
	"github.com/sr3-go/sr3/model"
)

func loadRecord(t testing.TB, path string) *model.Card {
	t.Helper()
	m, err := model.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.CheckRecord(); err != nil {
		t.Fatal(err)
	}
	return m.Record
}

// manifest lists the images of a folder, with other contents where forge says so.
func manifest(t testing.TB, path, dir string, names []string, forge string) {
	t.Helper()
	text := "file\tsource\twhere\tlicence\tsha256\n"
	for i, name := range names {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if name == forge {
			data = append(data, 0)
		}
		sum := sha256.Sum256(data)
		text += fmt.Sprintf("%s\tmade\tgithub.com/%s (folder)\tCC0-1.0\t%s\n", name, []string{"one", "two"}[i%2], hex.EncodeToString(sum[:]))
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

// TestHistoryOverResumes: commands, steps and times add up over starts, and the result is that of one start.
func TestHistoryOverResumes(t *testing.T) {
	data, out, whole := images(t), t.TempDir(), t.TempDir()
	manifest(t, filepath.Join(data, dataset.ManifestName), data, []string{"0.png", "1.png", "2.png"}, "")
	for i, steps := range []string{"2", "2", "5"} {
		command := "sr3 train --steps " + steps
		mustRun(t, Options{Config: tinyConfig(t, "train.steps="+steps), OutDir: out, Data: []string{data}, Command: command, Program: fmt.Sprint("sr3 v", i/2)})
	}
	res := mustRun(t, Options{Config: tinyConfig(t, "train.steps=5"), OutDir: whole, Data: []string{data}})
	sameState(t, readState(t, out), readState(t, whole))

	card := loadRecord(t, filepath.Join(out, modelFile))
	if len(card.Runs) != 1 {
		t.Fatalf("%d runs", len(card.Runs))
	}
	r := card.Runs[0]
	if !slices.Equal(r.Commands, []string{"sr3 train --steps 2", "sr3 train --steps 5"}) || !slices.Equal(r.Versions, []string{"sr3 v0", "sr3 v1"}) {
		t.Errorf("commands %q, versions %q", r.Commands, r.Versions)
	}
	if len(r.Machines) != 1 || r.Steps != 5 || r.TimedSteps != 5 || r.Images != 20 || r.Crop != 16 || !(r.StepSeconds >= 0) || r.Began.IsZero() || r.Saved.Before(r.Began) {
		t.Errorf("%+v", r)
	}
	if len(r.Changes) != 1 || r.Changes[0] != "after step 2: train.steps = 5" {
		t.Errorf("changes %q", r.Changes)
	}
	if n := len(r.Curve); n < 2 || r.Curve[n-1].Step != 5 || !slices.ContainsFunc(r.Curve, func(p model.CurvePoint) bool { return p.Loss > 0 }) {
		t.Errorf("curve %v", r.Curve)
	}
	want := []model.CardSource{{Name: "github.com/one (folder)", URL: "https://github.com/one", Licence: "CC0-1.0", Images: 2}, {Name: "github.com/two (folder)", URL: "https://github.com/two", Licence: "CC0-1.0", Images: 1}}
	if !slices.Equal(card.Data, want) || !strings.Contains(strings.Join(card.DataNotes, " "), "All 3 training images have the SHA-256 of the manifest.") {
		t.Errorf("data %+v, %q", card.Data, card.DataNotes)
	}
	if svg, err := os.ReadFile(filepath.Join(out, curveFile)); err != nil || !strings.HasPrefix(string(svg), "<svg") {
		t.Errorf("curve: %v, %.20s", err, svg)
	}
	// The configuration in the card trains the same weights again.
	file := filepath.Join(t.TempDir(), "again.toml")
	if err := os.WriteFile(file, []byte(r.Config), 0o666); err != nil {
		t.Fatal(err)
	}
	cfg, err := LoadConfig(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	again := mustRun(t, Options{Config: cfg, OutDir: t.TempDir()})
	a, err := model.Load(again.Model)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := model.Load(res.Model); err != nil || a.WeightsDigest() != b.WeightsDigest() {
		t.Errorf("trained again from the card's configuration the weights differ: %v", err)
	}
}

// TestHistoryOfAChain: a run from the weights of another carries its history along.
func TestHistoryOfAChain(t *testing.T) {
	data := []string{images(t)}
	first := mustRun(t, Options{Config: tinyConfig(t, "train.steps=3", "model.name=first"), OutDir: t.TempDir(), Data: data, Command: "one"})
	m, err := model.Load(first.Model)
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	opt := Options{Config: tinyConfig(t, "train.steps=1", "model.name=second"), OutDir: out, Data: data, Init: first.Model, Command: "two"}
	mustRun(t, opt)
	opt.Config.Train.Steps, opt.Init = 2, ""
	second := mustRun(t, opt) // also after it was resumed
	card := loadRecord(t, second.Model)
	if len(card.Runs) != 2 || card.Runs[0].Name != "first" || card.Runs[0].Steps != 3 || !slices.Equal(card.Runs[0].Commands, []string{"one"}) || card.Runs[1].Steps != 2 {
		t.Fatalf("%+v", card.Runs)
	}
	if o := card.Runs[1].Origin; o == nil || *o != (model.CardOrigin{Name: "first", Digest: m.Digest, Recorded: true}) {
		t.Errorf("origin %+v", o)
	}
	if o := card.Runs[0].Origin; o != nil {
		t.Errorf("the first run begins from %+v", o)
	}
	// A model that tells nothing of itself is named all the same.
	m.Record = nil
	bare := filepath.Join(t.TempDir(), "bare.safetensors")
	if err := m.Save(bare, checkpoint.F16); err != nil {
		t.Fatal(err)
	}
	opt.OutDir, opt.Init = t.TempDir(), bare
	third := loadRecord(t, mustRun(t, opt).Model)
	if len(third.Runs) != 1 || third.Runs[0].Origin == nil || third.Runs[0].Origin.Recorded || third.Runs[0].Origin.Digest != m.Digest {
		t.Errorf("%+v", third.Runs)
	}
}

// TestCheckpointWithoutHistory: those of earlier versions go on, and what is not known is said.
func TestCheckpointWithoutHistory(t *testing.T) {
	data, out := []string{images(t)}, t.TempDir()
	mustRun(t, Options{Config: tinyConfig(t, "train.steps=3"), OutDir: out, Data: data})
	f := readState(t, out)
	delete(f.Meta, metaPast)
	path := filepath.Join(out, checkpointFile)
	if _, err := checkpoint.Write(path, f); err != nil {
		t.Fatal(err)
	}
	res := mustRun(t, Options{Config: tinyConfig(t, "train.steps=5"), OutDir: out, Data: data, Command: "sr3 train"})
	m, err := model.Load(res.Model)
	if err != nil {
		t.Fatal(err)
	}
	if r := m.Record.Runs[0]; r.Steps != 5 || r.TimedSteps != 2 || !r.Began.IsZero() || !strings.Contains(m.Card, "time of the first 3 steps were not recorded") || !strings.Contains(m.Card, "unknown to ") {
		t.Errorf("%+v\n%s", r, m.Card)
	}
	// A run that was finished before gets its card when it is started again.
	m.Record = nil
	if err := m.Save(res.Model, checkpoint.F16); err != nil {
		t.Fatal(err)
	}
	mustRun(t, Options{Config: tinyConfig(t, "train.steps=5"), OutDir: out, Data: data})
	if again := loadRecord(t, res.Model); again.Runs[0].Steps != 5 {
		t.Errorf("%+v", again.Runs)
	}
	for _, text := range []string{"{", `{"Run":{"timed_steps":-1}}`, `{"Run":{"timed_steps":9}}`, `{"Run":{"timed_steps":1,"step_seconds":-2}}`,
		`{"Before":[{}` + strings.Repeat(",0", 300_000) + "]}"} {
		f := readState(t, out)
		f.Meta[metaPast] = text
		if _, err := restore(tinyConfig(t), f); err == nil || !strings.Contains(err.Error(), "history") {
			t.Errorf("%.80s: %v", text, err)
		}
	}
}

// TestManifestAfterwards: a finished run that is given a manifest keeps its weights and tells where its images are from.
func TestManifestAfterwards(t *testing.T) {
	data, out, list := images(t), t.TempDir(), filepath.Join(t.TempDir(), "list.tsv")
	run := func(sets ...string) (weights string, card *model.Card) {
		res := mustRun(t, Options{Config: tinyConfig(t, append(sets, "train.steps=2")...), OutDir: out, Data: []string{data}})
		m, err := model.Load(res.Model)
		if err != nil {
			t.Fatal(err)
		}
		return m.WeightsDigest(), m.Record
	}
	before, card := run()
	if card.Data[0].Licence != "" {
		t.Fatalf("a licence from nowhere: %+v", card.Data)
	}
	manifest(t, list, data, []string{"0.png", "1.png", "2.png"}, "")
	after, card := run("data.manifest=" + list)
	if after != before || card.Data[0].Licence != "CC0-1.0" {
		t.Errorf("weights %s, then %s; data %+v", before, after, card.Data)
	}
}

// TestManifestReachesBest: the best weights so far, which are published, are told of it too.
func TestManifestReachesBest(t *testing.T) {
	data, out, list := images(t), t.TempDir(), filepath.Join(t.TempDir(), "list.tsv")
	run := func(sets ...string) *model.Model {
		cfg := tinyConfig(t, append(sets, "train.steps=4", "train.sample_steps=2")...)
		cfg.Data.Val = []string{data}
		mustRun(t, Options{Config: cfg, OutDir: out, Data: []string{data}})
		m, err := model.Load(filepath.Join(out, bestFile))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	before := run()
	manifest(t, list, data, []string{"0.png", "1.png", "2.png"}, "")
	after := run("data.manifest=" + list)
	if after.WeightsDigest() != before.WeightsDigest() || after.Record.Summary != before.Record.Summary {
		t.Error("the weights, or what is said of them, changed")
	}
	if got := after.Record.Data[0].Licence; got != "CC0-1.0" || before.Record.Data[0].Licence != "" {
		t.Errorf("the card says the licence is %q, before it was %q", got, before.Record.Data[0].Licence)
	}
}

// TestSurvey: images that a manifest has not, or has with other contents, are named in the log and in the card.
func TestSurvey(t *testing.T) {
	data, list := images(t), filepath.Join(t.TempDir(), "list.tsv")
	manifest(t, list, data, []string{"0.png", "1.png"}, "1.png")
	var log strings.Builder
	cfg := tinyConfig(t, "train.steps=2", "data.manifest="+list)
	cfg.Data.Val = []string{filepath.Join(data, "0.png")}
	card := loadRecord(t, mustRun(t, Options{Config: cfg, OutDir: t.TempDir(), Data: []string{data}, Log: &log}).Model)
	for _, want := range []string{
		"1 of 3 training images are not in the manifest: 2.png.", "1 of 3 training images have another SHA-256 than the manifest says: 1.png.",
		"1 of the held-out images are among the training images too",
	} {
		if !strings.Contains(log.String(), want) || !slices.ContainsFunc(card.DataNotes, func(n string) bool { return strings.Contains(n, want) }) {
			t.Errorf("%q is not said: %q, %s", want, card.DataNotes, log.String())
		}
	}
	if !strings.Contains(strings.Join(card.DataNotes, " "), "All 1 held-out images have the SHA-256") {
		t.Errorf("%q", card.DataNotes)
	}
	if !slices.Equal(card.Data, []model.CardSource{{Name: "unknown", Images: 2}, {Name: "github.com/one (folder)", URL: "https://github.com/one", Licence: "CC0-1.0", Images: 1}}) {
		t.Errorf("%+v", card.Data)
	}
	cfg.Data.Manifest = filepath.Join(data, "missing.tsv")
	if _, err := Run(t.Context(), Options{Config: cfg, OutDir: t.TempDir(), Data: []string{data}}); err == nil || !strings.Contains(err.Error(), "missing.tsv") {
		t.Errorf("a manifest that is not there: %v", err)
	}
	// One that was only found does not stop the training.
	if err := os.WriteFile(filepath.Join(data, dataset.ManifestName), []byte("something else"), 0o666); err != nil {
		t.Fatal(err)
	}
	cfg.Data.Manifest = ""
	card = loadRecord(t, mustRun(t, Options{Config: cfg, OutDir: t.TempDir(), Data: []string{data}, Log: &log}).Model)
	if !strings.Contains(log.String(), "left out a manifest") || !slices.Equal(card.Data, []model.CardSource{{Name: "images", Images: 3}}) {
		t.Errorf("%+v, %s", card.Data, log.String())
	}
}

// TestDataBesideConfig: relative names are those of the current folder, then of the configuration's.
func TestDataBesideConfig(t *testing.T) {
	here, there := t.TempDir(), t.TempDir()
	for _, dir := range []string{filepath.Join(here, "both"), filepath.Join(there, "both"), filepath.Join(there, "one")} {
		if err := os.Mkdir(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(there, "c.toml")
	if err := os.WriteFile(file, []byte("[data]\ndirs = [\"both\", \"one\", \"none\"]\nval = [\"one\"]\nmanifest = \"c.toml\"\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	t.Chdir(here)
	cfg, err := LoadConfig(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	one := filepath.Join(there, "one")
	if !slices.Equal(cfg.Data.Dirs, []string{"both", one, "none"}) || !slices.Equal(cfg.Data.Val, []string{one}) || cfg.Data.Manifest != file {
		t.Errorf("%+v", cfg.Data)
	}
}

// TestHistoryOfPredictor: what taught a predictor stands in the card of the model that refines it.
func TestHistoryOfPredictor(t *testing.T) {
	data := images(t)
	first, path := trained(t, data, "train.objective=regression", "model.name=first")
	both, bothPath := trained(t, data, "model.predictor="+path, "model.name=both")
	check := func(m *model.Model) {
		t.Helper()
		r := m.Record
		if r.Predictor == nil || len(r.Predictor.Runs) != 1 || r.Predictor.Runs[0].Name != "first" || len(r.Runs) != 1 || r.Runs[0].Origin != nil {
			t.Fatalf("%+v", r)
		}
		if p := r.Runs[0].Predictor; p == nil || p.Name != "first" || !p.Recorded {
			t.Errorf("predictor %+v", p)
		}
		if !strings.Contains(m.Card, "## Training of the predictor") || m.Parameters() != r.Parameters {
			t.Errorf("%d parameters, %d in the record:\n%s", m.Parameters(), r.Parameters, m.Card)
		}
		if m.Predictor.Record == nil || m.Predictor.CheckRecord() != nil {
			t.Error("the predictor has lost its record")
		}
	}
	check(both)
	if d := both.Record.Runs[0].Predictor.Digest; d != first.Digest {
		t.Errorf("the predictor's digest is %s, its file's %s", d, first.Digest)
	}
	again, _ := trained(t, data, "model.predictor="+bothPath, "model.name=again")
	check(again)
	if again.WeightsDigest() != both.WeightsDigest() {
		t.Error("the same training behind the same predictor gives other weights")
	}
	for _, values := range again.Predictor.Weights {
		values[0]++
		break
	}
	if again.WeightsDigest() == both.WeightsDigest() {
		t.Error("the digest of the weights leaves out the predictor's")
	}
}
