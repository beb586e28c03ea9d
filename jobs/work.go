package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Worker does jobs.
type Worker struct {
	Name     string // for people; empty means host and process
	Parallel int    // jobs at a time; 0 means 1
	// Drain is how long jobs may still take when Work is to end, before they are handed
	// back; 0 means 10 s, less means no time at all.
	Drain time.Duration
	// Do does a job. nil means completed, a [Fault] that another attempt would not help,
	// anything else that it might. ctx ends when the job is cancelled, the lease is lost,
	// or the worker has to stop; Do should then return soon, and what it returns no longer
	// matters except nil where it came to an end all the same.
	Do func(ctx context.Context, t *Task) error
}

// defaultDrain is the default of Worker.Drain.
const defaultDrain = 10 * time.Second

// fetchTime is how long the server keeps one request for a job.
const fetchTime = 10 * time.Second

// Why the context of a task ended, other than that the job was cancelled
// ([context.Canceled] alone).
var (
	errHandBack = errors.New("the worker has to stop")
	errLostIt   = errors.New("the lease was lost")
)

// Work takes jobs and does them until ctx ends or the queue is closed; then it finishes
// what it has, or hands it back. It returns nil, or [ErrClosed].
func (q *Queue) Work(ctx context.Context, w Worker) error {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return ErrClosed
	}
	q.workers.Add(1)
	q.mu.Unlock()
	defer q.workers.Done()
	w.Name = cmp.Or(w.Name, clientName())
	w.Parallel = max(1, w.Parallel)
	w.Drain = cmp.Or(w.Drain, defaultDrain)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(q.ctx, cancel)()
	var slots sync.WaitGroup
	for range w.Parallel {
		slots.Go(func() {
			for ctx.Err() == nil {
				q.workOnce(ctx, &w)
			}
		})
	}
	slots.Wait()
	return nil
}

// workOnce waits for a job and does it.
func (q *Queue) workOnce(ctx context.Context, w *Worker) {
	fetch, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	l := q.link.Load()
	stop := context.AfterFunc(l.over, cancel) // the server has forgotten that somebody waits
	m, err := q.consumer.Next(jetstream.FetchContext(fetch))
	stop()
	switch {
	case err == nil:
		q.offered(ctx, m, w)
	case ctx.Err() != nil || l.over.Err() != nil:
	case errors.Is(err, nats.ErrTimeout) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, jetstream.ErrNoMessages):
	default:
		q.log.Warn("no jobs can be had for now", "error", err)
		sleep(ctx, time.Second)
	}
}

// offered deals with the message of a job. The message only says that there is
// something to do; what, the record says.
func (q *Queue) offered(ctx context.Context, m jetstream.Msg, w *Worker) {
	safe := context.WithoutCancel(ctx)
	id := strings.TrimPrefix(m.Subject(), subjectWork)
	t := newTask(q, m)
	if err := t.listen(id); err != nil {
		return // the connection is closed
	}
	defer t.close()
	r, err := q.change(safe, id, func(r *record) error { return r.take(w.Name, t.runner, q.now()) })
	lease := q.settings.Load().Lease
	switch {
	case err == nil:
		t.run(ctx, r, w)
	case errors.Is(err, errFinished):
		q.conclude(safe, r, m.Ack)
	case errors.Is(err, errTooEarly):
		q.later(m, r.due().Sub(q.now()))
	case errors.Is(err, errHeld): // by a worker that lives, or whose loss is noticed by the sweep
		q.later(m, lease/4)
	case errors.Is(err, ErrGone):
		_ = m.Ack()
	case errors.Is(err, ErrNotFound): // a server of the cluster may lag behind
		if md, err := m.Metadata(); err == nil && md.NumDelivered > 5 {
			_ = m.Ack()
			return
		}
		q.later(m, time.Second)
	default:
		q.log.Warn("a job cannot be taken up for now", "job", id, "error", err)
		q.later(m, time.Second)
	}
}

// later has a message come again after a while.
func (q *Queue) later(m jetstream.Msg, d time.Duration) {
	if err := m.NakWithDelay(max(d, 10*time.Millisecond)); err != nil {
		q.log.Debug("a job comes again after its lease", "error", err)
	}
}

// run does a job that was taken up.
func (t *Task) run(ctx context.Context, r *record, w *Worker) {
	t.begin(r)
	drained := make(chan struct{})
	stopDrain := context.AfterFunc(ctx, func() {
		defer close(drained)
		if sleep(t.ctx, max(w.Drain, 0)) {
			t.cancel(errHandBack)
		}
	})
	var beat sync.WaitGroup
	beat.Go(t.heartbeats)
	err := t.do(w)
	t.stop()
	beat.Wait()
	if !stopDrain() {
		t.cancel(nil)
		<-drained
	}
	t.settle(ctx, err)
	t.q.view.removeTask(t)
}

// do calls Do. A panic in it is an error of the attempt.
func (t *Task) do(w *Worker) (err error) {
	defer func() {
		if p := recover(); p != nil {
			t.q.log.Error("a worker panicked", "job", t.job.ID, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("the worker failed: %v", p)
		}
	}()
	return w.Do(t.ctx, t)
}

// heartbeats renews the lease until the task stops or has lost it.
func (t *Task) heartbeats() {
	pause := t.q.settings.Load().Lease / 3
	for {
		timer := time.NewTimer(pause)
		select {
		case <-t.stopped:
			timer.Stop()
			return
		case <-timer.C:
		}
		pause = t.q.settings.Load().Lease / 3
		_ = t.msg.InProgress() // only keeps the message from coming again for nothing
		ctx, cancel := context.WithTimeout(t.q.safe(), max(pause, time.Second))
		r, err := t.q.change(ctx, t.job.ID, func(r *record) error {
			if !r.ours(t.runner, t.job.Attempt) {
				return errNotOurs
			}
			r.Progress = t.reached()
			return nil
		})
		cancel()
		switch {
		case errors.Is(err, errNotOurs):
			t.lost(r)
			return
		case errors.Is(err, ErrGone) || errors.Is(err, ErrNotFound):
			t.cancel(errLostIt)
			return
		case err != nil:
			t.q.log.Warn("a lease cannot be renewed for now", "job", t.job.ID, "error", err)
			pause /= 4
		}
	}
}

// settle stores what became of an attempt, if the job is still this worker's.
func (t *Task) settle(ctx context.Context, result error) {
	q, safe := t.q, t.q.safe()
	cause := context.Cause(t.ctx)
	for try := 1; ; try++ {
		r, err := q.change(safe, t.job.ID, func(r *record) error {
			if !r.ours(t.runner, t.job.Attempt) {
				return errNotOurs
			}
			t.outcome(r, result, cause)
			return nil
		})
		switch {
		case err == nil:
			t.settled(safe, r)
			return
		case errors.Is(err, errNotOurs) && r.State == Completed && r.Runner == t.runner && r.Attempt == t.job.Attempt:
			t.settled(safe, r) // it was stored, but the answer got lost
			return
		case errors.Is(err, errNotOurs), errors.Is(err, ErrGone), errors.Is(err, ErrNotFound):
			q.purgeBlobs(safe, attemptPlace(t.job.ID, t.job.Attempt))
			if r != nil && r.State.Finished() {
				q.conclude(safe, r, t.msg.Ack)
			}
			return // the message belongs to the one who has the job now
		}
		q.log.Warn("the outcome of a job cannot be stored for now", "job", t.job.ID, "error", err)
		if ctx.Err() != nil && (try >= 3 || !q.nc.IsConnected()) || !sleep(safe, min(time.Duration(try)*200*time.Millisecond, 5*time.Second)) {
			return // it will be done again after the lease
		}
	}
}

// outcome is what an attempt makes of a job.
func (t *Task) outcome(r *record, result, cause error) {
	now := t.q.now()
	var fault *Fault
	switch {
	case result == nil:
		r.Progress = t.reached()
		r.complete(t.stored(), now)
	case errors.Is(cause, errHandBack):
		r.handBack()
	case errors.As(result, &fault):
		r.discard(&Fault{fault.Code, cut(fault.Detail)}, now)
	default:
		r.fail(result, t.q.settings.Load(), now)
	}
}

// settled does what follows from the outcome.
func (t *Task) settled(ctx context.Context, r *record) {
	switch {
	case r.State.Finished():
		t.q.conclude(ctx, r, t.msg.Ack)
		return
	case r.State == Available:
		_ = t.msg.Nak()
	default:
		t.q.later(t.msg, r.due().Sub(t.q.now()))
	}
	t.q.purgeBlobs(ctx, attemptPlace(r.ID, r.Attempt))
}

// safe is a context that outlives Close, for what has to be put in order then.
func (q *Queue) safe() context.Context { return context.WithoutCancel(q.ctx) }
