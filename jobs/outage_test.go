package jobs

import (
	"context"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// outsideServer is a NATS server that a test can kill and start again.
type outsideServer struct {
	program, addr, dir string
	cmd                *exec.Cmd
}

func newOutsideServer(t *testing.T) *outsideServer {
	t.Helper()
	s := &outsideServer{program: filepath.Join(t.TempDir(), "nats-server"), dir: t.TempDir()}
	out, err := exec.Command("go", "build", "-o", s.program, "github.com/nats-io/nats-server/v2").CombinedOutput()
	if err != nil {
		t.Skipf("no NATS server can be built here: %v %s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	_ = l.Close()
	s.start(t)
	t.Cleanup(s.kill)
	return s
}

func (s *outsideServer) start(t *testing.T) {
	t.Helper()
	_, port, _ := net.SplitHostPort(s.addr)
	s.cmd = exec.Command(s.program, "-a", "127.0.0.1", "-p", port, "-js", "-sd", s.dir)
	s.cmd.Stdout, s.cmd.Stderr = io.Discard, io.Discard
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		if c, err := net.Dial("tcp", s.addr); err == nil {
			_ = c.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("the NATS server does not answer")
}

func (s *outsideServer) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// An external server is killed and started again in the middle of jobs, for less and
// for more than a lease: watchers, lists and workers are there again, and no job
// ends twice.
func TestKilledOutsideServer(t *testing.T) {
	srv := newOutsideServer(t)
	o := Options{URL: "nats://" + srv.addr, Lease: time.Second, Backoff: 10 * time.Millisecond, MaxBytes: 256 << 20, Logger: testLogger()}
	front, back := openQueue(t, o), openQueue(t, Options{URL: o.URL, Logger: testLogger()})
	var tries atomic.Int32
	work(t, back, Worker{Name: "w", Parallel: 3, Do: func(ctx context.Context, t *Task) error {
		tries.Add(1)
		time.Sleep(30 * time.Millisecond)
		return echo(ctx, t)
	}})
	var ids []string
	for i := range 60 {
		ids = append(ids, submit(t, front, i).ID)
	}
	events, err := front.Watch(t.Context(), ids[59])
	if err != nil {
		t.Fatal(err)
	}
	for _, down := range []time.Duration{0, 1500 * time.Millisecond} {
		time.Sleep(300 * time.Millisecond)
		srv.kill()
		time.Sleep(down)
		srv.start(t)
	}
	start := time.Now()
	var last Job
	for e := range events {
		last = e.Job
	}
	if last.State != Completed {
		t.Errorf("the watcher saw %s last", last.State)
	}
	for _, id := range ids {
		if j := await(t, front, id); j.State != Completed {
			t.Errorf("job %s: %s %v", id, j.State, j.Fault)
		}
	}
	t.Logf("all done %v after the server came back, in %d attempts", time.Since(start), tries.Load())
	time.Sleep(time.Second)
	checkStore(t, front, ids)
	checkOnce(t, front, len(ids))
	for _, q := range []*Queue{front, back} {
		if s, err := q.Stats(t.Context()); err != nil || s.States[Completed] != 60 || s.Waiting+s.Running != 0 {
			t.Errorf("%+v %v", s, err)
		}
	}
}

// A worker lives through the removal of the store, such as when somebody begins anew
// with an empty folder: it does the jobs of the new one.
func TestNewStore(t *testing.T) {
	srv := newOutsideServer(t)
	o := Options{URL: "nats://" + srv.addr, Lease: time.Second, Backoff: 10 * time.Millisecond, MaxBytes: 256 << 20, Logger: testLogger()}
	back := openQueue(t, o)
	work(t, back, Worker{Do: func(ctx context.Context, t *Task) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return echo(ctx, t)
	}})
	for i := range 5 {
		await(t, back, submit(t, back, i).ID)
	}
	srv.kill()
	srv.dir = t.TempDir()
	srv.start(t)
	front := openQueue(t, o)
	time.Sleep(2 * time.Second)
	j := await(t, front, submit(t, front, 1).ID)
	if j.State != Completed || j.Attempt != 1 {
		t.Errorf("%s in attempt %d: %v", j.State, j.Attempt, j.Fault)
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		s, err := back.Stats(t.Context())
		if err == nil && s.States[Completed] == 1 && len(s.States) == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v %v", s, err)
		}
	}
}

// Workers come back to a server that refused them for a while.
func TestRefusedForAWhile(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds of waiting")
	}
	o := quick(t.TempDir())
	o.Listen, o.Token = "127.0.0.1:0", "the token of the workers"
	q := openQueue(t, o)
	elsewhere := openQueue(t, Options{URL: "nats://the%20token%20of%20the%20workers@" + q.server.srv.Addr().String()})
	o.Listen = q.server.srv.Addr().String()
	for _, token := range []string{"another one", o.Token} {
		_ = q.Close()
		o.Token = token
		q = openQueue(t, o)
		if token == "another one" {
			time.Sleep(3500 * time.Millisecond)
		}
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if _, err := elsewhere.Stats(t.Context()); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// Watchers leave nothing behind, however they end.
func TestWatchersLeaveNothing(t *testing.T) {
	q := openQueue(t, quick(t.TempDir()))
	open := submit(t, q, 1)
	over := submit(t, q, 2)
	if _, err := q.Cancel(t.Context(), over.ID); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	goroutines, subs := runtime.NumGoroutine(), q.nc.NumSubscriptions()
	for i := range 300 {
		ctx, cancel := context.WithCancel(t.Context())
		id := []string{open.ID, over.ID, newID(time.Now())}[i%3]
		events, err := q.Watch(ctx, id)
		if i%2 == 0 && err == nil {
			<-events
		}
		cancel()
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		q.view.mu.Lock()
		left := len(q.view.watchers) + len(q.hub.jobs)
		q.view.mu.Unlock()
		if runtime.NumGoroutine() <= goroutines+2 && q.nc.NumSubscriptions() == subs && left == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, were %d; %d subscriptions, were %d; %d watchers", runtime.NumGoroutine(), goroutines, q.nc.NumSubscriptions(), subs, left)
		}
	}
}
