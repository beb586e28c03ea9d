package unet

import (
	"fmt"
	"slices"
)

// preset is a named configuration. Named ones are frozen: a new idea gets a new
// name.
type preset struct {
	name   string
	config Config
}

// presets returns a fresh list, so that nobody can change another's.
func presets() []preset {
	return []preset{
		{"paper-16-128", paperConfig(128, 128, 3, 0.2, 1, 2, 4, 8, 8)},
		{"paper-64-256", paperConfig(256, 128, 3, 0, 1, 2, 4, 4, 8, 8)},
		{"paper-64-512", paperConfig(512, 64, 3, 0, 1, 2, 4, 8, 8, 16, 16)},
		{"paper-256-1024", paperConfig(1024, 16, 2, 0, 1, 2, 4, 8, 16, 32, 32, 32)},
		{"faces16-128", classicConfig(128, 64, 2, 32, 0.2, []int{16}, 1, 2, 4, 8, 8)},
		{"faces64-512", classicConfig(512, 64, 1, 16, 0, []int{}, 1, 2, 4, 8, 16)},
		{"sample-128", unconditional(classicConfig(128, 64, 2, 32, 0.2, []int{16}, 1, 2, 4, 8, 8))},
		{"tiny", classicConfig(32, 16, 2, 8, 0, []int{8}, 1, 2, 4)},
		{"lean-photo", leanPhoto()},
	}
}

// Preset returns a named configuration:
//
//   - paper-16-128, paper-64-256, paper-64-512, paper-256-1024: the rows of the
//     paper's Table A.1, low-resolution to high-resolution side.
//   - faces16-128, faces64-512: the two face networks, and sample-128 the
//     unconditional one, that the widely used PyTorch implementation released
//     checkpoints of; tiny: a small network of the same layout.
//   - lean-photo: the network of the default x4 photo model.
//
// An unknown name is an error that lists the known ones.
func Preset(name string) (Config, error) {
	for _, p := range presets() {
		if p.name == name {
			return p.config.Resolved(), nil
		}
	}
	return Config{}, fmt.Errorf("unet preset %q: unknown; want one of %v", name, PresetNames())
}

// PresetNames returns the names that [Preset] knows, sorted.
func PresetNames() []string {
	var names []string
	for _, p := range presets() {
		names = append(names, p.name)
	}
	slices.Sort(names)
	return names
}

// paperConfig is a row of Table A.1. The paper does not state the attention
// resolution nor the groups; 16 and 32 are those of DDPM, and with attention at
// 16x16 the four parameter counts come closest to the published ones.
func paperConfig(size, channels, blocks int, dropout float64, multipliers ...int) Config {
	return Config{
		Family: FamilyPaper, InChannels: 6, OutChannels: 3, Channels: channels, Multipliers: multipliers,
		Blocks: blocks, Attention: []int{16}, ImageSize: size, Groups: 32, Dropout: dropout,
	}
}

func classicConfig(size, channels, blocks, groups int, dropout float64, attention []int, multipliers ...int) Config {
	return Config{
		Family: FamilyClassic, InChannels: 6, OutChannels: 3, Channels: channels, Multipliers: multipliers,
		Blocks: blocks, Attention: attention, ImageSize: size, Groups: groups, Dropout: dropout,
	}
}

// unconditional takes the condition away: the network sees the noisy image alone.
func unconditional(c Config) Config {
	c.InChannels = c.OutChannels
	return c
}

// leanPhoto has no attention, so that its cost and its result do not depend on
// the size of the window that it looks at.
func leanPhoto() Config {
	return Config{
		Family: FamilyLean, InChannels: 6, OutChannels: 3, Channels: 96, Multipliers: []int{1, 2},
		Blocks: 2, Attention: []int{}, ImageSize: 64, Groups: 16, Fold: 4, FiLM: true, NoMiddleAttention: true,
	}
}
