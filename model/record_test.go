package model

import (
	"encoding/xml"
	"errors"
	"io"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sr3-go/sr3/checkpoint"
)

// recorded is a card of two runs.
func recorded() Card {
	c := Card{Name: "b", Parameters: 3, Limits: []string{"It is small."}, Runs: []CardRun{
		{Name: "a", Steps: 10, Batch: 2, Crop: 8, Images: 20, Data: []CardSource{{Name: "x", Licence: "CC0", Images: 3}, {Name: "y", Images: 1}},
			DataNotes: []string{"Seen.", "Only here."}, TimedSteps: 4, StepSeconds: 8},
		{Name: "b", Steps: 5, Batch: 2, Images: 10, Seed: 7, Origin: &CardOrigin{Name: "a", Digest: "ab12", Recorded: true},
			Data: []CardSource{{Name: "x", Licence: "CC0", Images: 5}}, DataNotes: []string{"Seen."}, Config: "[train]\nsteps = 5\n",
			Commands: []string{"sr3 train --out b"}, Machines: []string{"cpu"}, Began: time.Date(2026, 5, 1, 23, 0, 0, 0, time.UTC), Saved: time.Date(2026, 5, 2, 1, 0, 0, 0, time.UTC),
			TimedSteps: 5, StepSeconds: 7200, OtherSeconds: 90, Curve: []CurvePoint{{Step: 2, Loss: 0.5}, {Step: 5, Loss: 0.25, Val: 0.3}}},
	}}
	c.Gather()
	return c
}

func TestCardTellsOfAllRuns(t *testing.T) {
	text, err := recorded().Markdown()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"### Run 1 of 2: a\n", "### Run 2 of 2: b\n", "| begins from | the weights of a (digest ab12) |", "| begins from | fresh weights |",
		"| x | 5 | CC0 |", "| y | 1 | unknown |", "- Seen.\n- a: Only here.\n", "(for the last 4; that of the 6 before is unknown)",
		"| time | 2 h of training steps, 90 s of validation, pictures and checkpoints, wall clock |", "| dates | 2026-05-01 to 2026-05-02 |",
		"```\nsr3 train --out b\n```", "```toml\n[train]\nsteps = 5\n```", "| 5 | 0.25 | 0.3 |", "| program | unknown |", "| speed | 1 crops a second |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the card lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "- x\n  - x") || strings.Contains(text, "{{") {
		t.Errorf("card:\n%s", text)
	}
	c := recorded()
	c.Runs[1].Origin.Recorded = false
	if text, err = c.Markdown(); err != nil || !strings.Contains(text, "whose training is not recorded") {
		t.Errorf("an origin without a record is not told of: %v", err)
	}
}

func TestRecordIsKept(t *testing.T) {
	m := small(t)
	if err := m.SetRecord(recorded()); err != nil {
		t.Fatal(err)
	}
	if m.Record.Name != m.Config.Name || !strings.Contains(m.Card, "\n# "+m.Config.Name+"\n") {
		t.Errorf("the name of the model is %q, that of the card %q", m.Config.Name, m.Record.Name)
	}
	path := filepath.Join(t.TempDir(), "m.safetensors")
	if err := m.Save(path, checkpoint.F32); err != nil {
		t.Fatal(err)
	}
	got, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.Record, m.Record) || got.Card != m.Card || got.CheckRecord() != nil {
		t.Errorf("read back: %+v\nwant %+v", got.Record, m.Record)
	}
	// The digest of the weights is that of the weights, the file's is of everything.
	before, file := got.WeightsDigest(), got.Digest
	c := *got.Record
	c.Limits = append(c.Limits, "Another.")
	if err := got.SetRecord(c); err != nil {
		t.Fatal(err)
	}
	if err := got.Save(path, checkpoint.F32); err != nil {
		t.Fatal(err)
	}
	if got.WeightsDigest() != before || got.Digest == file {
		t.Error("the card changes the digest of the weights, or not that of the file")
	}
	for _, values := range got.Weights {
		values[0]++
		break
	}
	if got.WeightsDigest() == before {
		t.Error("another weight has the same digest")
	}
	got.Card += "\nMore."
	if err := got.CheckRecord(); !errors.Is(err, ErrNoRecord) {
		t.Errorf("a card that was changed by hand is taken for its record: %v", err)
	}
	got.Record = nil
	if err := got.CheckRecord(); !errors.Is(err, ErrNoRecord) {
		t.Errorf("no record: %v", err)
	}
}

func TestParseRecordRefuses(t *testing.T) {
	for _, text := range []string{"", "[]", `{"runs":[{}` + strings.Repeat(",{}", maxRecordCommas+1) + "]}", `{"name": 3}`, `{"tables":[{"title":"t","header":["a"],"rows":[["1","2"]]}]}`, `{"runs":[{"steps":"many"}]}`} {
		if _, err := ParseRecord([]byte(text)); err == nil || !strings.Contains(err.Error(), "model record") {
			t.Errorf("%.80s: %v", text, err)
		}
	}
	if c, err := ParseRecord([]byte(`{"name":"a","of_a_later_version":1}`)); err != nil || c.Name != "a" {
		t.Errorf("a field of a later version: %+v, %v", c, err)
	}
}

func FuzzParseRecord(f *testing.F) {
	c := recorded()
	text, err := c.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(text))
	f.Add([]byte(`{"runs":[{"curve":[{"step":-1,"loss":1e308},{"step":9223372036854775807,"loss":-2}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseRecord(data)
		if err != nil {
			return
		}
		for _, r := range c.Runs {
			r.CurveTable()
			wellFormed(t, r.CurveSVG())
		}
		if _, err := c.encode(); err != nil {
			t.Fatal(err)
		}
	})
}

func wellFormed(t testing.TB, text string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
	}
}

func TestThinCurve(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var points []CurvePoint
		step := 0
		for range rapid.IntRange(0, 60).Draw(t, "points") {
			step += rapid.IntRange(0, 5).Draw(t, "distance")
			points = append(points, CurvePoint{Step: step, Loss: rapid.Float64Range(0.5, 2).Draw(t, "loss")})
		}
		n := rapid.IntRange(1, 12).Draw(t, "n")
		thin := ThinCurve(points, n)
		if len(thin) > n || len(points) > 0 && (len(thin) == 0 || thin[len(thin)-1].Step != step) {
			t.Fatalf("%d points of %d, asked for %d: %v", len(thin), len(points), n, thin)
		}
		for i, p := range thin {
			if p.Loss < 0.5 || p.Loss > 2 || i > 0 && p.Step < thin[i-1].Step {
				t.Fatalf("%v", thin)
			}
		}
	})
	got := ThinCurve([]CurvePoint{{1, 1, 0, 0}, {2, 3, 5, 0}, {3, 4, 0, 0}, {4, 0, 6, 30}}, 2)
	if want := []CurvePoint{{2, 2, 5, 0}, {4, 4, 6, 30}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestCurveSVG(t *testing.T) {
	run := CardRun{Curve: []CurvePoint{{Step: 10, Loss: 1}, {Step: 20, Loss: 0.1, Val: 0.5}, {Step: 30, Loss: 0.01}}}
	svg := run.CurveSVG()
	wellFormed(t, svg)
	// On a logarithmic scale equal factors are equal distances.
	if !strings.Contains(svg, `points="273.3,28.0 482.7,152.0 692.0,276.0"`) || strings.Count(svg, "<circle") != 1 {
		t.Error(svg)
	}
	for _, curve := range [][]CurvePoint{nil, {{Step: 3}}, {{Step: 3, Loss: -1}}} {
		if svg := (CardRun{Curve: curve}).CurveSVG(); svg != "" {
			t.Errorf("%v is drawn: %s", curve, svg)
		}
	}
	wellFormed(t, CardRun{Curve: []CurvePoint{{Step: 3, Loss: 2}}}.CurveSVG())
}
