package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/sr3-go/sr3"
	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/internal/runfiles"
	"github.com/sr3-go/sr3/jobs"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/upscale"
	"github.com/sr3-go/sr3/worker"
)

const (
	// fleetOwner owns the jobs of this command; no key of "sr3 serve" has such a name.
	fleetOwner = "@upscale"
	// fleetWindow is how many images are in the queue at a time.
	fleetWindow = 128
	// fleetSenders is how many images are read and sent at a time.
	fleetSenders = 4
	// fleetTries is how often an image is sent again whose job was removed by others.
	fleetTries = 3
	// noWorkerAfter is when to say that nobody works.
	noWorkerAfter = 15 * time.Second
	// maxFleetSeed is the largest seed that a job can hold.
	maxFleetSeed = 1<<53 - 1
)

// fleet works through a list of images with the workers of a queue. It counts and
// reports as a batch does.
type fleet struct {
	batch
	queue *jobs.Queue
	list  *jobList

	mu     sync.Mutex // guards what follows, and the batch
	shares []float64  // of each image
	sum    float64    // of shares
	inWork map[int]bool
	queued int // jobs in the queue that this command waits for
	active bool
	full   bool // was said

	sending chan struct{} // holds those who send an image
	stdin   []byte        // when it was read: it can be once
}

// runFleet carries the command out with --nats.
func (f *upscaleFlags) runFleet(cmd *cobra.Command, s *streams) error {
	if err := f.checkFleet(cmd); err != nil {
		return err
	}
	up, scale, err := f.knownModel()
	if err != nil {
		return err
	}
	if up != nil {
		defer up.Close()
		if err := f.checkModel(up); err != nil {
			return usagef("%w", err)
		}
	}
	list, err := f.plan(scale)
	if err != nil {
		return err
	}
	q, err := jobs.Open(cmd.Context(), jobs.Options{URL: f.nats.url, Credentials: f.nats.credentials})
	if err != nil {
		return err
	}
	defer q.Close()
	b := batch{flags: f, streams: s, up: up, meter: newMeter(s.err, f.quiet || f.json)}
	r := &fleet{batch: b, queue: q, list: list, shares: make([]float64, len(list.jobs)), inWork: map[int]bool{}, sending: make(chan struct{}, fleetSenders)}
	return r.run(cmd.Context())
}

// checkFleet finds flags that jobs cannot carry.
func (f *upscaleFlags) checkFleet(cmd *cobra.Command) error {
	for _, name := range []string{"tile", "threads", "max-pixels", "no-metadata", "deviation-scale", "input-blur", "input-noise", "input-jpeg", "gpu"} {
		if cmd.Flags().Changed(name) {
			return usagef("--%s does not go with --nats; the workers decide that", name)
		}
	}
	if f.options.Seed > maxFleetSeed {
		return usagef("--seed %d: want at most %d with --nats", f.options.Seed, int64(maxFleetSeed))
	}
	if strings.ContainsAny(f.model, `/\`) || strings.HasSuffix(f.model, ".safetensors") {
		return usagef("-n %s is a file; the workers have models by name only", f.model)
	}
	return nil
}

// knownModel opens the model if this machine has it too; the workers may have others.
// Then all is checked before anything is sent.
func (f *upscaleFlags) knownModel() (up *sr3.Upscaler, scale int, err error) {
	up, err = f.open()
	if err == nil {
		return up, up.Scale(), nil
	}
	o := f.options
	if f.output == "" && o.Scale == 0 && o.Width == 0 && o.Height == 0 {
		return nil, 0, usagef("the model %s is not on this machine, so its scale is not known; say with -o where the results go, or give -s", f.model)
	}
	return nil, 0, nil
}

// plan finds the images and says where each result goes.
func (f *upscaleFlags) plan(scale int) (*jobList, error) {
	list, err := planJobs(jobRequest{inputs: f.inputs, output: f.output, format: f.format, suffix: f.suffix(scale)})
	if err != nil {
		return nil, err
	}
	if _, err := f.formatFor(list.jobs[0]); err != nil {
		return nil, usagef("-o: %w", err)
	}
	if err := checkNotInput(list.jobs, f.outputs, f.overwrite); err != nil {
		return nil, err
	}
	if f.samples > 0 && list.jobs[0].out == stdio {
		return nil, usagef("--samples writes several files, which do not fit into standard output; give -o a file or a folder")
	}
	if f.json && list.jobs[0].out == stdio {
		return nil, usagef("--json and the image both want standard output; give -o a file")
	}
	return list, nil
}

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

// request reads an image and says what is to be made of it.
func (r *fleet) request(j job) (jobs.Request, error) {
	var none jobs.Request
	data, err := r.bytesOf(j)
	if err != nil {
		return none, err
	}
	info, err := imageio.Inspect(data, j.in, imageio.Limits{})
	if err != nil {
		return none, err
	}
	settings, err := r.flags.settings(j)
	if err != nil {
		return none, err
	}
	path, err := filepath.Abs(j.in)
	if err != nil {
		return none, err
	}
	text, err := json.Marshal(settings)
	if err != nil {
		return none, err
	}
	// The same command finds the jobs that it made before it was interrupted.
	key := sha256.New()
	digest := sha256.Sum256(data)
	fmt.Fprintf(key, "%q %s %x", path, text, digest)
	return jobs.Request{Owner: fleetOwner, IdempotencyKey: hex.EncodeToString(key.Sum(nil)), Settings: settings, Data: data,
		Input: jobs.Object{Name: worker.BaseName(filepath.Base(j.in)), Type: worker.MediaType(info.Format), Width: info.Width, Height: info.Height}}, nil
}

// bytesOf reads the file of an image.
func (r *fleet) bytesOf(j job) ([]byte, error) {
	if j.in == stdio {
		var err error
		if r.stdin == nil {
			r.stdin, err = imageio.ReadAll(r.streams.in, "standard input", imageio.Limits{})
		}
		return r.stdin, err
	}
	f, err := os.Open(j.in)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", j.in, cause(err))
	}
	defer f.Close()
	return imageio.ReadAll(f, j.in, imageio.Limits{})
}

// settings are the flags as a job carries them.
func (f *upscaleFlags) settings(j job) (jobs.Settings, error) {
	o := f.options
	s := jobs.Settings{Scale: o.Scale, Width: o.Width, Height: o.Height, Steps: o.Steps, Sampler: o.Sampler, Schedule: o.Schedule,
		Temperature: o.Temperature, Seed: o.Seed, Samples: f.samples, Consistent: o.Consistent, Quality: f.quality}
	if f.model != model.DefaultName {
		s.Model = f.model
	}
	switch o.Eta {
	case 0:
	case upscale.EtaNone:
		s.Eta = new(float64)
	default:
		s.Eta = &o.Eta
	}
	format, err := f.formatFor(j)
	if s.Format = format; format == "jpeg" {
		s.Format = "jpg"
	}
	return s, err
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

// collect writes the results of a job.
func (r *fleet) collect(ctx context.Context, j job, done jobs.Job, took time.Duration) error {
	if r.flags.samples > 0 {
		return r.collectSet(ctx, j, done, took)
	}
	o, data, err := r.queue.Result(ctx, done.ID, jobs.ResultImage)
	if err != nil {
		return fmt.Errorf("%s: %w", j.in, err)
	}
	if j.out == stdio {
		if _, err := io.Copy(r.streams.out, bytes.NewReader(data)); err != nil {
			return fmt.Errorf("write standard output: %w", err)
		}
	} else if err := writeResult(j.out, data); err != nil {
		return err
	}
	report, err := reportOf(data, j.out)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done++
	r.announce(j, &sr3.Image{Width: o.Width, Height: o.Height}, report, nil, took)
	return nil
}

// collectSet writes the results of a job with --samples, as batch.set does.
func (r *fleet) collectSet(ctx context.Context, j job, done jobs.Job, took time.Duration) error {
	names, dir := r.flags.setOf(j), filepath.Dir(j.out)
	if err := makeFolder(dir); err != nil {
		return err
	}
	hidden, err := os.MkdirTemp(dir, ".sr3-*.tmp")
	if err != nil {
		return fmt.Errorf("write %s: %w", names.mean, cause(err))
	}
	defer os.RemoveAll(hidden)
	files := map[string]string{jobs.ResultMean: names.mean, jobs.ResultDeviation: names.deviation, jobs.ResultImage: names.draws[0]}
	for i, path := range names.draws[1:] {
		files[jobs.ResultDraw+strconv.Itoa(i+1)] = path
	}
	var mean jobs.Object
	var report *sr3.Report
	for name, path := range files {
		o, data, err := r.queue.Result(ctx, done.ID, name)
		if err != nil {
			return fmt.Errorf("%s: %w", j.in, err)
		}
		if err := os.WriteFile(filepath.Join(hidden, filepath.Base(path)), data, 0o666); err != nil {
			return fmt.Errorf("write %s: %w", path, cause(err))
		}
		if name == jobs.ResultMean {
			mean = o
			if report, err = reportOf(data, path); err != nil {
				return err
			}
		}
	}
	if err := (&setWriter{hidden: hidden}).publish(names.all()); err != nil {
		return err
	}
	set := &setReport{Files: names.draws, Mean: names.mean, Deviation: names.deviation, Scale: upscale.DefaultDeviationScale}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done++
	r.announceSet(j, &sr3.Image{Width: mean.Width, Height: mean.Height}, report, set, nil, took)
	return nil
}

// workTime is how long the worker took whose results a job has.
func workTime(j jobs.Job) time.Duration {
	if j.Started == nil || j.Finished == nil {
		return 0
	}
	return j.Finished.Sub(*j.Started)
}

// writeResult writes the file of a result whole or not at all.
func writeResult(path string, data []byte) error {
	if err := makeFolder(filepath.Dir(path)); err != nil {
		return err
	}
	err := runfiles.WriteAtomic(path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// reportOf reads how a result was made from its file.
func reportOf(data []byte, name string) (*sr3.Report, error) {
	info, err := imageio.Inspect(data, name, imageio.Limits{})
	if err != nil {
		return nil, fmt.Errorf("the result is not what a worker should send: %w", err)
	}
	report, _ := sr3.ReportOf(&sr3.Image{Meta: info.Meta})
	return &report, nil
}
