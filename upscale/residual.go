package upscale

import (
	"github.com/sr3-go/sr3/diffusion"
	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/residual"
)

// pieceLen is how many values a goroutine takes at a time.
const pieceLen = 1 << 16

// target is what a pass diffuses in place of the image, and what its estimates must
// meet.
type target struct {
	*residual.Target
	// consistent, if not nil, is a condition on y0; onImage tells that it is one on the
	// image that y0 stands for instead.
	consistent *consistency
	onImage    bool
}

// newTarget relates the images of a pass to their condition x.
func (u *Upscaler) newTarget(x []float32, s size, threads int) *target {
	d := u.cfg.Diffusion
	return &target{Target: residual.New(d.Residual, d.Adaptive, x, s.h, s.w, threads)}
}

// constrain is what refinement does to every estimate of y0; nil is nothing.
func (t *target) constrain(clip bool) func(y0 []float32) {
	switch {
	case t.consistent == nil && clip:
		return t.Clamp
	case t.consistent == nil:
		return nil
	}
	return func(y0 []float32) {
		t.project(y0)
		if clip {
			t.Clamp(y0)
		}
	}
}

// project changes y0 so that its image is the nearest that is consistent. One factor
// for all pixels makes no difference to what is nearest; with several, the image is.
func (t *target) project(y0 []float32) {
	if !t.onImage {
		t.consistent.project(y0)
		return
	}
	t.Image(y0, y0)
	t.consistent.project(y0)
	t.Of(y0, y0)
}

// meet makes c, a condition on images, one that project uses.
func (t *target) meet(c *consistency) {
	factor, one := t.Factor()
	switch {
	case !one:
		t.consistent, t.onImage = c, true
	case factor == 0:
		t.consistent = c
	default:
		t.consistent = c.times(factor, t.X())
	}
}

// picture is what y at a noise level looks like as an image of a size.
func (t *target) picture(y []float32, gamma diffusion.Gamma, s size) *imageio.Image {
	pix := make([]float32, len(y))
	t.Noisy(pix, y, gamma)
	clamp(pix, -1, 1)
	return &imageio.Image{Width: s.w, Height: s.h, Pix: pix, Depth: 8}
}
