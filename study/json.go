package study

import (
	"encoding/json"
	"math"

	"github.com/sr3-go/sr3/foolrate"
)

// maybe is a number that JSON can hold: null stands for what cannot be known.
type maybe float64

// MarshalJSON writes a number or null.
func (m maybe) MarshalJSON() ([]byte, error) {
	if v := float64(m); math.IsNaN(v) || math.IsInf(v, 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(m))
}

// reportJSON is the form of [Report] for programs. Rates are shares from 0 to 1.
type reportJSON struct {
	Title          string          `json:"title"`
	Task           foolrate.Task   `json:"task"`
	Question       string          `json:"question"`
	DisplayMS      int             `json:"display_ms"`
	Allocation     string          `json:"allocation"`
	PerSubject     int             `json:"per_subject"`
	Images         int             `json:"images"`
	Links          int             `json:"links"`
	Agreed         int             `json:"agreed"`
	Finished       int             `json:"finished"`
	Answers        int             `json:"answers"`
	Subjects       int             `json:"subjects"`
	Excluded       []exclusionJSON `json:"excluded"`
	MaxCatchErrors int             `json:"max_catch_errors"`
	CatchTrials    int             `json:"catch_trials"`
	CatchErrors    int             `json:"catch_errors"`
	LeftShare      maybe           `json:"left_share"`
	Repeated       int             `json:"repeated"`
	ShownMS        shownJSON       `json:"shown_ms"`
	Methods        []methodJSON    `json:"methods"`
}

type exclusionJSON struct {
	Subject string `json:"subject"`
	Answers int    `json:"answers"`
	Why     string `json:"why"`
}

type shownJSON struct {
	Median   maybe `json:"median"`
	Shortest maybe `json:"shortest"`
	Longest  maybe `json:"longest"`
	Off      int   `json:"off_by_more_than_two_frames"`
}

type methodJSON struct {
	Method        string      `json:"method"`
	Settings      string      `json:"settings,omitempty"`
	Subjects      int         `json:"subjects"`
	Trials        int         `json:"trials"`
	Fooled        int         `json:"fooled"`
	TimedOut      int         `json:"timed_out"`
	Mean          maybe       `json:"mean"`
	StandardError maybe       `json:"standard_error"`
	Rate          maybe       `json:"rate"`
	Low           maybe       `json:"low"`
	High          maybe       `json:"high"`
	ResponseMS    [3]maybe    `json:"response_ms_quartiles"`
	Images        []imageJSON `json:"images"`
}

type imageJSON struct {
	Image  string  `json:"image"`
	Trials int     `json:"trials"`
	Fooled int     `json:"fooled"`
	Rate   float64 `json:"rate"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
}

// MarshalJSON writes the report with rates as shares from 0 to 1 and null for what
// cannot be known.
func (r *Report) MarshalJSON() ([]byte, error) {
	a := r.Analysis
	out := reportJSON{Title: r.Title, Task: r.Task, Question: r.Question, DisplayMS: r.Display, Allocation: string(r.Design.Allocation),
		PerSubject: r.Design.PerSubject, Images: r.Design.Images, Links: r.Progress.Links, Agreed: r.Progress.Agreed, Finished: r.Progress.Finished,
		Answers: r.Progress.Answers, Subjects: a.Subjects, Excluded: []exclusionJSON{}, MaxCatchErrors: r.Rules.MaxCatchErrors,
		CatchTrials: a.CatchTrials, CatchErrors: a.CatchErrors, LeftShare: maybe(a.LeftShare), Repeated: a.Repeated,
		ShownMS: shownJSON{maybe(r.Timing.Median), maybe(r.Timing.Shortest), maybe(r.Timing.Longest), r.Timing.Off}}
	for _, e := range a.Excluded {
		out.Excluded = append(out.Excluded, exclusionJSON(e))
	}
	for i, m := range a.Methods {
		entry := methodJSON{Method: m.Method, Settings: r.Methods[i].Settings, Subjects: m.Subjects, Trials: m.Trials, Fooled: m.Fooled, TimedOut: m.TimedOut,
			Mean: maybe(m.Mean), StandardError: maybe(m.StandardError), Rate: maybe(m.Rate), Low: maybe(m.Low), High: maybe(m.High),
			ResponseMS: [3]maybe{maybe(m.Quartile1), maybe(m.Median), maybe(m.Quartile3)}, Images: []imageJSON{}}
		for _, image := range m.Images {
			entry.Images = append(entry.Images, imageJSON(image))
		}
		out.Methods = append(out.Methods, entry)
	}
	return json.Marshal(out)
}
