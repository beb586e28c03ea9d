package metric

import (
	"fmt"
	"math"

	"github.com/sr3-go/sr3/internal/parallel"
)

const (
	ssimTaps  = 11 // side of the Gaussian window
	ssimSigma = 1.5
	ssimC1    = (0.01 * 255) * (0.01 * 255)
	ssimC2    = (0.03 * 255) * (0.03 * 255)
	ssimBand  = 64 // rows of the index map per work item
)

// SSIM returns the structural similarity of sr and hr (Wang et al. 2004,
// eq. 13): the mean of the index over every position of an 11x11 Gaussian
// window of sigma 1.5 that lies wholly inside, and over R, G and B. It is at
// most 1. threads below 1 means one; the result does not depend on it.
// It fails when the sizes differ or a side is shorter than the window.
func SSIM(hr, sr Image, threads int) (float64, error) {
	return Options{Threads: threads}.SSIM(hr, sr)
}

// SSIM is the function [SSIM] of what the options choose. Sides count without
// the pixels that Crop cuts.
func (o Options) SSIM(hr, sr Image) (float64, error) {
	xs, ys, err := o.planes(hr, sr)
	if err != nil {
		return 0, fmt.Errorf("metric: ssim: %w", err)
	}
	if h, w := xs[0].size(); min(h, w) < ssimTaps {
		return 0, fmt.Errorf("metric: ssim: images of %dx%d pixels are smaller than the %dx%d window", w, h, ssimTaps, ssimTaps)
	}
	var total float64
	for _, s := range similarities(xs, ys, o.Threads) {
		total += s.index
	}
	return total / float64(len(xs)), nil
}

// similarity holds means over the positions of the window: of the index, and of
// its factor for contrast and structure (Wang et al. 2003, eqs. 2 and 3, which
// are one fraction because C3 = C2/2).
type similarity struct{ index, contrast float64 }

// similarities compares channels that are at least as large as the window.
func similarities(xs, ys []plane, threads int) []similarity {
	height, width := xs[0].size()
	rows := height - ssimTaps + 1
	bands := (rows + ssimBand - 1) / ssimBand
	parts := make([]similarity, len(xs)*bands)
	window := gaussian()
	parallel.For(threads, len(parts), func(i int) {
		from := i / len(xs) * ssimBand
		b := ssimBands{x: xs[i%len(xs)], y: ys[i%len(xs)], width: width, window: window}
		parts[i] = b.sum(from, min(from+ssimBand, rows))
	})
	means := make([]similarity, len(xs))
	for i, part := range parts {
		means[i%len(xs)].add(part)
	}
	positions := float64(rows * (width - ssimTaps + 1))
	for i, m := range means {
		means[i] = similarity{m.index / positions, m.contrast / positions}
	}
	return means
}

func (s *similarity) add(x similarity) {
	s.index += x.index
	s.contrast += x.contrast
}

func gaussian() (w [ssimTaps]float64) {
	var sum float64
	for i := range w {
		d := float64(i - ssimTaps/2)
		w[i] = math.Exp(-d * d / (2 * ssimSigma * ssimSigma))
		sum += w[i]
	}
	for i := range w {
		w[i] /= sum
	}
	return w
}

// ssimBands computes the index of one channel over bands of rows. Of the five
// windowed moments only four are needed: the index uses the two variances in
// their sum alone.
type ssimBands struct {
	x, y   plane
	width  int
	window [ssimTaps]float64
}

// moments are the windowed means of x, y, x^2+y^2 and xy along one row.
type moments [4][]float64

func newMoments(n int) (m moments) {
	for i := range m {
		m[i] = make([]float64, n)
	}
	return m
}

// sum adds up the index and its factor at output rows [from, to).
func (b *ssimBands) sum(from, to int) (total similarity) {
	out := b.width - ssimTaps + 1
	var ring [ssimTaps]moments // horizontally filtered source rows
	for i := range ring {
		ring[i] = newMoments(out)
	}
	raw, acc := newMoments(b.width), newMoments(out)
	for r := from; r < to+ssimTaps-1; r++ {
		b.horizontal(ring[r%ssimTaps], raw, r)
		if r < from+ssimTaps-1 {
			continue
		}
		top := r - ssimTaps + 1
		for m := range acc {
			clear(acc[m])
			for t, w := range b.window {
				addScaled(acc[m], ring[(top+t)%ssimTaps][m], w)
			}
		}
		total.add(sumIndex(acc))
	}
	return total
}

// horizontal filters source row r along its columns.
func (b *ssimBands) horizontal(dst, raw moments, r int) {
	b.x.row(raw[0], r)
	b.y.row(raw[1], r)
	for i, x := range raw[0] {
		y := raw[1][i]
		raw[2][i], raw[3][i] = x*x+y*y, x*y
	}
	for m := range dst {
		clear(dst[m])
		for t, w := range b.window {
			addScaled(dst[m], raw[m][t:], w)
		}
	}
}

func addScaled(dst, src []float64, w float64) {
	src = src[:len(dst)]
	for i, v := range src {
		dst[i] += w * v
	}
}

func sumIndex(m moments) (total similarity) {
	for i, x := range m[0] {
		y := m[1][i]
		xy, squares := x*y, x*x+y*y
		covariance, variances := m[3][i]-xy, m[2][i]-squares
		above, below := 2*covariance+ssimC2, variances+ssimC2
		total.contrast += above / below
		total.index += (2*xy + ssimC1) * above / ((squares + ssimC1) * below)
	}
	return total
}
