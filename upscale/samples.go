package upscale

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/internal/heatmap"
	"github.com/sr3-go/sr3/internal/parallel"
)

// What an image says that sums up several draws, see Report.Statistic.
const (
	StatisticMean      = "mean"
	StatisticDeviation = "deviation"
)

// DefaultDeviationScale is the deviation in 1/255 that maps show in their
// lightest colour. It is the same for all images, so that maps compare.
const DefaultDeviationScale = 32

// Samples are the statistics of several draws of one image.
type Samples struct {
	// Draws is how many there were.
	Draws int
	// Mean is the mean of the draws before they are rounded to the bits of a file,
	// in [-1, 1]. Alpha and all that is carried over is as in each of them.
	Mean *imageio.Image
	// Deviation holds for each pixel (Height x Width) how far the draws lie apart,
	// in 1/255 of the range of samples: the root of the mean over R, G and B of the
	// unbiased variance (divided by Draws-1). Where a picture is transparent
	// in part, it is that of what shines through, alpha times as large.
	Deviation []float32
	// Report is that of the mean; its seed is that of the first draw.
	Report *Report

	threads int
}

// DrawSeed is the seed of draw i, counted from 0, where Options have seed: the
// next whole number for each, from 18446744073709551615 on to 0. So Upscale with
// this seed makes the same draw alone.
func DrawSeed(seed uint64, i int) uint64 { return seed + uint64(i) }

// CheckSamples reports what would keep Samples from making n draws: fewer than
// two, settings that [Upscaler.Check] refuses, or a model that is a regression and
// has nothing to draw from.
func (u *Upscaler) CheckSamples(o Options, n int) error {
	if u.cfg.Regression() {
		return fmt.Errorf("model %s is a regression, which makes its only result in one call of the network: there are no draws to compare", u.cfg.Name)
	}
	if err := checkDraws(n); err != nil {
		return err
	}
	return u.Check(o)
}

func checkDraws(n int) error {
	if n < 2 {
		return fmt.Errorf("%d draws have no deviation: want 2 or more", n)
	}
	return nil
}

// Samples makes n draws of one image, two at least: n results of Upscale, that
// differ in their seeds alone ([DrawSeed]; the first is what Upscale makes of the
// same options). What they have in common follows from the image and what the
// model knows for sure; where they differ the model made up what it shows.
//
// Each draw is handed to each, if that is not nil, with its number from 0, and not
// kept: the statistics take 16 bytes for every pixel of the output, whatever n, and
// what a predictor makes of the image 12 more.
// Who gets the draw may keep or change it. An error of each ends the work.
// Everything else is as in [Upscaler.Upscale].
func (u *Upscaler) Samples(ctx context.Context, img *imageio.Image, o Options, n int,
	each func(i int, draw *imageio.Image, r *Report) error) (*Samples, error) {
	return sample(ctx, u, img, o, n, each)
}

// sample makes the draws and their statistics.
func sample(ctx context.Context, u chained, img *imageio.Image, o Options, n int,
	each func(i int, draw *imageio.Image, r *Report) error) (*Samples, error) {
	if err := errors.Join(img.Validate(), u.CheckSamples(o, n)); err != nil {
		return nil, fmt.Errorf("upscale: %w", err)
	}
	c, err := u.chain(ctx, img, o)
	if err != nil {
		return nil, fmt.Errorf("upscale: %w", err)
	}
	c[0].work.total *= int64(n)
	c[0].keep = true
	s := &spread{threads: c[0].o.Threads}
	var mean imageio.Image
	for i := range n {
		c.draw(o, i, n)
		draw, err := c.image(img)
		if err != nil {
			return nil, fmt.Errorf("upscale: draw %d of %d, seed %d: %w", i+1, n, DrawSeed(o.Seed, i), err)
		}
		s.add(draw.Pix)
		if i == 0 {
			mean = *draw
			mean.Alpha = slices.Clone(draw.Alpha)
		}
		if each == nil {
			continue
		}
		if err := each(i, draw, c.report()); err != nil {
			return nil, err
		}
	}
	c.draw(o, 0, n)
	report := c.report()
	report.Draws, report.Statistic = n, StatisticMean
	mean.Pix = s.mean
	return &Samples{Draws: n, Mean: &mean, Deviation: s.deviation(mean.Alpha), Report: report, threads: s.threads}, nil
}

// draw returns the options of draw i: run's, with the seed and the callbacks of o.
func (o Options) draw(run Options, i, n int) Options {
	run.Seed = DrawSeed(o.Seed, i)
	if o.OnWindow != nil {
		run.OnWindow = func(p Progress) {
			p.Draw, p.Draws = i+1, n
			o.OnWindow(p)
		}
	}
	if o.OnStep != nil {
		run.OnStep = func(s Step) {
			s.Draw, s.Draws = i+1, n
			o.OnStep(s)
		}
	}
	return run
}

// MeanDeviation is the mean of Deviation over all pixels that are not wholly
// transparent, in 1/255.
func (s *Samples) MeanDeviation() float64 {
	sum, n := 0.0, 0
	for i, d := range s.Deviation {
		if s.seen(i) {
			sum, n = sum+float64(d), n+1
		}
	}
	return sum / float64(max(n, 1))
}

// ShareAbove is the share (0 to 1) of the pixels, not counting wholly transparent
// ones, that deviate by more than level in 1/255.
func (s *Samples) ShareAbove(level float64) float64 {
	above, n := 0, 0
	for i, d := range s.Deviation {
		if !s.seen(i) {
			continue
		}
		n++
		if float64(d) > level {
			above++
		}
	}
	return float64(above) / float64(max(n, 1))
}

func (s *Samples) seen(i int) bool { return s.Mean.Alpha == nil || s.Mean.Alpha[i] > 0 }

// DeviationMap draws Deviation as colours: black where all draws agree, the
// lightest colour from full (in 1/255; 0 means [DefaultDeviationScale]) on, and a
// legend below. The picture's own pixels are in the first rows and columns.
func (s *Samples) DeviationMap(full float64) (*imageio.Image, error) {
	if full == 0 {
		full = DefaultDeviationScale
	}
	return heatmap.Draw(s.Deviation, s.Mean.Width, s.Mean.Height, heatmap.Options{
		Full: full, Threads: s.threads,
		Titles: []string{
			fmt.Sprintf("standard deviation of %d draws, in 1/255", s.Draws),
			fmt.Sprintf("deviation of %d draws, in 1/255", s.Draws),
			"deviation in 1/255", "in 1/255", "1/255",
		},
	})
}

// spread gathers mean and variance of images one at a time (Welford 1962).
type spread struct {
	n       int
	mean    []float32
	m2      []float32 // squared distances from the mean, summed over R, G and B
	threads int
}

// add takes an image in. The arithmetic of a pixel is in float64 and alone, so
// that threads do not matter.
func (s *spread) add(pix []float32) {
	if s.n++; s.n == 1 {
		s.mean, s.m2 = append([]float32(nil), pix...), make([]float32, len(pix)/3)
		return
	}
	n := float64(s.n)
	parallel.Chunks(s.threads, len(s.m2), pieceLen, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			sum := float64(s.m2[i])
			for k := 3 * i; k < 3*i+3; k++ {
				v, mean := float64(pix[k]), float64(s.mean[k])
				d := v - mean
				sum += d * d * ((n - 1) / n)
				s.mean[k] = float32(mean + d/n)
			}
			s.m2[i] = float32(sum)
		}
	})
}

// deviation returns the standard deviation in 1/255, of what is seen through
// alpha; it takes the memory of m2 over.
func (s *spread) deviation(alpha []float32) []float32 {
	for i, v := range s.m2 {
		d := 127.5 * math.Sqrt(float64(v)/(3*float64(s.n-1)))
		if alpha != nil {
			d *= float64(alpha[i])
		}
		s.m2[i] = float32(d)
	}
	return s.m2
}
