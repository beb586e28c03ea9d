package graph_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/internal/graph/graphtest"
)

// All cases of all operations against finite differences along a direction.
func TestGradientsOfCases(t *testing.T) {
	for _, c := range graphtest.Cases() {
		if !c.NoGradient {
			checkDirections(t, c)
		}
	}
}

func TestGradientsOfRandomGraphs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		checkDirections(t, graphtest.Random(rapid.Uint64().Draw(t, "seed")))
	})
}

func TestConv2DGradientElements(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string, low, high int) int { return rapid.IntRange(low, high).Draw(t, name) }
		kernel, stride, pad := rapid.SampledFrom([]int{1, 3, 4}).Draw(t, "kernel"), draw("stride", 1, 2), draw("pad", 0, 1)
		least := max(1, kernel-2*pad)
		n, h, w := draw("n", 1, 2), draw("h", least, 6), draw("w", least, 6)
		in, out := draw("in", 1, 3), draw("out", 1, 3)
		bias := rapid.Bool().Draw(t, "bias")
		name := fmt.Sprint(kernel, stride, pad, n, h, w, in, out, bias)
		checkElements(t, single(name, func(b *graphtest.Builder) *graph.Node {
			x, weights := b.Normal(n, h, w, in), b.Weight(kernel, kernel, in, out)
			if bias {
				return b.Conv2D(x, weights, b.Bias(0, out), stride, pad)
			}
			return b.Conv2D(x, weights, nil, stride, pad)
		}))
	})
}

func TestGroupNormGradientElements(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string, low, high int) int { return rapid.IntRange(low, high).Draw(t, name) }
		n, h, w, groups, width := draw("n", 1, 2), draw("h", 1, 3), draw("w", 2, 4), draw("groups", 1, 3), draw("width", 2, 3)
		silu := rapid.Bool().Draw(t, "silu")
		checkElements(t, single(fmt.Sprint(n, h, w, groups, width, silu), func(b *graphtest.Builder) *graph.Node {
			c := groups * width
			return b.GroupNorm(b.Normal(n, h, w, c), b.Bias(1, c), b.Bias(0, c), groups, 1e-2, silu)
		}))
	})
}

func TestMatMulGradientElements(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) int { return rapid.IntRange(1, 4).Draw(t, name) }
		batch, m, k, n := draw("batch"), draw("m"), draw("k"), draw("n")
		for transposed := range 4 {
			transA, transB := transposed&1 != 0, transposed&2 != 0
			checkElements(t, single(fmt.Sprint(batch, m, k, n, transposed), func(b *graphtest.Builder) *graph.Node {
				left, right := b.Normal(batch, m, k), b.Normal(batch, k, n)
				if transA {
					left = b.Normal(batch, k, m)
				}
				if transB {
					right = b.Normal(batch, n, k)
				}
				return b.MatMul(left, right, transA, transB)
			}))
		}
	})
}

// Any axes of either operand may be stretched.
func TestBinaryGradientElements(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dims := rapid.SliceOfN(rapid.IntRange(1, 4), 0, 4).Draw(t, "shape")
		left, right := append([]int{}, dims...), append([]int{}, dims...)
		for i := range dims {
			switch rapid.IntRange(0, 2).Draw(t, "stretch") {
			case 1:
				left[i] = 1
			case 2:
				right[i] = 1
			}
		}
		for i, f := range []func(b *graphtest.Builder, x, y *graph.Node) *graph.Node{
			func(b *graphtest.Builder, x, y *graph.Node) *graph.Node { return b.Add(x, y) },
			func(b *graphtest.Builder, x, y *graph.Node) *graph.Node { return b.Sub(x, y) },
			func(b *graphtest.Builder, x, y *graph.Node) *graph.Node { return b.Mul(x, y) },
			func(b *graphtest.Builder, x, y *graph.Node) *graph.Node { return b.Div(x, y) },
		} {
			checkElements(t, single(fmt.Sprint(left, right, i), func(b *graphtest.Builder) *graph.Node {
				return f(b, b.Normal(left...), b.Positive(right...))
			}))
		}
	})
}

// Operations that move or sum elements, at random axes and extents.
func TestLayoutGradientElements(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dims := rapid.SliceOfN(rapid.IntRange(1, 4), 1, 4).Draw(t, "shape")
		axis := rapid.IntRange(0, len(dims)-1).Draw(t, "axis")
		start := rapid.IntRange(0, dims[axis]-1).Draw(t, "start")
		end := rapid.IntRange(start+1, dims[axis]).Draw(t, "end")
		for i, f := range []func(b *graphtest.Builder, x *graph.Node) *graph.Node{
			func(b *graphtest.Builder, x *graph.Node) *graph.Node { return b.Slice(x, axis, start, end) },
			func(b *graphtest.Builder, x *graph.Node) *graph.Node { return b.Pad(x, axis, start, end) },
			func(b *graphtest.Builder, x *graph.Node) *graph.Node { return b.Concat(axis, x, b.Square(x), x) },
			func(b *graphtest.Builder, x *graph.Node) *graph.Node { return b.Sum(x, axis) },
			func(b *graphtest.Builder, x *graph.Node) *graph.Node { return b.Stretch(b.Sum(x, axis), dims...) },
			func(b *graphtest.Builder, x *graph.Node) *graph.Node { return b.Reshape(x, x.Shape.Size()) },
			func(b *graphtest.Builder, x *graph.Node) *graph.Node { return b.Softmax(x) },
			func(b *graphtest.Builder, x *graph.Node) *graph.Node { return b.Mean(b.Square(x)) },
		} {
			checkElements(t, single(fmt.Sprint(dims, axis, start, end, i), func(b *graphtest.Builder) *graph.Node {
				return f(b, b.Normal(dims...))
			}))
		}
	})
}

func TestPoolGradientElements(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) int { return rapid.IntRange(1, 3).Draw(t, name) }
		n, h, w, c, f := draw("n"), draw("h"), draw("w"), draw("c"), draw("factor")
		for i, build := range []func(b *graphtest.Builder) *graph.Node{
			func(b *graphtest.Builder) *graph.Node { return b.Upsample(b.Normal(n, h, w, c), f) },
			func(b *graphtest.Builder) *graph.Node { return b.AvgPool(b.Normal(n, h*f, w*f, c), f) },
			func(b *graphtest.Builder) *graph.Node { return b.SpaceToDepth(b.Normal(n, h*f, w*f, c), f) },
			func(b *graphtest.Builder) *graph.Node { return b.DepthToSpace(b.Normal(n, h, w, c*f*f), f) },
		} {
			checkElements(t, single(fmt.Sprint(n, h, w, c, f, i), build))
		}
	})
}

// The check itself finds a gradient that is wrong: statistics of another tensor
// are not what the gradient of GroupNorm assumes.
func TestWrongGradientIsFound(t *testing.T) {
	rec := &recorder{}
	checkDirections(rec, single("wrong", func(b *graphtest.Builder) *graph.Node {
		return b.GroupNormWith(b.Normal(1, 3, 4, 4), b.Positive(1, 2, 2), b.Bias(1, 4), b.Bias(0, 4), false)
	}))
	if !rec.failed {
		t.Error("a wrong gradient passes")
	}
}

type recorder struct{ failed bool }

func (r *recorder) Helper()               {}
func (r *recorder) Errorf(string, ...any) { r.failed = true }
