package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/sr3-go/sr3"
	"github.com/sr3-go/sr3/imageio"
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
	if ext := strings.ToLower(filepath.Ext(f.model)); strings.ContainsAny(f.model, `/\`) || ext == ".safetensors" || ext == ".toml" {
		return usagef("-n %s is a file; the workers have models by name only", f.model)
	}
	if len(f.steps) > 1 {
		return usagef("--steps with %d numbers: with --nats it has one, for all models", len(f.steps))
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
	if !errors.Is(err, model.ErrUnknown) {
		return nil, 0, err
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
