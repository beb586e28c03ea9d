package upscale

import (
	"github.com/sr3-go/sr3/diffusion"
	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/internal/parallel"
)

// residual is the relation between the image hr and what is diffused, y0. With a
// factor f, y0 = f * (hr - x): the network draws what bicubic enlargement lacks,
// at a scale near that of noise. Without one (0), y0 = hr.
type residual struct {
	factor  float32
	x       []float32
	threads int
	// consistent, if not nil, is a condition on y0.
	consistent *consistency
}

// constrain is what refinement does to every estimate of y0; nil is nothing.
func (r residual) constrain(clip bool) func(y0 []float32) {
	switch {
	case r.consistent == nil && clip:
		return r.clamp
	case r.consistent == nil:
		return nil
	}
	return func(y0 []float32) {
		r.consistent.project(y0)
		if clip {
			r.clamp(y0)
		}
	}
}

// pieceLen is how many values a goroutine takes at a time.
const pieceLen = 1 << 16

// image sets dst to the image that y0 stands for; dst may be y0.
func (r residual) image(dst, y0 []float32) {
	if r.factor == 0 {
		copy(dst, y0)
		return
	}
	parallel.Chunks(r.threads, len(y0), pieceLen, func(lo, hi int) {
		for i, v := range y0[lo:hi] {
			dst[lo+i] = r.x[lo+i] + v/r.factor
		}
	})
}

// picture is what y at a noise level looks like as an image of a size: of y =
// sqrt(gamma) y0 + noise, with y0 = f (hr - x), it is sqrt(gamma) hr + noise / f.
func (r residual) picture(y []float32, gamma diffusion.Gamma, s size) *imageio.Image {
	pix := make([]float32, len(y))
	copy(pix, y)
	if r.factor != 0 {
		alpha := float32(gamma.Alpha())
		for i, v := range y {
			pix[i] = alpha*r.x[i] + v/r.factor
		}
	}
	clamp(pix, -1, 1)
	return &imageio.Image{Width: s.w, Height: s.h, Pix: pix, Depth: 8}
}

// clamp changes y0 so that the image it stands for lies in [-1, 1].
func (r residual) clamp(y0 []float32) {
	if r.factor == 0 {
		clamp(y0, -1, 1)
		return
	}
	parallel.Chunks(r.threads, len(y0), pieceLen, func(lo, hi int) {
		x := r.x[lo:hi]
		for i, v := range y0[lo:hi] {
			hr := x[i] + v/r.factor
			if hr > 1 || hr < -1 {
				y0[lo+i] = (min(max(hr, -1), 1) - x[i]) * r.factor
			}
		}
	})
}
