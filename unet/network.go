package unet

import (
	"fmt"

	"github.com/sr3-go/sr3/internal/graph"
)

// Inputs are the tensors that a network is applied to.
type Inputs struct {
	// Condition is the condition x, [N, H, W, InChannels-OutChannels]; nil if that
	// is no channel.
	Condition *graph.Node
	// Noisy is the noisy image y, [N, H, W, OutChannels]. H and W are multiples of
	// [Config.Multiple].
	Noisy *graph.Node
	// Level is the noise level sqrt(gamma) of every image, [N], or of all of them,
	// [1]; for ddpm it is the timestep, a whole number from 0.
	Level *graph.Node
	// Augment is the augmentation levels of every image, [N, AugmentLevels], or of all
	// of them, [1, AugmentLevels]: how the condition was degraded, each level from 0
	// (not at all) to 1. Nil if the network has none.
	Augment *graph.Node
	// Seed is the seed of dropout, [2] as graph.Dropout takes it. Nil, as at
	// inference, means no dropout.
	Seed *graph.Node
	// Stats, if not nil, replaces the statistics of group normalisation: for the
	// normalisation of features x [N, H, W, C] whose parameters are name.weight and
	// name.bias, it returns mean and reciprocal deviation, [N, groups, 2]. Statistics
	// that are inputs or constants freeze the network: its result then depends on
	// the receptive field alone, not on the rest of the image.
	Stats func(name string, x *graph.Node, groups int, epsilon float32) *graph.Node
	// Prefix goes before the names of the parameters in the labels of the variables, so
	// that one graph can hold two networks that share nothing. Usually empty.
	Prefix string
}

// Build adds a network to a graph and returns its raw prediction,
// [N, H, W, OutChannels]. Its parameters become variables labelled as
// [Parameters] names them, after Inputs.Prefix; a second network in the same
// graph with the same prefix shares them. What
// lies between its blocks is marked as kept, for [graph.Graph.RecomputedGradients].
// An invalid configuration and inputs that do not fit it are errors.
func Build(g *graph.Graph, cfg Config, in Inputs) (*graph.Node, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := in.check(cfg); err != nil {
		return nil, fmt.Errorf("build unet: %w", err)
	}
	b := &builder{g: g, cfg: cfg.Resolved(), in: in}
	return b.network(), b.err
}

// network adds the network of the configuration's family.
func (b *builder) network() *graph.Node {
	x := b.in.Noisy
	if b.in.Condition != nil {
		x = b.g.Concat(3, b.in.Condition, x)
	}
	return b.g.Keep(b.family(b.g.Keep(x)))
}

func (b *builder) family(x *graph.Node) *graph.Node {
	switch b.cfg.Family {
	case FamilyPaper:
		return b.paper(x)
	case FamilyLean:
		return b.lean(x)
	default:
		return b.classic(x)
	}
}

// check reports inputs that do not fit the configuration.
func (in Inputs) check(cfg Config) error {
	if in.Noisy == nil || in.Level == nil {
		return fmt.Errorf("the noisy image and the noise level are needed")
	}
	s := in.Noisy.Shape
	if len(s) != 4 || s[3] != cfg.OutChannels {
		return fmt.Errorf("the noisy image is %v: want [N, H, W, %d]", s, cfg.OutChannels)
	}
	if err := checkSides(cfg, s[1], s[2]); err != nil {
		return err
	}
	rest := cfg.InChannels - cfg.OutChannels
	switch {
	case rest == 0 && in.Condition != nil:
		return fmt.Errorf("there is a condition, but in_channels = out_channels = %d leaves it no channel", cfg.InChannels)
	case rest > 0 && in.Condition == nil:
		return fmt.Errorf("the condition of %d channels is missing", rest)
	case rest > 0 && !in.Condition.Shape.Equal(graph.Shape{s[0], s[1], s[2], rest}):
		return fmt.Errorf("the condition is %v: want [%d, %d, %d, %d]", in.Condition.Shape, s[0], s[1], s[2], rest)
	}
	if l := in.Level.Shape; len(l) != 1 || l[0] != s[0] && l[0] != 1 {
		return fmt.Errorf("the noise level is %v: want [%d] or [1]", l, s[0])
	}
	if err := in.checkAugment(cfg.AugmentLevels, s[0]); err != nil {
		return err
	}
	if in.Seed != nil && !in.Seed.Shape.Equal(graph.Shape{2}) {
		return fmt.Errorf("the seed is %v: want [2]", in.Seed.Shape)
	}
	return nil
}

// checkAugment reports augmentation levels that the network does not have, that are
// missing, or that are not [images, levels] or [1, levels].
func (in Inputs) checkAugment(levels, images int) error {
	switch {
	case levels == 0 && in.Augment != nil:
		return fmt.Errorf("there are augmentation levels, but the network has none (augment_levels = 0)")
	case levels > 0 && in.Augment == nil:
		return fmt.Errorf("the %d augmentation levels are missing", levels)
	case levels == 0:
		return nil
	}
	if s := in.Augment.Shape; len(s) != 2 || s[0] != images && s[0] != 1 || s[1] != levels {
		return fmt.Errorf("the augmentation levels are %v: want [%d, %d] or [1, %d]", s, images, levels, levels)
	}
	return nil
}

// checkSides reports an image size that the network cannot halve often enough.
func checkSides(cfg Config, h, w int) error {
	if m := cfg.Multiple(); h < m || w < m || h%m != 0 || w%m != 0 {
		return fmt.Errorf("an image of %dx%d: want sides that are multiples of %d, for %d levels and fold %d",
			h, w, m, len(cfg.Multipliers), max(cfg.Fold, 1))
	}
	return nil
}

// trace builds the network in a graph of its own, for one image, and returns the
// books.
func trace(cfg Config, h, w int) *builder {
	cfg = cfg.Resolved()
	g := graph.New()
	in := Inputs{Noisy: g.Input("noisy", 1, h, w, cfg.OutChannels), Level: g.Input("level", 1)}
	if rest := cfg.InChannels - cfg.OutChannels; rest > 0 {
		in.Condition = g.Input("condition", 1, h, w, rest)
	}
	if cfg.AugmentLevels > 0 {
		in.Augment = g.Input("augment", 1, cfg.AugmentLevels)
	}
	b := &builder{g: g, cfg: cfg, in: in}
	b.network()
	return b
}

// checkNetwork checks what only the whole network shows: that groups divide the
// channels, and the number of parameters. Everything else has been checked.
func (c Config) checkNetwork() error {
	m := c.Multiple()
	b := trace(c, m, m)
	if b.err != nil {
		return b.err
	}
	if n := Count(b.params); n > MaxParameters {
		return fmt.Errorf("channels = %d with multipliers %v and %d blocks: %d parameters; want at most %d",
			c.Channels, c.Multipliers, c.Blocks, n, int64(MaxParameters))
	}
	return nil
}

// FLOPs is the number of floating-point operations of one call on one image of
// h x w pixels: twice the multiply-adds of convolutions and linear layers. The
// products inside attention and all elementwise work are left out, as is usual.
func FLOPs(cfg Config, h, w int) (int64, error) {
	if err := cfg.Validate(); err != nil {
		return 0, err
	}
	if err := checkSides(cfg, h, w); err != nil {
		return 0, fmt.Errorf("count operations of unet: %w", err)
	}
	if h > MaxImageSize || w > MaxImageSize {
		return 0, fmt.Errorf("count operations of unet: an image of %dx%d: want sides of at most %d", h, w, MaxImageSize)
	}
	return 2 * trace(cfg, h, w).macs, nil
}
