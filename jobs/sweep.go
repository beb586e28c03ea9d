package jobs

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"
)

const (
	// deepEvery is how often a process looks for what crashes may have left.
	deepEvery = time.Hour
	// orphanAge is how old an image without a job has to be before it is taken for an
	// orphan: a request may still be at work on it.
	orphanAge = time.Hour
)

// recover puts in order what the processes before this one left.
func (q *Queue) recover(ctx context.Context) error {
	if !q.exclusive() {
		return q.sweepMessages(ctx)
	}
	// All workers were in the process that held the store, and it is gone.
	for _, r := range q.view.unfinished() {
		if r.State != Running {
			continue
		}
		if err := q.loseWorker(ctx, r); err != nil {
			return err
		}
		if err := q.dropMessage(ctx, r.ID); err != nil { // it would come again after the old lease only
			return err
		}
	}
	if err := q.sweepMessages(ctx); err != nil {
		return err
	}
	return q.sweepDeep(ctx, 0)
}

// exclusive tells that nobody but this process can use the queue.
func (q *Queue) exclusive() bool { return q.server != nil && q.options.Listen == "" }

// sweepLoop looks after the queue. Any number of processes may do so: all they do is
// compare-and-swap or may be done twice.
func (q *Queue) sweepLoop() {
	deep := time.Now().Add(deepEvery)
	for {
		lease := q.settings.Load().Lease
		if !sleep(q.ctx, min(max(lease/3, 50*time.Millisecond), 10*time.Second)) {
			return
		}
		if !q.nc.IsConnected() {
			continue
		}
		err := q.sweep(q.ctx)
		if err == nil && time.Now().After(deep) {
			deep = time.Now().Add(deepEvery)
			err = q.sweepDeep(q.ctx, orphanAge)
		}
		if err != nil && q.ctx.Err() == nil {
			q.log.Warn("the queue cannot be swept for now", "error", err)
		}
	}
}

// sweep finds workers that fell silent, messages that are missing or too many, and
// jobs whose time is over.
func (q *Queue) sweep(ctx context.Context) error {
	s := q.settings.Load()
	for _, r := range q.view.silent(s.Lease) {
		if err := q.loseWorker(ctx, r); err != nil {
			return err
		}
	}
	if err := q.sweepMessages(ctx); err != nil {
		return err
	}
	for _, id := range q.view.expired(s.Keep, q.now()) {
		switch err := q.Delete(ctx, id); {
		case errors.Is(err, ErrNotFound): // the server was faster
			q.view.lose(id)
		case err != nil && !errors.Is(err, ErrGone):
			return err
		}
	}
	return nil
}

// loseWorker takes a job from a worker that was not heard of since the record was
// stored.
func (q *Queue) loseWorker(ctx context.Context, silent *record) error {
	r, err := q.change(ctx, silent.ID, func(r *record) error {
		if r.revision != silent.revision || r.State != Running {
			return errHeld
		}
		r.lose(q.settings.Load(), q.now())
		return nil
	})
	switch {
	case errors.Is(err, errHeld), errors.Is(err, ErrGone), errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	q.log.Warn("a worker was lost", "job", r.ID, "worker", r.Worker, "state", r.State)
	if r.State.Finished() {
		q.conclude(ctx, r, func() error { return q.dropMessage(ctx, r.ID) })
	}
	return nil
}

// sweepMessages makes the messages that unfinished jobs lack, and concludes finished
// jobs that have one.
func (q *Queue) sweepMessages(ctx context.Context) error {
	open := q.view.unfinished()
	list, err := q.subjectsOf(ctx, q.work, subjectWork, subjectWork+"*")
	if err != nil {
		return err
	}
	has := make(map[string]bool, len(list))
	for _, id := range list {
		has[id] = true
	}
	for _, r := range open {
		if !has[r.ID] && q.view.state(r.ID) == r.State {
			if err := q.enqueue(ctx, r.ID); err != nil {
				return err
			}
		}
		delete(has, r.ID)
	}
	for id := range has {
		if q.view.state(id).Finished() {
			r, err := q.load(ctx, id)
			if err == nil && r.State.Finished() {
				q.conclude(ctx, r, func() error { return q.dropMessage(ctx, id) })
			}
		}
	}
	return q.sweepStuck(ctx, list)
}

// sweepStuck renews messages that exist while the server has none to deliver and waits
// for no acknowledgement, twice in a row: it forgot them, as old versions (2.9) can.
func (q *Queue) sweepStuck(ctx context.Context, list []string) error {
	if len(list) == 0 {
		q.stuck = 0
		return nil
	}
	info, err := q.consumer.Info(ctx)
	if err != nil {
		return err
	}
	if info.NumPending > 0 || info.NumAckPending > 0 {
		q.stuck = 0
		return nil
	}
	if q.stuck++; q.stuck < 2 {
		return nil
	}
	q.stuck = 0
	for _, id := range list {
		if err := q.dropMessage(ctx, id); err != nil {
			return err
		}
		if err := q.enqueue(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// sweepDeep removes images that belong to nothing, if their job's ID is older than age,
// and announces ends that were not.
func (q *Queue) sweepDeep(ctx context.Context, age time.Duration) error {
	places, err := q.subjectsOf(ctx, q.blobs, subjectBlob, subjectBlob+">")
	if err != nil {
		return err
	}
	attempts := map[string]map[string]bool{} // of ID: "in", "a1" ...
	for _, p := range places {
		id, rest, _ := strings.Cut(p, ".")
		attempt, _, _ := strings.Cut(rest, ".")
		if attempts[id] == nil {
			attempts[id] = map[string]bool{}
		}
		attempts[id][attempt] = true
	}
	for id, found := range attempts {
		if err := q.sweepBlobs(ctx, id, found, age); err != nil {
			return err
		}
	}
	return q.sweepEnds(ctx)
}

// sweepBlobs removes what one job does not own.
func (q *Queue) sweepBlobs(ctx context.Context, id string, found map[string]bool, age time.Duration) error {
	state := q.view.state(id)
	if state != "" && !state.Finished() || state == Completed && len(found) == 2 {
		return nil // in work, or the input and one attempt
	}
	if made, err := idTime(id); err == nil && q.now().Sub(made) < age {
		return nil
	}
	r, err := q.load(ctx, id)
	switch {
	case errors.Is(err, ErrNotFound) || errors.Is(err, ErrGone):
		q.purgeBlobs(ctx, id)
		return nil
	case err != nil:
		return err
	case !r.State.Finished():
		return nil
	}
	for a := range found {
		if a != "in" && (r.State != Completed || a != "a"+strconv.Itoa(r.Attempt)) {
			q.purgeBlobs(ctx, id+"."+a)
		}
	}
	return nil
}

// sweepEnds makes the events that finished jobs lack.
func (q *Queue) sweepEnds(ctx context.Context) error {
	finished := q.view.finished()
	list, err := q.subjectsOf(ctx, q.ends, subjectEnd, subjectEnd+"*")
	if err != nil {
		return err
	}
	has := make(map[string]bool, len(list))
	for _, id := range list {
		has[id] = true
	}
	for _, id := range finished {
		if has[id] {
			continue
		}
		r, err := q.load(ctx, id)
		if err != nil || !r.State.Finished() {
			continue // it was removed meanwhile
		}
		if err := q.announceEnd(ctx, r); err != nil {
			return err
		}
	}
	return nil
}
