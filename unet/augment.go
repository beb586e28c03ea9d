package unet

import (
	"math"

	"github.com/sr3-go/sr3/internal/graph"
)

// augmentFrequencies are those of the waves that stand for an augmentation level, in half turns from level 0 to 1.
var augmentFrequencies = [...]float64{0.5, 1, 2, 4}

// withAugment adds what the augmentation levels say to the embedding of the noise level, if the network has them:
//
//	embedding + linear(silu(linear(features(levels))))
//
// The second layer starts at zero, so that a network which is given levels later begins as what it was. Layers are
// augment.0 and augment.1 in every family.
func (b *builder) withAugment(embedding *graph.Node) *graph.Node {
	if b.cfg.AugmentLevels == 0 {
		return embedding
	}
	h := b.linear("augment.0", b.augmentFeatures(b.in.Augment), 4*b.cfg.Channels)
	zeros := func(int, int, int) Init { return Init{Kind: InitZeros} }
	h = b.linearWith(zeros, "augment.1", b.g.SiLU(h), embedding.Shape[1])
	return b.g.Keep(b.g.Add(embedding, h))
}

// augmentFeatures encodes levels [M, K] as the sines, then the cosines, of pi*f*level for the frequencies f of one
// level after the other: [M, 2*K*len(frequencies)].
func (b *builder) augmentFeatures(levels *graph.Node) *graph.Node {
	waves := make([]float32, len(augmentFrequencies))
	for i, f := range augmentFrequencies {
		waves[i] = float32(math.Pi * f)
	}
	frequencies := b.g.Constant(waves, 1, len(waves))
	angles := make([]*graph.Node, levels.Shape[1])
	for k := range angles {
		angles[k] = b.g.Mul(b.g.Slice(levels, 1, k, k+1), frequencies)
	}
	angle := angles[0]
	if len(angles) > 1 {
		angle = b.g.Concat(1, angles...)
	}
	return b.g.Concat(1, b.g.Sin(angle), b.g.Cos(angle))
}
