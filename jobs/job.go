package jobs

import (
	"time"
)

// State is where a job is in its life.
type State string

// The states of a job. Available, Scheduled and Retryable jobs wait; Completed,
// Cancelled and Discarded ones are finished and stay so.
const (
	Available State = "available" // waits for a worker
	Scheduled State = "scheduled" // waits for its Settings.StartAfter
	Running   State = "running"   // a worker holds its lease
	Retryable State = "retryable" // failed or lost its worker, and waits for another attempt
	Completed State = "completed" // has its results
	Cancelled State = "cancelled" // was called off before it had them
	Discarded State = "discarded" // failed for good
)

// Finished tells whether a job stays in this state.
func (s State) Finished() bool { return s == Completed || s == Cancelled || s == Discarded }

// Job is one image to enlarge, and what has become of it. It is stored and sent
// as the JSON that its tags say.
type Job struct {
	ID    string `json:"id"`
	State State  `json:"state"`
	// Owner is the name of the key that made the job; empty where none is asked for.
	Owner    string   `json:"owner,omitempty"`
	Settings Settings `json:"settings"`
	Input    Object   `json:"input"`

	Created  time.Time  `json:"created"`
	Started  *time.Time `json:"started,omitempty"`  // of the attempt that runs, or ran last
	Finished *time.Time `json:"finished,omitempty"` // when it came to its last state
	// Attempt counts the workers that took the job up, from 1; 0 before the first.
	Attempt int    `json:"attempt"`
	Worker  string `json:"worker,omitempty"` // that has it, or had it last

	// Progress is how far a running job has come, as it was stored last; watchers
	// learn of every step.
	Progress *Progress `json:"progress,omitempty"`
	// Results are the images of a completed job: ResultImage and, where draws were
	// asked for, the others.
	Results []Object `json:"results,omitempty"`
	// Fault says why a job was discarded, or why its last attempt failed.
	Fault *Fault `json:"fault,omitempty"`
}

// Settings say how to enlarge; what is left out is the model's choice. The names
// are those of the flags of "sr3 upscale", which says what they mean.
type Settings struct {
	Model       string   `json:"model,omitempty"`  // name; empty for the default one
	Scale       float64  `json:"scale,omitempty"`  // not with Width or Height
	Width       int      `json:"width,omitempty"`  // pixels
	Height      int      `json:"height,omitempty"` // pixels
	Steps       int      `json:"steps,omitempty"`
	Sampler     string   `json:"sampler,omitempty"`
	Schedule    string   `json:"schedule,omitempty"`
	Eta         *float64 `json:"eta,omitempty"`         // 0 to 1
	Temperature float64  `json:"temperature,omitempty"` // 0 to 2
	// Seed chooses the result, 0 to 2^53-1, which JavaScript can hold. Whoever makes a
	// job draws one where a random result is wanted; a stored job always has its own.
	Seed       uint64 `json:"seed,omitempty"`
	Samples    int    `json:"samples,omitempty"` // draws, with their mean and deviation; 0 for the plain result
	Consistent *bool  `json:"consistent,omitempty"`
	Format     string `json:"format,omitempty"`  // png, jpg, webp or tiff; empty for png
	Quality    int    `json:"quality,omitempty"` // of JPEG, 1 to 100
	// StartAfter holds the job back until then.
	StartAfter *time.Time `json:"start_after,omitempty"`
}

// Names of a job's results.
const (
	// ResultImage is the result; of several draws the first.
	ResultImage = "image"
	// ResultMean and ResultDeviation are the mean of several draws and the map of
	// where they differ.
	ResultMean      = "mean"
	ResultDeviation = "deviation"
	// ResultDraw and a number from 1 is another draw.
	ResultDraw = "draw-"
)

// Object describes an image that belongs to a job.
type Object struct {
	// Name is that of the uploaded file, without any folder, or one of the results'.
	Name   string `json:"name"`
	Type   string `json:"type"`   // "image/png" ...
	Bytes  int64  `json:"bytes"`  // length of the file
	Width  int    `json:"width"`  // pixels
	Height int    `json:"height"` // pixels
	SHA256 string `json:"sha256"` // of the file, 64 hexadecimal digits
}

// Progress is how far an attempt has come. Numbers count from 1.
type Progress struct {
	Draw   int     `json:"draw,omitempty"` // of Draws; 0 without Settings.Samples
	Draws  int     `json:"draws,omitempty"`
	Pass   int     `json:"pass"` // run of the model; several where the scale is larger than the model's
	Passes int     `json:"passes"`
	Step   int     `json:"step"` // refinement step of this pass
	Steps  int     `json:"steps"`
	Gamma  float64 `json:"gamma"` // noise level reached, 0 noise to 1 clean
	Share  float64 `json:"share"` // of all work, 0 to 1
}

// Fault is why a job failed, for people and programs.
type Fault struct {
	Code   string `json:"code"`   // stable, such as "image-damaged"
	Detail string `json:"detail"` // one sentence: the reason and the way out
}

// Error returns the sentence.
func (f *Fault) Error() string { return f.Detail }

// Event is a change that watchers of a job are told of.
type Event struct {
	Job Job `json:"job"`
	// Preview is the estimate of the result after a step as a small image (JPEG or
	// PNG), or nil. Previews are not stored: a watcher that comes late misses them.
	Preview     []byte `json:"preview,omitempty"`
	PreviewType string `json:"preview_type,omitempty"`
}
