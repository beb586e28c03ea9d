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
	if err := checkPair(hr, sr); err != nil {
		return 0, fmt.Errorf("metric: ssim: %w", err)
	}
	if hr.Width < ssimTaps || hr.Height < ssimTaps {
		return 0, fmt.Errorf("metric: ssim: images of %dx%d pixels are smaller than the %dx%d window", hr.Width, hr.Height, ssimTaps, ssimTaps)
	}
	rows := hr.Height - ssimTaps + 1
	bands := (rows + ssimBand - 1) / ssimBand
	sums := make([]float64, 3*bands)
	window := gaussian()
	parallel.For(threads, len(sums), func(i int) {
		from := i / 3 * ssimBand
		b := ssimChannel{hr: hr, sr: sr, window: window, channel: i % 3}
		sums[i] = b.sum(from, min(from+ssimBand, rows))
	})
	var total float64
	for _, s := range sums {
		total += s
	}
	return total / float64(3*rows*(hr.Width-ssimTaps+1)), nil
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

// ssimChannel computes the index of one channel over a band of rows. Of the five
// windowed moments only four are needed: the index uses the two variances in
// their sum alone.
type ssimChannel struct {
	hr, sr  Image
	window  [ssimTaps]float64
	channel int
}

// moments are the windowed means of x, y, x^2+y^2 and xy along one row.
type moments [4][]float64

func newMoments(n int) (m moments) {
	for i := range m {
		m[i] = make([]float64, n)
	}
	return m
}

// sum adds up the index at output rows [from, to).
func (b *ssimChannel) sum(from, to int) (total float64) {
	out := b.hr.Width - ssimTaps + 1
	var ring [ssimTaps]moments // horizontally filtered source rows
	for i := range ring {
		ring[i] = newMoments(out)
	}
	raw, acc := newMoments(b.hr.Width), newMoments(out)
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
		total += sumIndex(acc)
	}
	return total
}

// horizontal filters source row r along its columns.
func (b *ssimChannel) horizontal(dst, raw moments, r int) {
	offset := r*b.hr.Width*3 + b.channel
	for i := range b.hr.Width {
		x, y := float64(b.hr.Pix[offset+3*i]), float64(b.sr.Pix[offset+3*i])
		raw[0][i], raw[1][i], raw[2][i], raw[3][i] = x, y, x*x+y*y, x*y
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

func sumIndex(m moments) (total float64) {
	for i, x := range m[0] {
		y := m[1][i]
		xy, squares := x*y, x*x+y*y
		covariance, variances := m[3][i]-xy, m[2][i]-squares
		total += (2*xy + ssimC1) * (2*covariance + ssimC2) / ((squares + ssimC1) * (variances + ssimC2))
	}
	return total
}
