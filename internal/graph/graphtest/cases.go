package graphtest

import (
	"fmt"
	"slices"

	"github.com/sr3-go/sr3/internal/graph"
)

// Cases lists every case: each operation in many shapes, combinations of them,
// and a number of random graphs.
func Cases() []Case {
	return slices.Concat(
		unaryCases(), binaryCases(), sourceCases(), dropoutCases(),
		convCases(), matmulCases(), softmaxCases(), attentionCases(), groupNormCases(),
		reduceCases(), layoutCases(), poolCases(), maxPoolCases(),
		adamCases(), descentCases(), blockCases(), orderCases(), randomCases(40),
	)
}

// one makes a case with a single output.
func one(build func(b *Builder) *graph.Node, format string, args ...any) Case {
	return Case{
		Name:  fmt.Sprintf(format, args...),
		Build: func(b *Builder) []*graph.Node { return []*graph.Node{build(b)} },
	}
}

// flat marks a case as not differentiable.
func flat(c Case) Case {
	c.NoGradient = true
	return c
}

// name writes a shape as 2x3x5.
func name(dims []int) string {
	s := ""
	for i, d := range dims {
		if i > 0 {
			s += "x"
		}
		s += fmt.Sprint(d)
	}
	if s == "" {
		return "scalar"
	}
	return s
}

// vectors are shapes for elementwise operations: every length around the widths
// of SIMD registers and some that are split between threads.
func vectors() [][]int {
	shapes := [][]int{{}, {2, 3, 5, 6}, {1, 7, 1, 17}, {3, 100}, {9000}}
	for n := 1; n <= 33; n += 4 {
		shapes = append(shapes, []int{n}, []int{n + 2})
	}
	return shapes
}

func unaryCases() []Case {
	var cases []Case
	for _, dims := range vectors() {
		add := func(op string, f func(b *Builder) *graph.Node) {
			cases = append(cases, one(f, "%s/%s", op, name(dims)))
		}
		add("silu", func(b *Builder) *graph.Node { return b.SiLU(b.Normal(dims...)) })
		add("sigmoid", func(b *Builder) *graph.Node { return b.Sigmoid(b.Normal(dims...)) })
		add("exp", func(b *Builder) *graph.Node { return b.Exp(b.Normal(dims...)) })
		add("sin", func(b *Builder) *graph.Node { return b.Sin(b.Scale(b.Normal(dims...), 3)) })
		add("cos", func(b *Builder) *graph.Node { return b.Cos(b.Scale(b.Normal(dims...), 3)) })
		add("square", func(b *Builder) *graph.Node { return b.Square(b.Normal(dims...)) })
		add("sqrt", func(b *Builder) *graph.Node { return b.Sqrt(b.Positive(dims...)) })
		add("abs", func(b *Builder) *graph.Node { return b.Abs(b.Apart(dims...)) })
		add("relu", func(b *Builder) *graph.Node { return b.ReLU(b.Apart(dims...)) })
		add("affine", func(b *Builder) *graph.Node { return b.Affine(b.Normal(dims...), -1.5, 0.25) })
		add("sign", func(b *Builder) *graph.Node { return b.Sign(b.Apart(dims...)) })
		cases[len(cases)-1].NoGradient = true
	}
	return append(cases, extremeCases()...)
}

// extremeCases are arguments at which careless formulas overflow or miss a
// kink's value.
func extremeCases() []Case {
	large := []float32{-1000, -104, -89, -88, -50, -20, -1e-8, 0, 1e-8, 20, 50, 88, 104, 1000}
	angles := []float32{-5000, -700, -100, -3.1415927, -1.5707964, 0, 1.5707964, 3.1415927, 6.2831855, 100, 700, 5000}
	kinks := []float32{-2, -1e-30, 0, 1e-30, 2}
	given := func(op string, values []float32, f func(b *Builder, x *graph.Node) *graph.Node) Case {
		return flat(one(func(b *Builder) *graph.Node {
			return f(b, b.Given(values, len(values)))
		}, "%s/extremes", op))
	}
	return []Case{
		given("silu", large, func(b *Builder, x *graph.Node) *graph.Node { return b.SiLU(x) }),
		given("silu-grad", large, func(b *Builder, x *graph.Node) *graph.Node {
			return b.Gradients(b.Sum(b.SiLU(x)), []*graph.Node{x})[0]
		}),
		given("sigmoid", large, func(b *Builder, x *graph.Node) *graph.Node { return b.Sigmoid(x) }),
		given("exp", large[:9], func(b *Builder, x *graph.Node) *graph.Node { return b.Exp(x) }),
		given("sin", angles, func(b *Builder, x *graph.Node) *graph.Node { return b.Sin(x) }),
		given("cos", angles, func(b *Builder, x *graph.Node) *graph.Node { return b.Cos(x) }),
		given("abs", kinks, func(b *Builder, x *graph.Node) *graph.Node { return b.Abs(x) }),
		given("sign", kinks, func(b *Builder, x *graph.Node) *graph.Node { return b.Sign(x) }),
		given("relu", kinks, func(b *Builder, x *graph.Node) *graph.Node { return b.ReLU(x) }),
		given("sqrt", []float32{0, 1e-30, 1, 1e30}, func(b *Builder, x *graph.Node) *graph.Node { return b.Sqrt(x) }),
	}
}

func binaryCases() []Case {
	pairs := [][2][]int{
		{{2, 3, 5, 6}, {1, 1, 1, 1}},
		{{2, 3, 5, 6}, {1, 1, 1, 6}},
		{{2, 3, 5, 17}, {2, 1, 1, 17}},
		{{2, 3, 5, 33}, {2, 3, 5, 1}},
		{{2, 3, 5, 6}, {2, 3, 1, 6}},
		{{2, 3, 5, 6}, {1, 3, 5, 6}},
		{{2, 3, 5, 6}, {1, 3, 1, 6}},
		{{2, 3, 5, 6}, {2, 1, 5, 1}},
		{{3, 1}, {1, 17}},
		{{2, 1, 5, 1}, {1, 3, 1, 6}},
		{{1, 64}, {7, 64}},
		{{1, 16, 16, 48}, {1, 1, 1, 48}},
	}
	for _, dims := range vectors() {
		pairs = append(pairs, [2][]int{dims, dims})
	}
	var cases []Case
	for _, p := range pairs {
		for swap := range 2 {
			da, db := p[swap], p[1-swap]
			if swap == 1 && slices.Equal(da, db) {
				continue
			}
			label := name(da) + "_" + name(db)
			cases = append(cases,
				one(func(b *Builder) *graph.Node { return b.Add(b.Normal(da...), b.Normal(db...)) }, "add/%s", label),
				one(func(b *Builder) *graph.Node { return b.Sub(b.Normal(da...), b.Normal(db...)) }, "sub/%s", label),
				one(func(b *Builder) *graph.Node { return b.Mul(b.Normal(da...), b.Normal(db...)) }, "mul/%s", label),
				one(func(b *Builder) *graph.Node { return b.Div(b.Normal(da...), b.Positive(db...)) }, "div/%s", label),
			)
		}
	}
	return cases
}

// sourceCases have inputs, variables and constants as outputs and as operands.
func sourceCases() []Case {
	return []Case{
		{Name: "sources/outputs", Build: func(b *Builder) []*graph.Node {
			return []*graph.Node{
				b.Normal(2, 3), b.Bias(0, 5), b.Constant([]float32{1, -2, 3}, 3), b.Fill(0.5, 2, 2), b.Fill(7),
			}
		}},
		one(func(b *Builder) *graph.Node {
			return b.Mul(b.Add(b.Normal(3, 5), b.Constant([]float32{1, 2, 3, 4, 5}, 1, 5)), b.Fill(-2, 3, 1))
		}, "sources/operands"),
		one(func(b *Builder) *graph.Node { return b.Add(b.Fill(1, 4), b.Constant([]float32{1, 2, 3, 4}, 4)) }, "sources/constants"),
	}
}

func dropoutCases() []Case {
	var cases []Case
	for _, dims := range [][]int{{1}, {3}, {5}, {2, 3, 5, 7}, {1, 8, 8, 32}, {9001}} {
		for i, rate := range []float32{0, 0.1, 0.5, 0.9} {
			seed := []float32{float32(17 + i), float32(1<<24 - 1 - i)}
			site := uint64(i) << 40
			cases = append(cases, one(func(b *Builder) *graph.Node {
				return b.Dropout(b.Normal(dims...), b.Given(seed, 2), rate, site)
			}, "dropout/%v/%s", rate, name(dims)))
		}
	}
	return cases
}
