package unet

import (
	"fmt"

	"github.com/sr3-go/sr3/internal/graph"
)

// lean is a U-Net for CPUs. Squares of Fold x Fold pixels become channels, so
// that its convolutions run on 1/Fold^2 of the area; the encoder leaves one
// tensor per level for the decoder; the size changes by 1x1 convolutions around
// space-to-depth, which is a quarter of a 3x3 convolution's cost or less. The
// blocks are those of paper, by default without 1/sqrt(2), whose branches start
// at zero.
func (b *builder) lean(x *graph.Node) *graph.Node {
	emb := b.g.SiLU(b.embedding("embed", "0", "1", 4*b.cfg.Channels))
	x = b.g.Keep(b.conv("stem", b.g.SpaceToDepth(x, b.cfg.Fold), b.cfg.Channels, 3))
	last := len(b.cfg.Multipliers) - 1
	var skips []*graph.Node
	for level := range last {
		x = b.leanBlocks("down", x, emb, level)
		skips = append(skips, x)
		x = b.g.Keep(b.conv(fmt.Sprintf("down.%d.half", level), b.g.SpaceToDepth(x, 2), b.width(level+1), 1))
	}
	x = b.leanBlocks("down", x, emb, last)
	if !b.cfg.NoMiddleAttention {
		x = b.attention("middle.attention", x)
	}
	x = b.leanBlocks("up", x, emb, last)
	for level := last - 1; level >= 0; level-- {
		x = b.g.Keep(b.conv(fmt.Sprintf("up.%d.double", level+1), x, 4*b.width(level), 1))
		x = b.join(b.g.DepthToSpace(x, 2), skips[level])
		x = b.leanBlocks("up", x, emb, level)
	}
	outs := b.cfg.OutChannels * b.cfg.Fold * b.cfg.Fold
	x = b.lastConv("head.conv", b.norm("head.norm", x, true), outs, 3)
	return b.g.DepthToSpace(x, b.cfg.Fold)
}

// leanBlocks is the row of blocks of a level on the way down or up.
func (b *builder) leanBlocks(way string, x, emb *graph.Node, level int) *graph.Node {
	for i := range b.cfg.Blocks {
		x = b.stage(fmt.Sprintf("%s.%d.%d", way, level, i), x, emb, level)
	}
	return x
}
