//go:build unix

package jobs

import (
	"syscall"
	"testing"
	"time"
)

// A worker is paused for longer than its lease in the middle of a job and goes on when
// another has done it: what it delivers then changes nothing, and nothing is left.
func TestPausedWorker(t *testing.T) {
	o := quick(t.TempDir())
	o.Listen, o.Lease = "127.0.0.1:0", 500*time.Millisecond
	q := openQueue(t, o)
	c := startChild(t, envRole+"=worker", envURL+"="+q.WorkerURL(), envName+"=paused")
	c.wait(t, "ready")
	j := submit(t, q, 1)
	c.wait(t, "took")
	if err := c.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	work(t, q, Worker{Name: "other", Do: echo})
	got := await(t, q, j.ID)
	_ = c.cmd.Process.Signal(syscall.SIGCONT)
	time.Sleep(700 * time.Millisecond) // it delivers, and is told
	again, err := q.Get(t.Context(), j.ID)
	if err != nil || got.State != Completed || got.Worker != "other" || got.Attempt != 2 || !again.Finished.Equal(*got.Finished) || again.Worker != "other" {
		t.Errorf("%+v, later %+v, %v", got, again, err)
	}
	// The paused process did not take jobs of others for lost, and works again.
	next := submit(t, q, 2)
	if next = await(t, q, next.ID); next.State != Completed || next.Attempt != 1 {
		t.Errorf("%+v", next)
	}
	time.Sleep(100 * time.Millisecond)
	checkStore(t, q, []string{j.ID, next.ID})
	checkOnce(t, q, 2)
}
