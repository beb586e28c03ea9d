package jobs

import (
	"context"
	"errors"
	"flag"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// modelJob is what a job should be.
type modelJob struct {
	state                     State
	attempt, failures, losses int
	fault                     string
}

// machine drives a queue and a model of it with the same actions.
type machine struct {
	q    *Queue
	jobs map[string]*modelJob
	gone map[string]bool
	held map[string]*heldTask // tasks whose Do is waiting
}

// heldTask is a task in the hands of a worker that waits for the test to say how it
// goes.
type heldTask struct {
	task    *Task
	outcome chan error
	settled chan struct{}
}

// drawJob draws one of the jobs that are as asked for.
func (m *machine) drawJob(t *rapid.T, ok func(*modelJob) bool) string {
	var ids []string
	for _, id := range slices.Sorted(maps.Keys(m.jobs)) {
		if ok(m.jobs[id]) {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		t.Skip("none")
	}
	return rapid.SampledFrom(ids).Draw(t, "job")
}

func waits(j *modelJob) bool { return j.state == Available || j.state == Retryable }

func (m *machine) submit(t *rapid.T) {
	j, created, err := m.q.Submit(context.Background(), request(rapid.IntRange(0, 9).Draw(t, "image")))
	if err != nil || !created {
		t.Fatal(created, err)
	}
	m.jobs[j.ID] = &modelJob{state: Available}
}

// begin has a worker take whatever job it is given.
func (m *machine) begin(t *rapid.T) {
	m.drawJob(t, waits)
	h := &heldTask{outcome: make(chan error, 1), settled: make(chan struct{})}
	started := make(chan *Task, 1)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	w := &Worker{Name: "w", Do: func(_ context.Context, task *Task) error {
		_ = task.Put(ctx, Object{Name: ResultImage}, []byte("result of "+task.Job().ID))
		started <- task
		return <-h.outcome
	}}
	go func() {
		defer close(h.settled)
		for ctx.Err() == nil && h.task == nil {
			m.q.workOnce(context.WithoutCancel(ctx), w)
			if len(started) > 0 || h.task != nil {
				return
			}
			select {
			case <-h.outcome: // the test gave up
				return
			default:
			}
		}
	}()
	select {
	case task := <-started:
		defer cancel()
		h.task = task
	case <-ctx.Done():
		cancel()
		t.Fatal("no job is given out though some wait")
	}
	id := h.task.Job().ID
	j := m.jobs[id]
	if j == nil || !waits(j) {
		t.Fatalf("job %s was given out: %+v", id, j)
	}
	j.state, j.fault = Running, ""
	if j.attempt++; h.task.Job().Attempt != j.attempt {
		t.Fatalf("attempt %d, want %d", h.task.Job().Attempt, j.attempt)
	}
	m.held[id] = h
}

// end ends the task of a running job in one of the ways there are.
func (m *machine) end(t *rapid.T) {
	id := m.drawJob(t, func(j *modelJob) bool { return j.state == Running })
	j := m.jobs[id]
	switch rapid.SampledFrom([]string{"complete", "fault", "fail", "hand back"}).Draw(t, "way") {
	case "complete":
		j.state = Completed
		m.release(id, nil)
	case "fault":
		j.state, j.fault = Discarded, "image-damaged"
		m.release(id, &Fault{"image-damaged", "cut off"})
	case "fail":
		j.failures++
		j.fault = FaultFailed
		if j.state = Retryable; j.failures == 3 {
			j.state = Discarded
		}
		m.release(id, errors.New("out of luck"))
	case "hand back":
		j.state = Available
		m.held[id].task.cancel(errHandBack)
		m.release(id, context.Canceled)
	}
}

// release lets the Do of a task return and waits until that was dealt with.
func (m *machine) release(id string, err error) {
	h := m.held[id]
	delete(m.held, id)
	h.outcome <- err
	<-h.settled
}

// lose takes a job from its worker, which finishes its work all the same.
func (m *machine) lose(t *rapid.T) {
	id := m.drawJob(t, func(j *modelJob) bool { return j.state == Running })
	ctx := context.Background()
	r, err := m.q.load(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.q.loseWorker(ctx, r); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(m.q.dropMessage(ctx, id), m.q.sweepMessages(ctx)); err != nil { // instead of waiting for the lease
		t.Fatal(err)
	}
	j := m.jobs[id]
	j.losses++
	j.fault = FaultWorkerLost
	if j.state = Retryable; j.losses == 4 {
		j.state = Discarded
	}
	select {
	case <-m.held[id].task.ctx.Done():
	case <-time.After(5 * time.Second):
		t.Fatal("the worker that lost its job was not told")
	}
	m.release(id, nil)
}

func (m *machine) cancel(t *rapid.T) {
	id := m.drawJob(t, func(*modelJob) bool { return true })
	j := m.jobs[id]
	_, err := m.q.Cancel(context.Background(), id)
	if finished := j.state.Finished(); finished != errors.Is(err, ErrFinished) || !finished && err != nil {
		t.Fatalf("cancel a job that is %s: %v", j.state, err)
	}
	if !j.state.Finished() {
		j.state = Cancelled
		m.stopHeld(t, id)
	}
}

func (m *machine) remove(t *rapid.T) {
	id := m.drawJob(t, func(*modelJob) bool { return true })
	if err := m.q.Delete(context.Background(), id); err != nil {
		t.Fatal(err)
	}
	m.stopHeld(t, id)
	delete(m.jobs, id)
	m.gone[id] = true
}

// stopHeld waits until the worker of a job that was called off is told, and lets it
// claim that it is done.
func (m *machine) stopHeld(t *rapid.T, id string) {
	h := m.held[id]
	if h == nil {
		return
	}
	select {
	case <-h.task.ctx.Done():
	case <-time.After(5 * time.Second):
		t.Fatal("the worker of a cancelled job was not told")
	}
	m.release(id, nil)
}

// check compares the queue with the model.
func (m *machine) check(t *rapid.T) {
	counts := map[State]int{}
	for id, want := range m.jobs {
		r, err := m.q.load(context.Background(), id)
		if err != nil {
			t.Fatal(err)
		}
		counts[want.state]++
		got := modelJob{state: r.State, attempt: r.Attempt, failures: r.Failures, losses: r.Losses}
		if r.Fault != nil {
			got.fault = r.Fault.Code
		}
		if want.state == Cancelled || want.state == Available {
			got.fault = want.fault // it may tell of an attempt before
		}
		if got != *want {
			t.Fatalf("job %s is %+v, want %+v", id, got, *want)
		}
		if done := r.State == Completed; done != (len(r.Results) == 1) || r.State.Finished() != (r.Finished != nil) {
			t.Fatalf("job %s is %s with %d results, finished %v", id, r.State, len(r.Results), r.Finished)
		}
		if _, data, err := m.q.Result(context.Background(), id, ResultImage); (err == nil) != (r.State == Completed) || err == nil && string(data) != "result of "+id {
			t.Fatalf("result of a job that is %s: %q, %v", r.State, data, err)
		}
	}
	for id := range m.gone {
		if _, err := m.q.Get(context.Background(), id); !errors.Is(err, ErrGone) {
			t.Fatalf("removed job %s: %v", id, err)
		}
	}
	s, err := m.q.Stats(context.Background())
	if err != nil || !maps.Equal(s.States, counts) || s.Waiting != counts[Available]+counts[Retryable] || s.Running != counts[Running] {
		t.Fatalf("counted %+v, want %v, %v", s, counts, err)
	}
}

func TestStateMachine(t *testing.T) {
	checks := "40"
	if testing.Short() {
		checks = "8"
	}
	if err := flag.Set("rapid.checks", checks); err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(root, "")
		if err != nil {
			t.Fatal(err)
		}
		q, err := Open(context.Background(), Options{Dir: dir, Lease: 20 * time.Second, Backoff: time.Millisecond, Losses: 4, MaxBytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		m := &machine{q: q, jobs: map[string]*modelJob{}, gone: map[string]bool{}, held: map[string]*heldTask{}}
		defer func() {
			for id := range maps.Clone(m.held) {
				m.release(id, errors.New("the test is over"))
			}
			_ = q.Close()
		}()
		t.Repeat(map[string]func(*rapid.T){"submit": m.submit, "begin": m.begin, "begin2": m.begin, "end": m.end, "lose": m.lose,
			"cancel": m.cancel, "remove": m.remove, "": m.check})
	})
}
