package foolrate_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/foolrate"
	"github.com/sr3-go/sr3/internal/philox"
)

// golden is what testdata/simulate.py computed by another route.
type golden struct {
	Rates    map[string]float64
	Wilson   [][4]float64
	Analysis struct {
		Subjects       int
		Excluded       []string
		MaxCatchErrors int     `json:"max_catch_errors"`
		CatchTrials    int     `json:"catch_trials"`
		CatchErrors    int     `json:"catch_errors"`
		LeftShare      float64 `json:"left_share"`
		Repeated       int
		Methods        []struct {
			Method                   string
			Subjects, Trials, Fooled int
			TimedOut                 int `json:"timed_out"`
			Rate, Low, High, Mean    float64
			StandardError            float64 `json:"standard_error"`
			Quartiles                [3]float64
			Images                   [][5]any
		}
	}
}

func readGolden(t *testing.T) golden {
	t.Helper()
	data, err := os.ReadFile("testdata/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

func readAnswers(t *testing.T) []foolrate.Answer {
	t.Helper()
	f, err := os.Open("testdata/answers.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	number := func(s string) float64 {
		v, err := strconv.ParseFloat(s, 64)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	var out []foolrate.Answer
	for _, r := range rows[1:] {
		out = append(out, foolrate.Answer{Subject: r[0], Trial: int(number(r[1])), Image: r[2], Method: r[3], OriginalLeft: r[4] == "1",
			Choice: foolrate.Choice(r[5]), Response: number(r[6]), Shown: number(r[7]), Views: int(number(r[8]))})
	}
	return out
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) <= 1e-12*max(1, math.Abs(want))) {
		t.Errorf("%s: %.17g, want %.17g", what, got, want)
	}
}

// TestAgainstIndependentComputation compares every number of a simulated study with
// what testdata/simulate.py made of the same answers.
func TestAgainstIndependentComputation(t *testing.T) {
	g := readGolden(t)
	var methods []string
	for _, m := range g.Analysis.Methods {
		methods = append(methods, m.Method)
	}
	a, err := foolrate.Analyse(readAnswers(t), methods, foolrate.Rules{MaxCatchErrors: g.Analysis.MaxCatchErrors})
	if err != nil {
		t.Fatal(err)
	}
	want := g.Analysis
	var excluded []string
	for _, e := range a.Excluded {
		excluded = append(excluded, e.Subject)
	}
	if a.Subjects != want.Subjects || !slices.Equal(excluded, want.Excluded) || a.CatchTrials != want.CatchTrials ||
		a.CatchErrors != want.CatchErrors || a.Repeated != want.Repeated {
		t.Errorf("%d subjects, excluded %v, %d of %d catch trials wrong, %d repeated; want %+v", a.Subjects, excluded, a.CatchErrors, a.CatchTrials, a.Repeated, want)
	}
	if len(excluded) == 0 {
		t.Error("nobody is excluded: the data test nothing of it")
	}
	near(t, "share of left", a.LeftShare, want.LeftShare)
	for i, w := range want.Methods {
		m := a.Methods[i]
		if m.Method != w.Method || m.Subjects != w.Subjects || m.Trials != w.Trials || m.Fooled != w.Fooled || m.TimedOut != w.TimedOut {
			t.Errorf("%+v, want %+v", m, w)
		}
		near(t, w.Method+" rate", m.Rate, w.Rate)
		near(t, w.Method+" low", m.Low, w.Low)
		near(t, w.Method+" high", m.High, w.High)
		near(t, w.Method+" mean", m.Mean, w.Mean)
		near(t, w.Method+" standard error", m.StandardError, w.StandardError)
		for q, got := range []float64{m.Quartile1, m.Median, m.Quartile3} {
			near(t, fmt.Sprint(w.Method, " quartile ", q+1), got, w.Quartiles[q])
		}
		if len(m.Images) != len(w.Images) {
			t.Fatalf("%d images, want %d", len(m.Images), len(w.Images))
		}
		for k, image := range m.Images {
			row := w.Images[k]
			if image.Image != row[0] || float64(image.Trials) != row[1] || float64(image.Fooled) != row[2] {
				t.Fatalf("%s: image %d is %+v, want %v", w.Method, k, image, row)
			}
			near(t, image.Image+" low", image.Low, row[3].(float64))
			near(t, image.Image+" high", image.High, row[4].(float64))
		}
		if truth := g.Rates[w.Method]; math.Abs(m.Rate-truth) > 0.1 {
			t.Errorf("%s: rate %v is far from the %v simulated", w.Method, m.Rate, truth)
		}
	}
}

func TestWilson(t *testing.T) {
	for _, c := range readGolden(t).Wilson {
		low, high := foolrate.Wilson(int(c[0]), int(c[1]))
		near(t, fmt.Sprintf("%v of %v low", c[0], c[1]), low, c[2])
		near(t, fmt.Sprintf("%v of %v high", c[0], c[1]), high, c[3])
	}
	if low, high := foolrate.Wilson(0, 0); low != 0 || high != 1 {
		t.Errorf("of nothing: %v to %v", low, high)
	}
}

// TestCoverage simulates 2000 studies: the interval holds the true rate in about
// 95 % of them, and the mean over subjects is right on average.
func TestCoverage(t *testing.T) {
	const studies, subjects, each, truth = 2000, 10, 20, 0.38
	held, sum := 0, 0.0
	for s := range studies {
		coin := philox.New(7, uint64(s))
		var answers []foolrate.Answer
		for i := range subjects * each {
			a := foolrate.Answer{Subject: fmt.Sprint(i / each), Trial: i % each, Image: "x", Method: "m", OriginalLeft: i%2 == 0, Choice: foolrate.Left}
			if (coin.Float64(uint64(i)) < truth) == a.OriginalLeft {
				a.Choice = foolrate.Right
			}
			answers = append(answers, a)
		}
		a, err := foolrate.Analyse(answers, []string{"m"}, foolrate.Rules{})
		if err != nil {
			t.Fatal(err)
		}
		if m := a.Methods[0]; m.Low <= truth && truth <= m.High {
			held++
		}
		sum += a.Methods[0].Mean
	}
	if share := float64(held) / studies; share < 0.93 || share > 0.97 {
		t.Errorf("95 %% intervals hold the truth in %.1f %% of studies", 100*share)
	}
	if mean := sum / studies; math.Abs(mean-truth) > 0.004 { // five standard errors
		t.Errorf("mean rate %v, want %v", mean, truth)
	}
}

func TestRules(t *testing.T) {
	answers := []foolrate.Answer{
		{Subject: "good", Trial: 0, Image: "a", Method: "m", OriginalLeft: true, Choice: foolrate.Right},
		{Subject: "good", Trial: 1, Image: "b", OriginalLeft: true, Choice: foolrate.Left},
		{Subject: "blind", Trial: 0, Image: "a", Method: "m", OriginalLeft: true, Choice: foolrate.Left},
		{Subject: "blind", Trial: 1, Image: "b", OriginalLeft: true, Choice: foolrate.Right},
		{Subject: "asleep", Trial: 0, Image: "b", OriginalLeft: true, Choice: foolrate.TimedOut},
		{Subject: "asleep", Trial: 1, Image: "a", Method: "m", Choice: foolrate.TimedOut},
		{Subject: "gone", Trial: 0, Image: "a", Method: "m", OriginalLeft: false, Choice: foolrate.Right, Views: 2},
	}
	for _, c := range []struct {
		rules    foolrate.Rules
		excluded string
		trials   int
		rate     float64
	}{
		{foolrate.Rules{MaxCatchErrors: -1}, "", 3, 1. / 3},
		{foolrate.Rules{MaxCatchErrors: 0}, "asleep blind", 2, 0.5},
		{foolrate.Rules{MaxCatchErrors: 1}, "", 3, 1. / 3},
		{foolrate.Rules{MaxCatchErrors: 0, Complete: 2}, "asleep blind gone", 1, 1},
	} {
		a, err := foolrate.Analyse(answers, []string{"m"}, c.rules)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range a.Excluded {
			names = append(names, e.Subject)
			if e.Why == "" || e.Answers == 0 {
				t.Errorf("%+v: excluded without a word: %+v", c.rules, e)
			}
		}
		if got := strings.Join(names, " "); got != c.excluded || a.Methods[0].Trials != c.trials || a.Methods[0].Rate != c.rate {
			t.Errorf("%+v: excluded %q, %+v", c.rules, got, a.Methods[0])
		}
		if a.CatchTrials != 3 || a.CatchErrors != 2 {
			t.Errorf("%+v: %d of %d catch trials wrong", c.rules, a.CatchErrors, a.CatchTrials)
		}
	}
}

func TestAnalyseRefuses(t *testing.T) {
	good := foolrate.Answer{Subject: "s", Image: "a", Method: "m", Choice: foolrate.Left}
	unknown, maybe := good, good
	unknown.Method, unknown.Trial = "x", 1
	maybe.Choice, maybe.Trial = "maybe", 2
	for want, answers := range map[string][]foolrate.Answer{
		"two answers":       {good, good},
		`no method "x"`:     {good, unknown},
		`choice "maybe"`:    {good, maybe},
		"method without":    {},
		"subject s, trial ": {maybe},
	} {
		methods := []string{"m"}
		if len(answers) == 0 {
			methods = []string{""}
		}
		if _, err := foolrate.Analyse(answers, methods, foolrate.Rules{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
	a, err := foolrate.Analyse(nil, []string{"m"}, foolrate.Rules{})
	if err != nil {
		t.Fatal(err)
	}
	if m := a.Methods[0]; !math.IsNaN(m.Rate) || !math.IsNaN(m.Mean) || !math.IsNaN(m.Median) || m.Low != 0 || m.High != 1 || !math.IsNaN(a.LeftShare) {
		t.Errorf("of no answers: %+v", m)
	}
}

// The figures of docs/study.md.
func TestSubjectsFor(t *testing.T) {
	for _, c := range []struct {
		p, half, spread float64
		n, want         int
	}{
		{0.5, 0.05, 0, 50, 8}, {0.5, 0.05, 0.1, 50, 23}, {0.5, 0.03, 0.1, 50, 64}, {0.5, 0.02, 0.1, 50, 143}, {0.5, 0.1, 0.1, 50, 6}, {0.5, 0.05, 0.1, 20, 34},
	} {
		if got := foolrate.SubjectsFor(c.p, c.half, c.spread, c.n); got != c.want {
			t.Errorf("%+v: %d subjects", c, got)
		}
	}
}
