package unet

import "github.com/sr3-go/sr3/internal/graph"

// resampling is what a BigGAN block does to the size of its features.
type resampling int

const (
	keepSize resampling = iota
	halve               // 2x2 average
	double              // nearest neighbour
)

func (b *builder) resample(x *graph.Node, r resampling) *graph.Node {
	switch r {
	case halve:
		return b.g.AvgPool(x, 2)
	case double:
		return b.g.Upsample(x, 2)
	}
	return x
}

// bigGANBlock is the residual block of BigGAN (Brock et al., 2019) in the form
// that Song et al. (2021) gave it for diffusion, from x [N, H, W, C] to out
// channels; emb has passed through SiLU:
//
//	h = conv1(resample(silu(norm1(x)))) + embed(emb)
//	h = conv2(dropout(silu(norm2(h))))
//	(h + shortcut(resample(x))) / sqrt(2)
//
// With FiLM the embedding scales and shifts the normalised features instead.
// The shortcut is a 1x1 convolution where channels or size change.
func (b *builder) bigGANBlock(name string, x, emb *graph.Node, out int, r resampling) *graph.Node {
	h := b.resample(b.norm(name+".norm1", x, true), r)
	h = b.conv(name+".conv1", h, out, 3)
	if b.cfg.FiLM {
		h = b.filmNorm(name+".norm2", h, b.linear(name+".embed", emb, 2*out))
	} else {
		h = b.g.Add(h, b.perChannel(b.linear(name+".embed", emb, out)))
		h = b.norm(name+".norm2", h, true)
	}
	h = b.lastConv(name+".conv2", b.dropout(h), out, 3)
	return b.residual(b.shortcut(name, x, out, r), h)
}

// shortcut resamples x to fit the sum. A 1x1 convolution commutes with both
// resamplings, so it runs at the smaller size.
func (b *builder) shortcut(name string, x *graph.Node, out int, r resampling) *graph.Node {
	if r == keepSize && x.Shape[3] == out {
		return x
	}
	if r == double {
		return b.resample(b.conv(name+".shortcut", x, out, 1), r)
	}
	return b.conv(name+".shortcut", b.resample(x, r), out, 1)
}

// filmNorm is SiLU(norm(x)*(1+scale) + shift) with scale and shift the halves of
// film [M, 2C]: feature-wise linear modulation (Perez et al., 2018). When one
// noise level serves the whole batch, it is folded into the normalisation's own
// scale and shift, which costs nothing per pixel.
func (b *builder) filmNorm(name string, x, film *graph.Node) *graph.Node {
	g, c := b.g, x.Shape[3]
	gain := g.Affine(g.Slice(film, 1, 0, c), 1, 1)
	shift := g.Slice(film, 1, c, 2*c)
	if film.Shape[0] > 1 {
		h := g.Mul(b.norm(name, x, false), b.perChannel(gain))
		return g.SiLU(g.Add(h, b.perChannel(shift)))
	}
	scale, bias := b.affine(name, c)
	gain, shift = g.Reshape(gain, c), g.Reshape(shift, c)
	return g.GroupNormWith(x, b.stats(name, x), g.Mul(scale, gain), g.Add(g.Mul(bias, gain), shift), true)
}
