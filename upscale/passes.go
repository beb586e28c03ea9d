package upscale

import (
	"errors"
	"fmt"
	"math"
)

// size is the extent of an image in pixels.
type size struct{ h, w int }

func (s size) pixels() int { return s.h * s.w }

func (s size) times(k int) size { return size{s.h * k, s.w * k} }

func (s size) String() string { return fmt.Sprintf("%dx%d", s.w, s.h) }

// DefaultMaxPixels bounds the output unless Options say otherwise: 8192 x 8192.
const DefaultMaxPixels = 1 << 26

// targetSize is the size that options ask for.
func (o Options) targetSize(in size, modelScale int) (size, error) {
	round := func(n int, scale float64) int { return int(max(math.Round(float64(n)*scale), 1)) }
	if o.Scale != 0 && (o.Width != 0 || o.Height != 0) {
		return size{}, fmt.Errorf("scale %v and width %d or height %d cannot both be asked for", o.Scale, o.Width, o.Height)
	}
	if o.Width < 0 || o.Height < 0 {
		return size{}, fmt.Errorf("width %d, height %d: want positive numbers", o.Width, o.Height)
	}
	scale := o.Scale
	switch {
	case o.Width > 0 && o.Height > 0:
		return o.checkTarget(in, size{o.Height, o.Width})
	case o.Width > 0:
		scale = float64(o.Width) / float64(in.w)
		return o.checkTarget(in, size{round(in.h, scale), o.Width})
	case o.Height > 0:
		scale = float64(o.Height) / float64(in.h)
		return o.checkTarget(in, size{o.Height, round(in.w, scale)})
	case scale == 0:
		scale = float64(modelScale)
	}
	if !(scale >= 1 && scale <= 1024) {
		return size{}, fmt.Errorf("scale %v: want 1 to 1024", scale)
	}
	if float64(in.h)*scale > math.MaxInt32 || float64(in.w)*scale > math.MaxInt32 {
		return size{}, fmt.Errorf("scale %v of %v pixels is too large", scale, in)
	}
	return o.checkTarget(in, size{round(in.h, scale), round(in.w, scale)})
}

// ErrTooLarge means that a result would have more pixels than Options.MaxPixels.
var ErrTooLarge = errors.New("the result would be too large")

// ResultSize returns the size of the result of an image of the given size, and the
// error that [Upscaler.Upscale] would return because of it ([ErrTooLarge], or sizes
// that are no enlargement). Nothing is computed.
func (u *Upscaler) ResultSize(width, height int, o Options) (int, int, error) {
	if width < 1 || height < 1 {
		return 0, 0, fmt.Errorf("an image of %d x %d pixels cannot be enlarged", width, height)
	}
	in := size{height, width}
	target, err := o.targetSize(in, u.cfg.Scale)
	if err != nil {
		return 0, 0, err
	}
	for _, pass := range planPasses(in, target, u.cfg.Scale) {
		if err := o.checkPixels(pass.times(u.cfg.Scale)); err != nil {
			return 0, 0, err
		}
	}
	return target.w, target.h, nil
}

// checkTarget refuses to reduce images, and sizes beyond the limit.
func (o Options) checkTarget(in, out size) (size, error) {
	if out.h < in.h || out.w < in.w {
		return size{}, fmt.Errorf("the result would have %v pixels, the image has %v already; ask for a larger size", out, in)
	}
	return out, o.checkPixels(out)
}

func (o Options) checkPixels(s size) error {
	limit := o.MaxPixels
	if limit == 0 {
		limit = DefaultMaxPixels
	}
	if s.h > limit/s.w {
		return fmt.Errorf("%w: %v pixels exceed the limit of %d, which would take about %d MB of memory for every million; ask for a smaller size or raise the limit",
			ErrTooLarge, s, limit, BytesPerPixel)
	}
	return nil
}

// planPasses chains runs of a model that enlarges by scale until target is
// reached: it returns the input size of each run. The first starts from the
// image as it is. What a later run starts from is reduced to what it needs, so
// that no run makes more than the target (rounded up to the scale); only the
// first may overshoot, and is reduced at the end.
func planPasses(in, target size, scale int) []size {
	runs := 1
	for reach := in.times(scale); reach.h < target.h || reach.w < target.w; reach = reach.times(scale) {
		runs++
	}
	sizes := make([]size, runs)
	sizes[0] = in
	need := target
	for i := runs - 1; i > 0; i-- {
		need = size{ceilDiv(need.h, scale), ceilDiv(need.w, scale)}
		sizes[i] = need
	}
	for i := 1; i < runs; i++ {
		before := sizes[i-1].times(scale)
		sizes[i] = size{min(sizes[i].h, before.h), min(sizes[i].w, before.w)}
	}
	return sizes
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }
