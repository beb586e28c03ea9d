package residual

import (
	"github.com/sr3-go/sr3/diffusion"
	"github.com/sr3-go/sr3/internal/parallel"
)

// Target is the relation between an image and what is diffused in its place, y0.
// Images and conditions are height x width x 3 in [-1, 1]. It may be used by several
// goroutines.
type Target struct {
	x       []float32
	factor  float32   // 0: y0 is the image itself
	factors []float32 // for each pixel, nil for one factor
	threads int
}

// New relates images to the condition x, which is kept and must not change: y0 =
// factor (hr - x), divided by the scale where that is active. A factor of 0 means
// that y0 is the image; then x does not matter.
func New(factor float64, scale Scale, x []float32, height, width, threads int) *Target {
	t := &Target{x: x, factor: float32(factor), threads: threads}
	if factor != 0 && scale.Active() {
		t.factors = make([]float32, height*width)
		scale.Factors(t.factors, x, height, width, factor, threads)
	}
	return t
}

// Factor is the number that hr - x is multiplied by everywhere; ok is false where it
// differs from pixel to pixel. It is 0 where y0 is the image itself.
func (t *Target) Factor() (factor float32, ok bool) { return t.factor, t.factors == nil }

// X is the condition.
func (t *Target) X() []float32 { return t.x }

// pieceLen is how many pixels a goroutine takes at a time.
const pieceLen = 1 << 14

// each calls f for pieces of the pixels, with the factor of each.
func (t *Target) each(n int, f func(lo, hi int, factorOf func(pixel int) float32)) {
	of := func(int) float32 { return t.factor }
	if t.factors != nil {
		of = func(p int) float32 { return t.factors[p] }
	}
	parallel.Chunks(t.threads, n/3, pieceLen, func(lo, hi int) { f(lo, hi, of) })
}

// Image sets dst to the image that y0 stands for: x + y0/f. dst may be y0.
func (t *Target) Image(dst, y0 []float32) {
	if t.factor == 0 {
		copy(dst, y0)
		return
	}
	t.each(len(y0), func(lo, hi int, of func(int) float32) {
		for p := lo; p < hi; p++ {
			f := of(p)
			for i := 3 * p; i < 3*p+3; i++ {
				dst[i] = t.x[i] + y0[i]/f
			}
		}
	})
}

// Of sets dst to the y0 of an image: f (image - x). dst may be the image.
func (t *Target) Of(dst, image []float32) {
	if t.factor == 0 {
		copy(dst, image)
		return
	}
	t.each(len(image), func(lo, hi int, of func(int) float32) {
		for p := lo; p < hi; p++ {
			f := of(p)
			for i := 3 * p; i < 3*p+3; i++ {
				dst[i] = f * (image[i] - t.x[i])
			}
		}
	})
}

// Clamp changes y0 so that the image it stands for lies in [-1, 1].
func (t *Target) Clamp(y0 []float32) {
	if t.factor == 0 {
		for i, v := range y0 {
			y0[i] = min(max(v, -1), 1)
		}
		return
	}
	t.each(len(y0), func(lo, hi int, of func(int) float32) {
		for p := lo; p < hi; p++ {
			f := of(p)
			for i := 3 * p; i < 3*p+3; i++ {
				if hr := t.x[i] + y0[i]/f; hr > 1 || hr < -1 {
					y0[i] = (min(max(hr, -1), 1) - t.x[i]) * f
				}
			}
		}
	})
}

// Noisy sets dst to what y at a noise level looks like as an image: of y =
// sqrt(gamma) y0 + noise, sqrt(gamma) hr + noise/f.
func (t *Target) Noisy(dst, y []float32, gamma diffusion.Gamma) {
	if t.factor == 0 {
		copy(dst, y)
		return
	}
	alpha := float32(gamma.Alpha())
	t.each(len(y), func(lo, hi int, of func(int) float32) {
		for p := lo; p < hi; p++ {
			f := of(p)
			for i := 3 * p; i < 3*p+3; i++ {
				dst[i] = alpha*t.x[i] + y[i]/f
			}
		}
	})
}
