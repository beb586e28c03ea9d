package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Request asks for a job.
type Request struct {
	Owner string // of the job; see [Job]
	// IdempotencyKey makes a repeated request find the job of the first one instead of
	// making another, for as long as that job is kept. Each owner has keys of its own.
	IdempotencyKey string
	// Content tells requests with the same key apart that are not the same; empty
	// means by Settings and Data. Whoever completes Settings, such as with a seed drawn
	// at random, gives here what the client sent.
	Content  string
	Settings Settings
	// Input describes Data; SHA256 and Bytes are filled in.
	Input Object
	Data  []byte // of the image's file
}

// claim is what is stored of an idempotency key.
type claim struct {
	ID      string `json:"id"`
	Content string `json:"content"` // digest

	key      string
	revision uint64
	held     bool // by an earlier request
}

// halfMade is how long the request that claimed a key may take to make its job,
// before another takes the key over.
const halfMade = 10 * time.Minute

// Submit accepts a job: when it returns without an error, the job is stored and will
// be done. created is false if a job with the same owner, idempotency key and content
// was there. Errors: [ErrFull], [ErrKeyReused], a [Fault] for settings that cannot be
// followed.
func (q *Queue) Submit(ctx context.Context, req Request) (job Job, created bool, err error) {
	if q.ctx.Err() != nil {
		return Job{}, false, ErrClosed
	}
	now := q.now().Truncate(time.Millisecond)
	s := q.settings.Load()
	if at := req.Settings.StartAfter; at != nil && at.After(now.Add(s.Keep)) {
		return Job{}, false, &Fault{"settings-invalid", fmt.Sprintf("start_after is too far away; jobs can wait %v", s.Keep)}
	}
	req.Input.SHA256, req.Input.Bytes = digestOf(req.Data), int64(len(req.Data))
	c := &claim{ID: newID(now)}
	if req.IdempotencyKey != "" {
		c.key = digestOf([]byte(req.Owner + "\x00" + req.IdempotencyKey))
		c.Content = req.contentDigest()
		if r, err := q.findClaim(ctx, c); err != nil || r != nil {
			return asJob(r), false, err
		}
	}
	size := req.Input.Bytes + recordBytes
	if err := q.view.reserve(size, s); err != nil {
		return Job{}, false, err
	}
	defer q.view.release(size)
	if c.key != "" {
		if r, err := q.makeClaim(ctx, c); err != nil || r != nil {
			return asJob(r), false, err
		}
	}
	return q.accept(ctx, &req, c, now)
}

// accept stores a job: its input, its record, and the message that makes workers take
// it. Should this process die in between, the record decides: without it there is no
// job, and the input is removed as an orphan; with it any process makes the message.
func (q *Queue) accept(ctx context.Context, req *Request, c *claim, now time.Time) (Job, bool, error) {
	r := &record{Key: c.key, Job: Job{ID: c.ID, State: Available, Owner: req.Owner, Settings: req.Settings, Input: req.Input, Created: now}}
	if at := r.Settings.StartAfter; at != nil && at.After(now) {
		r.State = Scheduled
	}
	if err := q.putBlob(ctx, inputPlace(c.ID), req.Data); err != nil {
		q.abandon(c)
		return Job{}, false, fmt.Errorf("store the image: %w", err)
	}
	if err := ctx.Err(); err != nil {
		q.abandon(c)
		return Job{}, false, err
	}
	ctx = context.WithoutCancel(ctx) // now it is all or nothing
	data, err := json.Marshal(r)
	if err != nil {
		return Job{}, false, fmt.Errorf("store the job: %w", err)
	}
	err = q.call(ctx, func(ctx context.Context) (err error) {
		r.revision, err = q.records.Create(ctx, r.ID, data)
		return err
	})
	if wrongRevision(err) { // the same request at the same time, or this one before the connection was lost
		other, err := q.load(ctx, c.ID)
		return asJob(other), c.key == "" && err == nil, err
	}
	if err != nil { // it may be stored or not; what is true shows later, and nothing is removed
		return Job{}, false, fmt.Errorf("store the job: %w", err)
	}
	q.view.apply(r)
	if err := q.enqueue(ctx, r.ID); err != nil {
		q.log.Warn("the job will be offered to workers later", "job", r.ID, "error", err)
	}
	return r.Job, true, nil
}

// abandon removes what a request left that did not become a job. With a key another
// request may be at work on the same job, so it stays for the sweep.
func (q *Queue) abandon(c *claim) {
	if c.key != "" {
		return
	}
	ctx, cancel := context.WithTimeout(q.ctx, callTime)
	defer cancel()
	q.purgeBlobs(ctx, c.ID)
}

// enqueue makes the message of a job, unless it is there.
func (q *Queue) enqueue(ctx context.Context, id string) error {
	err := q.call(ctx, func(ctx context.Context) error {
		_, err := q.js.Publish(ctx, subjectWork+id, nil, jetstream.WithExpectLastSequencePerSubject(0))
		return err
	})
	if wrongRevision(err) {
		return nil
	}
	return err
}

// contentDigest is what requests with one key have in common.
func (req *Request) contentDigest() string {
	if req.Content != "" {
		return digestOf([]byte(req.Content))
	}
	settings, _ := json.Marshal(req.Settings) // has nothing that could fail
	return digestOf(append(settings, req.Input.SHA256...))
}

// findClaim looks for the job of a key. Without one c is to be made, by the ID that an
// unfinished request chose if there was one.
func (q *Queue) findClaim(ctx context.Context, c *claim) (*record, error) {
	e, err := q.keys.Get(ctx, c.key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up the idempotency key: %w", err)
	}
	var old claim
	if err := json.Unmarshal(e.Value(), &old); err != nil {
		return nil, fmt.Errorf("look up the idempotency key: %w", err)
	}
	c.revision = e.Revision()
	r, err := q.load(ctx, old.ID)
	made, badID := idTime(old.ID)
	switch {
	case errors.Is(err, ErrGone):
		return nil, nil // the key is free again
	case errors.Is(err, ErrNotFound) && (badID != nil || q.now().Sub(made) > halfMade):
		return nil, nil
	case err != nil && !errors.Is(err, ErrNotFound):
		return nil, err
	case old.Content != c.Content:
		return nil, ErrKeyReused
	case err == nil:
		return r, nil
	}
	c.ID, c.held = old.ID, true
	return nil, nil
}

// makeClaim stores a claim, or finds the job of somebody who was faster.
func (q *Queue) makeClaim(ctx context.Context, c *claim) (*record, error) {
	data, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("store the idempotency key: %w", err)
	}
	for range 5 {
		switch {
		case c.held:
			return nil, nil
		case c.revision == 0:
			_, err = q.keys.Create(ctx, c.key, data)
		default:
			_, err = q.keys.Update(ctx, c.key, data, c.revision)
		}
		if err == nil {
			return nil, nil
		}
		if !wrongRevision(err) {
			break
		}
		c.revision = 0
		if r, err := q.findClaim(ctx, c); err != nil || r != nil {
			return r, err
		}
	}
	return nil, fmt.Errorf("store the idempotency key: %w", err)
}

// dropClaim frees the key of a job that is removed.
func (q *Queue) dropClaim(ctx context.Context, r *record) {
	if r.Key == "" {
		return
	}
	e, err := q.keys.Get(ctx, r.Key)
	if err != nil {
		return
	}
	var c claim
	if json.Unmarshal(e.Value(), &c) == nil && c.ID == r.ID {
		_ = q.keys.Delete(ctx, r.Key, jetstream.LastRevision(e.Revision())) // else a later request took it over
	}
}

func asJob(r *record) Job {
	if r == nil {
		return Job{}
	}
	return r.Job
}
