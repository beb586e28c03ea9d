package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"image"
	"image/png"
	"slices"
	"sync"
	"time"

	"github.com/sr3-go/sr3/jobs"
)

// fakeQueue keeps jobs in memory. Its jobs wait until finish is called, or are done
// at once where auto is set.
type fakeQueue struct {
	mu       sync.Mutex
	auto     bool
	full     bool
	broken   error // every call fails with it
	made     int
	jobs     map[string]*fakeJob
	deleted  map[string]string // owners
	watchers int
}

type fakeJob struct {
	job     jobs.Job
	key     string
	input   []byte
	results map[string][]byte
	watch   map[chan jobs.Event]bool
}

func newFakeQueue() *fakeQueue {
	return &fakeQueue{jobs: map[string]*fakeJob{}, deleted: map[string]string{}}
}

func fakeID(n int) string { return fmt.Sprintf("%026d", n) }

func digest(data []byte) string {
	hash := sha256.Sum256(data)
	return hex.EncodeToString(hash[:])
}

func (q *fakeQueue) Submit(_ context.Context, r jobs.Request) (jobs.Job, bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.broken != nil {
		return jobs.Job{}, false, q.broken
	}
	if r.IdempotencyKey != "" {
		for _, j := range q.jobs {
			if j.key == r.Owner+"\n"+r.IdempotencyKey {
				if j.job.Input.SHA256 != digest(r.Data) || j.job.Settings.Steps != r.Settings.Steps || j.job.Settings.Seed != r.Settings.Seed {
					return jobs.Job{}, false, jobs.ErrKeyReused
				}
				return j.job, false, nil
			}
		}
	}
	if q.full {
		return jobs.Job{}, false, fmt.Errorf("submit: %w", jobs.ErrFull)
	}
	q.made++
	j := &fakeJob{input: slices.Clone(r.Data), watch: map[chan jobs.Event]bool{}, results: map[string][]byte{}}
	if r.IdempotencyKey != "" {
		j.key = r.Owner + "\n" + r.IdempotencyKey
	}
	r.Input.SHA256, r.Input.Bytes = digest(r.Data), int64(len(r.Data))
	j.job = jobs.Job{ID: fakeID(q.made), State: jobs.Available, Owner: r.Owner, Settings: r.Settings, Input: r.Input, Created: time.Now().UTC()}
	q.jobs[j.job.ID] = j
	accepted := j.job
	if q.auto {
		q.complete(j)
	}
	return accepted, true, nil
}

// complete does a job: its result is an image of the right size.
func (q *fakeQueue) complete(j *fakeJob) {
	w, h := j.job.Input.Width*4, j.job.Input.Height*4
	if s := j.job.Settings; s.Width > 0 && s.Height > 0 {
		w, h = s.Width, s.Height
	}
	data := testPNG(w, h)
	now := time.Now().UTC()
	j.results[jobs.ResultImage] = data
	j.job.State, j.job.Attempt, j.job.Started, j.job.Finished = jobs.Completed, 1, &now, &now
	j.job.Results = []jobs.Object{{Name: jobs.ResultImage, Type: "image/png", Bytes: int64(len(data)), Width: w, Height: h, SHA256: digest(data)}}
	q.tell(j, jobs.Event{Job: j.job})
}

// tell informs watchers; after the end they are let go.
func (q *fakeQueue) tell(j *fakeJob, e jobs.Event) {
	for c := range j.watch {
		select {
		case c <- e:
		default:
		}
		if j.job.State.Finished() {
			close(c)
			delete(j.watch, c)
		}
	}
}

// change alters a job and tells its watchers.
func (q *fakeQueue) change(id string, f func(j *jobs.Job), preview []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	j := q.jobs[id]
	f(&j.job)
	q.tell(j, jobs.Event{Job: j.job, Preview: preview, PreviewType: "image/png"})
}

// finish completes a job.
func (q *fakeQueue) finish(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.complete(q.jobs[id])
}

func (q *fakeQueue) has(id string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.jobs[id] != nil
}

func (q *fakeQueue) find(id string) (*fakeJob, error) {
	j := q.jobs[id]
	_, gone := q.deleted[id]
	switch {
	case q.broken != nil:
		return nil, q.broken
	case gone:
		return nil, jobs.ErrGone
	case j == nil:
		return nil, jobs.ErrNotFound
	default:
		return j, nil
	}
}

func (q *fakeQueue) Get(_ context.Context, id string) (jobs.Job, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	j, err := q.find(id)
	if err != nil {
		return jobs.Job{ID: id, Owner: q.deleted[id]}, err
	}
	return j.job, nil
}

func (q *fakeQueue) List(_ context.Context, f jobs.Filter) ([]jobs.Job, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.broken != nil {
		return nil, q.broken
	}
	var out []jobs.Job
	for n := q.made; n > 0 && len(out) < f.Limit; n-- {
		j := q.jobs[fakeID(n)]
		if j == nil || j.job.Owner != f.Owner || len(f.States) > 0 && !slices.Contains(f.States, j.job.State) || f.Before != "" && j.job.ID >= f.Before {
			continue
		}
		out = append(out, j.job)
	}
	return out, nil
}

func (q *fakeQueue) Cancel(_ context.Context, id string) (jobs.Job, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	j, err := q.find(id)
	if err != nil {
		return jobs.Job{}, err
	}
	if j.job.State.Finished() {
		return j.job, jobs.ErrFinished
	}
	now := time.Now().UTC()
	j.job.State, j.job.Finished = jobs.Cancelled, &now
	q.tell(j, jobs.Event{Job: j.job})
	return j.job, nil
}

func (q *fakeQueue) Delete(ctx context.Context, id string) error {
	_, _ = q.Cancel(ctx, id)
	q.mu.Lock()
	defer q.mu.Unlock()
	j, err := q.find(id)
	if err != nil {
		return err
	}
	delete(q.jobs, id)
	q.deleted[id] = j.job.Owner
	return nil
}

func (q *fakeQueue) Input(_ context.Context, id string) (jobs.Object, []byte, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	j, err := q.find(id)
	if err != nil {
		return jobs.Object{}, nil, err
	}
	return j.job.Input, j.input, nil
}

func (q *fakeQueue) Result(_ context.Context, id, name string) (jobs.Object, []byte, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	j, err := q.find(id)
	if err != nil {
		return jobs.Object{}, nil, err
	}
	data, ok := j.results[name]
	if !ok {
		return jobs.Object{}, nil, jobs.ErrNotFound
	}
	return j.job.Results[0], data, nil
}

func (q *fakeQueue) Watch(ctx context.Context, id string) (<-chan jobs.Event, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	j, err := q.find(id)
	if err != nil {
		return nil, err
	}
	c := make(chan jobs.Event, 16)
	c <- jobs.Event{Job: j.job}
	if j.job.State.Finished() {
		close(c)
		return c, nil
	}
	j.watch[c] = true
	q.watchers++
	context.AfterFunc(ctx, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.watchers--
		if j.watch[c] {
			delete(j.watch, c)
			close(c)
		}
	})
	return c, nil
}

func (q *fakeQueue) Stats(context.Context) (jobs.Stats, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var s jobs.Stats
	for _, j := range q.jobs {
		switch j.job.State {
		case jobs.Running:
			s.Running++
		case jobs.Available, jobs.Scheduled, jobs.Retryable:
			s.Waiting++
		}
		s.Bytes += j.job.Input.Bytes
	}
	return s, q.broken
}

func (q *fakeQueue) state(id string) jobs.State {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.jobs[id].job.State
}

// testPNG is an image of smooth colours.
func testPNG(w, h int) []byte {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for i := range img.Pix {
		img.Pix[i] = uint8(i*3 | 3)
		if i%4 == 3 {
			img.Pix[i] = 255
		}
	}
	var b bytes.Buffer
	e := png.Encoder{CompressionLevel: png.BestSpeed}
	if err := e.Encode(&b, img); err != nil {
		panic(err)
	}
	return b.Bytes()
}
