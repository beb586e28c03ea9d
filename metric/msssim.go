package metric

import (
	"fmt"
	"math"
)

// MSSSIMMinSide is the shortest side in pixels that MS-SSIM takes: at the fifth
// of its scales there are 11 left, the side of the window.
const MSSSIMMinSide = (ssimTaps-1)*16 + 1

// msssimWeights are the exponents of the five scales, finest first (Wang et al.
// 2003, section 3.2). They are used as printed; their sum is 1.0001.
func msssimWeights() []float64 { return []float64{0.0448, 0.2856, 0.3001, 0.2363, 0.1333} }

// MSSSIM returns the multi-scale structural similarity of sr and hr (Wang,
// Simoncelli and Bovik 2003, eq. 7): the product over five scales of the mean
// contrast and structure to the scale's exponent, and at the coarsest of the
// luminance too. Window and constants are those of [SSIM].
//
// What the paper leaves open is as in the authors' program: each scale is the
// one before averaged over 2x2 pixels, an odd last row or column counting twice;
// the factor of a scale is a mean over positions, at the coarsest that of the
// whole index. A negative mean, of which no power exists, counts as 0.
// Without Luma the result is the mean of those of R, G and B.
//
// It is at most 1. It fails when the sizes differ or a side, without the pixels
// that Crop cuts, is below [MSSSIMMinSide].
func (o Options) MSSSIM(hr, sr Image) (float64, error) {
	xs, ys, err := o.planes(hr, sr)
	if err != nil {
		return 0, fmt.Errorf("metric: ms-ssim: %w", err)
	}
	if h, w := xs[0].size(); min(h, w) < MSSSIMMinSide {
		return 0, fmt.Errorf("metric: ms-ssim: images of %dx%d pixels are too small for five scales: both sides must have at least %d",
			w, h, MSSSIMMinSide)
	}
	products := []float64{1, 1, 1}[:len(xs)]
	weights := msssimWeights()
	for scale, weight := range weights {
		if scale > 0 {
			xs, ys = halves(xs), halves(ys)
		}
		for c, s := range similarities(xs, ys, o.Threads) {
			factor := s.contrast
			if scale == len(weights)-1 {
				factor = s.index
			}
			products[c] *= math.Pow(max(factor, 0), weight)
		}
	}
	var total float64
	for _, p := range products {
		total += p
	}
	return total / float64(len(products)), nil
}

// dense is a channel in memory.
type dense struct {
	height, width int
	pix           []float64
}

func (d dense) size() (height, width int) { return d.height, d.width }

func (d dense) row(dst []float64, r int) { copy(dst, d.pix[r*d.width:(r+1)*d.width]) }

func halves(planes []plane) []plane {
	out := make([]plane, len(planes))
	for i, p := range planes {
		out[i] = half(p)
	}
	return out
}

// half averages 2x2 pixels; the last row and column of odd sides count twice.
func half(p plane) dense {
	height, width := p.size()
	d := dense{height: (height + 1) / 2, width: (width + 1) / 2}
	d.pix = make([]float64, d.height*d.width)
	upper, lower := make([]float64, width), make([]float64, width)
	for r := range d.height {
		p.row(upper, 2*r)
		p.row(lower, min(2*r+1, height-1))
		for i := range d.width {
			left, right := 2*i, min(2*i+1, width-1)
			d.pix[r*d.width+i] = (upper[left] + upper[right] + lower[left] + lower[right]) / 4
		}
	}
	return d
}
