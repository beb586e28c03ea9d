package cli

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sr3-go/sr3/internal/runfiles"
	"github.com/sr3-go/sr3/jobs"
)

// run sends all images and collects the results.
func (r *fleet) run(ctx context.Context) error {
	start := event{Event: "start", Images: len(r.list.jobs), Seed: &r.flags.options.Seed, Model: r.flags.model, Draws: r.flags.samples}
	if r.up != nil {
		start.Trained = trainedText(r.up.Model())
	}
	r.emit(start)
	if r.flags.seed == "-1" && !r.flags.json {
		fmt.Fprintf(r.streams.err, "sr3: seed %d\n", r.flags.options.Seed)
	}
	r.meter.begin(plural(len(r.list.jobs), "image"))
	defer time.AfterFunc(noWorkerAfter, r.remindOfWorkers).Stop()
	var wg sync.WaitGroup
	window := make(chan struct{}, fleetWindow)
	var first error
	for i, j := range r.list.jobs {
		select {
		case window <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			defer func() { <-window }()
			err := r.image(ctx, i, j)
			r.mu.Lock()
			defer r.mu.Unlock()
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				r.failed++
			}
			r.reach(i, 1, false)
			if err == nil {
				return
			}
			r.meter.clear()
			r.emit(event{Event: "error", Input: j.in, Error: err.Error()})
			if r.list.batch {
				fmt.Fprintf(r.streams.err, "sr3: %v\n", err)
			} else {
				first = err
			}
		})
	}
	wg.Wait()
	r.meter.clear()
	if ctx.Err() != nil {
		if r.queued > 0 {
			fmt.Fprintf(r.streams.err, "sr3: %s left with the workers; the same command goes on from here\n", plural(r.queued, "image"))
		}
		return context.Cause(ctx)
	}
	if first != nil {
		return first
	}
	return r.finish(r.list)
}

// remindOfWorkers tells people who wait that nobody works for them.
func (r *fleet) remindOfWorkers() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.active && r.queued > 0 && !r.flags.quiet && !r.flags.json {
		r.meter.clear()
		fmt.Fprintln(r.streams.err, "sr3: no worker has begun with these images yet; \"sr3 worker --nats URL\" starts one")
	}
}

// remindOfRoom tells people once why nothing goes on.
func (r *fleet) remindOfRoom(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.full && !r.flags.quiet && !r.flags.json {
		r.full = true
		r.meter.clear()
		fmt.Fprintf(r.streams.err, "sr3: waiting for room: %v\n", err)
	}
}

// reach notes how far an image has come and draws the bar; the caller holds mu.
func (r *fleet) reach(i int, share float64, inWork bool) {
	r.sum += share - r.shares[i]
	r.shares[i] = share
	if delete(r.inWork, i); inWork {
		r.inWork[i], r.active = true, true
	}
	n := len(r.shares)
	ended := r.done + r.skipped + r.failed
	r.meter.update(min(r.sum/float64(n), 1), fmt.Sprintf("%d of %s, %d in work", ended, plural(n, "image"), len(r.inWork)))
}

// image makes one image with the fleet.
func (r *fleet) image(ctx context.Context, i int, j job) error {
	outputs := r.flags.outputs(j)
	exist, err := r.inTheWay(outputs, r.list.batch)
	if err != nil {
		return err
	}
	if exist {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.skipped++
		r.emit(event{Event: "skip", Input: j.in, Output: r.flags.mainOutput(j), Reason: "the output exists"})
		return nil
	}
	for _, path := range outputs {
		if err := runfiles.CheckWritable(path); err != nil {
			return err
		}
	}
	done, err := r.jobDone(ctx, i, j)
	if err != nil {
		return err
	}
	if err := r.collect(ctx, j, done, workTime(done)); err != nil {
		return err
	}
	r.mu.Lock()
	r.queued--
	r.mu.Unlock()
	_ = r.queue.Delete(ctx, done.ID) // else it expires
	return nil
}

// jobDone has a job made, or finds the one of an interrupted command, and waits until
// it is completed.
func (r *fleet) jobDone(ctx context.Context, i int, j job) (jobs.Job, error) {
	counted := false
	for range fleetTries {
		queued, created, err := r.send(ctx, j)
		if err != nil {
			return jobs.Job{}, err
		}
		if !created && queued.State.Finished() && queued.State != jobs.Completed { // it failed last time
			if err := r.queue.Delete(ctx, queued.ID); err != nil && !errors.Is(err, jobs.ErrGone) {
				return jobs.Job{}, fmt.Errorf("%s: %w", j.in, err)
			}
			continue
		}
		if !counted {
			counted = true
			r.mu.Lock()
			r.queued++
			r.mu.Unlock()
		}
		ended, err := r.follow(ctx, i, j, queued.ID)
		if err != nil {
			return jobs.Job{}, err
		}
		switch {
		case ended.State == jobs.Completed:
			return ended, nil
		case ended.State.Finished():
			r.mu.Lock()
			r.queued--
			r.mu.Unlock()
			_ = r.queue.Delete(ctx, ended.ID)
			return jobs.Job{}, fmt.Errorf("%s: %w", j.in, whyNot(ended))
		}
	}
	return jobs.Job{}, fmt.Errorf("%s: its job was removed from the queue by others", j.in)
}

// whyNot says why a job has no result.
func whyNot(j jobs.Job) error {
	if j.State == jobs.Cancelled {
		return errors.New("its job was cancelled")
	}
	if j.Fault == nil {
		return errors.New("its job was discarded")
	}
	return j.Fault
}

// send reads an image and puts it into the queue. A few do so at a time, so that not all
// images that wait for workers are in memory.
func (r *fleet) send(ctx context.Context, j job) (jobs.Job, bool, error) {
	select {
	case r.sending <- struct{}{}:
		defer func() { <-r.sending }()
	case <-ctx.Done():
		return jobs.Job{}, false, ctx.Err()
	}
	request, err := r.request(j)
	if err != nil {
		return jobs.Job{}, false, err
	}
	queued, created, err := r.submit(ctx, request)
	if err != nil {
		return jobs.Job{}, false, fmt.Errorf("%s: %w", j.in, err)
	}
	return queued, created, nil
}

// submit waits for room in the queue.
func (r *fleet) submit(ctx context.Context, request jobs.Request) (jobs.Job, bool, error) {
	began := time.Now()
	for {
		j, created, err := r.queue.Submit(ctx, request)
		if !errors.Is(err, jobs.ErrFull) {
			return j, created, err
		}
		if stats, err := r.queue.Stats(ctx); err == nil && int64(len(request.Data)) >= stats.MaxBytes {
			return jobs.Job{}, false, fmt.Errorf("the image has %d MiB, and the queue holds %d MiB in all", len(request.Data)>>20, stats.MaxBytes>>20)
		}
		if time.Since(began) > noWorkerAfter {
			r.remindOfRoom(err)
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return jobs.Job{}, false, ctx.Err()
		}
	}
}

// follow watches a job until its end, and returns it as it was seen last.
func (r *fleet) follow(ctx context.Context, i int, j job, id string) (last jobs.Job, err error) {
	events, err := r.queue.Watch(ctx, id)
	if errors.Is(err, jobs.ErrGone) || errors.Is(err, jobs.ErrNotFound) {
		return jobs.Job{}, nil
	}
	if err != nil {
		return jobs.Job{}, fmt.Errorf("%s: %w", j.in, err)
	}
	for e := range events {
		last = e.Job
		r.mu.Lock()
		share := 0.0
		if p := last.Progress; p != nil {
			share = p.Share
			if last.State == jobs.Running {
				r.emit(event{Event: "step", Input: j.in, Draw: p.Draw, Draws: p.Draws, Pass: p.Pass, Step: p.Step, Steps: p.Steps, Gamma: p.Gamma, Progress: p.Share})
			}
		}
		r.reach(i, share, last.State == jobs.Running)
		r.mu.Unlock()
	}
	return last, ctx.Err()
}
