package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// stepPause and previewPause are the shortest times between two steps and two
	// previews that are sent.
	stepPause    = 40 * time.Millisecond
	previewPause = 150 * time.Millisecond
	// previewShare is the largest part of the time that goes into previews.
	previewShare = 0.1
	// maxPreview bounds a preview, in bytes, so that it fits into a message.
	maxPreview = 600 << 10
)

// Task is a job in the hands of a worker.
type Task struct {
	q      *Queue
	msg    jetstream.Msg
	job    Job // as it was taken up
	runner string

	ctx     context.Context
	cancel  context.CancelCauseFunc
	stopped chan struct{} // closed by stop
	stop    func()

	sub     *nats.Subscription
	watched atomic.Int64 // until when somebody watches, in Unix nanoseconds

	mu          sync.Mutex
	progress    *Progress
	results     []Object
	nextStep    time.Time
	nextPreview time.Time
}

func newTask(q *Queue, m jetstream.Msg) *Task {
	t := &Task{q: q, msg: m, runner: newNonce(), stopped: make(chan struct{})}
	t.stop = sync.OnceFunc(func() { close(t.stopped) })
	t.ctx, t.cancel = context.WithCancelCause(q.safe())
	return t
}

// listen hears of watchers. It begins before the job is taken up, so that none is
// missed who answers that.
func (t *Task) listen(id string) (err error) {
	t.sub, err = t.q.nc.Subscribe(subjectWatch+id, func(*nats.Msg) { t.watched.Store(time.Now().Add(watchedFor).UnixNano()) })
	return err
}

// begin makes the task that of a record.
func (t *Task) begin(r *record) {
	t.job = r.Job
	t.q.view.addTask(t)
	if t.q.view.state(r.ID) != Running { // it was cancelled meanwhile
		t.cancel(nil)
	}
}

func (t *Task) close() {
	t.cancel(nil)
	_ = t.sub.Unsubscribe()
}

// observe takes in a change of the job's record, which may be that it was cancelled.
func (t *Task) observe(r *record) {
	if r.revision > 0 && !r.ours(t.runner, t.job.Attempt) {
		t.lost(r)
	}
}

// lost ends the work of a task whose job is no longer its own.
func (t *Task) lost(r *record) {
	if r != nil && (r.State == Cancelled || r.Gone) {
		t.cancel(nil) // context.Canceled
		return
	}
	t.cancel(errLostIt)
}

// Job returns the job as it was taken up.
func (t *Task) Job() Job { return t.job }

// Input returns the image to enlarge.
func (t *Task) Input(ctx context.Context) ([]byte, error) {
	data, err := t.q.getBlob(ctx, inputPlace(t.job.ID), t.job.Input)
	if err != nil {
		return nil, fmt.Errorf("read the input of job %s: %w", t.job.ID, err)
	}
	return data, nil
}

// Put stores a result; Bytes and SHA256 of o are filled in. It is seen when the job is
// completed, and by nobody if it never is. The same name again replaces the result.
func (t *Task) Put(ctx context.Context, o Object, data []byte) error {
	if !validName(o.Name) {
		return fmt.Errorf("store a result: %q is no name for one: want small letters, digits and -", o.Name)
	}
	o.Bytes, o.SHA256 = int64(len(data)), digestOf(data)
	if err := t.q.putBlob(ctx, resultPlace(t.job.ID, t.job.Attempt, o.Name), data); err != nil {
		return fmt.Errorf("store the result %s of job %s: %w", o.Name, t.job.ID, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.results = append(slices.DeleteFunc(t.results, func(old Object) bool { return old.Name == o.Name }), o)
	return nil
}

// stored lists what was put.
func (t *Task) stored() []Object {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.results)
}

// reached is the progress reported last.
func (t *Task) reached() *Progress {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.progress
}

// Progress reports a step. It is cheap and waits for nobody: steps are sent if somebody
// watches, and not too many of them. preview makes a small image of the present
// estimate, and is called only if it will be sent; it may be nil.
func (t *Task) Progress(p Progress, preview func() (data []byte, mediaType string)) {
	now := time.Now()
	t.mu.Lock()
	t.progress = &p
	send := now.UnixNano() < t.watched.Load() && !now.Before(t.nextStep)
	look := send && preview != nil && !now.Before(t.nextPreview)
	if send {
		t.nextStep = now.Add(stepPause)
	}
	t.mu.Unlock()
	if !send {
		return
	}
	s := stepMessage{Attempt: t.job.Attempt, Progress: p}
	if look {
		s.Preview, s.PreviewType = preview()
		took := time.Since(now)
		t.mu.Lock()
		t.nextPreview = time.Now().Add(max(previewPause, time.Duration(float64(took)/previewShare)))
		t.mu.Unlock()
		if len(s.Preview) > maxPreview {
			s.Preview, s.PreviewType = nil, ""
		}
	}
	if data, err := json.Marshal(s); err == nil { // a progress that is not a number is nobody's business
		_ = t.q.nc.Publish(subjectStep+t.job.ID, data)
	}
}
