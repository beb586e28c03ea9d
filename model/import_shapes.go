package model

import (
	"fmt"
	"slices"
	"strings"
)

// structure is what the names and shapes of a checkpoint tell of its network.
type structure struct {
	ddpm        bool
	in, out     int
	channels    int
	multipliers []int
	blocks      int
	attention   []int // levels, 0 is the finest
	// evidence maps a setting, in the words of the training configuration, to the
	// parameter that tells it.
	evidence map[string]string
}

// shapeReader reads the structure out of shapes in PyTorch's layout, by names
// without prefix.
type shapeReader struct {
	shapes map[string][]int
	structure
}

// inferStructure walks the encoder: a convolution, then for each level blocks and,
// but for the last, a strided convolution.
func inferStructure(shapes map[string][]int) (structure, error) {
	r := &shapeReader{shapes: shapes}
	r.evidence = map[string]string{}
	_, r.ddpm = shapes["time_mlp.1.weight"]
	r.evidence["which_model_G"] = "noise_level_mlp.1.weight"
	if r.ddpm {
		r.evidence["which_model_G"] = "time_mlp.1.weight"
	}
	first, err := r.conv("downs.0.weight")
	if err != nil {
		return structure{}, err
	}
	last, err := r.conv("final_conv.block.3.weight")
	if err != nil {
		return structure{}, err
	}
	r.channels, r.in, r.out = first[0], first[1], last[0]
	r.evidence["inner_channel"], r.evidence["in_channel"] = "downs.0.weight", "downs.0.weight"
	r.evidence["out_channel"] = "final_conv.block.3.weight"
	return r.structure, r.levels()
}

// conv returns the shape [out, in, kh, kw] of a convolution that must be there.
func (r *shapeReader) conv(name string) ([]int, error) {
	s, ok := r.shapes[name]
	if !ok {
		return nil, fmt.Errorf("no parameter %s: this is not a checkpoint of the known SR3 layout%s", name, r.example())
	}
	if len(s) != 4 || slices.Contains(s, 0) {
		return nil, fmt.Errorf("parameter %s has shape %v, not that of a convolution", name, s)
	}
	return s, nil
}

// example names a key that is there, to show what kind of file it is.
func (r *shapeReader) example() string {
	least := ""
	for name := range r.shapes {
		if least == "" || name < least {
			least = name
		}
	}
	if least == "" {
		return " (it has no parameters)"
	}
	return fmt.Sprintf(" (it has, for example, %q)", least)
}

// level is one resolution of the encoder, as it is met.
type level struct {
	blocks, width int
	attention     bool
}

func (r *shapeReader) levels() error {
	var current level
	for k := 1; ; k++ {
		prefix := fmt.Sprintf("downs.%d.", k)
		block := prefix + "res_block.block1.block.3.weight"
		_, isBlock := r.shapes[block]
		_, isDown := r.shapes[prefix+"conv.weight"]
		switch {
		case isBlock:
			if err := r.block(&current, prefix, block); err != nil {
				return err
			}
		case isDown:
			if err := r.finish(current, prefix+"conv.weight"); err != nil {
				return err
			}
			current = level{}
		default:
			return r.finish(current, prefix)
		}
	}
}

// block adds one block to the level.
func (r *shapeReader) block(l *level, prefix, name string) error {
	w, err := r.conv(name)
	if err != nil {
		return err
	}
	_, attention := r.shapes[prefix+"attn.norm.weight"]
	index := len(r.multipliers)
	if l.blocks == 0 {
		l.width, l.attention = w[0], attention
		r.evidence[fmt.Sprintf("channel_multiplier[%d]", index)] = name
		r.evidence[fmt.Sprintf("attention %d", index)] = strings.TrimSuffix(prefix, ".")
	}
	if w[0] != l.width {
		return fmt.Errorf("parameter %s has %d channels where the level's first block has %d; no channel_multiplier gives both", name, w[0], l.width)
	}
	if attention != l.attention {
		return fmt.Errorf("%s differs from the level's first block in having attention or not; no attn_res gives both", strings.TrimSuffix(prefix, "."))
	}
	l.blocks++
	return nil
}

// finish ends a level; where is what came instead of another block.
func (r *shapeReader) finish(l level, where string) error {
	index := len(r.multipliers)
	if l.blocks == 0 {
		return fmt.Errorf("no block before %s; this is not a checkpoint of the known SR3 layout", where)
	}
	if l.width%r.channels != 0 {
		return fmt.Errorf("%s has %d channels, no multiple of inner_channel %d",
			r.evidence[fmt.Sprintf("channel_multiplier[%d]", index)], l.width, r.channels)
	}
	if index == 0 {
		r.blocks = l.blocks
		r.evidence["res_blocks"] = where
	}
	if l.blocks != r.blocks {
		return fmt.Errorf("%d blocks before %s, %d in the first level; no res_blocks gives both", l.blocks, where, r.blocks)
	}
	if l.attention {
		r.attention = append(r.attention, index)
	}
	r.multipliers = append(r.multipliers, l.width/r.channels)
	return nil
}

// knownLayout is a network that checkpoints were released of, with what shapes
// do not tell.
type knownLayout struct {
	name       string
	structure  structure
	parameters int64
	groups     int
	dropout    float64
	imageSize  int
	scale      int
}

// knownLayouts returns the three networks of the released checkpoints.
func knownLayouts() []knownLayout {
	faces := []int{1, 2, 4, 8, 8}
	return []knownLayout{
		{"16_128", structure{in: 6, out: 3, channels: 64, multipliers: faces, blocks: 2, attention: []int{3}}, 97807491, 32, 0.2, 128, 8},
		{"64_512", structure{in: 6, out: 3, channels: 64, multipliers: []int{1, 2, 4, 8, 16}, blocks: 1}, 155334339, 16, 0, 512, 8},
		{"sample_128", structure{in: 3, out: 3, channels: 64, multipliers: faces, blocks: 2, attention: []int{3}}, 97805763, 32, 0.2, 128, 1},
	}
}

// findLayout returns the known layout of exactly this structure and size, or nil.
func findLayout(s structure, parameters int64) *knownLayout {
	for _, k := range knownLayouts() {
		if k.parameters == parameters && k.structure.equal(s) {
			return &k
		}
	}
	return nil
}

func (s structure) equal(o structure) bool {
	return s.ddpm == o.ddpm && s.in == o.in && s.out == o.out && s.channels == o.channels && s.blocks == o.blocks &&
		slices.Equal(s.multipliers, o.multipliers) && slices.Equal(s.attention, o.attention)
}
