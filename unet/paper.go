package unet

import (
	"fmt"

	"github.com/sr3-go/sr3/internal/graph"
)

// paper is the network of the paper (section 2.4, appendix A): an encoder and a
// decoder of BigGAN blocks, one of which also changes the size between levels.
// The paper leaves open what its parameter counts are closest to: attention after
// every block at 16x16 and in the middle, an embedding of width 4*Channels, one
// block more per level on the way up.
func (b *builder) paper(x *graph.Node) *graph.Node {
	emb := b.g.SiLU(b.embedding("embed", "0", "1", 4*b.cfg.Channels))
	x, skips := b.paperDown(x, emb)
	x = b.bigGANBlock("middle.0", x, emb, x.Shape[3], keepSize)
	x = b.attention("middle.attention", x)
	x = b.bigGANBlock("middle.1", x, emb, x.Shape[3], keepSize)
	x = b.paperUp(x, emb, skips)
	return b.lastConv("head.conv", b.norm("head.norm", x, true), b.cfg.OutChannels, 3)
}

// paperDown is the encoder; it returns its last features and all that it leaves
// for the decoder.
func (b *builder) paperDown(x, emb *graph.Node) (*graph.Node, []*graph.Node) {
	x = b.g.Keep(b.conv("stem", x, b.cfg.Channels, 3))
	skips := []*graph.Node{x}
	for level := range b.cfg.Multipliers {
		for i := range b.cfg.Blocks {
			x = b.stage(fmt.Sprintf("down.%d.%d", level, i), x, emb, level)
			skips = append(skips, x)
		}
		if level < len(b.cfg.Multipliers)-1 {
			x = b.bigGANBlock(fmt.Sprintf("down.%d.half", level), x, emb, x.Shape[3], halve)
			skips = append(skips, x)
		}
	}
	return x, skips
}

// paperUp is the decoder.
func (b *builder) paperUp(x, emb *graph.Node, skips []*graph.Node) *graph.Node {
	for level := len(b.cfg.Multipliers) - 1; level >= 0; level-- {
		for i := range b.cfg.Blocks + 1 {
			last := len(skips) - 1
			x = b.join(x, skips[last])
			skips = skips[:last]
			x = b.stage(fmt.Sprintf("up.%d.%d", level, i), x, emb, level)
		}
		if level > 0 {
			x = b.bigGANBlock(fmt.Sprintf("up.%d.double", level), x, emb, x.Shape[3], double)
		}
	}
	return x
}

// stage is a block of a level and, at the resolutions that have it, attention.
func (b *builder) stage(name string, x, emb *graph.Node, level int) *graph.Node {
	x = b.bigGANBlock(name, x, emb, b.width(level), keepSize)
	if b.attends(level) {
		x = b.attention(name+".attention", x)
	}
	return x
}
