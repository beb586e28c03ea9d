package model

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// CardRun is what one training run tells of itself: enough to repeat it, given
// the images, and to know what it cost. Zero values are unknown.
type CardRun struct {
	Name string `json:"name"` // of the model that it made
	// Learns says in a few words what the network was taught.
	Learns string `json:"learns,omitempty"`
	// Origin is the model whose weights the run began from; nil for fresh weights.
	Origin *CardOrigin `json:"origin,omitempty"`
	// Predictor is the regression that made its conditions; nil for the bicubic
	// enlargement.
	Predictor *CardOrigin `json:"predictor,omitempty"`
	// Commands are the command lines as typed, oldest first, without those that
	// repeat the one before.
	Commands []string `json:"commands,omitempty"`
	// Config is the whole configuration in TOML, as it was at the end; Changes
	// tells of settings that were others before.
	Config  string   `json:"config,omitempty"`
	Changes []string `json:"changes,omitempty"`
	Seed    uint64   `json:"seed"`
	Steps   int      `json:"steps"`
	Batch   int      `json:"batch,omitempty"`
	Crop    int      `json:"crop,omitempty"`
	Images  int64    `json:"images,omitempty"` // examples seen, crops of the side Crop
	// Began and Saved are the times of the first start and of these weights.
	Began time.Time `json:"began,omitzero"`
	Saved time.Time `json:"saved,omitzero"`
	// StepSeconds is the wall-clock time that TimedSteps of the steps took, and
	// OtherSeconds what validation, pictures and checkpoints took beside.
	StepSeconds  float64 `json:"step_seconds,omitempty"`
	OtherSeconds float64 `json:"other_seconds,omitempty"`
	TimedSteps   int     `json:"timed_steps,omitempty"`
	// Machines and Versions are those of processor and program, oldest first.
	Machines []string `json:"machines,omitempty"`
	Versions []string `json:"versions,omitempty"`
	// Data are the sources of its images.
	Data      []CardSource `json:"data,omitempty"`
	HeldOut   []CardSource `json:"held_out,omitempty"`
	DataNotes []string     `json:"data_notes,omitempty"`
	// Curve is the course of the loss, a hundred points or so.
	Curve []CurvePoint `json:"curve,omitempty"`
}

// CardOrigin names the model that a run began from or used.
type CardOrigin struct {
	Name   string `json:"name"`
	Digest string `json:"digest,omitempty"` // of its file
	// Weights is the digest of its weights alone (see [Model.WeightsDigest]); empty
	// for unknown.
	Weights string `json:"weights,omitempty"`
	// Recorded tells that its own training stands in the same card.
	Recorded bool `json:"recorded"`
}

// Facts are the run in words, as pairs of a name and a value.
func (r CardRun) Facts() [][2]string {
	var list [][2]string
	add := func(name, value string) {
		if value != "" {
			list = append(list, [2]string{name, value})
		}
	}
	add("learns", r.Learns)
	add("begins from", r.begins())
	if r.Predictor != nil {
		add("refines the result of", r.Predictor.describe())
	}
	add("steps", fmt.Sprintf("%d of %s, %d in all", r.Steps, crops(r.Batch, r.Crop), r.Images))
	add("seed", fmt.Sprint(r.Seed))
	add("changed on the way", strings.Join(r.Changes, "; "))
	add("time", r.time())
	add("speed", r.speed())
	add("machine", orUnknown(strings.Join(r.Machines, "; then ")))
	add("program", orUnknown(strings.Join(r.Versions, "; then ")))
	add("dates", r.dates())
	return list
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

func crops(batch, side int) string {
	if side == 0 {
		return fmt.Sprintf("%d crops", batch)
	}
	return fmt.Sprintf("%d crops of %dx%d pixels", batch, side, side)
}

func (r CardRun) begins() string {
	if r.Origin == nil {
		return "fresh weights"
	}
	return "the weights of " + r.Origin.describe()
}

func (o CardOrigin) describe() string {
	text := o.Name
	if o.Digest != "" {
		text += " (digest " + o.Digest + ")"
	}
	if !o.Recorded {
		text += ", whose training is not recorded here"
	}
	return text
}

// time is the wall-clock time spent.
func (r CardRun) time() string {
	if r.TimedSteps == 0 {
		return "unknown"
	}
	text := duration(r.StepSeconds) + " of training steps"
	if r.TimedSteps < r.Steps {
		text += fmt.Sprintf(" (for the last %d; that of the %d before is unknown)", r.TimedSteps, r.Steps-r.TimedSteps)
	}
	if r.OtherSeconds > 0 {
		text += ", " + duration(r.OtherSeconds) + " of validation, pictures and checkpoints"
	}
	return text + ", wall clock"
}

// speed is the mean over all timed steps.
func (r CardRun) speed() string {
	if r.TimedSteps == 0 || r.StepSeconds <= 0 {
		return ""
	}
	return fmt.Sprintf("%.3g crops a second", float64(r.TimedSteps)*float64(r.Batch)/r.StepSeconds)
}

func (r CardRun) dates() string {
	day := func(t time.Time) string {
		if t.IsZero() {
			return "unknown"
		}
		return t.UTC().Format(time.DateOnly)
	}
	if r.Began.IsZero() && r.Saved.IsZero() {
		return ""
	}
	if day(r.Began) == day(r.Saved) {
		return day(r.Saved)
	}
	return day(r.Began) + " to " + day(r.Saved)
}

// duration is a time in the unit that people would take.
func duration(seconds float64) string {
	switch {
	case seconds < 120:
		return fmt.Sprintf("%.3g s", seconds)
	case seconds < 2*3600:
		return fmt.Sprintf("%.3g min", seconds/60)
	}
	return fmt.Sprintf("%.3g h", seconds/3600)
}

// Gather sets Data, HeldOut and DataNotes from all runs, the predictor's too: what taught the weights
// is what any of them saw. A note that not all runs have names its run.
func (c *Card) Gather() {
	c.Data, c.HeldOut, c.DataNotes = nil, nil, nil
	runs := c.Runs
	if c.Predictor != nil {
		runs = slices.Concat(c.Predictor.Runs, runs)
	}
	for _, r := range runs {
		c.Data = mergeSources(c.Data, r.Data)
		for _, note := range r.DataNotes {
			of := func(o CardRun) bool { return slices.Contains(o.DataNotes, note) }
			if slices.ContainsFunc(runs, func(o CardRun) bool { return !of(o) }) {
				note = r.Name + ": " + note
			}
			if !slices.Contains(c.DataNotes, note) {
				c.DataNotes = append(c.DataNotes, note)
			}
		}
		c.HeldOut = mergeSources(c.HeldOut, r.HeldOut)
	}
}

// mergeSources appends those that are not there yet; of equal ones the larger
// number of images counts.
func mergeSources(have, more []CardSource) []CardSource {
	for _, s := range more {
		i := slices.IndexFunc(have, func(h CardSource) bool {
			return h.Name == s.Name && h.Licence == s.Licence && h.URL == s.URL
		})
		if i < 0 {
			have = append(have, s)
			continue
		}
		have[i].Images = max(have[i].Images, s.Images)
	}
	return have
}
