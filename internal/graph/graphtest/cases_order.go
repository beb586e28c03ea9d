package graphtest

import "github.com/sr3-go/sr3/internal/graph"

// orderCases are graphs in which reusing memory, writing in place or fusing an
// operation into its neighbour goes wrong if not all of a value's readers are
// considered.
func orderCases() []Case {
	type nodes = []*graph.Node
	return []Case{
		{Name: "order/both-used", Build: func(b *Builder) nodes {
			x := b.Normal(2, 3, 5)
			y := b.SiLU(x)
			return nodes{y, b.Add(y, x), b.Mul(y, y)}
		}},
		{Name: "order/twice", Build: func(b *Builder) nodes {
			y := b.Exp(b.Normal(7))
			return nodes{y, y}
		}},
		{Name: "order/conv-also-output", Build: func(b *Builder) nodes {
			x := b.Normal(1, 4, 5, 16)
			h := b.Conv(x, 16, 3, 1)
			return nodes{b.Add(h, x), h}
		}},
		{Name: "order/norm-two-readers", Build: func(b *Builder) nodes {
			h := b.Norm(b.Normal(1, 4, 5, 16), 4, true)
			return nodes{b.Conv(h, 16, 3, 1), b.Conv(h, 17, 1, 1), b.AvgPool(b.Slice(h, 2, 0, 4), 2)}
		}},
		{Name: "order/late-operand", Build: func(b *Builder) nodes {
			x := b.Normal(1, 4, 5, 16)
			h := b.Conv(x, 16, 3, 1)
			late := b.SiLU(b.Conv(b.Norm(x, 4, true), 16, 3, 1))
			return nodes{b.Add(h, late), b.Add(late, h)}
		}},
		{Name: "order/two-convs-added", Build: func(b *Builder) nodes {
			x := b.Normal(2, 4, 5, 6)
			return nodes{b.Add(b.Conv(x, 16, 3, 1), b.Conv(x, 16, 1, 1))}
		}},
		{Name: "order/conv-added-to-itself", Build: func(b *Builder) nodes {
			h := b.Conv(b.Normal(1, 4, 5, 6), 16, 3, 1)
			return nodes{b.Add(h, h)}
		}},
		{Name: "order/shared-weights", Build: func(b *Builder) nodes {
			w, x := b.Weight(3, 3, 16, 16), b.Normal(1, 4, 5, 16)
			return nodes{b.Conv2D(b.SiLU(b.Conv2D(x, w, nil, 1, 1)), w, nil, 1, 1), b.Sum(w)}
		}},
		{Name: "order/computed-weights", Build: func(b *Builder) nodes {
			w := b.Mul(b.Weight(3, 3, 16, 17), b.Positive(1, 1, 1, 17))
			return nodes{b.Conv2D(b.Normal(1, 4, 5, 16), w, b.Scale(b.Bias(0, 17), 2), 1, 1)}
		}},
		{Name: "order/concat-parts-used", Build: func(b *Builder) nodes {
			x := b.Conv(b.Normal(1, 4, 5, 3), 16, 3, 1)
			y := b.SiLU(x)
			joined := b.Concat(3, x, y)
			return nodes{b.Conv(joined, 16, 3, 1), x, b.Norm(joined, 4, false), b.Add(x, y)}
		}},
		{Name: "order/reshape-in-place", Build: func(b *Builder) nodes {
			x := b.SiLU(b.Normal(2, 3, 4))
			flat := b.Reshape(x, 24)
			return nodes{b.Exp(flat), b.Scale(x, 2), flat}
		}},
		{Name: "order/slices-of-one", Build: func(b *Builder) nodes {
			x := b.SiLU(b.Normal(2, 3, 12))
			return nodes{b.Mul(b.Slice(x, 2, 0, 6), b.Slice(x, 2, 6, 12)), b.Slice(x, 0, 1, 2)}
		}},
		{Name: "order/stretched-both-ways", Build: func(b *Builder) nodes {
			x := b.SiLU(b.Normal(2, 1, 1, 6))
			y := b.Add(x, b.Normal(2, 4, 5, 6))
			return nodes{b.Add(x, b.Sum(y, 1, 2)), b.Sub(x, y), b.Add(b.Sum(y, 3), y)}
		}},
		{Name: "order/unused", Build: func(b *Builder) nodes {
			x := b.Normal(3, 4)
			b.Exp(b.Normal(5, 6))
			return nodes{b.SiLU(x)}
		}},
		{Name: "order/long-chain", Build: func(b *Builder) nodes {
			x := b.Normal(3, 40)
			h := x
			for range 12 {
				h = b.Add(b.Scale(b.SiLU(h), 0.7), x)
			}
			return nodes{h}
		}},
	}
}
