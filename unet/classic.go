package unet

import (
	"fmt"

	"github.com/sr3-go/sr3/internal/graph"
)

// classic is the network of the widely used PyTorch implementation, with its
// parameter names and their order: the encoder is a list of layers "downs", each
// of which leaves its output for the decoder, whose residual blocks "ups" take
// them back in reverse.
func (b *builder) classic(x *graph.Node) *graph.Node {
	emb := b.classicEmbedding()
	x, skips := b.classicDown(x, emb)
	x = b.classicStage("mid.0", x, emb, x.Shape[3], true)
	x = b.classicStage("mid.1", x, emb, x.Shape[3], false)
	x = b.classicUp(x, emb, skips)
	h := b.norm("final_conv.block.0", x, true)
	return b.lastConv("final_conv.block.3", h, b.cfg.OutChannels, 3)
}

// classicEmbedding embeds the noise level, or the timestep; the blocks of ddpm
// pass it through SiLU first, which is done once here.
func (b *builder) classicEmbedding() *graph.Node {
	if b.cfg.Family == FamilyDDPM {
		return b.g.SiLU(b.embedding("time_mlp", "1", "3", b.cfg.Channels))
	}
	return b.embedding("noise_level_mlp", "1", "3", b.cfg.Channels)
}

// classicDown is the encoder; it returns its last features and all that it
// leaves for the decoder.
func (b *builder) classicDown(x, emb *graph.Node) (*graph.Node, []*graph.Node) {
	var skips []*graph.Node
	name := func() string { return fmt.Sprintf("downs.%d", len(skips)) }
	keep := func(h *graph.Node) *graph.Node {
		skips = append(skips, b.g.Keep(h))
		return h
	}
	x = keep(b.conv(name(), x, b.cfg.Channels, 3))
	for level := range b.cfg.Multipliers {
		for range b.cfg.Blocks {
			x = keep(b.classicStage(name(), x, emb, b.width(level), b.attends(level)))
		}
		if level < len(b.cfg.Multipliers)-1 {
			x = keep(b.convWith(b.weightInit, true, name()+".conv", x, x.Shape[3], 3, 2))
		}
	}
	return x, skips
}

// classicUp is the decoder: one block more per level than the encoder.
func (b *builder) classicUp(x, emb *graph.Node, skips []*graph.Node) *graph.Node {
	layer := 0
	name := func() string {
		layer++
		return fmt.Sprintf("ups.%d", layer-1)
	}
	for level := len(b.cfg.Multipliers) - 1; level >= 0; level-- {
		for range b.cfg.Blocks + 1 {
			last := len(skips) - 1
			x = b.join(x, skips[last])
			skips = skips[:last]
			x = b.classicStage(name(), x, emb, b.width(level), b.attends(level))
		}
		if level > 0 {
			x = b.g.Keep(b.conv(name()+".conv", b.g.Upsample(x, 2), x.Shape[3], 3))
		}
	}
	return x
}

// classicStage is a residual block and, where asked for, attention.
func (b *builder) classicStage(name string, x, emb *graph.Node, out int, attend bool) *graph.Node {
	x = b.classicBlock(name+".res_block", x, emb, out)
	if attend {
		x = b.attention(name+".attn", x)
	}
	return x
}

// classicBlock is the residual block of DDPM (Ho et al., 2020) with the embedding
// added between its halves:
//
//	res_conv(x) + block2(block1(x) + linear(emb)),  block = conv(silu(norm(.)))
func (b *builder) classicBlock(name string, x, emb *graph.Node, out int) *graph.Node {
	shift := b.perChannel(b.linear(name+b.classicShift(), emb, out))
	h := b.norm(name+".block1.block.0", x, true)
	h = b.conv(name+".block1.block.3", h, out, 3)
	h = b.g.Add(h, shift)
	h = b.dropout(b.norm(name+".block2.block.0", h, true))
	h = b.lastConv(name+".block2.block.3", h, out, 3)
	if x.Shape[3] != out {
		x = b.conv(name+".res_conv", x, out, 1)
	}
	return b.residual(h, x)
}

// classicShift is the name of the linear layer from the embedding.
func (b *builder) classicShift() string {
	if b.cfg.Family == FamilyDDPM {
		return ".mlp.1"
	}
	return ".noise_func.noise_func.0"
}
