// Package webtest is the HTTP interface of "sr3 serve" without a queue and without a
// model: everything is in memory, and the test says when a job takes its next step. The
// page is tested with it where the real server would be slow or would have to fail on command.
package webtest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sr3-go/sr3/internal/philox"
	"github.com/sr3-go/sr3/jobs"
)

// Options are what a fake server is asked for.
type Options struct {
	Key      string // asked for; empty: none
	Steps    int    // of the model "photo-x4"; 0 means 10
	MaxBytes int64  // of an upload; 0 means 1 MiB
}

// Server answers as "sr3 serve" does. Jobs stay in line until Advance or Discard is called.
type Server struct {
	*httptest.Server
	t       testing.TB
	options Options

	mu       sync.Mutex
	jobs     []*entry // oldest first
	refusals []*refusal
	changed  chan struct{} // closed and replaced at every change
}

// entry is a job with its images and what has happened to it.
type entry struct {
	job      jobs.Job
	key      string // of idempotency
	input    []byte
	results  map[string][]byte
	events   []event
	watchers int
}

type event struct {
	kind    string // state, step or end
	job     jobs.Job
	preview string // data URL
}

// refusal is a problem that waits for a request that it fits.
type refusal struct {
	method, prefix string
	problem        problem
	retryAfter     string
}

// New starts a server with the page at / until the test ends.
func New(t testing.TB, o Options) *Server {
	if o.Steps == 0 {
		o.Steps = 10
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 1 << 20
	}
	s := &Server{t: t, options: o, changed: make(chan struct{})}
	s.Server = httptest.NewServer(s.routes())
	t.Cleanup(func() {
		s.CloseClientConnections() // event streams have no end of their own
		s.Close()
	})
	return s
}

// wake tells everybody who waits for a change. The lock is held.
func (s *Server) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Await blocks until holds reports true of the jobs, oldest first, and fails the test
// when that takes too long.
func (s *Server) Await(what string, holds func([]jobs.Job) bool) {
	s.t.Helper()
	s.await(what, func() bool { return holds(s.list()) })
}

// AwaitWatched blocks until a page listens to the events of job i, counted from the oldest.
func (s *Server) AwaitWatched(i int) {
	s.t.Helper()
	s.await(fmt.Sprintf("somebody watches job %d", i), func() bool { return i < len(s.jobs) && s.jobs[i].watchers > 0 })
}

func (s *Server) await(what string, holds func() bool) {
	s.t.Helper()
	deadline := time.After(15 * time.Second)
	for {
		s.mu.Lock()
		ok, changed := holds(), s.changed
		s.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			s.t.Fatalf("waited too long until %s", what)
		}
	}
}

// Jobs returns the jobs, oldest first.
func (s *Server) Jobs() []jobs.Job {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list()
}

func (s *Server) list() []jobs.Job {
	list := make([]jobs.Job, len(s.jobs))
	for i, e := range s.jobs {
		list[i] = e.job
	}
	return list
}

// Result returns the bytes of a result of job i, counted from the oldest.
func (s *Server) Result(i int, name string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.jobs[i].results[name])
}

// Advance takes n steps of the oldest unfinished jobs. A job's first step starts it, its
// last one completes it.
func (s *Server) Advance(n int) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for range n {
		e := s.oldest()
		if e == nil {
			s.t.Fatal("no job is left to advance")
		}
		s.step(e)
	}
	s.wake()
}

// Discard lets the oldest unfinished job fail for good.
func (s *Server) Discard(code, detail string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.oldest()
	e.job.Fault = &jobs.Fault{Code: code, Detail: detail}
	e.finish(jobs.Discarded)
	s.wake()
}

// Refuse answers the next request of the method whose path has the prefix with a problem.
// retryAfter may be empty.
func (s *Server) Refuse(method, prefix string, status int, code, detail, retryAfter string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusals = append(s.refusals, &refusal{method, prefix, problem{Status: status, Code: code, Detail: detail}, retryAfter})
}

func (s *Server) oldest() *entry {
	for _, e := range s.jobs {
		if !e.job.State.Finished() {
			return e
		}
	}
	return nil
}

func (s *Server) step(e *entry) {
	j := &e.job
	if j.State != jobs.Running {
		now := time.Now()
		j.State, j.Started, j.Attempt, j.Worker = jobs.Running, &now, 1, "fake"
		j.Progress = &jobs.Progress{Pass: 1, Passes: 1, Steps: j.Settings.Steps, Draws: j.Settings.Samples, Draw: min(1, j.Settings.Samples)}
		e.emit("state", "")
	}
	p := *j.Progress
	p.Step++
	if p.Step > p.Steps {
		p.Draw, p.Step = p.Draw+1, 1
	}
	draws := max(1, p.Draws)
	p.Share = float64((max(1, p.Draw)-1)*p.Steps+p.Step) / float64(draws*p.Steps)
	p.Gamma = float64(p.Step) / float64(p.Steps) * float64(p.Step) / float64(p.Steps)
	j.Progress = &p
	e.emit("step", previewURL(e.input, j.Settings, p))
	if p.Share < 1 {
		return
	}
	e.results, j.Results = drawAll(e.input, j.Settings)
	e.finish(jobs.Completed)
}

func (e *entry) finish(state jobs.State) {
	now := time.Now()
	e.job.State, e.job.Finished = state, &now
	e.emit("end", "")
}

func (e *entry) emit(kind, preview string) {
	e.events = append(e.events, event{kind, e.job, preview})
}

// newID returns identifiers that sort by time.
func newID(n int) string {
	return fmt.Sprintf("%08d%s", n, strings.ToLower(rand.Text()[:18]))
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// noise returns a normal number that depends on its arguments alone.
func noise(seed, stream, i uint64) float64 {
	var n [1]float32
	philox.New(seed, stream).Normal(n[:], i)
	return float64(n[0])
}
