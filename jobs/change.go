package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// load reads the record of a job. With ErrGone it tells whose the job was.
func (q *Queue) load(ctx context.Context, id string) (*record, error) {
	if q.ctx.Err() != nil && q.nc.IsClosed() {
		return nil, ErrClosed
	}
	if _, err := idTime(id); err != nil {
		return nil, ErrNotFound
	}
	var e jetstream.KeyValueEntry
	err := q.call(ctx, func(ctx context.Context) (err error) {
		e, err = q.records.Get(ctx, id)
		return err
	})
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read job %s: %w", id, err)
	}
	r, err := decodeRecord(e)
	if err != nil {
		return nil, fmt.Errorf("read job %s: %w", id, err)
	}
	if r.Gone {
		return r, ErrGone // with the owner, but nothing else
	}
	return r, nil
}

// store replaces the record of a job if nobody else did since it was read.
func (q *Queue) store(ctx context.Context, r *record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	l := q.link.Load()
	call, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	defer context.AfterFunc(l.over, cancel)() // whether it was stored shows when it is read
	revision, err := q.records.Update(call, r.ID, data, r.revision)
	if err != nil {
		return err
	}
	r.revision = revision
	q.view.apply(r)
	return nil
}

// change applies f to the record of a job, again if somebody else was faster. If f
// fails nothing is stored, and the record is returned as f saw it.
func (q *Queue) change(ctx context.Context, id string, f func(*record) error) (*record, error) {
	for try := 0; ; try++ {
		r, err := q.load(ctx, id)
		if err != nil {
			return nil, err
		}
		if err := f(r); err != nil {
			return r, err
		}
		err = q.store(ctx, r)
		if err == nil {
			return r, nil
		}
		if !wrongRevision(err) {
			return nil, fmt.Errorf("store job %s: %w", id, err)
		}
		if try > 0 && !sleep(ctx, min(time.Duration(try)*5*time.Millisecond, time.Second)) {
			return nil, ctx.Err()
		}
	}
}

// Get returns a job. Errors: [ErrNotFound], and [ErrGone] for one that was deleted or
// has expired not too long ago; of that one ID and owner are returned with it.
func (q *Queue) Get(ctx context.Context, id string) (Job, error) {
	r, err := q.load(ctx, id)
	return asJob(r), err
}

// Filter says which jobs to list.
type Filter struct {
	Owner     string  // whose jobs
	AllOwners bool    // those of all instead
	States    []State // in one of these; none means all
	Limit     int     // at most so many, up to 1000; 0 means 100
	Before    string  // older than the job of this ID; the last one of a list gives the next list
}

// List returns jobs, newest first.
func (q *Queue) List(ctx context.Context, f Filter) ([]Job, error) {
	if q.ctx.Err() != nil {
		return nil, ErrClosed
	}
	if f.Limit <= 0 {
		f.Limit = 100
	}
	f.Limit = min(f.Limit, 1000)
	ids := q.view.list(f)
	found, errs := make([]*record, len(ids)), make([]error, len(ids))
	var wg sync.WaitGroup
	const side = 8
	for k := range side {
		wg.Go(func() {
			for i := k; i < len(ids); i += side {
				found[i], errs[i] = q.load(ctx, ids[i])
			}
		})
	}
	wg.Wait()
	list := make([]Job, 0, len(ids))
	for i, r := range found {
		switch err := errs[i]; {
		case errors.Is(err, ErrNotFound) || errors.Is(err, ErrGone):
		case err != nil:
			return nil, err
		case len(f.States) == 0 || slices.Contains(f.States, r.State):
			list = append(list, r.Job)
		}
	}
	return list, nil
}

// Input returns the image of a job and what is known of it.
func (q *Queue) Input(ctx context.Context, id string) (Object, []byte, error) {
	r, err := q.load(ctx, id)
	if err != nil {
		return Object{}, nil, err
	}
	data, err := q.getBlob(ctx, inputPlace(id), r.Input)
	if err != nil {
		return Object{}, nil, q.blobError(ctx, id, "the input", err)
	}
	return r.Input, data, nil
}

// Result returns a result of a completed job. A job that is not completed, or has no
// such result, has none: [ErrNotFound].
func (q *Queue) Result(ctx context.Context, id, name string) (Object, []byte, error) {
	r, err := q.load(ctx, id)
	if err != nil {
		return Object{}, nil, err
	}
	i := slices.IndexFunc(r.Results, func(o Object) bool { return o.Name == name })
	if r.State != Completed || i < 0 {
		return Object{}, nil, fmt.Errorf("%w with a result %q", ErrNotFound, name)
	}
	data, err := q.getBlob(ctx, resultPlace(id, r.Attempt, name), r.Results[i])
	if err != nil {
		return Object{}, nil, q.blobError(ctx, id, "the result", err)
	}
	return r.Results[i], data, nil
}

// blobError explains why an image could not be read: perhaps the job was removed
// meanwhile.
func (q *Queue) blobError(ctx context.Context, id, what string, err error) error {
	if _, gone := q.load(ctx, id); gone != nil {
		return gone
	}
	return fmt.Errorf("read %s of job %s: %w", what, id, err)
}

// Cancel calls a job off. The worker of a running one is told at once, and what it
// makes still is thrown away. The error is [ErrFinished] for a finished job, which is
// returned with it.
func (q *Queue) Cancel(ctx context.Context, id string) (Job, error) {
	r, err := q.change(ctx, id, func(r *record) error { return r.cancel(q.now()) })
	if err != nil {
		return asJob(r), err
	}
	ctx = context.WithoutCancel(ctx)
	q.conclude(ctx, r, func() error { return q.dropMessage(ctx, r.ID) })
	return r.Job, nil
}

// Delete removes a job with its images, and cancels it before if need be.
func (q *Queue) Delete(ctx context.Context, id string) error {
	if _, err := q.Cancel(ctx, id); err != nil && !errors.Is(err, ErrFinished) {
		return err
	}
	return q.remove(ctx, id)
}

// remove takes a finished job away.
func (q *Queue) remove(ctx context.Context, id string) error {
	var old record
	_, err := q.change(ctx, id, func(r *record) error {
		old = *r
		*r = record{Job: Job{ID: id, Owner: r.Owner}, Gone: true, revision: r.revision}
		return nil
	})
	if err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	q.dropClaim(ctx, &old)
	q.purgeBlobs(ctx, id)
	return nil
}

// endEvent is the message that a job leaves in the stream of ends. There is one for
// each job that ended, for programs that follow what happens.
type endEvent struct {
	ID       string     `json:"id"`
	State    State      `json:"state"`
	Owner    string     `json:"owner,omitempty"`
	Attempt  int        `json:"attempt"`
	Finished *time.Time `json:"finished"`
	Fault    *Fault     `json:"fault,omitempty"`
}

// conclude does what is to be done once a job has come to its end: the event, the
// images of attempts that lost, and last the message (drop), without which nobody
// looks at the job again. Each step may be repeated, and is if a process died among
// them.
func (q *Queue) conclude(ctx context.Context, r *record, drop func() error) {
	if err := q.announceEnd(ctx, r); err != nil {
		q.log.Warn("the end of a job will be announced later", "job", r.ID, "error", err)
		return
	}
	for a := 1; a <= r.Attempt; a++ {
		if a != r.Attempt || r.State != Completed {
			q.purgeBlobs(ctx, attemptPlace(r.ID, a))
		}
	}
	if err := drop(); err != nil {
		q.log.Warn("the message of a finished job stays for now", "job", r.ID, "error", err)
	}
}

// announceEnd makes the one event of a job's end: the server refuses a second.
func (q *Queue) announceEnd(ctx context.Context, r *record) error {
	data, err := json.Marshal(endEvent{r.ID, r.State, r.Owner, r.Attempt, r.Finished, r.Fault})
	if err != nil {
		return err
	}
	err = q.call(ctx, func(ctx context.Context) error {
		_, err := q.js.Publish(ctx, subjectEnd+r.ID, data, jetstream.WithExpectLastSequencePerSubject(0))
		return err
	})
	if wrongRevision(err) {
		return nil
	}
	return err
}

// dropMessage takes a job from the workers' stream. It deletes the one message instead
// of purging its subject, which makes consumers of old servers (2.9) skip others.
func (q *Queue) dropMessage(ctx context.Context, id string) error {
	err := q.call(ctx, func(ctx context.Context) error {
		m, err := q.work.GetLastMsgForSubject(ctx, subjectWork+id)
		if err == nil {
			err = q.work.DeleteMsg(ctx, m.Sequence)
		}
		return err
	})
	if errors.Is(err, jetstream.ErrMsgNotFound) || errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
		return nil // somebody was faster
	}
	return err
}
