package upscale

import "math"

// axis is how windows cover one side of an image. All positions are in pixels
// of the output.
type axis struct {
	size    int         // the image's extent
	padded  int         // the extent that windows cover: a multiple of the network's multiple
	window  int         // the windows' extent
	origins []int       // where each window starts, ascending, multiples of the network's multiple
	weights [][]float32 // weights[k][i] blends pixel i of window k; over all windows they sum to 1
	mirror  []int32     // mirror[p] is the image's pixel that stands at padded position p
}

// newAxis covers size pixels with windows that overlap by at least overlap, a
// multiple of g.Multiple and less than the window. An image that fits into one
// window gets one, of at least g.Least pixels: networks are not made for the
// statistics of a handful of pixels.
func newAxis(size, window, overlap, margin int, g Geometry) axis {
	multiple := g.Multiple
	a := axis{size: size, window: window}
	a.padded = roundUp(size, multiple)
	switch {
	case a.padded <= window:
		a.padded = min(window, max(a.padded, roundUp(g.Least, multiple)))
		a.window = a.padded
	case g.Fit:
		n := ceilDiv(a.padded-overlap, window-overlap)
		a.window = roundUp(ceilDiv(a.padded+(n-1)*overlap, n), multiple)
	}
	a.origins = windowOrigins(a.padded, a.window, overlap, multiple)
	a.weights = blendWeights(a.origins, a.window, a.padded, overlap, margin)
	a.mirror = mirrorIndex(size, a.padded)
	return a
}

func roundUp(n, multiple int) int { return (n + multiple - 1) / multiple * multiple }

// windowOrigins spreads as few windows as possible evenly over the extent.
// Because extent, window and overlap are multiples of multiple, rounding the
// positions down to multiples never makes an overlap smaller than asked for.
func windowOrigins(extent, window, overlap, multiple int) []int {
	if extent <= window {
		return []int{0}
	}
	stride := window - overlap
	n := (extent - overlap + stride - 1) / stride
	origins := make([]int, n)
	for k := range origins {
		origins[k] = k * (extent - window) / (n - 1) / multiple * multiple
	}
	return origins
}

// blendWeights gives each window a weight that falls to zero towards its borders
// inside the image as a raised cosine, and normalises the weights at each pixel
// to sum 1. The outermost margin pixels of a window, where its zero padding is
// felt most, weigh nothing. Where one window covers a pixel alone its weight is
// exactly 1, so a single window is passed through unchanged.
func blendWeights(origins []int, window, extent, overlap, margin int) [][]float32 {
	raw := make([][]float64, len(origins))
	sum := make([]float64, extent)
	for k, origin := range origins {
		raw[k] = make([]float64, window)
		for i := range raw[k] {
			w := 1.0
			if origin > 0 {
				w = ramp(i, overlap, margin)
			}
			if origin+window < extent {
				w *= ramp(window-1-i, overlap, margin)
			}
			raw[k][i] = w
			sum[origin+i] += w
		}
	}
	out := make([][]float32, len(origins))
	for k, origin := range origins {
		out[k] = make([]float32, window)
		for i, w := range raw[k] {
			out[k][i] = float32(w / sum[origin+i])
		}
	}
	return out
}

// ramp rises from 0 at distance margin from a window's border to 1 at distance
// overlap-margin. Two windows that overlap by exactly overlap pixels have ramps
// that sum to 1.
func ramp(distance, overlap, margin int) float64 {
	t := (float64(distance-margin) + 0.5) / float64(overlap-2*margin)
	s := math.Sin(math.Pi / 2 * min(max(t, 0), 1))
	return s * s
}

// mirrorIndex reflects an image of size pixels about its border pixels (which
// are not repeated) until it fills padded pixels; one pixel is repeated.
func mirrorIndex(size, padded int) []int32 {
	out := make([]int32, padded)
	period := max(2*(size-1), 1)
	for p := range out {
		i := p % period
		out[p] = int32(min(i, period-i, size-1))
	}
	return out
}
