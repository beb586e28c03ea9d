package jobs

import (
	"testing"
	"time"
)

// Machines whose clocks are days before or after the server's neither remove what
// others made nor make what others remove, and their jobs are done at once.
func TestWrongClocks(t *testing.T) {
	o := quick(t.TempDir())
	o.Listen, o.Lease = "127.0.0.1:0", 300*time.Millisecond
	q := openQueue(t, o)
	ids := []string{submit(t, q, 1).ID}
	for i, wrong := range []time.Duration{-72 * time.Hour, 72 * time.Hour} {
		other := openQueue(t, Options{URL: q.WorkerURL(), Logger: testLogger(), clock: func() time.Time { return time.Now().Add(wrong) }})
		j := submit(t, other, 2+i)
		if made, err := idTime(j.ID); err != nil || time.Since(made).Abs() > time.Minute || time.Since(j.Created).Abs() > time.Minute {
			t.Errorf("clock %v: created %v", wrong, j.Created)
		}
		ids = append(ids, j.ID)
	}
	time.Sleep(400 * time.Millisecond) // all have swept
	work(t, q, Worker{Do: echo})
	for _, id := range ids {
		if j := await(t, q, id); j.State != Completed || j.Finished.Sub(j.Created).Abs() > time.Minute {
			t.Errorf("%s %v %v", j.State, j.Created, j.Finished)
		}
	}
}
