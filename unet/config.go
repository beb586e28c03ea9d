// Package unet builds the U-Nets of SR3 (Saharia et al., "Image Super-Resolution
// via Iterative Refinement", section 2.4 and appendix A) as graphs of
// internal/graph, which is also where their gradients come from.
//
// Every network takes the condition x and the noisy image y joined along the
// channels, and a noise level; it returns its raw prediction, in whatever
// parametrisation it was trained. There are four families:
//
//   - paper: the network of the paper. BigGAN residual blocks, sums scaled by
//     1/sqrt(2), attention at 16x16 and in the middle; presets for every row of
//     Table A.1.
//   - classic: the layout, with its parameter names, of the widely used PyTorch
//     implementation, whose checkpoints load as they are.
//   - ddpm: classic conditioned on an integer timestep instead of a noise level.
//   - lean: a U-Net on folded pixels (space-to-depth), for CPUs.
//
// Images are NHWC, convolution weights [kh, kw, in, out], linear weights
// [in, out]. [Config] describes a network, [Preset] has the named ones,
// [Parameters] lists what it learns and [Build] makes the graph.
package unet

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// The families of networks, the values of Config.Family.
const (
	FamilyClassic = "classic"
	FamilyPaper   = "paper"
	FamilyLean    = "lean"
	FamilyDDPM    = "ddpm"
)

// The places of the factor 1/sqrt(2), the values of Config.SkipScale.
const (
	// SkipScaleResidual scales the sum of every residual block and of every
	// attention, as Song et al. (2021) do: the reading of "skip connections are
	// re-scaled by 1/sqrt(2)" that the paper's reference to them supports.
	SkipScaleResidual = "residual"
	// SkipScaleConcat scales what the encoder hands to the decoder instead.
	SkipScaleConcat = "concat"
	// SkipScaleNone scales nothing.
	SkipScaleNone = "none"
)

// Limits of what a configuration may ask for. They are far above every known
// network and low enough that no size computed from them overflows.
const (
	MaxLevels     = 10
	MaxBlocks     = 32
	MaxChannels   = 4096 // of the first level
	MaxMultiplier = 256
	MaxFold       = 16
	MaxImageSize  = 16384
	MaxParameters = 4_000_000_000
	MaxAugment    = 64 // augmentation levels
)

// Config describes a U-Net. Fields that say so may be left zero for the family's
// default; [Config.Resolved] fills them in.
type Config struct {
	// Family is one of "classic", "paper", "lean", "ddpm".
	Family string `json:"family" toml:"family"`
	// InChannels counts the channels of condition and noisy image together (6 for
	// RGB super-resolution, 3 for an unconditional model).
	InChannels int `json:"in_channels" toml:"in_channels"`
	// OutChannels counts the channels of the prediction, and of the noisy image.
	OutChannels int `json:"out_channels" toml:"out_channels"`
	// Channels is the width of the first level, and of the noise level's
	// sinusoidal embedding; even.
	Channels int `json:"channels" toml:"channels"`
	// Multipliers give the width of level i as Channels*Multipliers[i]. Level
	// i+1 has half the side of level i.
	Multipliers []int `json:"multipliers" toml:"multipliers"`
	// Blocks counts the residual blocks of a level on the way down. The way up has
	// one more (lean: the same number).
	Blocks int `json:"blocks" toml:"blocks"`
	// Attention lists the resolutions whose blocks are followed by self-attention;
	// level i has resolution ImageSize/Fold>>i. The middle has one in any case, but
	// see NoMiddleAttention.
	Attention []int `json:"attention" toml:"attention"`
	// ImageSize is the side of the images that the network is meant for. It gives
	// Attention its meaning and restricts nothing: any image whose sides are
	// multiples of [Config.Multiple] can be denoised.
	ImageSize int `json:"image_size" toml:"image_size"`
	// Groups is the number of groups of group normalisation. paper and lean use
	// fewer where that would leave less than four channels to a group.
	Groups int `json:"groups" toml:"groups"`
	// Dropout is the rate in [0, 1) before the second convolution of every block,
	// while training.
	Dropout float64 `json:"dropout" toml:"dropout"`
	// Fold is the side of the squares of pixels that become channels before the
	// first convolution (lean). Zero means 1, none.
	Fold int `json:"fold" toml:"fold"`
	// FiLM makes the noise level scale and shift the normalised features of every
	// block (paper, lean) instead of shifting them only.
	FiLM bool `json:"film" toml:"film"`
	// SkipScale says where the factor 1/sqrt(2) goes (paper, lean): "residual",
	// "concat" or "none". Empty means "residual" for paper, else "none".
	SkipScale string `json:"skip_scale" toml:"skip_scale"`
	// EmbeddingScale multiplies the noise level, s in sin(s*level*10000^(-k/half)).
	// Zero means 1 for classic and ddpm, 5000 for paper and lean.
	EmbeddingScale float64 `json:"embedding_scale" toml:"embedding_scale"`
	// NoMiddleAttention leaves out the attention in the middle (lean), so that the
	// cost of a pixel does not grow with the image.
	NoMiddleAttention bool `json:"no_middle_attention" toml:"no_middle_attention"`
	// AugmentLevels counts the numbers that tell the network how the condition was
	// degraded, see Inputs.Augment. Zero means that it is told nothing, and leaves
	// its parameters as they are without.
	AugmentLevels int `json:"augment_levels,omitempty" toml:"augment_levels"`
}

// Resolved returns the configuration with the family's defaults written out. It
// changes nothing about the network.
func (c Config) Resolved() Config {
	large := c.Family == FamilyPaper || c.Family == FamilyLean
	if c.Fold == 0 {
		c.Fold = 1
	}
	if c.EmbeddingScale == 0 {
		c.EmbeddingScale = 1
		if large {
			c.EmbeddingScale = 5000
		}
	}
	if c.SkipScale == "" {
		c.SkipScale = SkipScaleNone
		if c.Family == FamilyPaper {
			c.SkipScale = SkipScaleResidual
		}
	}
	return c
}

// Multiple returns the number that the height and the width of an image must be
// multiples of: Fold * 2^(levels-1).
func (c Config) Multiple() int {
	return max(c.Fold, 1) << max(len(c.Multipliers)-1, 0)
}

// Local reports whether the network has no attention. What it sees of an image is then bounded, so that it works alike on
// images, and windows of them, of any size.
func (c Config) Local() bool {
	return c.Family == FamilyLean && len(c.Attention) == 0 && c.NoMiddleAttention
}

// Resolutions returns the side of the features of every level for an image of
// ImageSize: the values that Attention may list.
func (c Config) Resolutions() []int {
	out := make([]int, len(c.Multipliers))
	for i := range out {
		out[i] = c.ImageSize / max(c.Fold, 1) >> i
	}
	return out
}

// Validate reports everything that is wrong with the configuration: each message
// names the field, its value and what is allowed. A nil error means that [Build]
// works for every image of a fitting size.
func (c Config) Validate() error {
	c = c.Resolved()
	err := errors.Join(c.checkSizes(), c.checkLevels(), c.checkOptions())
	if err == nil {
		err = c.checkNetwork()
	}
	if err != nil {
		return fmt.Errorf("unet config: %w", err)
	}
	return nil
}

// checkSizes checks the numbers that stand alone.
func (c Config) checkSizes() error {
	var errs []error
	within := func(field string, value, low, high int) {
		if value < low || value > high {
			errs = append(errs, fmt.Errorf("%s = %d: want %d to %d", field, value, low, high))
		}
	}
	within("in_channels", c.InChannels, 1, MaxChannels)
	within("out_channels", c.OutChannels, 1, MaxChannels)
	within("channels", c.Channels, 2, MaxChannels)
	within("blocks", c.Blocks, 1, MaxBlocks)
	within("image_size", c.ImageSize, 1, MaxImageSize)
	within("groups", c.Groups, 1, MaxChannels)
	within("fold", c.Fold, 1, MaxFold)
	within("augment_levels", c.AugmentLevels, 0, MaxAugment)
	if c.AugmentLevels > 0 && c.InChannels == c.OutChannels {
		errs = append(errs, fmt.Errorf("augment_levels = %d: a network without a condition has none that could be degraded; want 0", c.AugmentLevels))
	}
	if c.Channels%2 != 0 {
		errs = append(errs, fmt.Errorf("channels = %d: want an even number", c.Channels))
	}
	if c.OutChannels > c.InChannels {
		errs = append(errs, fmt.Errorf("in_channels = %d: want at least the %d out_channels, since the noisy image is among them",
			c.InChannels, c.OutChannels))
	}
	return errors.Join(errs...)
}

// checkLevels checks the lists and what ties them to the image.
func (c Config) checkLevels() error {
	if n := len(c.Multipliers); n < 1 || n > MaxLevels {
		return fmt.Errorf("multipliers has %d entries: want 1 to %d, one for each level", n, MaxLevels)
	}
	for i, m := range c.Multipliers {
		if m < 1 || m > MaxMultiplier {
			return fmt.Errorf("multipliers[%d] = %d: want 1 to %d", i, m, MaxMultiplier)
		}
	}
	if c.Fold < 1 || c.Fold > MaxFold {
		return nil // already reported
	}
	if m := c.Multiple(); c.ImageSize%m != 0 {
		return fmt.Errorf("image_size = %d: want a multiple of %d, for %d levels and fold %d",
			c.ImageSize, m, len(c.Multipliers), c.Fold)
	}
	for i, a := range c.Attention {
		if !slices.Contains(c.Resolutions(), a) {
			return fmt.Errorf("attention[%d] = %d: want resolutions of the levels, which are %v", i, a, c.Resolutions())
		}
		if slices.Contains(c.Attention[:i], a) {
			return fmt.Errorf("attention[%d] = %d: it is listed twice", i, a)
		}
	}
	return nil
}

// checkOptions checks the choices and whether the family has them.
func (c Config) checkOptions() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !slices.Contains([]string{FamilyClassic, FamilyPaper, FamilyLean, FamilyDDPM}, c.Family) {
		bad("family = %q: want classic, paper, lean or ddpm", c.Family)
	}
	if !slices.Contains([]string{SkipScaleResidual, SkipScaleConcat, SkipScaleNone}, c.SkipScale) {
		bad("skip_scale = %q: want residual, concat or none", c.SkipScale)
	}
	if !(c.Dropout >= 0 && float32(c.Dropout) < 1) { // also refuses NaN
		bad("dropout = %v: want at least 0 and less than 1", c.Dropout)
	}
	if !(c.EmbeddingScale > 0 && c.EmbeddingScale <= 1e6) || math.IsInf(c.EmbeddingScale, 0) {
		bad("embedding_scale = %v: want more than 0 and at most 1e6", c.EmbeddingScale)
	}
	if c.Family == FamilyClassic || c.Family == FamilyDDPM {
		if c.FiLM {
			bad("film = true: family %q has no such option; want false, or family paper or lean", c.Family)
		}
		if c.SkipScale != SkipScaleNone {
			bad("skip_scale = %q: family %q scales nothing; want none, or family paper or lean", c.SkipScale, c.Family)
		}
	}
	if c.Family != FamilyLean && c.Fold != 1 {
		bad("fold = %d: only family lean folds pixels; want 1", c.Fold)
	}
	if c.Family != FamilyLean && c.NoMiddleAttention {
		bad("no_middle_attention = true: family %q always has it; want false, or family lean", c.Family)
	}
	return errors.Join(errs...)
}
