package study

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/sr3-go/sr3/foolrate"
)

// Report is what a study found.
type Report struct {
	Title    string
	Task     foolrate.Task
	Question string
	Display  int // milliseconds; 0: until answered
	Design   foolrate.Design
	Rules    foolrate.Rules
	Progress Progress
	Methods  []MethodEntry
	Analysis *foolrate.Analysis
	Timing   Timing
}

// Timing says how long pairs were really shown to those who count, in milliseconds.
type Timing struct {
	Median, Shortest, Longest float64 // NaN without answers
	// Off is how many of the answers were given to pairs shown more than two frames
	// of a screen of 60 Hz shorter or longer than the study says. It is 0 in studies
	// where pairs stay until the answer, or may be answered before they go.
	Off, Answers int
}

// twoFrames is the tolerance of the time for which pairs are shown, milliseconds.
const twoFrames = 2 * 1000. / 60

// Report analyses the answers. Rules come from the manifest ([Folder.Rules]) or
// elsewhere.
func (f *Folder) Report(ctx context.Context, s *Store, rules foolrate.Rules) (*Report, error) {
	answers, err := s.Answers(ctx)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	m := &f.Manifest
	r := &Report{Title: m.Title, Task: m.Task, Question: m.Asked(), Display: m.DisplayMS, Design: m.Design(), Rules: rules, Methods: m.Methods}
	if r.Progress, err = s.Progress(ctx); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	if r.Analysis, err = foolrate.Analyse(answers, m.MethodNames(), rules); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	r.Timing = timing(answers, r.Analysis.Excluded, m)
	return r, nil
}

// Rules are those that the manifest fixed beforehand.
func (f *Folder) Rules() foolrate.Rules {
	return foolrate.Rules{MaxCatchErrors: f.Manifest.MaxCatchErrors}
}

func timing(answers []foolrate.Answer, excluded []foolrate.Exclusion, m *Manifest) Timing {
	out := map[string]bool{}
	for _, e := range excluded {
		out[e.Subject] = true
	}
	t := Timing{Shortest: math.NaN(), Longest: math.NaN()}
	var shown []float64
	for _, a := range answers {
		if out[a.Subject] {
			continue
		}
		shown = append(shown, a.Shown)
		if m.DisplayMS > 0 && !m.EarlyAnswers && math.Abs(a.Shown-float64(m.DisplayMS)) > twoFrames {
			t.Off++
		}
	}
	t.Answers, t.Median = len(shown), foolrate.Quantile(shown, 0.5)
	t.Shortest, t.Longest = foolrate.Quantile(shown, 0), foolrate.Quantile(shown, 1)
	return t
}

// display says in words how long pairs were shown.
func (r *Report) display() string {
	if r.Display == 0 {
		return "shown until answered"
	}
	return fmt.Sprintf("shown for %s s", strconv.FormatFloat(float64(r.Display)/1000, 'f', -1, 64))
}

// Heading says in a line what was asked of how many.
func (r *Report) Heading() string {
	with := "without the low-resolution image"
	if r.Task == foolrate.WithInput {
		with = "with the low-resolution image"
	}
	return fmt.Sprintf("Task-%d (%s), %s: %d of %d subjects count", r.Task, with, r.display(), r.Analysis.Subjects, r.Analysis.Subjects+len(r.Analysis.Excluded))
}

// Remarks say what a reader of the table must know: who was left out and why, and
// what in the answers looks odd.
func (r *Report) Remarks() []string {
	a := r.Analysis
	var out []string
	out = append(out, fmt.Sprintf("%d of %d links used, %d subjects finished, %d answers.", r.Progress.Agreed, r.Progress.Links, r.Progress.Finished, r.Progress.Answers))
	if a.CatchTrials > 0 {
		rule := fmt.Sprintf("Subjects with more than %d are excluded.", r.Rules.MaxCatchErrors)
		if r.Rules.MaxCatchErrors < 0 {
			rule = "Nobody is excluded for it."
		}
		out = append(out, fmt.Sprintf("%d of %d catch trials failed. %s", a.CatchErrors, a.CatchTrials, rule))
	} else if r.Design.Catch == 0 {
		out = append(out, "There were no catch trials: who did not look cannot be told.")
	}
	for _, e := range a.Excluded {
		out = append(out, fmt.Sprintf("Excluded: subject %s (%d answers): %s.", e.Subject, e.Answers, e.Why))
	}
	if t := r.Timing; t.Answers > 0 {
		line := fmt.Sprintf("Pairs were seen for %.0f ms (median; %.0f to %.0f)", t.Median, t.Shortest, t.Longest)
		if t.Off > 0 {
			line += fmt.Sprintf("; %d of %d were off by more than two frames", t.Off, t.Answers)
		}
		out = append(out, line+".")
	}
	if a.Repeated > 0 {
		out = append(out, fmt.Sprintf("%d answers were given after more than one view (a pause or a reload in the middle).", a.Repeated))
	}
	if !math.IsNaN(a.LeftShare) {
		out = append(out, fmt.Sprintf("%.1f %% of answers said left.", 100*a.LeftShare))
	}
	return out
}

// Text is the table for a terminal.
func (r *Report) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n\n", r.Title, r.Heading())
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "method\tfool rate ± SE\tpooled [95 %]\tfooled\tsubjects\ttime (s)\ttimed out")
	for _, m := range r.Analysis.Methods {
		fmt.Fprintf(w, "%s\t%s\t%s [%s, %s]\t%d of %d\t%d\t%s\t%d\n", m.Method, meanText(m), percent(m.Rate), percent(m.Low), percent(m.High),
			m.Fooled, m.Trials, m.Subjects, timesText(m), m.TimedOut)
	}
	w.Flush()
	b.WriteString("\n50 % is the ceiling: the rate of results that cannot be told from originals.\n")
	for _, line := range r.Remarks() {
		b.WriteString(line + "\n")
	}
	return b.String()
}

// percent prints a share; what is not known is a dash.
func percent(share float64) string {
	if math.IsNaN(share) {
		return "–"
	}
	return strconv.FormatFloat(100*share, 'f', 1, 64)
}

func meanText(m foolrate.MethodResult) string {
	if math.IsNaN(m.StandardError) {
		return percent(m.Mean) + " %"
	}
	return percent(m.Mean) + " ± " + percent(m.StandardError) + " %"
}

func timesText(m foolrate.MethodResult) string {
	if math.IsNaN(m.Median) {
		return "–"
	}
	return fmt.Sprintf("%.2f (%.2f to %.2f)", m.Median/1000, m.Quartile1/1000, m.Quartile3/1000)
}

// csvHeader names the columns of [WriteCSV].
var csvHeader = []string{"subject", "trial", "image", "method", "catch", "original", "choice", "fooled", "response_ms", "shown_ms", "views"}

// WriteCSV writes all answers, the excluded subjects' too, one a line.
func WriteCSV(w io.Writer, answers []foolrate.Answer) error {
	c := csv.NewWriter(w)
	_ = c.Write(csvHeader) // errors show in Flush
	for _, a := range answers {
		original, fooled := "right", "0"
		if a.OriginalLeft {
			original = "left"
		}
		if a.Fooled() {
			fooled = "1"
		}
		if a.Choice == foolrate.TimedOut {
			fooled = ""
		}
		_ = c.Write([]string{a.Subject, strconv.Itoa(a.Trial), plainCell(a.Image), plainCell(a.Method), strconv.FormatBool(a.Method == ""), original, string(a.Choice),
			fooled, number(a.Response), number(a.Shown), strconv.Itoa(a.Views)})
	}
	c.Flush()
	if err := c.Error(); err != nil {
		return fmt.Errorf("write CSV: %w", err)
	}
	return nil
}

// plainCell keeps a name from being taken for a formula by spreadsheets.
func plainCell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
