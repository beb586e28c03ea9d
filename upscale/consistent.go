package upscale

import (
	"fmt"

	"github.com/sr3-go/sr3/internal/parallel"
	"github.com/sr3-go/sr3/resample"
)

// consistency is the condition A u = low on images u, where A is the antialiased
// bicubic reduction that metric.Consistency measures with, in float.
type consistency struct {
	inverse *resample.RightInverse
	low     []float32
	rest    []float32 // scratch, as long as low
	threads int
}

// newConsistency is the condition on images of size out that low has size in.
func newConsistency(low []float32, in, out size, threads int) (*consistency, error) {
	a, err := resample.NewOperator(in.h, in.w, out.h, out.w, resample.Bicubic)
	if err != nil {
		return nil, fmt.Errorf("consistency: %w", err)
	}
	inverse, err := a.RightInverse()
	if err != nil {
		return nil, fmt.Errorf("consistency: %w", err)
	}
	return &consistency{inverse: inverse, low: low, rest: make([]float32, len(low)), threads: threads}, nil
}

// of is the condition on y0 that the image it stands for meets c. Because
// A (x + y0/f) = low where A y0 = f (low - A x), it is of the same form.
func (c *consistency) of(target residual) *consistency {
	if target.factor == 0 {
		return c
	}
	d := *c
	d.low = make([]float32, len(c.low))
	c.reduce(target.x)
	for i, v := range c.rest {
		d.low[i] = target.factor * (c.low[i] - v)
	}
	return &d
}

// reduce sets rest to A u.
func (c *consistency) reduce(u []float32) {
	a := c.inverse.Operator()
	must(a.Apply(c.rest, u, 3, c.threads))
}

// project changes u to the nearest image that meets the condition:
// u + A^+ (low - A u). Its detail, the null space of A, stays.
func (c *consistency) project(u []float32) {
	must(c.inverse.Project(u, c.low, c.rest, 3, c.threads))
}

// must panics on errors that say that slices have wrong lengths: u is always as
// large as the image that c was made for.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// mostRounds bounds the work of settle.
const mostRounds = 100

// settle brings u, an image in [-1, 1], as close to the condition as it can be
// within [-1, 1]: it projects and clips in turns until no value of A u is off by
// more than tolerance, and returns how often. Where low is saturated the value
// that was there before it was clipped may have been beyond, so A u may be too.
func (c *consistency) settle(u []float32, tolerance float32) (rounds int) {
	for range mostRounds {
		c.reduce(u)
		if c.subtract() <= tolerance {
			break
		}
		must(c.inverse.Add(u, c.rest, 3, c.threads))
		parallel.Chunks(c.threads, len(u), pieceLen, func(lo, hi int) { clamp(u[lo:hi], -1, 1) })
		rounds++
	}
	return rounds
}

// subtract changes rest from A u to low - A u, except where both are beyond the
// same end of [-1, 1], and returns the largest absolute value.
func (c *consistency) subtract() (worst float32) {
	for i, v := range c.low {
		d := v - c.rest[i]
		if v >= 1 && d < 0 || v <= -1 && d > 0 {
			d = 0
		}
		c.rest[i] = d
		worst = max(worst, d, -d)
	}
	return worst
}

// consistency is the condition on y0 in a pass that enlarges low from in to out;
// nil unless it is asked for.
func (r *run) consistency(low []float32, in, out size, target residual) (*consistency, error) {
	if !r.o.Consistent {
		return nil, nil
	}
	c, err := newConsistency(low, in, out, r.o.Threads)
	if err != nil {
		return nil, err
	}
	return c.of(target), nil
}

// settle makes an image of size out, in [-1, 1], consistent with low of size in,
// if that is asked for.
func (r *run) settle(pix []float32, out size, low []float32, in size, depth int) error {
	if !r.o.Consistent {
		return nil
	}
	c, err := newConsistency(low, in, out, r.o.Threads)
	if err != nil {
		return err
	}
	c.project(pix)
	clamp(pix, -1, 1)
	c.settle(pix, tolerance(depth))
	return nil
}

// tolerance is a tenth of the distance of two levels of 8 or 16 bits.
func tolerance(depth int) float32 {
	if depth == 16 {
		return 0.1 / 32767.5
	}
	return 0.1 / 127.5
}
