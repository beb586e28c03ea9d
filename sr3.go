// Package sr3 makes images larger by iterative refinement (Saharia et al.,
// "Image Super-Resolution via Iterative Refinement", arXiv 2104.07636).
//
// Open a model, read an image, upscale it:
//
//	up, err := sr3.Open("photo-x4")
//	img, err := sr3.ReadFile("photo.jpg")
//	large, err := up.Upscale(ctx, img, sr3.Options{})
//	err = sr3.WriteFile("large.png", large)
//
// The packages below give more control: upscale (whole images by windows), refine
// (samplers), diffusion (the method), unet (networks), model (model files),
// train (training), imageio, resample, metric and baseline (methods to compare with).
package sr3

import (
	"context"
	"encoding/json"
	"fmt"
	"image"
	"maps"

	"github.com/sr3-go/sr3/cascade"
	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/upscale"
)

// DefaultModel is the name of the model that Open("") opens: four times larger
// photographs.
const DefaultModel = model.DefaultName

// TextKey is the keyword under which results carry how they were made (a Report
// as JSON).
const TextKey = "sr3"

// Image is a picture in memory: RGB float32 in [-1, 1], alpha, and what its file
// said beside the pixels. ReadFile, FromImage and imageio make one.
type Image = imageio.Image

// Options say how to enlarge; the zero value takes the model's defaults and seed
// 0.
type Options = upscale.Options

// Step is what Options.OnStep is told after every refinement step.
type Step = upscale.Step

// Report says how a result was made.
type Report = upscale.Report

// Samples are the statistics of several draws of one image: their mean, and how
// far they lie apart at each pixel.
type Samples = upscale.Samples

// Upscaler enlarges images with one model, or with several in a cascade. It may be
// used by several goroutines.
type Upscaler struct{ u upscale.Enlarger }

// Open opens a model: an embedded one by name, one of the models folder by name,
// or a model file by path. The empty name means [DefaultModel]. Several names or
// paths joined by commas enlarge one after the other, and so do those of a cascade
// file (see package cascade).
func Open(name string) (*Upscaler, error) {
	c, err := cascade.Parse(name)
	if err != nil {
		return nil, err
	}
	return OpenCascade(c, model.Open)
}

// OpenCascade opens models that enlarge one after the other. open finds each; nil
// means as [Open] does.
func OpenCascade(c *cascade.Cascade, open func(nameOrPath string) (*model.Model, error)) (*Upscaler, error) {
	u, err := c.Open(open)
	if err != nil {
		return nil, err
	}
	return &Upscaler{u}, nil
}

// Join makes a cascade of models that are open: the first sees the image, what one
// makes is the input of the next. They can be used alone still, and Close of the
// cascade closes them. A cascade cannot be part of another.
func Join(stages ...*Upscaler) (*Upscaler, error) {
	list := make([]upscale.Stage, len(stages))
	for i, s := range stages {
		u, ok := s.u.(*upscale.Upscaler)
		if !ok {
			return nil, fmt.Errorf("join: stage %d is a cascade itself", i+1)
		}
		list[i] = upscale.Stage{Upscaler: u}
	}
	c, err := upscale.NewCascade(0, list...)
	if err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	return &Upscaler{c}, nil
}

// New makes an Upscaler of a model in memory.
func New(m *model.Model) (*Upscaler, error) {
	u, err := upscale.New(m)
	if err != nil {
		return nil, err
	}
	return &Upscaler{u}, nil
}

// Scale is how many times larger the model, or the cascade, makes each side.
func (u *Upscaler) Scale() int { return u.u.Config().Scale }

// Model is the model's configuration. It says what the model was trained for. Of a
// cascade it is the first model's, with the names of all and the whole scale.
func (u *Upscaler) Model() model.Config { return u.u.Config() }

// Remarks say what the model is told that an image has lost beside its size, or
// that the image has lost what the model was not trained for: see
// [upscale.Upscaler.Remarks].
func (u *Upscaler) Remarks(img *Image, o Options) []string { return u.u.Remarks(img, o) }

// Check reports settings of refinement (sampler, steps, schedule, seed) that the
// model cannot follow, and losses of the input that it was not trained for. Upscale
// would give the same error.
func (u *Upscaler) Check(o Options) error { return u.u.Check(o) }

// ResultSize returns the size that Upscale would make of an image of the given one,
// or the error that it would return because of the sizes. Nothing is computed.
func (u *Upscaler) ResultSize(width, height int, o Options) (int, int, error) {
	return u.u.ResultSize(width, height, o)
}

// Close frees the network compiled last.
func (u *Upscaler) Close() { u.u.Close() }

// Upscale enlarges an image; img is not changed. The result's text carries a
// [Report] under [TextKey]. The same model, image and options give the same
// bytes on any number of threads.
//
// When ctx is cancelled, Upscale returns its error after the current window.
func (u *Upscaler) Upscale(ctx context.Context, img *Image, o Options) (*Image, error) {
	out, report, err := u.u.Upscale(ctx, img, o)
	if err != nil {
		return nil, err
	}
	return out, StoreReport(out, report)
}

// Samples makes n draws of one image, two at least: results of Upscale with the
// seeds o.Seed, o.Seed+1 and so on. What the draws have in common the image
// decides; where they differ the model made up what it shows. Each draw is handed
// to each, if that is not nil, with its number from 0, and not kept. The draws and
// the mean carry a [Report] under [TextKey].
func (u *Upscaler) Samples(ctx context.Context, img *Image, o Options, n int, each func(i int, draw *Image) error) (*Samples, error) {
	s, err := u.u.Samples(ctx, img, o, n, func(i int, draw *Image, r *Report) error {
		if each == nil {
			return nil
		}
		if err := StoreReport(draw, r); err != nil {
			return err
		}
		return each(i, draw)
	})
	if err != nil {
		return nil, err
	}
	return s, StoreReport(s.Mean, s.Report)
}

// CheckSamples reports what keeps Samples from making n draws, such as a model
// that has one result only. Samples would give the same error.
func (u *Upscaler) CheckSamples(o Options, n int) error { return u.u.CheckSamples(o, n) }

// DeviationMap draws how far the draws lie apart at each pixel, in colours from
// black (not at all) to light yellow (a standard deviation of scale, in 1/255, or
// more; 0 means 32), with a legend below. It carries a [Report] under [TextKey].
func DeviationMap(s *Samples, scale float64) (*Image, error) {
	img, err := s.DeviationMap(scale)
	if err != nil {
		return nil, err
	}
	r := *s.Report
	r.Statistic = upscale.StatisticDeviation
	return img, StoreReport(img, &r)
}

// StoreReport writes how an image was made into its text under [TextKey], as Upscale
// does: for images that package upscale made. The map of texts may be shared with
// another image and is not changed.
func StoreReport(img *Image, r *Report) error {
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("upscale: %w", err)
	}
	img.Meta.Text = maps.Clone(img.Meta.Text)
	if img.Meta.Text == nil {
		img.Meta.Text = map[string]string{}
	}
	img.Meta.Text[TextKey] = string(text)
	return nil
}

// ReportOf returns how an image was made, if it was made by this package and still
// says so; ok is false otherwise.
func ReportOf(img *Image) (report Report, ok bool) {
	text, ok := img.Meta.Text[TextKey]
	if !ok || json.Unmarshal([]byte(text), &report) != nil {
		return Report{}, false
	}
	return report, true
}

// ReadFile reads a PNG, JPEG, WebP, TIFF, BMP or GIF file within the default
// limits of imageio.
func ReadFile(path string) (*Image, error) { return imageio.ReadFile(path, imageio.Limits{}) }

// WriteFile writes a PNG, JPEG, WebP or TIFF file, by the name's extension. The
// file appears whole or not at all.
func WriteFile(path string, img *Image) error {
	_, err := imageio.WriteFile(path, img, imageio.Options{})
	return err
}

// NewImage makes a black image without alpha, of 8 bits a sample.
func NewImage(width, height int) *Image { return imageio.New(width, height) }

// FromImage converts an image of the standard library, with its alpha. The way
// back is the method NRGBA of Image.
func FromImage(src image.Image) (*Image, error) { return imageio.FromImage(src) }
