package upscale

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/internal/parallel"
	"github.com/sr3-go/sr3/resample"
)

// faithfulQuality is the least quality of a JPEG whose pixels are worth keeping to
// the last grey level: below it, blocks and fringes are larger than what a
// projection corrects.
const faithfulQuality = 90

// faithful reports whether the pixels of an image are those of the picture, as far
// as its file tells.
func faithful(img *imageio.Image) bool { return img.Quality == 0 || img.Quality >= faithfulQuality }

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

// times is the condition on y0 = f (u - x) that the image u meets c. Because
// A (x + y0/f) = low where A y0 = f (low - A x), it is of the same form.
func (c *consistency) times(f float32, x []float32) *consistency {
	d := *c
	d.low = make([]float32, len(c.low))
	c.reduce(x)
	for i, v := range c.rest {
		d.low[i] = f * (c.low[i] - v)
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

// How settle works. Photographs took 24 rounds in the mean, 40 without relaxation;
// Dykstra's corrections for the nearest image changed neither that nor the image
// by anything worth it.
const (
	mostRounds = 60
	relaxation = 1.9 // factor of each projection's step; from 2 on it diverges
)

// settle brings u, an image in [-1, 1], as close to the condition as it can be
// within [-1, 1]: it projects and clips in turns (relaxed alternating projection)
// until no value of A u is off by more than tolerance, and returns how often.
// Where low is saturated the value that was there before it was clipped may have
// been beyond, so A u may be too. It fails only when ctx is cancelled.
func (c *consistency) settle(ctx context.Context, u []float32, tolerance float32) (rounds int, err error) {
	for rounds < mostRounds && ctx.Err() == nil {
		c.reduce(u)
		if c.subtract(relaxation) <= tolerance {
			break
		}
		must(c.inverse.Add(u, c.rest, 3, c.threads))
		c.clip(u)
		rounds++
	}
	return rounds, ctx.Err()
}

// subtract changes rest from A u to factor * (low - A u), with 0 where both are
// beyond the same end of [-1, 1]. It returns the largest difference.
func (c *consistency) subtract(factor float32) (worst float32) {
	for i, v := range c.low {
		d := v - c.rest[i]
		if v >= 1 && d < 0 || v <= -1 && d > 0 {
			d = 0
		}
		c.rest[i] = factor * d
		worst = max(worst, d, -d)
	}
	return worst
}

// enough is where roundToBytes does not begin: of 35 photographs none came from
// settle with more than 0.11.
const enough = 0.15

// roundToBytes goes on from settle for results that are written in 8 bits: with
// the error of the rounded image under the 8-bit filter instead of that in float,
// until it is enough in units of metric.Consistency or falls no more. The 8-bit
// filter clips between its two passes, which shows in drawings and text whose
// edges run from one end of the range to the other. low is in 8 bits.
func (c *consistency) roundToBytes(ctx context.Context, u *imageio.Image, low []uint8) error {
	best, bestPix := math.Inf(1), []float32(nil)
	for round, since := 0, 0; round < mostRounds && since < 4; round++ {
		mse, err := c.byteError(u, low)
		if err := errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		if mse <= enough {
			return nil
		}
		if since++; mse < best {
			best, since = mse, 0
			bestPix = append(bestPix[:0], u.Pix...)
		}
		must(c.inverse.Add(u.Pix, c.rest, 3, c.threads))
		c.clip(u.Pix)
	}
	copy(u.Pix, bestPix)
	return nil
}

// byteError is what metric.Consistency says of u; rest gets the step to take.
func (c *consistency) byteError(u *imageio.Image, low []uint8) (float64, error) {
	a := c.inverse.Operator()
	reduced := make([]uint8, len(low))
	if err := resample.Resize8(reduced, u.RGB8(), a.Y.Out, a.X.Out, a.Y.In, a.X.In, 3, resample.Bicubic, c.threads); err != nil {
		return 0, fmt.Errorf("consistency: %w", err)
	}
	sum := 0
	for i, v := range low {
		d := int(v) - int(reduced[i])
		sum += d * d
		c.rest[i] = relaxation * float32(d) / 127.5
	}
	return float64(sum) / float64(len(low)) / (255 * 255) * 1e5, nil
}

// clip limits an image to [-1, 1].
func (c *consistency) clip(u []float32) {
	parallel.Chunks(c.threads, len(u), pieceLen, func(lo, hi int) { clamp(u[lo:hi], -1, 1) })
}

// settle makes pix, an image of size out, in [-1, 1], consistent with low of size in.
func (r *run) settle(pix []float32, out size, low []float32, in size, depth int) (*consistency, error) {
	c, err := newConsistency(low, in, out, r.o.Threads)
	if err != nil {
		return nil, err
	}
	c.project(pix)
	c.clip(pix)
	_, err = c.settle(r.ctx, pix, tolerance(depth))
	return c, err
}

// settleResult makes a result consistent with the image it was made from.
func (r *run) settleResult(out, from *imageio.Image) error {
	c, err := r.settle(out.Pix, size{out.Height, out.Width}, from.Pix, size{from.Height, from.Width}, out.Depth)
	if err != nil || out.Depth == 16 {
		return err
	}
	return c.roundToBytes(r.ctx, out, from.RGB8())
}

// tolerance is a quarter of the distance of two levels of 8 or 16 bits. Half of it
// is forgiven when the reduction is rounded; the rest is for rounding the result,
// which changes values of the reduction by less than a tenth (standard deviation).
func tolerance(depth int) float32 {
	if depth == 16 {
		return 0.25 / 32767.5
	}
	return 0.25 / 127.5
}
