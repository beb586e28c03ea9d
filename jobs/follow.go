package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// following is what hears of changes, over one connection.
type following struct {
	records, shared jetstream.KeyWatcher
	link            *link
}

// follow reads all records into the view and goes on with every change.
func (q *Queue) follow(ctx context.Context) error {
	f, err := q.readRecords(ctx)
	if err != nil {
		return fmt.Errorf("open the queue: read the jobs: %w", err)
	}
	q.loops.Go(func() { q.followLoop(f) })
	return nil
}

// readRecords takes in all records there are, and forgets those that are no more.
func (q *Queue) readRecords(ctx context.Context) (f *following, err error) {
	f = &following{link: q.link.Load()}
	defer func() {
		if err != nil {
			f.stop()
		}
	}()
	before := q.options.clock()
	status, err := q.records.Status(ctx)
	if err != nil {
		return f, err
	}
	if s, ok := status.(*jetstream.KeyValueBucketStatus); ok {
		q.setClock(before, s.StreamInfo().TimeStamp)
		q.view.belongTo(s.StreamInfo().Created)
	}
	if f.shared, err = q.shared.Watch(q.ctx, settingsKey); err != nil {
		return f, err
	}
	if f.records, err = q.records.WatchAll(q.ctx); err != nil {
		return f, err
	}
	seen, last := map[string]bool{}, uint64(0)
	for {
		select {
		case e, ok := <-f.records.Updates():
			switch {
			case !ok:
				return f, errUnfollowed
			case e == nil: // that was all
				q.view.forget(seen, last)
				return f, nil
			}
			q.heard(e)
			seen[e.Key()], last = true, max(last, e.Revision())
		case <-f.link.over.Done():
			return f, errUnfollowed
		case <-ctx.Done():
			return f, ctx.Err()
		}
	}
}

var errUnfollowed = errors.New("the server does not tell of changes any more")

func (f *following) stop() {
	for _, w := range []jetstream.KeyWatcher{f.records, f.shared} {
		if w != nil {
			_ = w.Stop()
		}
	}
}

// followLoop hears of changes. After a reconnect, or when the server gave up on it, it
// begins again, since it cannot know what it missed.
func (q *Queue) followLoop(f *following) {
	for {
		q.listen(f)
		f.stop()
		for {
			if q.ctx.Err() != nil {
				return
			}
			again, err := q.readRecords(q.ctx)
			if err == nil {
				f = again
				break
			}
			q.log.Warn("changes of jobs cannot be followed for now", "error", err)
			sleep(q.ctx, time.Second)
		}
	}
}

// listen takes in changes until there are none to be had any more.
func (q *Queue) listen(f *following) {
	for {
		select {
		case e, ok := <-f.records.Updates():
			if !ok {
				return
			}
			if e != nil {
				q.heard(e)
			}
		case e, ok := <-f.shared.Updates():
			if !ok {
				return
			}
			var s settings
			if e != nil && json.Unmarshal(e.Value(), &s) == nil && s.Lease > 0 {
				q.settings.Store(&s)
			}
		case <-f.link.over.Done():
			return
		case <-q.ctx.Done():
			return
		}
	}
}

// heard takes in a record that the server sent.
func (q *Queue) heard(e jetstream.KeyValueEntry) {
	if e.Operation() == jetstream.KeyValuePut {
		r, err := decodeRecord(e)
		if err != nil {
			q.log.Warn("a record cannot be read", "job", e.Key(), "error", err)
		} else {
			q.view.apply(r)
		}
	}
	q.view.mu.Lock()
	q.view.reached = max(q.view.reached, e.Revision())
	q.view.mu.Unlock()
}

func decodeRecord(e jetstream.KeyValueEntry) (*record, error) {
	r := &record{}
	if err := json.Unmarshal(e.Value(), r); err != nil {
		return nil, err
	}
	r.ID, r.revision = e.Key(), e.Revision()
	return r, nil
}
