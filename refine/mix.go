package refine

import (
	"math"

	"github.com/sr3-go/sr3/diffusion"
	"github.com/sr3-go/sr3/internal/parallel"
)

// chunk is how many elements a thread takes at a time. It is a multiple of 4, the generator's block.
const chunk = 1 << 15

// term is a factor and what it multiplies.
type term struct {
	factor float64
	x      []float32
}

// mix sets dst to the sum of at most four terms, element by element; dst may be one of the x. Terms with factor 0 are
// left out, so what they hold does not matter.
func mix(threads int, dst []float32, terms ...term) {
	kept := make([]term, 0, 4)
	for _, t := range terms {
		if t.factor != 0 {
			kept = append(kept, t)
		}
	}
	parallel.Chunks(threads, len(dst), chunk, func(lo, hi int) { mixRange(dst, kept, lo, hi) })
}

// mixRange is mix for elements lo to hi.
func mixRange(dst []float32, terms []term, lo, hi int) {
	var f [4]float32
	var x [4][]float32
	for i, t := range terms {
		f[i], x[i] = float32(t.factor), t.x[lo:hi]
	}
	dst = dst[lo:hi]
	switch len(terms) {
	case 0:
		clear(dst)
	case 1:
		mix1(dst, f[0], x[0])
	case 2:
		mix2(dst, f[0], x[0], f[1], x[1])
	case 3:
		mix3(dst, f[0], x[0], f[1], x[1], f[2], x[2])
	case 4:
		mix4(dst, f[0], x[0], f[1], x[1], f[2], x[2], f[3], x[3])
	default:
		panic("refine: too many terms")
	}
}

func mix1(dst []float32, a float32, x []float32) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] = a * x[i]
	}
}

func mix2(dst []float32, a float32, x []float32, b float32, y []float32) {
	x, y = x[:len(dst)], y[:len(dst)]
	for i := range dst {
		dst[i] = a*x[i] + b*y[i]
	}
}

func mix3(dst []float32, a float32, x []float32, b float32, y []float32, c float32, z []float32) {
	x, y, z = x[:len(dst)], y[:len(dst)], z[:len(dst)]
	for i := range dst {
		dst[i] = a*x[i] + b*y[i] + c*z[i]
	}
}

func mix4(dst []float32, a float32, x []float32, b float32, y []float32, c float32, z []float32, d float32,
	w []float32) {
	x, y, z, w = x[:len(dst)], y[:len(dst)], z[:len(dst)], w[:len(dst)]
	for i := range dst {
		dst[i] = a*x[i] + b*y[i] + c*z[i] + d*w[i]
	}
}

// mixAndClamp turns the prediction in dst into the mixture of it and y, clamped to [-limit, limit], in one pass. NaN
// stays NaN.
func mixAndClamp(threads int, dst []float32, m diffusion.Mix, y []float32, limit float32) {
	a, b := float32(m.OnPrediction), float32(m.OnY)
	parallel.Chunks(threads, len(dst), chunk, func(lo, hi int) {
		dst, y := dst[lo:hi], y[lo:hi]
		for i, p := range dst {
			v := a*p + b*y[i]
			if v > limit {
				v = limit
			} else if v < -limit {
				v = -limit
			}
			dst[i] = v
		}
	})
}

// Clamp limits every value to [-1, 1], the range of images. NaN stays NaN.
func Clamp(y0 []float32) {
	for i, v := range y0 {
		if v > 1 {
			y0[i] = 1
		} else if v < -1 {
			y0[i] = -1
		}
	}
}

// lambda is ln(a/s), half the log-SNR.
func lambda(g diffusion.Gamma) float64 { return g.LogSNR() / 2 }

// sqrt0 is the square root of a variance that rounding may have left below zero.
func sqrt0(v float64) float64 { return math.Sqrt(max(v, 0)) }
