package upscale

import (
	"fmt"
	"slices"

	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/refine"
	"github.com/sr3-go/sr3/resample"
)

// image makes the result.
func (r *run) image(img *imageio.Image) (*imageio.Image, error) {
	source := filled(img)
	pix, err := r.allPasses(source)
	if err != nil {
		return nil, err
	}
	out := &imageio.Image{
		Width: r.target.w, Height: r.target.h, Pix: pix, Gray: img.Gray, Depth: img.Depth, Format: img.Format, Meta: img.Meta,
	}
	if img.Gray {
		makeGray(pix)
	}
	if r.consistent {
		if err := r.settleResult(out, source); err != nil {
			return nil, err
		}
	}
	if err := checkContent(source.Pix, pix); err != nil {
		return nil, err
	}
	out.Alpha, err = r.alpha(img)
	return out, err
}

// filled is the image with the colours under transparent pixels filled in from
// their neighbours.
func filled(img *imageio.Image) *imageio.Image {
	if img.Alpha == nil {
		return img
	}
	c := *img
	c.Pix = slices.Clone(img.Pix)
	imageio.BleedAlpha(&c)
	return &c
}

// allPasses runs the model as often as needed and returns the pixels at the
// target size.
func (r *run) allPasses(img *imageio.Image) ([]float32, error) {
	pix, have := img.Pix, r.in
	for i, in := range r.passes {
		low, err := r.resize(pix, have, in)
		if err != nil {
			return nil, err
		}
		if pix, err = r.pass(i, low, img.Depth); err != nil {
			return nil, err
		}
		have = in.times(r.cfg.Scale)
	}
	return r.resize(pix, have, r.target)
}

// resize resamples with antialiased bicubic and clamps to [-1, 1]; pixels of the
// right size are returned as they are.
func (r *run) resize(pix []float32, from, to size) ([]float32, error) {
	if from == to {
		return pix, nil
	}
	out := make([]float32, to.pixels()*3)
	if err := resample.Resize(out, pix, to.h, to.w, from.h, from.w, 3, resample.Bicubic, r.o.Threads); err != nil {
		return nil, err
	}
	clamp(out, -1, 1)
	return out, nil
}

// pass enlarges low (the pixels at the input size of pass i) by the model's
// scale.
func (r *run) pass(i int, low []float32, depth int) ([]float32, error) {
	in := r.passes[i]
	out := in.times(r.cfg.Scale)
	x, err := r.condition(low, in, out, depth)
	if err != nil {
		return nil, err
	}
	call := 1
	if r.predictor != nil {
		if x, err = r.predict(x, i); err != nil {
			return nil, fmt.Errorf("pass %d of %d: predictor: %w", i+1, len(r.passes), err)
		}
		call = 2
	}
	denoiser, free, err := r.denoiser(r.windows[i].Plan, x, r.levels(i), r.o.Threads)
	if err != nil {
		return nil, err
	}
	defer free()
	denoiser.OnWindow = r.windowCallback(i, call, r.windows[i].cost)
	target := r.newTarget(x, out, r.o.Threads)
	if r.consistent {
		c, err := newConsistency(low, in, out, r.o.Threads)
		if err != nil {
			return nil, err
		}
		target.meet(c)
	}
	y := make([]float32, out.pixels()*3)
	predict := r.refine
	if r.cfg.Regression() {
		predict = r.regress
	}
	if err := predict(y, i, denoiser, target); err != nil {
		return nil, fmt.Errorf("pass %d of %d: %w", i+1, len(r.passes), err)
	}
	target.Image(y, y)
	clamp(y, -1, 1)
	if r.consistent && i+1 < len(r.passes) {
		_, err = r.settle(y, out, low, in, depth)
	}
	return y, err
}

// denoiser conditions the network on x and, if it has augmentation levels, on them.
// The function that it returns gives the network back.
func (u *Upscaler) denoiser(plan *Plan, x, levels []float32, threads int) (*Denoiser, func(), error) {
	h, w := plan.WindowSize()
	key := networkKey{h, w, threads}
	net, err := u.take(key)
	if err != nil {
		return nil, nil, err
	}
	net.tell(levels)
	d, err := NewDenoiser(plan, net, x)
	if err != nil {
		u.give(key, net)
		return nil, nil, err
	}
	return d, func() { u.give(key, net) }, nil
}

// refine sets y to the y0 that pass i gives: Algorithm 2, or another sampler.
func (r *run) refine(y []float32, i int, d *Denoiser, target *target) error {
	options := r.sampler
	options.Noise = refine.NewNoise(passSeed(r.o.Seed, r.o.PassesBefore+r.before+i))
	options.OnStep = r.stepCallback(i, target)
	options.ConstrainY0 = target.constrain(!options.NoClip)
	return refine.Run(r.ctx, options, d, y)
}

// passSeed gives every pass of all stages noise of its own; the first has the seed's.
func passSeed(seed uint64, pass int) uint64 { return seed + uint64(pass)*0x9e3779b97f4a7c15 }

// condition is x, the bicubic enlargement of the low-resolution image, as the
// model saw it in training.
func (r *run) condition(low []float32, in, out size, depth int) ([]float32, error) {
	x := make([]float32, out.pixels()*3)
	if !r.cfg.Condition.Quantised8 {
		return x, resample.Resize(x, low, out.h, out.w, in.h, in.w, 3, resample.Bicubic, r.o.Threads)
	}
	low8, err := imageio.FromRGB8(in.w, in.h, make([]uint8, len(low)))
	if err != nil {
		return nil, err
	}
	low8.Pix = low
	big := make([]uint8, len(x))
	if err := resample.Resize8(big, low8.RGB8(), out.h, out.w, in.h, in.w, 3, resample.Bicubic, r.o.Threads); err != nil {
		return nil, err
	}
	for i, v := range big {
		x[i] = float32(float64(v)/127.5 - 1)
	}
	return x, nil
}

// windowCallback counts the windows of a pass for OnWindow: of the calls from first
// on, in which a window costs so much.
func (r *run) windowCallback(pass, first int, cost int64) func(done, total int) {
	call, calls := first-1, refine.DenoiserCalls(r.sampler.Sampler, r.sampler.Steps)
	if r.predictor != nil {
		calls++
	}
	return func(done, total int) {
		if done == 1 {
			call++
		}
		r.work.done += cost
		if r.o.OnWindow != nil {
			r.o.OnWindow(Progress{
				Pass: r.before + pass + 1, Passes: r.all, Call: call, Calls: calls, Window: done, Windows: total, work: *r.work,
			})
		}
	}
}

// stepCallback hands steps on to OnStep.
func (r *run) stepCallback(pass int, target *target) func(refine.Step) {
	if r.o.OnStep == nil {
		return nil
	}
	s := r.passes[pass].times(r.cfg.Scale)
	return func(step refine.Step) {
		r.o.OnStep(Step{
			Pass: r.before + pass + 1, Passes: r.all, Index: step.Index + 1, Steps: step.Steps, Gamma: step.Gamma,
			Preview: func() *imageio.Image { return target.picture(step.Y0, 1, s) },
			Noisy:   func() *imageio.Image { return target.picture(step.Y, step.Gamma, s) },
		})
	}
}

// alpha enlarges the opacity with bicubic; nil stays nil.
func (r *run) alpha(img *imageio.Image) ([]float32, error) {
	if img.Alpha == nil {
		return nil, nil
	}
	out := make([]float32, r.target.pixels())
	err := resample.Resize(out, img.Alpha, r.target.h, r.target.w, img.Height, img.Width, 1, resample.Bicubic, r.o.Threads)
	clamp(out, 0, 1)
	return out, err
}

// makeGray replaces R, G and B by their mean.
func makeGray(pix []float32) {
	for i := 0; i < len(pix); i += 3 {
		v := (pix[i] + pix[i+1] + pix[i+2]) / 3
		pix[i], pix[i+1], pix[i+2] = v, v, v
	}
}

// clamp limits every value to [low, high].
func clamp(values []float32, low, high float32) {
	for i, v := range values {
		values[i] = min(max(v, low), high)
	}
}

// checkContent refuses one flat colour made from something else.
func checkContent(in, out []float32) error {
	if flat(out) && !flat(in) {
		return &ConstantError{Value: [3]float32(out[:3])}
	}
	return nil
}

func flat(pix []float32) bool {
	for i := 3; i < len(pix); i += 3 {
		if pix[i] != pix[0] || pix[i+1] != pix[1] || pix[i+2] != pix[2] {
			return false
		}
	}
	return true
}
