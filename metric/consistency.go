package metric

import (
	"errors"
	"fmt"
	"math"

	"github.com/sr3-go/sr3/resample"
)

// Consistency returns the mean squared error between the low-resolution input
// lr and the result sr reduced to lr's size by the 8-bit antialiased bicubic
// filter, on samples in [0, 1] and multiplied by 1e5 (the paper's table 2).
// 0 is perfect. threads below 1 means one. It fails when sr is smaller
// than lr or does not have its aspect to within half a low-resolution pixel.
func Consistency(lr, sr Image, threads int) (float64, error) {
	if err := errors.Join(lr.check("low-resolution"), sr.check("super-resolved")); err != nil {
		return 0, fmt.Errorf("metric: consistency: %w", err)
	}
	if err := checkEnlargement(lr.Height, lr.Width, sr.Height, sr.Width); err != nil {
		return 0, fmt.Errorf("metric: consistency: %w", err)
	}
	reduced := make([]uint8, len(lr.Pix))
	err := resample.Resize8(reduced, sr.Pix, lr.Height, lr.Width, sr.Height, sr.Width, 3, resample.Bicubic, threads)
	if err != nil {
		return 0, fmt.Errorf("metric: consistency: %w", err)
	}
	mse := float64(squaredDifferences(lr.Pix, reduced)) / float64(len(lr.Pix))
	return mse / (255 * 255) * 1e5, nil
}

// FloatConsistency is [Consistency] without rounding: sr is what the sampler
// gave before it was clipped and rounded, and its reduction is neither. Both in
// [-1, 1], though values beyond are allowed; they are compared in [0, 1] all the
// same, so the numbers have one scale. A sample that is no finite number is an
// error.
func FloatConsistency(lr, sr FloatImage, threads int) (float64, error) {
	if err := errors.Join(lr.check("low-resolution"), sr.check("super-resolved")); err != nil {
		return 0, fmt.Errorf("metric: consistency: %w", err)
	}
	if err := checkEnlargement(lr.Height, lr.Width, sr.Height, sr.Width); err != nil {
		return 0, fmt.Errorf("metric: consistency: %w", err)
	}
	reduced := make([]float32, len(lr.Pix))
	err := resample.Resize(reduced, sr.Pix, lr.Height, lr.Width, sr.Height, sr.Width, 3, resample.Bicubic, threads)
	if err != nil {
		return 0, fmt.Errorf("metric: consistency: %w", err)
	}
	var sum float64
	for i, v := range lr.Pix {
		d := (float64(v) - float64(reduced[i])) / 2
		sum += d * d
	}
	mse := sum / float64(len(lr.Pix))
	if math.IsNaN(mse) || math.IsInf(mse, 0) {
		return 0, fmt.Errorf("metric: consistency: samples are too large to be reduced")
	}
	return mse * 1e5, nil
}

// checkEnlargement verifies that a result has at least its input's size, and its
// aspect. A size made by rounding scale*side makes the cross product at most half
// the sum of the low-resolution sides.
func checkEnlargement(lrHeight, lrWidth, srHeight, srWidth int) error {
	skew := srWidth*lrHeight - srHeight*lrWidth
	if srWidth < lrWidth || srHeight < lrHeight || 2*max(skew, -skew) > lrWidth+lrHeight {
		return fmt.Errorf("%dx%d pixels are no enlargement of %dx%d (for x4 it would be %dx%d)",
			srWidth, srHeight, lrWidth, lrHeight, 4*lrWidth, 4*lrHeight)
	}
	return nil
}
