package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sr3-go/sr3"
	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/internal/runfiles"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/upscale"
)

// batch works through a list of images.
type batch struct {
	flags   *upscaleFlags
	streams *streams
	up      *sr3.Upscaler
	meter   *meter

	done, skipped, failed int
}

// event is one line of --json.
type event struct {
	Event    string      `json:"event"` // start, step, done, skip, error, summary
	Input    string      `json:"input,omitempty"`
	Output   string      `json:"output,omitempty"` // with --samples, the mean
	Images   int         `json:"images,omitempty"`
	Seed     *uint64     `json:"seed,omitempty"`
	Draw     int         `json:"draw,omitempty"`
	Draws    int         `json:"draws,omitempty"`
	Pass     int         `json:"pass,omitempty"`
	Step     int         `json:"step,omitempty"`
	Steps    int         `json:"steps,omitempty"`
	Gamma    float64     `json:"gamma,omitempty"`
	Progress float64     `json:"progress,omitempty"`
	Width    int         `json:"width,omitempty"`
	Height   int         `json:"height,omitempty"`
	Seconds  float64     `json:"seconds,omitempty"`
	Report   *sr3.Report `json:"report,omitempty"`
	Samples  *setReport  `json:"samples,omitempty"`
	Notes    []string    `json:"notes,omitempty"`
	Error    string      `json:"error,omitempty"`
	Reason   string      `json:"reason,omitempty"`
	Done     *int        `json:"done,omitempty"`
	Skipped  *int        `json:"skipped,omitempty"`
	Failed   *int        `json:"failed,omitempty"`
	Model    string      `json:"model,omitempty"`
	Trained  string      `json:"trained,omitempty"` // for and on what images
}

// emit writes an event if --json was given.
func (b *batch) emit(e event) {
	if b.flags.json {
		_ = writeJSON(b.streams.out, e) // a reader that went away shows up in the exit code of the pipe
	}
}

// run makes all images and says how it went.
func (b *batch) run(ctx context.Context, list *jobList) error {
	m := b.up.Model()
	b.emit(event{Event: "start", Images: len(list.jobs), Seed: &b.flags.options.Seed, Model: m.Name, Trained: trainedText(m), Draws: b.flags.samples})
	if b.flags.seed == "-1" && !b.flags.json {
		fmt.Fprintf(b.streams.err, "sr3: seed %d\n", b.flags.options.Seed)
	}
	for _, j := range list.jobs {
		err := b.one(ctx, j, list.batch)
		b.meter.clear()
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !list.batch:
			b.emit(event{Event: "error", Input: j.in, Error: err.Error()})
			return err
		default:
			b.failed++
			b.emit(event{Event: "error", Input: j.in, Error: err.Error()})
			fmt.Fprintf(b.streams.err, "sr3: %v\n", err)
		}
	}
	return b.finish(list)
}

// finish sums up a batch.
func (b *batch) finish(list *jobList) error {
	if !list.batch {
		return nil
	}
	b.emit(event{Event: "summary", Images: len(list.jobs), Done: &b.done, Skipped: &b.skipped, Failed: &b.failed})
	if !b.flags.quiet && !b.flags.json {
		fmt.Fprintf(b.streams.err, "%d done, %d skipped, %d failed\n", b.done, b.skipped, b.failed)
	}
	switch {
	case b.failed == 0:
		return nil
	case b.failed == len(list.jobs):
		return fmt.Errorf("all %d images failed", b.failed)
	}
	return &partialError{b.failed, len(list.jobs)}
}

// one makes one image. In a batch an output that exists is skipped.
func (b *batch) one(ctx context.Context, j job, inBatch bool) error {
	outputs := b.flags.outputs(j)
	if exist, err := b.inTheWay(outputs, inBatch); err != nil {
		return err
	} else if exist {
		b.skipped++
		b.emit(event{Event: "skip", Input: j.in, Output: b.flags.mainOutput(j), Reason: "the output exists"})
		return nil
	}
	format, err := b.flags.formatFor(j)
	if err != nil {
		return err
	}
	for _, path := range outputs {
		if err := runfiles.CheckWritable(path); err != nil {
			return err
		}
	}
	start := time.Now()
	img, err := b.read(j)
	if err != nil {
		return err
	}
	img.Notes = append(img.Notes, b.up.Remarks(img, b.flags.options)...)
	if b.flags.samples > 0 {
		return b.set(ctx, j, img, format, start)
	}
	out, err := b.up.Upscale(ctx, img, b.optionsFor(j))
	if err != nil {
		return fmt.Errorf("%s: %w", j.in, err)
	}
	report := b.takeReport(out)
	notes, err := b.write(ctx, j, out, format)
	if err != nil {
		return err
	}
	b.done++
	b.announce(j, out, &report, append(img.Notes, notes...), time.Since(start))
	return nil
}

// takeReport returns how an image was made, and takes it out if it is not to be
// stored.
func (b *batch) takeReport(img *sr3.Image) sr3.Report {
	report, _ := sr3.ReportOf(img)
	if b.flags.noMetadata {
		delete(img.Meta.Text, sr3.TextKey)
	}
	return report
}

// announce reports a finished image.
func (b *batch) announce(j job, out *sr3.Image, r *sr3.Report, notes []string, took time.Duration) {
	b.meter.clear()
	b.emit(event{Event: "done", Input: j.in, Output: j.out, Width: out.Width, Height: out.Height, Seconds: took.Seconds(), Report: r, Notes: notes})
	if b.flags.json || b.flags.quiet {
		return
	}
	b.tell(j, notes)
	if j.out != stdio {
		fmt.Fprintf(b.streams.out, "%s  %dx%d  %s, %s  %s\n", j.out, out.Width, out.Height, r.Model, howMade(r), shortDuration(took))
	}
}

// tell writes notes for people.
func (b *batch) tell(j job, notes []string) {
	for _, n := range notes {
		fmt.Fprintf(b.streams.err, "sr3: %s: note: %s\n", j.in, n)
	}
}

// howMade says in a few words how a result was made.
func howMade(r *sr3.Report) string {
	if len(r.Stages) > 0 {
		var stages []string
		for _, s := range r.Stages {
			stages = append(stages, howMade(s))
		}
		return fmt.Sprintf("%s: %s", plural(len(stages), "stage"), strings.Join(stages, "; then "))
	}
	how := "regression"
	if r.Objective != model.ObjectiveRegression {
		how = fmt.Sprintf("%s, %s, ", r.Sampler, plural(r.Steps, "step"))
		if r.Draws > 0 {
			how += fmt.Sprintf("%s of %d draws, seeds %d to %d", r.Statistic, r.Draws, r.Seed, upscale.DrawSeed(r.Seed, r.Draws-1))
		} else {
			how += fmt.Sprintf("seed %d", r.Seed)
		}
	}
	if r.Consistent {
		how += ", consistent"
	}
	return how
}

// plural is a number with a noun that takes an s, or es after an s.
func plural(n int, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case strings.HasSuffix(noun, "s"):
		noun += "e"
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// outputs are the files that a job writes.
func (f *upscaleFlags) outputs(j job) []string {
	switch {
	case j.out == stdio:
		return nil
	case f.samples > 0:
		return f.setOf(j).all()
	}
	return []string{j.out}
}

// mainOutput is the one to name where there is room for one.
func (f *upscaleFlags) mainOutput(j job) string {
	if f.samples > 0 {
		return f.setOf(j).mean
	}
	return j.out
}

// inTheWay reports whether all outputs exist. In a batch that is no error; some of
// them is.
func (b *batch) inTheWay(outputs []string, inBatch bool) (bool, error) {
	if b.flags.overwrite {
		return false, nil
	}
	var found []string
	for _, path := range outputs {
		if _, err := os.Lstat(path); err == nil {
			found = append(found, path)
		} else if !errors.Is(err, os.ErrNotExist) {
			return false, fmt.Errorf("write %s: %w", path, cause(err))
		}
	}
	switch {
	case len(found) == 0:
		return false, nil
	case !inBatch:
		return false, fmt.Errorf("%s exists already; give --overwrite to replace it, or another name to -o", found[0])
	case len(found) < len(outputs):
		return false, fmt.Errorf("%s exists already, but only %d of the %d files that belong together; give --overwrite to make them again", found[0], len(found), len(outputs))
	}
	return true, nil
}

// formatFor is the format to write. It is found before the work, not after it.
func (f *upscaleFlags) formatFor(j job) (string, error) {
	if f.format != "" && f.format != "auto" {
		return imageio.FormatOf(outputExtensions[strings.ToLower(f.format)])
	}
	if j.out == stdio {
		return "png", nil
	}
	return imageio.FormatOf(j.out)
}

// read reads the input of a job.
func (b *batch) read(j job) (*sr3.Image, error) {
	if j.in != stdio {
		return imageio.ReadFile(j.in, imageio.Limits{})
	}
	data, err := imageio.ReadAll(b.streams.in, "standard input", imageio.Limits{})
	if err != nil {
		return nil, err
	}
	return imageio.Decode(data, "standard input", imageio.Limits{})
}

// optionsFor are the options of one image, with progress.
func (b *batch) optionsFor(j job) sr3.Options {
	o := b.flags.options
	b.meter.begin(filepath.Base(j.in))
	share := 0.0
	o.OnWindow = func(p upscale.Progress) {
		share = p.Share()
		what := fmt.Sprintf("step %d/%d", p.Call, p.Calls)
		if p.Draws > 0 {
			what = fmt.Sprintf("draw %d/%d, %s", p.Draw, p.Draws, what)
		}
		b.meter.update(share, what)
	}
	if b.flags.json {
		o.OnStep = func(s sr3.Step) {
			b.emit(event{Event: "step", Input: j.in, Draw: s.Draw, Draws: s.Draws, Pass: s.Pass, Step: s.Index, Steps: s.Steps, Gamma: float64(s.Gamma), Progress: share})
		}
	}
	return o
}

// write writes the result: to standard output as a whole, to a file atomically.
func (b *batch) write(ctx context.Context, j job, out *sr3.Image, format string) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	o := imageio.Options{Format: format, Quality: b.flags.quality}
	if j.out != stdio {
		if err := makeFolder(filepath.Dir(j.out)); err != nil {
			return nil, err
		}
		return imageio.WriteFile(j.out, out, o)
	}
	var buf bytes.Buffer
	notes, err := imageio.Encode(&buf, out, o)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(b.streams.out, &buf); err != nil {
		return nil, fmt.Errorf("write standard output: %w", err)
	}
	return notes, nil
}

// makeFolder makes the folder of an output.
func makeFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("make folder %s: %w", dir, cause(err))
	}
	return nil
}
