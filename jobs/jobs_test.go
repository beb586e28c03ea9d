package jobs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// quick are options for tests: everything happens soon.
func quick(dir string) Options {
	return Options{Dir: dir, Lease: time.Second, Backoff: 10 * time.Millisecond, Keep: time.Hour, MaxBytes: 256 << 20, Logger: testLogger()}
}

func testLogger() *slog.Logger {
	if os.Getenv("SR3_TEST_LOG") == "" {
		return nil
	}
	return slog.New(slog.NewTextHandler(os.Stderr, nil))
}

func openQueue(t testing.TB, o Options) *Queue {
	t.Helper()
	q, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() })
	return q
}

func request(i int) Request {
	return Request{Owner: "me", Settings: Settings{Seed: uint64(i)}, Input: Object{Name: fmt.Sprintf("%d.png", i), Type: "image/png", Width: 4, Height: 4},
		Data: bytes.Repeat([]byte(fmt.Sprintf("image %d ", i)), 200)}
}

func submit(t testing.TB, q *Queue, i int) Job {
	t.Helper()
	j, created, err := q.Submit(t.Context(), request(i))
	if err != nil || !created {
		t.Fatal(created, err)
	}
	return j
}

// echo does a job by giving back its input, in two results.
func echo(ctx context.Context, t *Task) error {
	data, err := t.Input(ctx)
	if err != nil {
		return err
	}
	for _, name := range []string{ResultImage, ResultMean} {
		if err := t.Put(ctx, Object{Name: name, Type: "image/png"}, append([]byte(name+" of "), data...)); err != nil {
			return err
		}
	}
	return nil
}

// work runs a worker until the end of the test.
func work(t testing.TB, q *Queue, w Worker) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := q.Work(ctx, w); err != nil {
			t.Error(err)
		}
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return stop
}

// await waits until a job is finished.
func await(t testing.TB, q *Queue, id string) Job {
	t.Helper()
	return awaitState(t, q, id, State.Finished)
}

func awaitState(t testing.TB, q *Queue, id string, ok func(State) bool) Job {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	events, err := q.Watch(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	var last Job
	for e := range events {
		if last = e.Job; ok(last.State) {
			return last
		}
	}
	t.Fatalf("job %s is %s", id, last.State)
	return Job{}
}

func is(states ...State) func(State) bool {
	return func(s State) bool { return slices.Contains(states, s) }
}

func TestJobIsDone(t *testing.T) {
	q := openQueue(t, quick(t.TempDir()))
	j := submit(t, q, 1)
	if j.State != Available || j.Input.SHA256 != digestOf(request(1).Data) {
		t.Errorf("submitted as %+v", j)
	}
	if _, _, err := q.Result(t.Context(), j.ID, ResultImage); !errors.Is(err, ErrNotFound) {
		t.Errorf("a result before there is one: %v", err)
	}
	work(t, q, Worker{Name: "w", Do: echo})
	j = await(t, q, j.ID)
	if j.State != Completed || j.Attempt != 1 || j.Worker != "w" || len(j.Results) != 2 || j.Finished == nil || j.Started == nil {
		t.Fatalf("ended as %+v", j)
	}
	o, data, err := q.Result(t.Context(), j.ID, ResultMean)
	if err != nil || !strings.HasPrefix(string(data), "mean of image 1 ") || o.Bytes != int64(len(data)) || o.SHA256 != digestOf(data) {
		t.Errorf("result %+v, %.20q, %v", o, data, err)
	}
	if _, data, err := q.Input(t.Context(), j.ID); err != nil || !bytes.Equal(data, request(1).Data) {
		t.Errorf("input: %v", err)
	}
	if _, _, err := q.Result(t.Context(), j.ID, "../x"); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown result: %v", err)
	}
	checkStore(t, q, []string{j.ID})
}

// checkStore compares what is stored with what should be: for each job one record, one
// event of its end, its input, and the results of one attempt.
func checkStore(t testing.TB, q *Queue, ids []string) {
	t.Helper()
	ctx := t.Context()
	// The message goes last, so without messages all ends are concluded.
	deadline := time.Now().Add(10 * time.Second)
	for {
		info, err := q.work.Info(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if info.State.Msgs == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Errorf("%d messages for finished jobs", info.State.Msgs)
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	var want []string
	for _, id := range ids {
		j, err := q.Get(ctx, id)
		if err != nil {
			t.Fatalf("job %s is lost: %v", id, err)
		}
		if !j.State.Finished() {
			t.Errorf("job %s is %s", id, j.State)
		}
		want = append(want, id+".in.input.0")
		for _, o := range j.Results {
			if _, data, err := q.Result(ctx, id, o.Name); err != nil || int64(len(data)) != o.Bytes {
				t.Errorf("result %s of %s: %v", o.Name, id, err)
			}
			want = append(want, fmt.Sprintf("%s.a%d.%s.0", id, j.Attempt, o.Name))
		}
		last, err := q.ends.GetLastMsgForSubject(ctx, subjectEnd+id)
		if err != nil || !strings.Contains(string(last.Data), string(j.State)) {
			t.Errorf("event of the end of %s: %v", id, err)
		}
	}
	got, err := q.subjectsOf(ctx, q.blobs, subjectBlob, subjectBlob+">")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("images in the store: %d, want %d\n got %v\nwant %v", len(got), len(want), got, want)
	}
	info, err := q.ends.Info(ctx)
	if err != nil || info.State.Msgs != uint64(len(ids)) {
		t.Errorf("%d events of ends for %d jobs, %v", info.State.Msgs, len(ids), err)
	}
}

func TestLargeImageInPieces(t *testing.T) {
	q := openQueue(t, quick(t.TempDir()))
	r := request(1)
	r.Data = bytes.Repeat([]byte("0123456789abcde"), 200_000) // 4 pieces
	j, _, err := q.Submit(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	work(t, q, Worker{Do: echo})
	if j = await(t, q, j.ID); j.State != Completed {
		t.Fatal(j.State, j.Fault)
	}
	if _, data, err := q.Result(t.Context(), j.ID, ResultImage); err != nil || len(data) != len(r.Data)+9 {
		t.Error(len(data), err)
	}
	if err := q.Delete(t.Context(), j.ID); err != nil {
		t.Fatal(err)
	}
	if list, err := q.subjectsOf(t.Context(), q.blobs, subjectBlob, subjectBlob+">"); err != nil || len(list) > 0 {
		t.Error("left:", list, err)
	}
	if gone, err := q.Get(t.Context(), j.ID); !errors.Is(err, ErrGone) || !reflect.DeepEqual(gone, Job{ID: j.ID, Owner: j.Owner}) {
		t.Errorf("a deleted job of %q: %+v, %v", j.Owner, gone, err)
	}
	if err := q.Delete(t.Context(), j.ID); !errors.Is(err, ErrGone) {
		t.Errorf("deleted twice: %v", err)
	}
}

func TestFailures(t *testing.T) {
	q := openQueue(t, quick(t.TempDir()))
	var calls atomic.Int32
	work(t, q, Worker{Do: func(ctx context.Context, t *Task) error {
		_ = t.Put(ctx, Object{Name: ResultImage}, []byte("half a result"))
		switch n := calls.Add(1); t.Job().Settings.Seed {
		case 1:
			return &Fault{"image-damaged", "it is cut off"}
		case 2:
			return errors.New("the disk is full")
		case 3:
			if n%2 == 1 {
				panic("a bug")
			}
		}
		return nil
	}})
	var ids []string
	for i := range 3 {
		calls.Store(0)
		j := await(t, q, submit(t, q, i+1).ID)
		ids = append(ids, j.ID)
		want := []struct {
			state   State
			attempt int
			code    string
		}{{Discarded, 1, "image-damaged"}, {Discarded, 3, FaultFailed}, {Completed, 2, ""}}[i]
		code := ""
		if j.Fault != nil {
			code = j.Fault.Code
		}
		if j.State != want.state || j.Attempt != want.attempt || code != want.code {
			t.Errorf("job %d: %s after %d attempts, fault %v; want %+v", i+1, j.State, j.Attempt, j.Fault, want)
		}
	}
	time.Sleep(100 * time.Millisecond) // images of failed attempts are removed after the end
	checkStore(t, q, ids)
}

func TestCancelRunning(t *testing.T) {
	q := openQueue(t, quick(t.TempDir()))
	ended := make(chan error, 1)
	work(t, q, Worker{Do: func(ctx context.Context, t *Task) error {
		<-ctx.Done()
		ended <- context.Cause(ctx)
		_ = t.Put(context.Background(), Object{Name: ResultImage}, []byte("too late"))
		return nil // it even claims to be done
	}})
	j := submit(t, q, 1)
	awaitState(t, q, j.ID, is(Running))
	start := time.Now()
	if j, err := q.Cancel(t.Context(), j.ID); err != nil || j.State != Cancelled {
		t.Fatal(j.State, err)
	}
	if cause := <-ended; !errors.Is(cause, context.Canceled) || time.Since(start) > 300*time.Millisecond {
		t.Errorf("the worker was told %v after %v", cause, time.Since(start))
	}
	if j, err := q.Cancel(t.Context(), j.ID); !errors.Is(err, ErrFinished) || j.State != Cancelled {
		t.Errorf("cancelled twice: %v %v", j.State, err)
	}
	time.Sleep(100 * time.Millisecond)
	checkStore(t, q, []string{j.ID})
}

func TestIdempotency(t *testing.T) {
	q := openQueue(t, quick(t.TempDir()))
	r := request(1)
	r.IdempotencyKey = "a key/with * any > characters"
	var wg sync.WaitGroup
	var made atomic.Int32
	ids := make([]string, 8)
	for i := range ids {
		wg.Go(func() {
			j, created, err := q.Submit(t.Context(), r)
			if err != nil {
				t.Error(err)
			}
			if created {
				made.Add(1)
			}
			ids[i] = j.ID
		})
	}
	wg.Wait()
	if made.Load() != 1 || len(slices.Compact(slices.Clone(ids))) != 1 {
		t.Fatalf("%d jobs made of the same request: %v", made.Load(), ids)
	}
	other := request(2)
	other.IdempotencyKey = r.IdempotencyKey
	if _, _, err := q.Submit(t.Context(), other); !errors.Is(err, ErrKeyReused) {
		t.Errorf("other content: %v", err)
	}
	other.Owner = "you"
	if _, created, err := q.Submit(t.Context(), other); err != nil || !created {
		t.Errorf("another owner: %v %v", created, err)
	}
	if err := q.Delete(t.Context(), ids[0]); err != nil {
		t.Fatal(err)
	}
	if j, created, err := q.Submit(t.Context(), r); err != nil || !created || j.ID == ids[0] {
		t.Errorf("after deletion: %v %v", created, err)
	}
	// A process died after it had claimed the key: the next request makes its job.
	c := &claim{ID: newID(time.Now()), key: digestOf([]byte("me\x00k"))}
	r.IdempotencyKey = "k"
	r.Input.SHA256 = digestOf(r.Data)
	r.Input.Bytes = int64(len(r.Data))
	c.Content = r.contentDigest()
	if _, err := q.makeClaim(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if j, created, err := q.Submit(t.Context(), r); err != nil || !created || j.ID != c.ID {
		t.Errorf("half-made: %v %v %v", j.ID, created, err)
	}
}

func TestFull(t *testing.T) {
	o := quick(t.TempDir())
	o.MaxQueued, o.MaxBytes = 5, 1<<20
	q := openQueue(t, o)
	var wg sync.WaitGroup
	var accepted atomic.Int32
	for i := range 20 {
		wg.Go(func() {
			_, _, err := q.Submit(t.Context(), request(i))
			if err == nil {
				accepted.Add(1)
			} else if !errors.Is(err, ErrFull) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := accepted.Load(); n > 5 || n < 1 {
		t.Errorf("%d jobs accepted, want 5 at most", n)
	}
	work(t, q, Worker{Do: echo})
	list, err := q.List(t.Context(), Filter{AllOwners: true})
	if err != nil || len(list) != int(accepted.Load()) {
		t.Fatal(len(list), err)
	}
	for _, j := range list {
		await(t, q, j.ID)
	}
	big := request(1)
	big.Data = make([]byte, 1<<20)
	if _, _, err := q.Submit(t.Context(), big); !errors.Is(err, ErrFull) {
		t.Errorf("an image larger than the store: %v", err)
	}
	s, err := q.Stats(t.Context())
	if err != nil || s.Waiting != 0 || s.Running != 0 || s.States[Completed] != len(list) || s.Bytes < 1000 {
		t.Errorf("%+v %v", s, err)
	}
}

func TestListAndIDs(t *testing.T) {
	q := openQueue(t, quick(t.TempDir()))
	var ids []string
	for i := range 12 {
		ids = append(ids, submit(t, q, i).ID)
		time.Sleep(2 * time.Millisecond)
	}
	if !slices.IsSorted(ids) || len(ids[0]) != 26 || strings.ToLower(ids[0]) != ids[0] {
		t.Fatal("IDs do not sort by time:", ids)
	}
	slices.Reverse(ids)
	var got []string
	f := Filter{Owner: "me", Limit: 5}
	for {
		list, err := q.List(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range list {
			got = append(got, j.ID)
		}
		if len(list) < 5 {
			break
		}
		f.Before = list[4].ID
	}
	if !slices.Equal(got, ids) {
		t.Errorf("listed %v, want %v", got, ids)
	}
	if list, err := q.List(t.Context(), Filter{Owner: "you"}); err != nil || len(list) != 0 {
		t.Error("jobs of others:", list, err)
	}
	if list, err := q.List(t.Context(), Filter{AllOwners: true, States: []State{Completed}}); err != nil || len(list) != 0 {
		t.Error("completed:", list, err)
	}
	for _, id := range []string{"", "x", strings.Repeat("z", 26), strings.Repeat("0", 26), "../../etc/passwd", strings.Repeat("0", 25) + ">", "queue"} {
		if _, err := q.Get(t.Context(), id); !errors.Is(err, ErrNotFound) {
			t.Errorf("Get(%q): %v", id, err)
		}
	}
}

func TestScheduleAndExpiry(t *testing.T) {
	o := quick(t.TempDir())
	o.Keep, o.Lease = 1500*time.Millisecond, 300*time.Millisecond
	q := openQueue(t, o)
	work(t, q, Worker{Do: echo})
	r := request(1)
	at := time.Now().Add(700 * time.Millisecond)
	r.Settings.StartAfter = &at
	j, _, err := q.Submit(t.Context(), r)
	if err != nil || j.State != Scheduled {
		t.Fatal(j.State, err)
	}
	if j = await(t, q, j.ID); j.State != Completed || j.Started.Before(at) {
		t.Errorf("%s, started %v, not before %v", j.State, j.Started, at)
	}
	for start := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		if _, err := q.Get(t.Context(), j.ID); errors.Is(err, ErrGone) {
			if age := time.Since(*j.Finished); age < o.Keep {
				t.Errorf("removed after %v", age)
			}
			break
		} else if err != nil || time.Since(start) > 10*time.Second {
			t.Fatal("it does not expire:", err)
		}
	}
	far := time.Now().Add(time.Hour)
	r.Settings.StartAfter = &far
	var fault *Fault
	if _, _, err := q.Submit(t.Context(), r); !errors.As(err, &fault) {
		t.Errorf("a start beyond Keep: %v", err)
	}
}

func TestWatchSteps(t *testing.T) {
	q := openQueue(t, quick(t.TempDir()))
	var previews atomic.Int32
	const steps = 60
	do := func(ctx context.Context, task *Task) error {
		for i := range steps {
			task.Progress(Progress{Step: i + 1, Steps: steps, Share: float64(i+1) / steps}, func() ([]byte, string) {
				previews.Add(1)
				return []byte("a small image"), "image/jpeg"
			})
			time.Sleep(10 * time.Millisecond)
		}
		return echo(ctx, task)
	}
	work(t, q, Worker{Do: do})
	await := func(id string) (seen, shown int, states []State) {
		events, err := q.Watch(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		for e := range events {
			if e.Job.Progress != nil && e.Job.State == Running {
				seen++
			} else {
				states = append(states, e.Job.State)
			}
			if len(e.Preview) > 0 {
				shown++
			}
		}
		return
	}
	j := submit(t, q, 1)
	seen, shown, states := await(j.ID)
	if seen < 5 || shown < 2 || states[len(states)-1] != Completed {
		t.Errorf("%d steps, %d previews, states %v", seen, shown, states)
	}
	// Nobody watches: no preview is made.
	time.Sleep(50 * time.Millisecond)
	previews.Store(0)
	j = submit(t, q, 2)
	for {
		if j, _ = q.Get(t.Context(), j.ID); j.State.Finished() {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if n := previews.Load(); n > 0 {
		t.Errorf("%d previews that nobody saw", n)
	}
	// A slow watcher misses steps and gets the end, another is not held up.
	j = submit(t, q, 3)
	slow, err := q.Watch(t.Context(), j.ID)
	if err != nil {
		t.Fatal(err)
	}
	<-slow
	await(j.ID)
	var last Event
	n := 0
	for last = range slow {
		n++
		time.Sleep(30 * time.Millisecond)
	}
	if last.Job.State != Completed || n > 8 {
		t.Errorf("the slow watcher saw %d events, the last %s", n, last.Job.State)
	}
}

func TestDrain(t *testing.T) {
	q := openQueue(t, quick(t.TempDir()))
	stop := work(t, q, Worker{Drain: 50 * time.Millisecond, Do: func(ctx context.Context, t *Task) error {
		<-ctx.Done()
		return ctx.Err()
	}})
	j := submit(t, q, 1)
	awaitState(t, q, j.ID, is(Running))
	stop()
	got, err := q.Get(t.Context(), j.ID)
	if err != nil || got.State != Available {
		t.Fatalf("handed back as %s, %v", got.State, err)
	}
	stop = work(t, q, Worker{Do: func(ctx context.Context, t *Task) error {
		time.Sleep(200 * time.Millisecond)
		return echo(ctx, t)
	}})
	awaitState(t, q, j.ID, is(Running))
	stop() // waits for it
	if got, err = q.Get(t.Context(), j.ID); err != nil || got.State != Completed || got.Attempt != 2 {
		t.Fatalf("finished as %s after %d attempts, %v", got.State, got.Attempt, err)
	}
	checkStore(t, q, []string{j.ID})
}

func TestLockedAndReopened(t *testing.T) {
	dir := t.TempDir()
	q := openQueue(t, quick(dir))
	j := submit(t, q, 1)
	if _, err := Open(t.Context(), quick(dir)); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("the same store twice: %v", err)
	}
	if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("store is %v, %v", st.Mode(), err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := q.Submit(t.Context(), request(2)); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	o := quick(dir)
	o.Lease, o.Sync = 0, true
	q = openQueue(t, o)
	if got := q.settings.Load().Lease; got != time.Second {
		t.Errorf("the lease was stored as %v", got)
	}
	work(t, q, Worker{Do: echo})
	if j = await(t, q, j.ID); j.State != Completed {
		t.Error(j.State)
	}
}

// A worker that lost its lease delivers late, while another is at work.
func TestLateResultLoses(t *testing.T) {
	o := quick(t.TempDir())
	o.Lease = 10 * time.Second
	q := openQueue(t, o)
	release := map[int]chan struct{}{1: make(chan struct{}), 2: make(chan struct{})}
	took := make(chan int, 2)
	work(t, q, Worker{Parallel: 2, Do: func(_ context.Context, task *Task) error {
		n := task.Job().Attempt
		took <- n
		<-release[n]
		return task.Put(context.Background(), Object{Name: ResultImage}, []byte(fmt.Sprint("of attempt ", n)))
	}})
	j := submit(t, q, 1)
	<-took
	r, err := q.load(t.Context(), j.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(q.loseWorker(t.Context(), r), q.dropMessage(t.Context(), j.ID), q.sweepMessages(t.Context())); err != nil {
		t.Fatal(err)
	}
	if n := <-took; n != 2 {
		t.Fatal("attempt", n)
	}
	close(release[1])
	time.Sleep(100 * time.Millisecond)
	if j, err := q.Get(t.Context(), j.ID); err != nil || j.State != Running {
		t.Fatalf("the late worker ended the job: %s %v", j.State, err)
	}
	close(release[2])
	await(t, q, j.ID)
	if _, data, err := q.Result(t.Context(), j.ID, ResultImage); err != nil || string(data) != "of attempt 2" {
		t.Errorf("%q %v", data, err)
	}
	checkStore(t, q, []string{j.ID})
}

// Workers elsewhere reach the embedded server with its token only.
func TestListen(t *testing.T) {
	o := quick(t.TempDir())
	o.Listen = "127.0.0.1:0"
	q := openQueue(t, o)
	url := q.WorkerURL()
	elsewhere := openQueue(t, Options{URL: url})
	if got := elsewhere.settings.Load().Lease; got != o.Lease {
		t.Errorf("the lease elsewhere is %v, want %v", got, o.Lease)
	}
	work(t, elsewhere, Worker{Name: "elsewhere", Do: echo})
	if j := await(t, q, submit(t, q, 1).ID); j.State != Completed || j.Worker != "elsewhere" {
		t.Error(j.State, j.Worker)
	}
	at := strings.Index(url, "@")
	_, err := Open(t.Context(), Options{URL: "nats://" + url[at+1:]})
	if err == nil {
		t.Error("it lets in whoever comes")
	}
	_, err = Open(t.Context(), Options{URL: "nats://wrong" + url[at:]})
	if err == nil || strings.Contains(err.Error(), "wrong@") {
		t.Errorf("a wrong token: %v", err)
	}
	o.Dir, o.Listen = t.TempDir(), url[at+1:]
	if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "another address") {
		t.Errorf("a port that is taken: %v", err)
	}
}

// What a crash can leave is put in order when the store is opened again.
func TestRecovery(t *testing.T) {
	dir := t.TempDir()
	q := openQueue(t, quick(dir))
	ctx := t.Context()
	// A request died before its record, and one before its message.
	orphan := newID(time.Now())
	if err := q.putBlob(ctx, inputPlace(orphan), []byte("x")); err != nil {
		t.Fatal(err)
	}
	unsent := submit(t, q, 1)
	if err := q.dropMessage(ctx, unsent.ID); err != nil {
		t.Fatal(err)
	}
	// A job ended, and its process died before the event; one after a useless attempt.
	ended := submit(t, q, 2)
	_, err := q.change(ctx, ended.ID, func(r *record) error { return r.cancel(time.Now()) })
	if err != nil {
		t.Fatal(err)
	}
	if err := q.putBlob(ctx, resultPlace(ended.ID, 1, ResultImage), []byte("x")); err != nil {
		t.Fatal(err)
	}
	// A worker died with a job.
	running := submit(t, q, 3)
	if _, err := q.change(ctx, running.ID, func(r *record) error { return r.take("dead", "dead", time.Now()) }); err != nil {
		t.Fatal(err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	q = openQueue(t, quick(dir))
	if j, err := q.Get(ctx, running.ID); err != nil || j.State != Retryable || j.Fault.Code != FaultWorkerLost {
		t.Errorf("the job of a dead worker is %s %v", j.State, err)
	}
	work(t, q, Worker{Do: echo})
	await(t, q, unsent.ID)
	await(t, q, running.ID)
	time.Sleep(100 * time.Millisecond)
	checkStore(t, q, []string{unsent.ID, ended.ID, running.ID})
}
