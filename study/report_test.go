package study_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/foolrate"
	"github.com/sr3-go/sr3/internal/browsertest"
	"github.com/sr3-go/sr3/internal/philox"
	"github.com/sr3-go/sr3/study"
)

// simulate lets people take part who are fooled at known rates; every seventh does
// not look. It returns what it counted itself.
func simulate(t *testing.T, f *study.Folder, s *study.Store, people int, rates []float64) (trials, fooled map[string]int) {
	t.Helper()
	tokens, err := s.AddSubjects(t.Context(), people)
	if err != nil {
		t.Fatal(err)
	}
	trials, fooled = map[string]int{}, map[string]int{}
	for p, token := range tokens {
		subject, err := s.Agree(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		coin := philox.New(99, uint64(p))
		for i, trial := range f.Manifest.Design().Trials(subject.Number) {
			rate := 0.0
			if trial.Method != foolrate.Catch {
				rate = rates[trial.Method]
			}
			if p%7 == 3 {
				rate = 1
			}
			wrong := coin.Float64(uint64(i)) < rate
			choice := foolrate.Right
			if trial.OriginalLeft != wrong {
				choice = foolrate.Left
			}
			r := study.Response{Trial: i, Choice: choice, Response: 3000 + 900*coin.Float64(uint64(1000+i)), Shown: 3000 + 8*coin.Float64(uint64(2000+i)), Views: 1}
			if _, err := s.Answer(t.Context(), token, r); err != nil {
				t.Fatal(err)
			}
			if trial.Method != foolrate.Catch && p%7 != 3 {
				name := f.Manifest.Methods[trial.Method].Name
				trials[name]++
				if wrong {
					fooled[name]++
				}
			}
		}
	}
	return trials, fooled
}

// TestReport compares all forms of a report with what the simulation counted.
func TestReport(t *testing.T) {
	f := build(t, 12, func(m *study.Manifest) {
		m.PerSubject, m.Catch, m.MaxCatchErrors = 9, 2, 1
		m.Methods = []study.MethodEntry{{Name: "=bicubic"}, {Name: "regression, the twin of SR3"}, {Name: "photo-x4, 10 steps, ddim", Settings: "<b>steps=10</b>"}}
	})
	s := openStore(t, f)
	empty, err := f.Report(t.Context(), s, f.Rules())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := json.Marshal(empty); err != nil || !strings.Contains(empty.Text(), "– %") {
		t.Errorf("of no answers: %v\n%s", err, empty.Text())
	}
	if strings.Contains(empty.Text(), "no catch trials") {
		t.Errorf("a study with catch trials that nobody has come to yet:\n%s", empty.Text())
	}
	if err := f.WriteHTML(&bytes.Buffer{}, empty); err != nil {
		t.Error(err)
	}
	trials, fooled := simulate(t, f, s, 42, []float64{0.05, 0.3, 0.45})
	r, err := f.Report(t.Context(), s, f.Rules())
	if err != nil {
		t.Fatal(err)
	}
	checkJSON(t, r, trials, fooled)
	for _, want := range []string{"Excluded: subject 0003", "2 of 2 catch trials failed, at most 1 allowed", "36 of 42 subjects count", "50 % is the ceiling"} {
		if !strings.Contains(r.Text(), want) {
			t.Errorf("the text does not say %q:\n%s", want, r.Text())
		}
	}
	var page bytes.Buffer
	if err := f.WriteHTML(&page, r); err != nil {
		t.Fatal(err)
	}
	checkPage(t, page.String())
	answers, err := s.Answers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var table bytes.Buffer
	if err := study.WriteCSV(&table, answers); err != nil {
		t.Fatal(err)
	}
	checkCSV(t, table.Bytes(), len(answers), trials, fooled)
	if dir := os.Getenv(browsertest.EnvScreenshots); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, "report.html"), page.Bytes(), 0o666); err != nil {
			t.Error(err)
		}
	}
	t.Run("page", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "report.html")
		if err := os.WriteFile(path, page.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
		browser := browsertest.Start(t)
		for name, screen := range map[string]browsertest.Viewport{"desktop": {Width: 1280, Height: 1700, Scale: 1}, "phone": browsertest.Phone.InDark()} {
			p := browser.Open(t, "file://"+path, screen)
			p.Screenshot("study-report-" + name)
			if browsertest.Eval[bool](p, `document.documentElement.scrollWidth > innerWidth`) {
				t.Errorf("%s: the report is wider than the screen", name)
			}
		}
	})
}

func checkJSON(t *testing.T, r *study.Report, trials, fooled map[string]int) {
	t.Helper()
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Subjects, Finished int
		Excluded           []struct{ Subject, Why string }
		Methods            []struct {
			Method                   string
			Trials, Fooled, Subjects int
			Rate, Mean, Low, High    float64
			StandardError            *float64 `json:"standard_error"`
			Images                   []any
		}
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if got.Subjects != 36 || got.Finished != 42 || len(got.Excluded) != 6 {
		t.Errorf("%d subjects, %d finished, excluded %v", got.Subjects, got.Finished, got.Excluded)
	}
	for _, m := range got.Methods {
		rate := float64(fooled[m.Method]) / float64(trials[m.Method])
		if m.Trials != trials[m.Method] || m.Fooled != fooled[m.Method] || math.Abs(m.Rate-rate) > 1e-12 || math.Abs(m.Mean-rate) > 1e-12 ||
			m.StandardError == nil || !(m.Low < m.Rate && m.Rate < m.High) || len(m.Images) != 12 || m.Subjects != 12 {
			t.Errorf("%+v, counted %d of %d", m, fooled[m.Method], trials[m.Method])
		}
	}
}

// checkPage: the page is well-formed where it matters, asks nothing of anybody, and
// treats names as text.
func checkPage(t *testing.T, page string) {
	t.Helper()
	words := regexp.MustCompile(`data:image/png;base64,[^"]+`).ReplaceAllString(page, "")
	for _, bad := range []string{"http:", "https:", "<script", "<b>steps", "src=\"/", "NaN", "ZgotmplZ"} {
		if strings.Contains(words, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	if n := strings.Count(page, `class="bar"`); n != 3 {
		t.Errorf("%d bars", n)
	}
	if n := strings.Count(page, `class="whisker"`); n != 3 {
		t.Errorf("%d error bars", n)
	}
	if n := strings.Count(page, "data:image/png"); n != 3*8*2 {
		t.Errorf("%d thumbnails", n)
	}
	svg := page[strings.Index(page, "<svg"):strings.Index(page, "</svg>")] + "</svg>"
	if err := xml.Unmarshal([]byte(svg), new(struct{})); err != nil {
		t.Errorf("the chart: %v", err)
	}
}

func checkCSV(t *testing.T, data []byte, answers int, trials, fooled map[string]int) {
	t.Helper()
	rows, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err != nil || len(rows) != answers+1 {
		t.Fatalf("%d rows of %d answers, %v", len(rows), answers, err)
	}
	n, wrong := map[string]int{}, map[string]int{}
	for _, row := range rows[1:] {
		var subject int
		if _, err := fmt.Sscanf(row[0], "%d", &subject); err != nil {
			t.Fatal(err)
		}
		if subject%7 == 3 || row[4] == "true" {
			continue
		}
		name := strings.TrimPrefix(row[3], "'")
		n[name]++
		if row[7] == "1" {
			wrong[name]++
		}
		if (row[5] == row[6]) == (row[7] == "1") {
			t.Fatalf("row %v", row)
		}
	}
	for name := range trials {
		if n[name] != trials[name] || wrong[name] != fooled[name] {
			t.Errorf("%s: %d of %d, counted %d of %d", name, wrong[name], n[name], fooled[name], trials[name])
		}
	}
}
