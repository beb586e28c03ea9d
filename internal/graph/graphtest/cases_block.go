package graphtest

import (
	"math"

	"github.com/sr3-go/sr3/internal/graph"
)

// adamCases run several training steps. The variables are read by operations,
// so their outputs are the values before the last update.
func adamCases() []Case {
	var cases []Case
	for i, dims := range [][]int{{1}, {17}, {3, 3, 5, 6}, {100, 33}} {
		for _, average := range []bool{false, true} {
			c := Case{Runs: 1 + i, NoGradient: true, Build: func(b *Builder) []*graph.Node {
				p, grad := b.Weight(dims...), b.Normal(dims...)
				return adamStep(b, average, p, b.Add(grad, b.Scale(p, 0.5)))
			}}
			c.Name = "adam/" + name(dims)
			if average {
				c.Name += "/average"
			}
			cases = append(cases, c)
		}
	}
	return append(cases, trainingCase())
}

// adamStep updates p by grad and gives the token and all variables.
func adamStep(b *Builder, average bool, p, grad *graph.Node) []*graph.Node {
	m, v := b.State(0.01, p.Shape...), b.State(0.02, p.Shape...)
	hyper := b.Given([]float32{1e-2, 0.19, 0.002, 0.7, 0.9}, graph.AdamHyper)
	var ema *graph.Node
	outputs := []*graph.Node{b.Scale(p, 1), b.Scale(m, 1), b.Scale(v, 1)}
	if average {
		ema = b.State(0.3, p.Shape...)
		outputs = append(outputs, b.Scale(ema, 1))
	}
	return append(outputs, b.Adam(graph.Adam{B1: 0.9, B2: 0.999, Epsilon: 1e-8}, p, grad, m, v, hyper, ema))
}

// descentCases move parameters along what is left of a gradient and a momentum.
func descentCases() []Case {
	var cases []Case
	for _, dims := range [][]int{{1}, {3, 3, 5, 6}, {100, 33}} {
		for _, average := range []bool{false, true} {
			c := Case{Name: "descent/" + name(dims), Runs: 3, NoGradient: true, Build: func(b *Builder) []*graph.Node {
				p, m := b.Weight(dims...), b.State(0.01, dims...)
				momentum := b.Add(b.Scale(m, 0.9), b.Scale(b.Add(b.Normal(dims...), p), 0.1))
				hyper := b.Given([]float32{1e-2, 0.19, 0.002, 0.7, 0.9}, graph.AdamHyper)
				var ema *graph.Node
				outputs := []*graph.Node{b.Scale(p, 1), b.Scale(m, 1)}
				if average {
					ema = b.State(0.3, dims...)
					outputs = append(outputs, b.Scale(ema, 1))
				}
				return append(outputs, b.Descend(p, b.Square(momentum), m, momentum, hyper, ema))
			}}
			if average {
				c.Name += "/average"
			}
			cases = append(cases, c)
		}
	}
	return cases
}

// trainingCase trains all parameters of a small U-Net for three steps.
func trainingCase() Case {
	return Case{Name: "adam/training", Runs: 3, NoGradient: true, Build: func(b *Builder) []*graph.Node {
		x, level, target := b.Normal(2, 8, 8, 6), b.Positive(2, 1), b.Normal(2, 8, 8, 3)
		sources := len(b.sources)
		out := smallUNet(b, x, level)
		loss := b.Mean(b.Square(b.Sub(out, target)))
		parameters := b.sources[sources:]
		outputs := []*graph.Node{loss, out}
		for i, grad := range b.Gradients(loss, parameters) {
			outputs = append(outputs, adamStep(b, i%2 == 0, parameters[i], grad)...)
		}
		return outputs
	}}
}

// residual is a residual block: normalise, convolve, add a shift per image and
// channel, normalise, convolve, add what came in.
func residual(b *Builder, x, level *graph.Node, out int) *graph.Node {
	h := b.Conv(b.Norm(x, 1, true), out, 3, 1)
	shift := b.Linear(level, b.Weight(level.Shape[1], out), b.Bias(0, out))
	h = b.Add(h, b.Reshape(shift, x.Shape[0], 1, 1, out))
	h = b.Conv(b.Norm(h, 2, true), out, 3, 1)
	if x.Shape[3] != out {
		x = b.Conv(x, out, 1, 1)
	}
	return b.Add(h, x)
}

// attention is one head of self-attention over pixels.
func attention(b *Builder, x *graph.Node) *graph.Node {
	n, h, w, c := x.Shape[0], x.Shape[1], x.Shape[2], x.Shape[3]
	qkv := b.Reshape(b.Conv(b.Norm(x, 2, false), 3*c, 1, 1), n, h*w, 3*c)
	q, k, v := b.Slice(qkv, 2, 0, c), b.Slice(qkv, 2, c, 2*c), b.Slice(qkv, 2, 2*c, 3*c)
	scores := b.Scale(b.MatMul(q, k, false, true), float32(1/math.Sqrt(float64(c))))
	mixed := b.MatMul(b.Softmax(scores), v, false, false)
	return b.Add(b.Conv(b.Reshape(mixed, n, h, w, c), c, 1, 1), x)
}

// modulated scales and shifts normalised features by the level (FiLM).
func modulated(b *Builder, x, level *graph.Node, out int) *graph.Node {
	n, c := x.Shape[0], x.Shape[3]
	film := b.Linear(b.SiLU(level), b.Weight(level.Shape[1], 2*c), b.Bias(0, 2*c))
	film = b.Reshape(film, n, 1, 1, 2*c)
	h := b.Norm(x, 2, false)
	h = b.Add(b.Mul(h, b.Affine(b.Slice(film, 3, 0, c), 1, 1)), b.Slice(film, 3, c, 2*c))
	return b.Conv(b.SiLU(h), out, 3, 1)
}

// embedding turns a level into sines and cosines and mixes them.
func embedding(b *Builder, level *graph.Node, width int) *graph.Node {
	angles := b.Mul(level, b.Constant([]float32{1, 3, 10, 30}, 1, 4))
	waves := b.Concat(1, b.Sin(angles), b.Cos(angles))
	h := b.SiLU(b.Linear(waves, b.Weight(8, width), b.Bias(0, width)))
	return b.Linear(h, b.Weight(width, width), b.Bias(0, width))
}

// smallUNet has all that the networks have, on two resolutions.
func smallUNet(b *Builder, x, level *graph.Node) *graph.Node {
	e := embedding(b, level, 12)
	h0 := b.Conv(x, 6, 3, 1)
	h1 := residual(b, h0, e, 8)
	h2 := b.Conv(h1, 8, 3, 2)
	h3 := attention(b, residual(b, h2, e, 16))
	up := residual(b, b.Concat(3, h3, h2), e, 10)
	up = b.Conv(b.Upsample(up, 2), 10, 3, 1)
	up = residual(b, b.Concat(3, up, h1, h0), e, 8)
	return b.Conv(b.Norm(up, 4, true), 3, 3, 1)
}

func blockCases() []Case {
	type block func(b *Builder) *graph.Node
	blocks := map[string]block{
		"unet": func(b *Builder) *graph.Node { return smallUNet(b, b.Normal(2, 8, 8, 6), b.Positive(2, 1)) },
	}
	order := []string{"unet"}
	add := func(name string, f block) { blocks[name] = f; order = append(order, name) }
	add("residual", func(b *Builder) *graph.Node { return residual(b, b.Normal(2, 5, 7, 8), b.Normal(2, 6), 12) })
	add("residual-same", func(b *Builder) *graph.Node { return residual(b, b.Normal(1, 8, 8, 16), b.Normal(1, 6), 16) })
	add("attention", func(b *Builder) *graph.Node { return attention(b, b.Normal(2, 4, 5, 6)) })
	add("modulated", func(b *Builder) *graph.Node { return modulated(b, b.Normal(2, 5, 6, 8), b.Normal(2, 5), 17) })
	add("embedding", func(b *Builder) *graph.Node { return embedding(b, b.Positive(3, 1), 16) })
	add("norm-conv1", func(b *Builder) *graph.Node { return b.Conv(b.Norm(b.Normal(1, 5, 6, 16), 4, true), 32, 1, 1) })
	add("norm-conv-stride", func(b *Builder) *graph.Node { return b.Conv(b.Norm(b.Normal(2, 5, 8, 16), 4, true), 17, 3, 2) })
	add("norm-linear-conv", func(b *Builder) *graph.Node { return b.Conv(b.Norm(b.Normal(2, 5, 8, 6), 3, false), 5, 3, 1) })
	add("silu-conv", func(b *Builder) *graph.Node { return b.Conv(b.SiLU(b.Normal(2, 4, 4, 16)), 16, 3, 1) })
	add("conv-silu", func(b *Builder) *graph.Node { return b.SiLU(b.Conv(b.Normal(1, 6, 7, 5), 33, 3, 1)) })
	add("upsample-conv", func(b *Builder) *graph.Node { return b.Conv(b.Upsample(b.Normal(2, 3, 4, 17), 2), 16, 3, 1) })
	add("pool-conv", func(b *Builder) *graph.Node { return b.Conv(b.AvgPool(b.Normal(1, 6, 8, 5), 2), 6, 3, 1) })
	add("concat-conv", func(b *Builder) *graph.Node {
		return b.Conv(b.Concat(3, b.Normal(2, 4, 5, 17), b.Normal(2, 4, 5, 16)), 32, 3, 1)
	})
	add("concat-norm-conv", func(b *Builder) *graph.Node {
		return b.Conv(b.Norm(b.Concat(3, b.Normal(2, 4, 5, 10), b.Normal(2, 4, 5, 6)), 4, true), 16, 3, 1)
	})
	add("scaled-skip", func(b *Builder) *graph.Node {
		x := b.Normal(1, 4, 6, 16)
		return b.Scale(b.Add(b.Conv(b.SiLU(x), 16, 3, 1), x), float32(1/math.Sqrt2))
	})
	add("folded", func(b *Builder) *graph.Node {
		return b.DepthToSpace(b.Conv(b.SpaceToDepth(b.Normal(1, 8, 12, 3), 4), 48, 3, 1), 4)
	})
	add("dropout-conv", func(b *Builder) *graph.Node {
		h := b.Dropout(b.Norm(b.Normal(2, 4, 5, 8), 2, true), b.Given([]float32{5, 6}, 2), 0.2, 3)
		return b.Conv(h, 16, 3, 1)
	})
	cases := make([]Case, len(order))
	for i, label := range order {
		cases[i] = one(blocks[label], "block/%s", label)
	}
	return cases
}
