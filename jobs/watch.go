package jobs

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// announceEvery is how often watchers say that they are there, and watchedFor how
	// long a worker believes it.
	announceEvery = 4 * time.Second
	watchedFor    = 10 * time.Second
)

// stepMessage is a step of a running job on its way to watchers.
type stepMessage struct {
	Attempt     int      `json:"attempt"`
	Progress    Progress `json:"progress"`
	Preview     []byte   `json:"preview,omitempty"`
	PreviewType string   `json:"preview_type,omitempty"`
}

// watcher is one call of Watch.
type watcher struct {
	id   string
	wake chan struct{} // holds one
	hub  *hub

	mu       sync.Mutex
	job      Job
	revision uint64
	states   []Job  // to be told, in order; few
	step     *Event // to be told, the newest only
	end      bool   // nothing will follow
}

// observe takes in a record.
func (w *watcher) observe(r *record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.end || r.revision <= w.revision {
		return
	}
	first := w.revision == 0
	w.revision = r.revision
	if r.Gone {
		w.end = true
		w.signal()
		return
	}
	if first || r.State != w.job.State || r.Attempt != w.job.Attempt {
		w.states, w.step = append(w.states, r.Job), nil
		w.signal()
		if r.State == Running && !first {
			w.hub.announce(w.id) // the worker has begun to listen
		}
	}
	w.job = r.Job
	w.end = r.State.Finished()
}

// observeStep takes in a step. One that was not told yet is replaced, but a preview is
// kept.
func (w *watcher) observeStep(s *stepMessage) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.end || w.job.State != Running || w.job.Attempt != s.Attempt {
		return
	}
	e := &Event{Job: w.job, Preview: s.Preview, PreviewType: s.PreviewType}
	e.Job.Progress = &s.Progress
	if e.Preview == nil && w.step != nil {
		e.Preview, e.PreviewType = w.step.Preview, w.step.PreviewType
	}
	w.step = e
	w.signal()
}

func (w *watcher) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// next is the event to be told next, if any; last tells that none will follow.
func (w *watcher) next() (e *Event, last bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case len(w.states) > 0:
		e = &Event{Job: w.states[0]}
		w.states = w.states[1:]
	case w.step != nil:
		e, w.step = w.step, nil
	}
	return e, e == nil && w.end
}

// Watch follows a job: first comes its present state, then every change, step and
// preview. The channel is closed after the final state, when the job is removed, and
// when ctx or the queue ends. A watcher that is slow misses steps, never a change of
// state.
func (q *Queue) Watch(ctx context.Context, id string) (<-chan Event, error) {
	if q.ctx.Err() != nil {
		return nil, ErrClosed
	}
	w := &watcher{id: id, wake: make(chan struct{}, 1), hub: q.hub}
	q.view.addWatcher(w)
	r, err := q.load(ctx, id)
	if err != nil {
		q.view.removeWatcher(w)
		return nil, err
	}
	w.observe(r)
	if !r.State.Finished() {
		q.hub.join(w)
	}
	out := make(chan Event)
	go func() {
		defer close(out)
		defer q.hub.leave(w)
		defer q.view.removeWatcher(w)
		for {
			e, last := w.next()
			switch {
			case last:
				return
			case e != nil:
				select {
				case out <- *e:
				case <-ctx.Done():
					return
				case <-q.ctx.Done():
					return
				}
				continue
			}
			select {
			case <-w.wake:
			case <-ctx.Done():
				return
			case <-q.ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

// hub receives the steps of the jobs that this process watches, each once however many
// watch it, and tells workers that somebody does.
type hub struct {
	q    *Queue
	mu   sync.Mutex
	jobs map[string]*watched
}

type watched struct {
	sub      *nats.Subscription
	watchers map[*watcher]struct{}
}

func newHub(q *Queue) *hub { return &hub{q: q, jobs: map[string]*watched{}} }

func (h *hub) join(w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	j := h.jobs[w.id]
	if j == nil {
		j = &watched{watchers: map[*watcher]struct{}{}}
		h.jobs[w.id] = j
		sub, err := h.q.nc.Subscribe(subjectStep+w.id, func(m *nats.Msg) { h.receive(w.id, m.Data) })
		if err != nil { // the connection is closed; states come still
			h.q.log.Warn("steps cannot be followed", "job", w.id, "error", err)
		}
		j.sub = sub
	}
	j.watchers[w] = struct{}{}
	h.announce(w.id)
}

func (h *hub) leave(w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	j := h.jobs[w.id]
	if j == nil {
		return
	}
	if delete(j.watchers, w); len(j.watchers) == 0 {
		delete(h.jobs, w.id)
		if j.sub != nil {
			_ = j.sub.Unsubscribe()
		}
	}
}

// receive hands a step to the watchers.
func (h *hub) receive(id string, data []byte) {
	var s stepMessage
	if json.Unmarshal(data, &s) != nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if j := h.jobs[id]; j != nil {
		for w := range j.watchers {
			w.observeStep(&s)
		}
	}
}

// announce tells the worker of a job, if it has one, that somebody watches.
func (h *hub) announce(id string) { _ = h.q.nc.Publish(subjectWatch+id, nil) }

func (h *hub) announceLoop() {
	for sleep(h.q.ctx, announceEvery) {
		h.mu.Lock()
		for id := range h.jobs {
			h.announce(id)
		}
		h.mu.Unlock()
	}
}
