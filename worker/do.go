package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/sr3-go/sr3"
	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/jobs"
	"github.com/sr3-go/sr3/refine"
	"github.com/sr3-go/sr3/resample"
	"github.com/sr3-go/sr3/upscale"
)

// previewSide is the largest side of a preview in pixels, previewQuality that of
// its JPEG compression.
const (
	previewSide    = 512
	previewQuality = 80
)

// Task is a job that a worker holds; [jobs.Task] is one.
type Task interface {
	// Job is what is to be done.
	Job() jobs.Job
	// Input is the uploaded file.
	Input(ctx context.Context) ([]byte, error)
	// Progress reports a step. preview is called only if somebody watches.
	Progress(p jobs.Progress, preview func() (data []byte, mediaType string))
	// Put stores a result, which is seen when the job is completed.
	Put(ctx context.Context, o jobs.Object, data []byte) error
}

// Doer does jobs. It may do several at a time.
type Doer struct {
	models  *Models
	limits  Limits
	threads int
}

// New makes a Doer that computes on so many threads for each job; 0 means one for
// each processor.
func New(m *Models, l Limits, threads int) *Doer {
	return &Doer{models: m, limits: l.WithDefaults(), threads: threads}
}

// Do enlarges the image of a task and stores the results. A [jobs.Fault] says that
// another attempt would not help.
func (d *Doer) Do(ctx context.Context, t Task) error {
	s := t.Job().Settings
	input, err := t.Input(ctx)
	if err != nil {
		return err
	}
	// What was accepted elsewhere is checked again: this worker may know other models.
	s, _, fault := Check(d.models, s, input, t.Job().Input.Name, d.limits)
	if fault != nil {
		return fault
	}
	img, err := imageio.Decode(input, t.Job().Input.Name, d.limits.image())
	if err != nil {
		return imageFault(err)
	}
	up, err := d.models.Open(s.Model)
	if err != nil {
		return modelFault(err)
	}
	r := &run{task: t, settings: s, up: up, options: options(s, d.limits)}
	r.options.Threads = d.threads
	r.options.OnStep = r.step
	r.options.OnWindow = func(p upscale.Progress) { r.share = p.Share() }
	if s.Samples > 0 {
		err = r.samples(ctx, img)
	} else {
		err = r.plain(ctx, img)
	}
	return resultFault(ctx, err)
}

// resultFault tells errors that the image and the settings cause, which would come
// again, from others.
func resultFault(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	if c := new(upscale.ConstantError); errors.As(err, &c) || errors.Is(err, refine.ErrNotFinite) {
		return &jobs.Fault{Code: FaultResultConstant, Detail: err.Error()}
	}
	return err
}

// run is one task on its way.
type run struct {
	task     Task
	settings jobs.Settings
	up       *sr3.Upscaler
	options  sr3.Options
	share    float64
}

// plain makes one result.
func (r *run) plain(ctx context.Context, img *sr3.Image) error {
	out, err := r.up.Upscale(ctx, img, r.options)
	if err != nil {
		return err
	}
	return r.put(ctx, jobs.ResultImage, out, r.settings.Format)
}

// samples makes several, their mean and the map of where they differ, which is
// always a PNG: JPEG would smear its colours.
func (r *run) samples(ctx context.Context, img *sr3.Image) error {
	s, err := r.up.Samples(ctx, img, r.options, r.settings.Samples, func(i int, draw *sr3.Image) error {
		name := jobs.ResultImage
		if i > 0 {
			name = jobs.ResultDraw + strconv.Itoa(i)
		}
		return r.put(ctx, name, draw, r.settings.Format)
	})
	if err != nil {
		return err
	}
	if err := r.put(ctx, jobs.ResultMean, s.Mean, r.settings.Format); err != nil {
		return err
	}
	deviation, err := sr3.DeviationMap(s, 0)
	if err != nil {
		return err
	}
	return r.put(ctx, jobs.ResultDeviation, deviation, "png")
}

// put encodes and stores an image.
func (r *run) put(ctx context.Context, name string, img *sr3.Image, format string) error {
	if format == "jpg" {
		format = "jpeg"
	}
	var b bytes.Buffer
	if _, err := imageio.Encode(&b, img, imageio.Options{Format: format, Quality: r.settings.Quality}); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return r.task.Put(ctx, jobs.Object{Name: name, Type: MediaType(format), Width: img.Width, Height: img.Height}, b.Bytes())
}

// step reports a refinement step.
func (r *run) step(s sr3.Step) {
	p := jobs.Progress{
		Draw: s.Draw, Draws: s.Draws, Pass: s.Pass, Passes: s.Passes, Step: s.Index, Steps: s.Steps,
		Gamma: float64(s.Gamma), Share: r.share,
	}
	r.task.Progress(p, func() ([]byte, string) { return preview(s.Preview()) })
}

// preview makes a small JPEG of an estimate; nil if that fails, which harms nobody.
func preview(img *sr3.Image) ([]byte, string) {
	if scale := previewSide / float64(max(img.Width, img.Height)); scale < 1 {
		w, h := reduced(img.Width, scale), reduced(img.Height, scale)
		small := &sr3.Image{Width: w, Height: h, Pix: make([]float32, w*h*3), Gray: img.Gray, Depth: 8}
		if resample.Resize(small.Pix, img.Pix, h, w, img.Height, img.Width, 3, resample.Bicubic, 1) != nil {
			return nil, ""
		}
		for i, v := range small.Pix {
			small.Pix[i] = min(max(v, -1), 1)
		}
		img = small
	}
	var b bytes.Buffer
	if _, err := imageio.Encode(&b, img, imageio.Options{Format: "jpeg", Quality: previewQuality, Depth: 8}); err != nil {
		return nil, ""
	}
	return b.Bytes(), MediaType("jpeg")
}

func reduced(n int, scale float64) int { return max(1, int(math.Round(float64(n)*scale))) }
