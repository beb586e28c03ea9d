package upscale

import (
	"context"
	"fmt"
	"slices"

	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/model"
)

// Enlarger is what makes images larger: a model ([Upscaler]) or several, one after
// the other ([Cascade]).
type Enlarger interface {
	Config() model.Config
	Check(o Options) error
	CheckSamples(o Options, n int) error
	Remarks(img *imageio.Image, o Options) []string
	ResultSize(width, height int, o Options) (int, int, error)
	Upscale(ctx context.Context, img *imageio.Image, o Options) (*imageio.Image, *Report, error)
	Samples(ctx context.Context, img *imageio.Image, o Options, n int, each func(i int, draw *imageio.Image, r *Report) error) (*Samples, error)
	Close()
}

// chain is one image on its way through the models of a cascade, or through one.
type chain []*run

// chained is what makes an image in one or several stages.
type chained interface {
	chain(ctx context.Context, img *imageio.Image, o Options) (chain, error)
	CheckSamples(o Options, n int) error
}

// joined counts the passes and the work of all runs together.
func (c chain) joined() chain {
	all, w := 0, new(work)
	for _, r := range c {
		r.before = all
		all += len(r.passes)
		w.total += r.cost()
	}
	for _, r := range c {
		r.all, r.work = all, w
	}
	return c
}

// enlarge makes one result.
func enlarge(ctx context.Context, u chained, img *imageio.Image, o Options) (*imageio.Image, *Report, error) {
	if err := img.Validate(); err != nil {
		return nil, nil, fmt.Errorf("upscale: %w", err)
	}
	c, err := u.chain(ctx, img, o)
	if err != nil {
		return nil, nil, fmt.Errorf("upscale: %w", err)
	}
	out, err := c.image(img)
	if err != nil {
		return nil, nil, fmt.Errorf("upscale: %w", err)
	}
	return out, c.report(), nil
}

// image makes the result. Its alpha is that of the image enlarged once.
func (c chain) image(img *imageio.Image) (*imageio.Image, error) {
	last := len(c) - 1
	out, consistent := img, true
	for i, r := range c {
		if i == 1 { // colours under transparent pixels were filled in by the first
			out.Alpha = nil
		}
		var err error
		if out, err = r.image(out); err != nil {
			return nil, c.inStage(i, err)
		}
		consistent = consistent && r.consistent
	}
	if last == 0 {
		return out, nil
	}
	if consistent {
		if err := c[last].settleResult(out, filled(img)); err != nil {
			return nil, err
		}
	}
	var err error
	out.Alpha, err = c[last].alpha(img)
	return out, err
}

// inStage says in which stage an error came up, where there are several.
func (c chain) inStage(i int, err error) error {
	if len(c) == 1 {
		return err
	}
	return fmt.Errorf("stage %d of %d: %w", i+1, len(c), err)
}

// draw sets the seed and the callbacks of draw i of n, where o are the options of
// the call.
func (c chain) draw(o Options, i, n int) {
	for _, r := range c {
		own := r.o.Seed
		if r.o = o.draw(r.o, i, n); r.cfg.Regression() {
			r.o.Seed = own
		}
	}
}

// report describes the finished work.
func (c chain) report() *Report {
	var stages []*Report
	for _, r := range c {
		stages = append(stages, r.report())
	}
	if len(c) == 1 {
		return stages[0]
	}
	return together(stages, float64(c[len(c)-1].target.w)/float64(c[0].in.w))
}

// After returns the report of an image that a [Generator] made, as first says, and that
// was enlarged as r says: a cascade's, with the generator as its first stage.
func (r *Report) After(first *Report) *Report {
	rest := r.Stages
	if len(rest) == 0 {
		rest = []*Report{r}
	}
	return together(append([]*Report{first}, rest...), r.Scale)
}

// together describes the work of several stages by that of the last that refines.
func together(stages []*Report, scale float64) *Report {
	all := *stages[len(stages)-1]
	for _, s := range slices.Backward(stages) {
		if s.Objective != model.ObjectiveRegression {
			all = *s
			break
		}
	}
	all.Passes, all.Steps, all.Scale, all.Stages = 0, 0, scale, stages
	all.PassesBefore = stages[0].PassesBefore
	for _, s := range stages {
		all.Passes += s.Passes
		all.Steps += s.Steps
		all.Consistent = all.Consistent && s.Consistent
	}
	all.Model = joined(stages, func(r *Report) string { return r.Model })
	all.Digest = joined(stages, func(r *Report) string { return r.Digest })
	all.Lost = stages[0].Lost
	return &all
}
