package metric

import (
	"fmt"
	"math"
)

// PSNR returns the peak signal-to-noise ratio of sr against the reference hr in
// decibels: 20 log10(255 / sqrt(MSE)), the mean taken over all pixels and
// channels. Identical images give +Inf. It fails when the sizes differ.
func PSNR(hr, sr Image) (float64, error) {
	if err := checkPair(hr, sr); err != nil {
		return 0, fmt.Errorf("metric: psnr: %w", err)
	}
	mse := squaredError(hr.Pix, sr.Pix)
	if mse == 0 {
		return math.Inf(1), nil
	}
	return 20 * math.Log10(255/math.Sqrt(mse)), nil
}

// squaredError returns the mean squared difference, summed exactly in integers.
func squaredError(a, b []uint8) float64 {
	var sum uint64
	b = b[:len(a)]
	for i, v := range a {
		d := int(v) - int(b[i])
		sum += uint64(d * d)
	}
	return float64(sum) / float64(len(a))
}
