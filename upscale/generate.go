package upscale

import (
	"context"
	"errors"
	"fmt"

	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/model"
)

// Generator makes images from noise alone, with a model that was trained without a
// condition: DDPM (Ho et al., 2020), which the paper's cascades begin with (section
// 4.3). It may be used by several goroutines.
type Generator struct{ u *Upscaler }

// NewGenerator prepares an unconditional model.
func NewGenerator(m *model.Model) (*Generator, error) {
	if !m.Config.Unconditional() {
		return nil, fmt.Errorf("model %s: its network sees an image beside the noise (%d channels), so it enlarges and cannot make images from noise alone",
			m.Config.Name, m.Config.Network.InChannels)
	}
	u, err := prepare(m)
	if err != nil {
		return nil, err
	}
	u.cfg.Scale = 1 // checkpoints of other programs do not say so
	return &Generator{u}, nil
}

// Config is the model's.
func (g *Generator) Config() model.Config { return g.u.cfg }

// Close frees the compiled network. The Generator can still be used.
func (g *Generator) Close() { g.u.Close() }

// Check reports settings and sizes that Generate would refuse.
func (g *Generator) Check(o Options) error {
	_, err := g.options(o)
	return errors.Join(err, g.u.Check(o))
}

// options fills in the size, which it checks, and clears what means nothing.
func (g *Generator) options(o Options) (Options, error) {
	side := g.u.cfg.Network.ImageSize
	o.Width, o.Height = first(o.Width, side), first(o.Height, side)
	o.Scale, o.Consistent = 0, new(bool)
	if o.Width < 0 || o.Height < 0 {
		return o, fmt.Errorf("generate: an image of %d x %d pixels: want positive numbers", o.Width, o.Height)
	}
	if err := o.checkPixels(size{o.Height, o.Width}); err != nil {
		return o, fmt.Errorf("generate: %w", err)
	}
	return o, nil
}

// Generate draws an image. Options.Width and Height are its size; 0 means the side
// of the images that the model was trained on, and other sizes than that work less
// well the more the network sees of them at a time. Scale and Consistent mean
// nothing here. The rest is as in [Upscaler.Upscale].
func (g *Generator) Generate(ctx context.Context, o Options) (*imageio.Image, *Report, error) {
	o, err := g.options(o)
	if err != nil {
		return nil, nil, err
	}
	// The network sees no image; the blank one has the size.
	blank := imageio.New(o.Width, o.Height)
	out, report, err := enlarge(ctx, g.u, blank, o)
	if err != nil {
		return nil, nil, fmt.Errorf("generate: %w", errors.Unwrap(err))
	}
	if len(out.Pix) > 3 && flat(out.Pix) { // one pixel is always of one colour
		return nil, nil, fmt.Errorf("generate: %w", &ConstantError{Value: [3]float32(out.Pix[:3]), FromNoise: true})
	}
	return out, report, nil
}
