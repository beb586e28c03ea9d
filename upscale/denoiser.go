package upscale

import (
	"context"
	"fmt"

	"github.com/sr3-go/sr3/diffusion"
)

// Network predicts one window. [NewNetwork] compiles a model's U-Net into one;
// tests use closed forms.
type Network interface {
	// Predict writes to dst the raw prediction for the noisy window y at noise
	// level gamma, conditioned on x. All three are height x width x 3 of the
	// plan's window size.
	Predict(dst, x, y []float32, gamma diffusion.Gamma) error
}

// Denoiser predicts an image of any size by windows. It is a
// [diffusion.Denoiser] for height x width x 3 images, conditioned on one x, and
// is used by one goroutine at a time.
type Denoiser struct {
	plan    *Plan
	net     Network
	x       []float32
	windowX []float32 // one window of x
	windowY []float32
	out     []float32

	// OnWindow, if set, is called after each window: done of total in this step.
	OnWindow func(done, total int)
}

// NewDenoiser conditions net on x, height x width x 3 as the plan says.
func NewDenoiser(plan *Plan, net Network, x []float32) (*Denoiser, error) {
	if want := plan.y.size * plan.x.size * 3; len(x) != want {
		return nil, fmt.Errorf("windowed denoiser: the condition has %d values, the image %d", len(x), want)
	}
	h, w := plan.WindowSize()
	buffer := func() []float32 { return make([]float32, h*w*3) }
	return &Denoiser{plan: plan, net: net, x: x, windowX: buffer(), windowY: buffer(), out: buffer()}, nil
}

// Denoise implements [diffusion.Denoiser]. It looks at ctx between windows.
func (d *Denoiser) Denoise(ctx context.Context, dst, y []float32, gamma diffusion.Gamma) error {
	if len(y) != len(d.x) || len(dst) != len(d.x) {
		return fmt.Errorf("windowed denoiser: %d and %d values for an image of %d", len(dst), len(y), len(d.x))
	}
	clear(dst)
	for i := range d.plan.Windows() {
		if err := ctx.Err(); err != nil {
			return err
		}
		d.plan.Gather(d.windowX, d.x, i)
		d.plan.Gather(d.windowY, y, i)
		if err := d.net.Predict(d.out, d.windowX, d.windowY, gamma); err != nil {
			return fmt.Errorf("window %d of %d: %w", i+1, d.plan.Windows(), err)
		}
		d.plan.Accumulate(dst, d.out, i)
		if d.OnWindow != nil {
			d.OnWindow(i+1, d.plan.Windows())
		}
	}
	return nil
}
