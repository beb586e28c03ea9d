package upscale

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/model"
)

// Cascade enlarges in stages, each with a model of its own: what one makes is the
// input of the next (section 4.3 of the paper). It may be used by several
// goroutines.
//
// Each model runs once. What a stage makes beyond what the next needs for the size
// asked for is reduced with antialiased bicubic; only the last model is repeated
// where the stages together do not reach that size.
type Cascade struct {
	stages []Stage
	scale  int // what is made where a call does not say
}

// Stage is a model of a cascade.
type Stage struct {
	Upscaler *Upscaler
	// Options say how this stage refines: of them Steps, Sampler, Schedule, Variance,
	// Eta, Temperature, Consistent and Tile count, where those of a call are zero.
	Options Options
}

// Apply returns the options of a call with the stage's own where those are zero.
func (s Stage) Apply(o Options) Options {
	own := s.Options
	o.Steps, o.Sampler, o.Schedule = first(o.Steps, own.Steps), first(o.Sampler, own.Sampler), first(o.Schedule, own.Schedule)
	o.Variance, o.Eta, o.Temperature = first(o.Variance, own.Variance), first(o.Eta, own.Eta), first(o.Temperature, own.Temperature)
	o.Consistent, o.Tile = first(o.Consistent, own.Consistent), first(o.Tile, own.Tile)
	return o
}

// options are those of a call for a stage. A regression between refinements takes
// none of those that say how to refine.
func (c *Cascade) options(s Stage, o Options) Options {
	if s.Upscaler.cfg.Regression() && c.refines() {
		o.Steps, o.Sampler, o.Schedule, o.Variance, o.Eta, o.Temperature, o.Seed = 0, "", "", "", 0, 0, 0
	}
	return s.Apply(o)
}

// NewCascade joins models, the first of which sees the image. There must be one at
// least. scale is how many times larger each side becomes where a call does not
// say; 0 means the product of the models' scales.
func NewCascade(scale int, stages ...Stage) (*Cascade, error) {
	if len(stages) == 0 {
		return nil, errors.New("a cascade without any stage")
	}
	if scale < 0 || scale == 1 {
		return nil, fmt.Errorf("a cascade with the scale %d: want 2 or more, or 0 for the product of its models' scales", scale)
	}
	c := &Cascade{stages: slices.Clone(stages), scale: scale}
	if scale == 0 {
		c.scale = 1
		for _, s := range stages {
			c.scale *= s.Upscaler.cfg.Scale
		}
	}
	return c, nil
}

// Config is that of the first stage, which sees the image, with the names of all
// joined by commas and the cascade's scale. It is no regression's if any stage refines.
func (c *Cascade) Config() model.Config {
	cfg := c.stages[0].Upscaler.cfg
	if cfg.Regression() && c.refines() {
		cfg.Objective = model.ObjectiveSR3
	}
	cfg.Name, cfg.Scale = joined(c.stages, func(s Stage) string { return s.Upscaler.cfg.Name }), c.scale
	return cfg
}

func joined[T any](list []T, text func(T) string) string {
	var parts []string
	for _, v := range list {
		parts = append(parts, text(v))
	}
	return strings.Join(parts, ",")
}

// Check is as [Upscaler.Check], for all stages. What the image has lost is told to
// the first alone.
func (c *Cascade) Check(o Options) error {
	var errs []error
	for i, s := range c.stages {
		if i > 0 {
			o.Input = Input{}
		}
		if err := s.Upscaler.Check(c.options(s, o)); err != nil {
			errs = append(errs, fmt.Errorf("stage %d: %w", i+1, err))
		}
	}
	return errors.Join(errs...)
}

// CheckSamples is as [Upscaler.CheckSamples]. One stage that draws is enough.
func (c *Cascade) CheckSamples(o Options, n int) error {
	if !c.refines() {
		return c.stages[0].Upscaler.CheckSamples(o, n)
	}
	return errors.Join(checkDraws(n), c.Check(o))
}

// refines reports whether a stage draws.
func (c *Cascade) refines() bool {
	return slices.ContainsFunc(c.stages, func(s Stage) bool { return !s.Upscaler.cfg.Regression() })
}

// Remarks are those of the first stage, see [Upscaler.Remarks].
func (c *Cascade) Remarks(img *imageio.Image, o Options) []string {
	return c.stages[0].Upscaler.Remarks(img, o)
}

// ResultSize is as [Upscaler.ResultSize].
func (c *Cascade) ResultSize(width, height int, o Options) (int, int, error) {
	if width < 1 || height < 1 {
		return 0, 0, fmt.Errorf("an image of %d x %d pixels cannot be enlarged", width, height)
	}
	in := size{height, width}
	targets, err := c.targets(in, o)
	if err != nil {
		return 0, 0, err
	}
	for i, s := range c.stages {
		o.Scale, o.Width, o.Height = 0, targets[i].w, targets[i].h
		if _, _, err := s.Upscaler.ResultSize(in.w, in.h, o); err != nil {
			return 0, 0, fmt.Errorf("stage %d: %w", i+1, err)
		}
		in = targets[i]
	}
	return in.w, in.h, nil
}

// Close frees the compiled networks. The Cascade can still be used.
func (c *Cascade) Close() {
	for _, s := range c.stages {
		s.Upscaler.Close()
	}
}

// targets is the size that each stage makes of an image: the last what is asked
// for, the others what the next needs for that, as far as they reach.
func (c *Cascade) targets(in size, o Options) ([]size, error) {
	last, err := o.targetSize(in, c.scale)
	if err != nil {
		return nil, err
	}
	targets := make([]size, len(c.stages))
	for i := len(targets) - 1; i >= 0; i-- {
		targets[i] = last
		scale := c.stages[i].Upscaler.cfg.Scale
		last = size{max(ceilDiv(last.h, scale), in.h), max(ceilDiv(last.w, scale), in.w)}
	}
	have := in
	for i := range len(targets) - 1 {
		reach := have.times(c.stages[i].Upscaler.cfg.Scale)
		targets[i] = size{min(targets[i].h, reach.h), min(targets[i].w, reach.w)}
		have = targets[i]
	}
	return targets, nil
}

// Upscale is as [Upscaler.Upscale]. The report has one for each stage. With
// Options.Consistent each stage's result is consistent with its input, and the last
// with the image.
func (c *Cascade) Upscale(ctx context.Context, img *imageio.Image, o Options) (*imageio.Image, *Report, error) {
	return enlarge(ctx, c, img, o)
}

// Samples is as [Upscaler.Samples]: each draw goes through all stages.
func (c *Cascade) Samples(ctx context.Context, img *imageio.Image, o Options, n int,
	each func(i int, draw *imageio.Image, r *Report) error) (*Samples, error) {
	return sample(ctx, c, img, o, n, each)
}

// chain plans the work of all stages.
func (c *Cascade) chain(ctx context.Context, img *imageio.Image, o Options) (chain, error) {
	targets, err := c.targets(size{img.Height, img.Width}, o)
	if err != nil {
		return nil, err
	}
	var all chain
	given := img
	for i, s := range c.stages {
		own := c.options(s, o)
		own.Scale, own.Width, own.Height = 0, targets[i].w, targets[i].h
		if i > 0 {
			own.Input = s.Upscaler.clean()
			// Of what a stage has made no more than the size is known yet.
			given = &imageio.Image{Width: targets[i-1].w, Height: targets[i-1].h}
		}
		r, err := s.Upscaler.newRun(ctx, given, own)
		if err != nil {
			return nil, fmt.Errorf("stage %d of %d: %w", i+1, len(c.stages), err)
		}
		all = append(all, r)
	}
	return all.joined(), nil
}

// clean is what a network is told of an image that a network has made.
func (u *Upscaler) clean() Input {
	if u.cfg.Network.AugmentLevels == 0 {
		return Input{}
	}
	return Input{Blur: new(float64), Noise: new(float64), Quality: new(int)}
}
