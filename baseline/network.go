package baseline

import (
	"context"
	"fmt"
	"strings"

	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/internal/cpu/kernel"
	"github.com/sr3-go/sr3/upscale"
)

// network enlarges with a model.
type network struct {
	info    Info
	version string
	up      upscale.Enlarger
	options upscale.Options
	samples int // 0: one draw
}

// newNetwork describes a model with its settings.
func newNetwork(s Spec, m opened, threads int) *network {
	cfg, id := m.up.Config(), strings.TrimSpace(m.digest+" "+m.settings)
	n := &network{up: m.up, options: s.Options, samples: s.Samples}
	n.options.Threads = threads
	n.info = Info{Name: s.Name, Kind: s.Kind, Settings: s.settings(), Model: m.digest, Costly: true}
	if s.Kind == KindSR3 {
		n.info.Steps = s.Options.Steps
		if n.info.Steps == 0 {
			n.info.Steps = cfg.Inference.Steps
		}
		without := s
		without.Options.Steps = 0
		n.info.Series = id + " " + without.settings()
	}
	if n.info.Name == "" {
		n.info.Name = s.label(cfg.Name, n.info.Steps)
	}
	steps := s
	steps.Options.Steps = n.info.Steps // a default that is asked for is no other method
	n.version = s.Kind + " " + id + " " + steps.settings()
	return n
}

func (n *network) Info() Info { return n.info }

// Version holds the model's digest, the settings and the instruction tier, of
// which results depend in their rounding.
func (n *network) Version(Input) (string, error) {
	return n.version + " " + kernel.Active().String(), nil
}

func (n *network) Upscale(ctx context.Context, in Input) (*imageio.Image, error) {
	o := n.options
	o.Width, o.Height = in.Width, in.Height
	if in.OnShare != nil {
		o.OnWindow = func(p upscale.Progress) { in.OnShare(p.Share()) }
	}
	out, err := n.make(ctx, in.LR, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", n.info.Name, err)
	}
	if err := in.checkSize(out, "the result"); err != nil {
		return nil, fmt.Errorf("%s: %w", n.info.Name, err)
	}
	return imageio.FromRGB8(out.Width, out.Height, out.RGB8())
}

// make makes the result: a draw, or the mean of several before any is rounded.
func (n *network) make(ctx context.Context, lr *imageio.Image, o upscale.Options) (*imageio.Image, error) {
	if n.samples == 0 {
		out, _, err := n.up.Upscale(ctx, lr, o)
		return out, err
	}
	s, err := n.up.Samples(ctx, lr, o, n.samples, nil)
	if err != nil {
		return nil, err
	}
	return s.Mean, nil
}
