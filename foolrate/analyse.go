package foolrate

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
)

// Choice is what a subject answered.
type Choice string

// The answers to a trial.
const (
	Left     Choice = "left"
	Right    Choice = "right"
	TimedOut Choice = "none" // no answer within the time for it
)

// Answer is one answered trial.
type Answer struct {
	Subject      string // any name
	Trial        int    // its place in the subject's sequence
	Image        string
	Method       string // empty: a catch trial
	OriginalLeft bool
	Choice       Choice
	// Response is the time from the appearance of the images to the answer, and
	// Shown how long they were seen, both in milliseconds.
	Response, Shown float64
	// Views is how often the images were shown: more than once after a pause or a
	// reload in the middle of a trial.
	Views int
}

// Fooled says that the result was chosen as the original.
func (a Answer) Fooled() bool {
	return a.Choice == Left && !a.OriginalLeft || a.Choice == Right && a.OriginalLeft
}

// Rules say whose answers count.
type Rules struct {
	// MaxCatchErrors is how many catch trials a subject may answer wrongly, or not at
	// all, and still count. Negative: everybody counts.
	MaxCatchErrors int
	// Complete is how many answers, catch trials and time-outs among them, a subject
	// must have given to count; 0: those who stopped early count too.
	Complete int
}

// Analysis is the result of a study.
type Analysis struct {
	// Subjects is how many count; Excluded says who does not, and why.
	Subjects int
	Excluded []Exclusion
	// Methods are in the order asked for.
	Methods []MethodResult
	// CatchTrials and CatchErrors are of all subjects, the excluded too.
	CatchTrials, CatchErrors int
	// LeftShare is the share of answers of the counted subjects, catch trials
	// included, that said left; far from 1/2 it shows a habit. NaN without answers.
	LeftShare float64
	// Repeated is how many counted answers were given after more than one view.
	Repeated int
}

// Exclusion is a subject whose answers do not count.
type Exclusion struct {
	Subject string
	Answers int    // how many are left out
	Why     string // for people
}

// MethodResult is a row of the result. Rates are in [0, 1]; what cannot be known
// (the error of one subject, times of no answers) is NaN.
type MethodResult struct {
	Method   string
	Subjects int // with at least one answer in time
	Trials   int // answered in time
	Fooled   int // of Trials
	TimedOut int // beside Trials
	// Rate is Fooled over Trials, with its 95 % interval by Wilson's score.
	Rate, Low, High float64
	// Mean is the mean of the subjects' own rates, with its standard error over
	// subjects.
	Mean, StandardError float64
	// Median and Quartile1, Quartile3 of the response times in milliseconds.
	Median, Quartile1, Quartile3 float64
	// Images are the rates of single images, most fooling first; of those that fool
	// equally the ones with more trials, then by name.
	Images []ImageResult
}

// ImageResult is the rate of one image in one method.
type ImageResult struct {
	Image           string
	Trials, Fooled  int
	Rate, Low, High float64 // with Wilson's interval
}

// Analyse computes the rates of the methods named. Answers to trials of other
// methods, answers with an unknown choice, and two answers of a subject to one trial
// are errors: counting them would be wrong, and leaving them out silent.
func Analyse(answers []Answer, methods []string, rules Rules) (*Analysis, error) {
	if err := checkAnswers(answers, methods); err != nil {
		return nil, fmt.Errorf("analyse: %w", err)
	}
	a := &Analysis{}
	counted := a.exclude(answers, rules)
	a.habits(counted)
	for _, m := range methods {
		var own []Answer
		for _, answer := range counted {
			if answer.Method == m {
				own = append(own, answer)
			}
		}
		a.Methods = append(a.Methods, rateOf(m, own))
	}
	return a, nil
}

func checkAnswers(answers []Answer, methods []string) error {
	type key struct {
		subject string
		trial   int
	}
	seen := map[key]bool{}
	for _, a := range answers {
		k := key{a.Subject, a.Trial}
		switch {
		case seen[k]:
			return fmt.Errorf("subject %s has two answers to trial %d", a.Subject, a.Trial)
		case a.Method != "" && !slices.Contains(methods, a.Method):
			return fmt.Errorf("subject %s, trial %d: there is no method %q", a.Subject, a.Trial, a.Method)
		case a.Choice != Left && a.Choice != Right && a.Choice != TimedOut:
			return fmt.Errorf("subject %s, trial %d: unknown choice %q", a.Subject, a.Trial, a.Choice)
		}
		seen[k] = true
	}
	if slices.Contains(methods, "") {
		return errors.New("a method without a name")
	}
	return nil
}

// exclude counts catch trials and returns the answers of the subjects who count.
func (a *Analysis) exclude(answers []Answer, rules Rules) []Answer {
	bySubject := map[string][]Answer{}
	for _, answer := range answers {
		bySubject[answer.Subject] = append(bySubject[answer.Subject], answer)
	}
	var counted []Answer
	for _, subject := range slices.Sorted(maps.Keys(bySubject)) {
		own := bySubject[subject]
		trials, wrong := 0, 0
		for _, answer := range own {
			if answer.Method != "" {
				continue
			}
			trials++
			if answer.Fooled() || answer.Choice == TimedOut {
				wrong++
			}
		}
		a.CatchTrials += trials
		a.CatchErrors += wrong
		why := ""
		switch {
		case rules.MaxCatchErrors >= 0 && wrong > rules.MaxCatchErrors:
			why = fmt.Sprintf("%d of %d catch trials failed, at most %d allowed", wrong, trials, rules.MaxCatchErrors)
		case len(own) < rules.Complete:
			why = fmt.Sprintf("stopped after %d of %d trials", len(own), rules.Complete)
		}
		if why != "" {
			a.Excluded = append(a.Excluded, Exclusion{subject, len(own), why})
			continue
		}
		a.Subjects++
		counted = append(counted, own...)
	}
	return counted
}

// habits looks at how answers were given.
func (a *Analysis) habits(counted []Answer) {
	left, given := 0, 0
	for _, answer := range counted {
		if answer.Views > 1 {
			a.Repeated++
		}
		switch answer.Choice {
		case Left:
			left++
			given++
		case Right:
			given++
		}
	}
	a.LeftShare = math.NaN()
	if given > 0 {
		a.LeftShare = float64(left) / float64(given)
	}
}

// tally counts trials and those that fooled.
type tally struct{ trials, fooled int }

func (t *tally) add(a Answer) {
	t.trials++
	if a.Fooled() {
		t.fooled++
	}
}

func rateOf(method string, answers []Answer) MethodResult {
	r := MethodResult{Method: method, Rate: math.NaN()}
	subjects, images := map[string]*tally{}, map[string]*tally{}
	var all tally
	var times []float64
	for _, a := range answers {
		if a.Choice == TimedOut {
			r.TimedOut++
			continue
		}
		all.add(a)
		entry(subjects, a.Subject).add(a)
		entry(images, a.Image).add(a)
		times = append(times, a.Response)
	}
	r.Subjects, r.Trials, r.Fooled = len(subjects), all.trials, all.fooled
	if all.trials > 0 {
		r.Rate = float64(all.fooled) / float64(all.trials)
	}
	r.Low, r.High = Wilson(all.fooled, all.trials)
	var rates []float64
	for _, name := range slices.Sorted(maps.Keys(subjects)) { // sums in one order
		rates = append(rates, float64(subjects[name].fooled)/float64(subjects[name].trials))
	}
	r.Mean, r.StandardError = MeanError(rates)
	r.Quartile1, r.Median, r.Quartile3 = Quantile(times, 0.25), Quantile(times, 0.5), Quantile(times, 0.75)
	r.Images = imageResults(images)
	return r
}

func entry(m map[string]*tally, key string) *tally {
	if m[key] == nil {
		m[key] = &tally{}
	}
	return m[key]
}

func imageResults(images map[string]*tally) []ImageResult {
	var out []ImageResult
	for name, t := range images {
		low, high := Wilson(t.fooled, t.trials)
		out = append(out, ImageResult{name, t.trials, t.fooled, float64(t.fooled) / float64(t.trials), low, high})
	}
	slices.SortFunc(out, func(a, b ImageResult) int {
		return cmp.Or(cmp.Compare(b.Rate, a.Rate), cmp.Compare(b.Trials, a.Trials), cmp.Compare(a.Image, b.Image))
	})
	return out
}

// SubjectsFor is how many subjects with n answers each it takes for a 95 % interval
// of the mean fool rate of plus or minus half (0 to 1), when the rate is p and the
// subjects' own probabilities differ with standard deviation spread (0: all alike).
// The variance of a subject's rate is spread^2 + (p(1-p) - spread^2)/n.
func SubjectsFor(p, half, spread float64, n int) int {
	variance := spread*spread + (p*(1-p)-spread*spread)/float64(n)
	return int(math.Ceil(z95 * z95 * variance / (half * half)))
}
