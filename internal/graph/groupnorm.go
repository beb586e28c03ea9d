package graph

import "fmt"

// Group normalisation (Wu and He, 2018) is two operations, statistics and
// application, so that statistics can be frozen, or gathered elsewhere, and the
// application can be fused into its consumer.

// GroupStats gives, for x [N, H, W, C] and each of Groups groups of C/Groups
// neighbouring channels, the mean and 1/sqrt(variance + Epsilon): [N, Groups, 2].
// The variance is the biased one.
type GroupStats struct {
	Groups  int
	Epsilon float32
}

// Name implements [Op].
func (o *GroupStats) Name() string { return "group-stats" }
func (o *GroupStats) shape(in []Shape) (Shape, error) {
	if len(in[0]) != 4 || o.Groups < 1 || in[0][3]%o.Groups != 0 {
		return nil, fmt.Errorf("%d groups", o.Groups)
	}
	return Shape{in[0][0], o.Groups, 2}, nil
}
func (o *GroupStats) grad(*Graph, *Node, *Node) []*Node {
	return []*Node{nil} // accounted for in GroupNorm's gradient
}

// GroupNorm is z = (x - mean) * rstd * scale + shift, then z or SiLU(z), for
// x [N, H, W, C], stats of [GroupStats], scale and shift [C].
type GroupNorm struct{ SiLU bool }

// GroupNorm normalises x over groups of channels, applies scale and shift [C],
// and SiLU if asked for.
func (g *Graph) GroupNorm(x, scale, shift *Node, groups int, epsilon float32, silu bool) *Node {
	return g.GroupNormWith(x, g.GroupStats(x, groups, epsilon), scale, shift, silu)
}

// GroupStats computes the statistics alone: [N, groups, 2], mean and reciprocal
// standard deviation.
func (g *Graph) GroupStats(x *Node, groups int, epsilon float32) *Node {
	return g.apply(&GroupStats{groups, epsilon}, x)
}

// GroupNormWith normalises with given statistics. Its gradient takes them to be
// those of x.
func (g *Graph) GroupNormWith(x, stats, scale, shift *Node, silu bool) *Node {
	return g.apply(&GroupNorm{silu}, x, stats, scale, shift)
}

// Name implements [Op].
func (o *GroupNorm) Name() string { return "group-norm" }
func (o *GroupNorm) shape(in []Shape) (Shape, error) {
	x, stats := in[0], in[1]
	if len(x) != 4 || len(stats) != 3 || stats[0] != x[0] || stats[2] != 2 || x[3]%stats[1] != 0 {
		return nil, fmt.Errorf("statistics do not fit")
	}
	if !in[2].Equal(Shape{x[3]}) || !in[3].Equal(Shape{x[3]}) {
		return nil, fmt.Errorf("scale or shift do not fit")
	}
	return sameShapes(in[:1])
}

func (o *GroupNorm) grad(g *Graph, n, dy *Node) []*Node {
	x, stats, scale, shift := n.Inputs[0], n.Inputs[1], n.Inputs[2], n.Inputs[3]
	c := x.Shape[3]
	sums := g.apply(&GroupNormGradSums{SiLU: o.SiLU}, x, stats, scale, shift, dy)
	total := g.Sum(sums, 0)
	dscale := g.Reshape(g.Slice(total, 1, 1, 2), c)
	dshift := g.Reshape(g.Slice(total, 1, 0, 1), c)
	dx := g.apply(&GroupNormInputGrad{SiLU: o.SiLU}, x, stats, scale, shift, dy, sums)
	return []*Node{dx, nil, dscale, dshift}
}

// GroupNormGradSums gathers, for each image and channel, what the gradients of
// [GroupNorm] need: [N, 2, C] with the sums over pixels of dz, and of dz * xhat,
// where xhat = (x-mean)*rstd and dz is dy taken back through the activation.
type GroupNormGradSums struct {
	once
	SiLU bool
}

// Name implements [Op].
func (o *GroupNormGradSums) Name() string { return "group-norm-grad-sums" }
func (o *GroupNormGradSums) shape(in []Shape) (Shape, error) {
	return Shape{in[0][0], 2, in[0][3]}, nil
}

// GroupNormInputGrad is the gradient of [GroupNorm] by x, statistics included:
//
//	dx = rstd * (dz*scale - mean_g(dz*scale) - xhat * mean_g(dz*scale*xhat))
//
// where mean_g is the mean over the pixels and channels of a group.
type GroupNormInputGrad struct {
	once
	SiLU bool
}

// Name implements [Op].
func (o *GroupNormInputGrad) Name() string                    { return "group-norm-input-grad" }
func (o *GroupNormInputGrad) shape(in []Shape) (Shape, error) { return sameShapes(in[:1]) }
