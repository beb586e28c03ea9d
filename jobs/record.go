package jobs

import (
	"errors"
	"time"
)

// Codes of the faults that the queue itself finds.
const (
	// FaultFailed is the code of a job whose attempts all failed.
	FaultFailed = "failed"
	// FaultWorkerLost is the code of a job whose workers died or lost touch.
	FaultWorkerLost = "worker-lost"
)

// maxDetail bounds what is stored of an error, in bytes.
const maxDetail = 2000

// record is what is stored of a job. Every change of it is one of the methods below,
// stored by compare-and-swap.
type record struct {
	Job
	Key string `json:"key,omitempty"` // of the idempotency entry
	// Runner is the one call of a worker that has or had the job; Job.Worker is for people.
	Runner string `json:"runner,omitempty"`
	// Failures and Losses count attempts that failed and workers that vanished.
	Failures int `json:"failures,omitempty"`
	Losses   int `json:"losses,omitempty"`
	// NotBefore holds back another attempt.
	NotBefore *time.Time `json:"not_before,omitempty"`
	// Gone is left when a job is removed; of the rest only the ID and the owner are.
	Gone bool `json:"gone,omitempty"`

	revision uint64 // under which it is stored
}

// Reasons why a record stays as it is.
var (
	errFinished = errors.New("the job is finished")
	errHeld     = errors.New("a worker has the job")
	errTooEarly = errors.New("it is too early")
	errNotOurs  = errors.New("the job is no longer this worker's")
)

// due is when the job may be taken up.
func (r *record) due() time.Time {
	var t time.Time
	if s := r.Settings.StartAfter; s != nil {
		t = *s
	}
	if r.NotBefore != nil && r.NotBefore.After(t) {
		t = *r.NotBefore
	}
	return t
}

// take gives a waiting job to a worker.
func (r *record) take(worker, runner string, now time.Time) error {
	switch {
	case r.State.Finished():
		return errFinished
	case r.State == Running:
		return errHeld
	case r.due().After(now):
		return errTooEarly
	}
	r.State, r.Worker, r.Runner, r.Started = Running, worker, runner, &now
	r.Attempt++
	r.Progress, r.NotBefore, r.Fault = nil, nil, nil
	return nil
}

// ours tells whether an attempt still has the job.
func (r *record) ours(runner string, attempt int) bool {
	return r.State == Running && r.Runner == runner && r.Attempt == attempt
}

// finish brings a job to its last state.
func (r *record) finish(s State, now time.Time) {
	r.State, r.Finished, r.NotBefore = s, &now, nil
	if s != Completed {
		r.Progress, r.Results = nil, nil
	}
}

// complete gives a job its results.
func (r *record) complete(results []Object, now time.Time) {
	r.Results, r.Fault = results, nil
	if r.Progress != nil {
		p := *r.Progress
		p.Share = 1
		r.Progress = &p
	}
	r.finish(Completed, now)
}

// discard ends a job that would fail again.
func (r *record) discard(f *Fault, now time.Time) {
	r.Fault = f
	r.finish(Discarded, now)
}

// fail ends an attempt that failed for a reason that may pass.
func (r *record) fail(cause error, s *settings, now time.Time) {
	r.Failures++
	r.retry(&Fault{FaultFailed, cut(cause.Error())}, r.Failures >= s.Attempts, s.backoff(r.Failures), now)
}

// lose ends an attempt whose worker was not heard of for the length of a lease. The
// first loss is made good at once; from the second on others go first, in case the
// image itself kills its workers.
func (r *record) lose(s *settings, now time.Time) {
	r.Losses++
	f := &Fault{FaultWorkerLost, "the worker " + r.Worker + " was lost; it died, was cut off, or ran out of memory over this image"}
	r.retry(f, r.Losses >= s.Losses, s.backoff(r.Losses-1), now)
}

// retry ends an attempt: for good or with another to come.
func (r *record) retry(f *Fault, last bool, pause time.Duration, now time.Time) {
	if last {
		r.discard(f, now)
		return
	}
	r.State, r.Fault, r.Progress = Retryable, f, nil
	if pause > 0 {
		t := now.Add(pause)
		r.NotBefore = &t
	}
}

// handBack returns a job that a worker had no time to finish; that is no failure.
func (r *record) handBack() {
	r.State, r.Progress, r.NotBefore = Available, nil, nil
}

// cancel calls a job off.
func (r *record) cancel(now time.Time) error {
	if r.State.Finished() {
		return ErrFinished
	}
	r.finish(Cancelled, now)
	return nil
}

// expires is when a job may be removed.
func (r *record) expires(keep time.Duration) time.Time {
	switch {
	case r.Finished != nil:
		return r.Finished.Add(keep)
	case r.Settings.StartAfter != nil && r.Settings.StartAfter.After(r.Created):
		return r.Settings.StartAfter.Add(keep)
	}
	return r.Created.Add(keep)
}

// recordBytes is what a job is counted for beside its images.
const recordBytes = 4096

// bytes is what a job takes of the store.
func (r *record) bytes() int64 {
	n := recordBytes + r.Input.Bytes
	for _, o := range r.Results {
		n += o.Bytes
	}
	return n
}

// cut shortens a text that may hold anything.
func cut(s string) string {
	if len(s) > maxDetail {
		s = s[:maxDetail] + " ..."
	}
	return s
}
