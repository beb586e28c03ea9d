package unet

import (
	"math"

	"github.com/sr3-go/sr3/internal/graph"
)

// sinusoid encodes the noise level as WaveGrad does (Chen et al., 2021), the
// paper's reference for conditioning on gamma: for level [M] the tensor
// [M, Channels] of the sines, then the cosines, of
//
//	EmbeddingScale * level * 10000^(-k/half),  k = 0 .. half-1,  half = Channels/2.
//
// The level is sqrt(gamma) or, for ddpm, the timestep.
func (b *builder) sinusoid(level *graph.Node) *graph.Node {
	half := b.cfg.Channels / 2
	frequency := make([]float32, half)
	for k := range frequency {
		frequency[k] = float32(b.cfg.EmbeddingScale * math.Pow(1e4, -float64(k)/float64(half)))
	}
	angle := b.g.Mul(b.g.Reshape(level, level.Shape[0], 1), b.g.Constant(frequency, 1, half))
	return b.g.Concat(1, b.g.Sin(angle), b.g.Cos(angle))
}

// embedding maps the sinusoid through a two-layer perceptron of width 4*Channels
// to out features, and adds what is known of the condition (see withAugment).
// Layers are name.first and name.second.
func (b *builder) embedding(name, first, second string, out int) *graph.Node {
	h := b.linear(name+"."+first, b.sinusoid(b.in.Level), 4*b.cfg.Channels)
	return b.withAugment(b.linear(name+"."+second, b.g.SiLU(h), out))
}
