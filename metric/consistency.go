package metric

import (
	"fmt"

	"github.com/sr3-go/sr3/resample"
)

// Consistency returns the mean squared error between the low-resolution input
// lr and the result sr reduced to lr's size by the 8-bit antialiased bicubic
// filter, on samples in [0, 1] and multiplied by 1e5 (the paper's table 2).
// 0 is perfect. threads below 1 means one. It fails when sr is smaller
// than lr or does not have its aspect to within half a low-resolution pixel.
func Consistency(lr, sr Image, threads int) (float64, error) {
	if err := lr.check("low-resolution"); err != nil {
		return 0, fmt.Errorf("metric: consistency: %w", err)
	}
	if err := sr.check("super-resolved"); err != nil {
		return 0, fmt.Errorf("metric: consistency: %w", err)
	}
	// A size made by rounding scale*side makes this cross product at most half
	// the sum of the low-resolution sides.
	skew := sr.Width*lr.Height - sr.Height*lr.Width
	if sr.Width < lr.Width || sr.Height < lr.Height || 2*max(skew, -skew) > lr.Width+lr.Height {
		return 0, fmt.Errorf("metric: consistency: %dx%d pixels are no enlargement of %dx%d (for x4 it would be %dx%d)",
			sr.Width, sr.Height, lr.Width, lr.Height, 4*lr.Width, 4*lr.Height)
	}
	reduced := make([]uint8, len(lr.Pix))
	err := resample.Resize8(reduced, sr.Pix, lr.Height, lr.Width, sr.Height, sr.Width, 3, resample.Bicubic, threads)
	if err != nil {
		return 0, fmt.Errorf("metric: consistency: %w", err)
	}
	return squaredError(lr.Pix, reduced) / (255 * 255) * 1e5, nil
}
