package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/sr3-go/sr3"
	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/internal/runfiles"
	"github.com/sr3-go/sr3/jobs"
	"github.com/sr3-go/sr3/upscale"
)

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
	text, err := imageio.ReadText(data, name)
	if err != nil {
		return nil, fmt.Errorf("the result is not what a worker should send: %w", err)
	}
	report, _ := sr3.ReportOf(&sr3.Image{Meta: imageio.Metadata{Text: text}})
	return &report, nil
}
