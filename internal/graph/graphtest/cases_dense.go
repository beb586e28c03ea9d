package graphtest

import "github.com/sr3-go/sr3/internal/graph"

func matmulCases() []Case {
	sizes := [][4]int{ // batch, m, k, n
		{1, 1, 1, 1}, {1, 3, 5, 6}, {2, 17, 3, 16}, {3, 16, 33, 17}, {1, 64, 48, 64}, {1, 1, 100, 33},
		{2, 7, 1, 5}, {1, 100, 64, 1}, {1, 49, 17, 100}, {2, 15, 16, 31},
	}
	var cases []Case
	for _, s := range sizes {
		for transposed := range 4 {
			transA, transB := transposed&1 != 0, transposed&2 != 0
			a, c := []int{s[0], s[1], s[2]}, []int{s[0], s[2], s[3]}
			if transA {
				a[1], a[2] = a[2], a[1]
			}
			if transB {
				c[1], c[2] = c[2], c[1]
			}
			cases = append(cases, one(func(b *Builder) *graph.Node {
				return b.MatMul(b.Normal(a...), b.Normal(c...), transA, transB)
			}, "matmul/%s/%v_%v", name(s[:]), transA, transB))
		}
	}
	return append(cases, linearCases()...)
}

func linearCases() []Case {
	var cases []Case
	for _, s := range [][3]int{{1, 1, 1}, {1, 64, 100}, {2, 5, 17}, {3, 33, 16}, {2, 100, 48}, {1, 16, 3}} {
		cases = append(cases,
			one(func(b *Builder) *graph.Node {
				return b.Linear(b.Normal(s[0], s[1]), b.Weight(s[1], s[2]), b.Bias(0, s[2]))
			}, "linear/%s/bias", name(s[:])),
			one(func(b *Builder) *graph.Node {
				return b.Linear(b.Normal(s[0], s[1]), b.Weight(s[1], s[2]), nil)
			}, "linear/%s/nobias", name(s[:])))
	}
	return cases
}

func softmaxCases() []Case {
	var cases []Case
	for _, dims := range [][]int{{1}, {5, 1}, {100}, {2, 3, 5}, {3, 16}, {2, 7, 17}, {1, 33, 64}, {2, 2, 2, 15}} {
		cases = append(cases, one(func(b *Builder) *graph.Node { return b.Softmax(b.Normal(dims...)) }, "softmax/%s", name(dims)))
	}
	steep := one(func(b *Builder) *graph.Node { return b.Softmax(b.Scale(b.Normal(4, 33), 100)) }, "softmax/steep")
	far := one(func(b *Builder) *graph.Node {
		return b.Softmax(b.Given([]float32{-5000, -5001, -5000.5, -4999, -5003}, 1, 5))
	}, "softmax/far")
	return append(cases, flat(steep), flat(far))
}

func groupNormCases() []Case {
	sizes := [][5]int{ // images, height, width, channels, groups
		{1, 2, 4, 1, 1}, {2, 3, 5, 6, 3}, {1, 4, 4, 6, 1}, {2, 3, 3, 16, 16}, {3, 2, 3, 17, 1}, {1, 5, 7, 32, 32},
		{2, 4, 5, 33, 11}, {1, 3, 4, 48, 16}, {2, 2, 7, 64, 32}, {1, 3, 3, 100, 5}, {1, 8, 8, 64, 8}, {1, 1, 1, 100, 5},
		{1, 17, 1, 24, 4}, {1, 16, 16, 32, 4},
	}
	var cases []Case
	for _, s := range sizes {
		for _, silu := range []bool{false, true} {
			cases = append(cases, one(func(b *Builder) *graph.Node {
				return b.Norm(b.Normal(s[:4]...), s[4], silu)
			}, "groupnorm/%s/silu_%v", name(s[:]), silu))
		}
	}
	return append(cases, groupStatsCases()...)
}

// groupStatsCases look at statistics alone, at ones far from zero, at a group
// without variance, and at application with statistics from elsewhere.
func groupStatsCases() []Case {
	stats := func(b *Builder) *graph.Node { return b.GroupStats(b.Normal(2, 3, 5, 12), 4, 1e-6) }
	away := func(b *Builder) *graph.Node { return b.Norm(b.Around(30, 2, 7, 6, 16), 4, false) }
	apart := func(b *Builder) *graph.Node {
		return b.GroupNormWith(b.Normal(2, 3, 5, 12), b.Positive(2, 4, 2), b.Bias(1, 12), b.Bias(0, 12), true)
	}
	even := func(b *Builder) *graph.Node { return b.Norm(b.Fill(3, 1, 4, 4, 8), 2, true) }
	shared := Case{Name: "groupnorm/shared", Build: func(b *Builder) []*graph.Node {
		x := b.Normal(1, 4, 5, 8)
		s := b.GroupStats(x, 2, 1e-5)
		return []*graph.Node{
			b.GroupNormWith(x, s, b.Bias(1, 8), b.Bias(0, 8), true),
			b.GroupNormWith(x, s, b.Bias(1, 8), b.Bias(0, 8), false),
		}
	}}
	return []Case{
		flat(one(stats, "groupnorm/stats")), one(away, "groupnorm/away"), flat(one(apart, "groupnorm/apart")),
		flat(one(even, "groupnorm/even")), shared,
	}
}
