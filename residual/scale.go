package residual

import (
	"fmt"
	"math"

	"github.com/sr3-go/sr3/internal/parallel"
)

// Scale says how far an image is expected to lie from its condition x, pixel by
// pixel, from the contrast of x around it: flat areas lack little, edges and
// textures a hundred times as much. Where g is the local contrast, that is
//
//	s = Floor + Gain g / (1 + g/Knee)
//
// in units of samples in [-1, 1]. A residual divided by it has about the same
// deviation everywhere, so that one noise level means the same in a sky and in a
// tree (a prior from the condition: Lee et al., "PriorGrad", ICLR 2022). The zero
// value is no such thing.
//
// g is the standard deviation of x in a window of 2 Radius + 1 pixels, the root of
// the mean over R, G and B of the variance, smoothed by a window of the same size.
type Scale struct {
	Floor  float64 `json:"floor" toml:"floor"`   // more than 0
	Gain   float64 `json:"gain" toml:"gain"`     // 0: no adaptation
	Knee   float64 `json:"knee" toml:"knee"`     // more than 0
	Radius int     `json:"radius" toml:"radius"` // 1 to 16
}

// Largest is s where the contrast is highest; 1 for the zero value.
func (s Scale) Largest() float64 {
	if !s.Active() {
		return 1
	}
	return s.Floor + s.Gain*s.Knee
}

// maxRadius bounds the windows.
const maxRadius = 16

// Active tells whether the scale depends on the image.
func (s Scale) Active() bool { return s != Scale{} }

// Validate says which field is wrong.
func (s Scale) Validate() error {
	finite := func(v float64) bool { return v > 0 && v <= 1000 }
	switch {
	case !s.Active():
		return nil
	case !finite(s.Floor) || s.Floor < 1e-5:
		return fmt.Errorf("floor %v: want 0.00001 to 1000", s.Floor)
	case !finite(s.Gain):
		return fmt.Errorf("gain %v: want more than 0, at most 1000", s.Gain)
	case !finite(s.Knee):
		return fmt.Errorf("knee %v: want more than 0, at most 1000", s.Knee)
	case s.Radius < 1 || s.Radius > maxRadius:
		return fmt.Errorf("radius %d: want 1 to %d", s.Radius, maxRadius)
	}
	return nil
}

// Factors sets dst (height x width) to f = factor/s for the condition x (height x
// width x 3). The result does not depend on the number of threads.
func (s Scale) Factors(dst, x []float32, height, width int, factor float64, threads int) {
	variance := make([]float32, height*width)
	parallel.For(threads, height, func(y int) { s.variance(variance[y*width:][:width], x, y, height, width) })
	parallel.For(threads, height, func(y int) {
		row := dst[y*width:][:width]
		s.smooth(row, variance, y, height, width)
		for i, v := range row {
			g := math.Sqrt(float64(v))
			row[i] = float32(factor / (s.Floor + s.Gain*g/(1+g/s.Knee)))
		}
	})
}

// variance sets row y of the local variance; windows end where the image does.
func (s Scale) variance(dst, x []float32, y, height, width int) {
	top, bottom := max(y-s.Radius, 0), min(y+s.Radius, height-1)
	sums := make([]float64, 6*width) // of each column: R, G, B and their squares
	for r := top; r <= bottom; r++ {
		for i, v := range x[r*width*3:][:width*3] {
			at, w := i/3*6+i%3, float64(v)
			sums[at] += w
			sums[at+3] += w * w
		}
	}
	for c := range dst {
		left, right := max(c-s.Radius, 0), min(c+s.Radius, width-1)
		var window [6]float64
		for k := left; k <= right; k++ {
			for i := range window {
				window[i] += sums[k*6+i]
			}
		}
		n, sum := float64((bottom-top+1)*(right-left+1)), 0.0
		for i := range 3 {
			mean := window[i] / n
			sum += max(window[i+3]/n-mean*mean, 0)
		}
		dst[c] = float32(sum / 3)
	}
}

// smooth sets row y of the mean over windows.
func (s Scale) smooth(dst, src []float32, y, height, width int) {
	top, bottom := max(y-s.Radius, 0), min(y+s.Radius, height-1)
	sums := make([]float64, width)
	for r := top; r <= bottom; r++ {
		for c, v := range src[r*width:][:width] {
			sums[c] += float64(v)
		}
	}
	for c := range dst {
		left, right := max(c-s.Radius, 0), min(c+s.Radius, width-1)
		sum := 0.0
		for _, v := range sums[left : right+1] {
			sum += v
		}
		dst[c] = float32(sum / float64((bottom-top+1)*(right-left+1)))
	}
}
