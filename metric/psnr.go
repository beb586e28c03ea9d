package metric

import (
	"fmt"
	"math"
)

// PSNR returns the peak signal-to-noise ratio of sr against the reference hr in
// decibels: 20 log10(255 / sqrt(MSE)), the mean taken over all pixels and
// channels. Identical images give +Inf. It fails when the sizes differ.
func PSNR(hr, sr Image) (float64, error) { return Options{}.PSNR(hr, sr) }

// PSNR is the function [PSNR] of what the options choose. It fails as well when
// Crop leaves nothing.
func (o Options) PSNR(hr, sr Image) (float64, error) {
	xs, ys, err := o.planes(hr, sr)
	if err != nil {
		return 0, fmt.Errorf("metric: psnr: %w", err)
	}
	var mse float64
	if o.Luma {
		mse = planeError(xs[0], ys[0])
	} else {
		mse = innerError(hr, sr, o.Crop)
	}
	if mse == 0 {
		return math.Inf(1), nil
	}
	return 20 * math.Log10(255/math.Sqrt(mse)), nil
}

// innerError is the mean squared difference of images without their borders,
// summed exactly in integers.
func innerError(a, b Image, crop int) float64 {
	var sum uint64
	rows := a.Height - 2*crop
	for r := range rows {
		sum += squaredDifferences(a.inner(r, crop), b.inner(r, crop))
	}
	return float64(sum) / float64(3*rows*(a.Width-2*crop))
}

// planeError is the mean squared difference of two channels.
func planeError(x, y plane) (mse float64) {
	height, width := x.size()
	a, b := make([]float64, width), make([]float64, width)
	for r := range height {
		x.row(a, r)
		y.row(b, r)
		for i, v := range a {
			mse += (v - b[i]) * (v - b[i])
		}
	}
	return mse / float64(height*width)
}

func squaredDifferences(a, b []uint8) (sum uint64) {
	b = b[:len(a)]
	for i, v := range a {
		d := int(v) - int(b[i])
		sum += uint64(d * d)
	}
	return sum
}
