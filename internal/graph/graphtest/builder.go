package graphtest

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/sr3-go/sr3/internal/graph"
)

// Builder is a graph together with random values for its inputs and variables.
type Builder struct {
	*graph.Graph
	// Set holds the values by label.
	Set     map[string][]float32
	rand    *rand.Rand
	sources []*graph.Node // drawn nodes that gradients are taken by
}

// newBuilder starts an empty graph; the numbers depend on the name.
func newBuilder(name string) *Builder {
	return &Builder{
		Graph: graph.New(),
		Set:   map[string][]float32{},
		rand:  rand.New(rand.NewPCG(seedOf(name), 1)),
	}
}

// source adds an input whose elements are drawn from f.
func (b *Builder) source(f func() float64, dims []int) *graph.Node {
	label := fmt.Sprintf("x%d", len(b.Set))
	n := b.Input(label, dims...)
	b.fill(label, n, f)
	b.sources = append(b.sources, n)
	return n
}

func (b *Builder) fill(label string, n *graph.Node, f func() float64) {
	values := make([]float32, n.Shape.Size())
	for i := range values {
		values[i] = float32(f())
	}
	b.Set[label] = values
}

// Normal is an input of standard normal numbers.
func (b *Builder) Normal(dims ...int) *graph.Node { return b.source(b.rand.NormFloat64, dims) }

// Around is an input of normal numbers with the given mean and deviation 1.
func (b *Builder) Around(mean float64, dims ...int) *graph.Node {
	return b.source(func() float64 { return mean + b.rand.NormFloat64() }, dims)
}

// Positive is an input of uniform numbers in [0.5, 2).
func (b *Builder) Positive(dims ...int) *graph.Node {
	return b.source(func() float64 { return 0.5 + 1.5*b.rand.Float64() }, dims)
}

// Apart is an input of numbers in (-2, -0.1] and [0.1, 2): away from the kinks
// of |x| and max(x, 0).
func (b *Builder) Apart(dims ...int) *graph.Node {
	return b.source(func() float64 {
		v := 0.1 + 1.9*b.rand.Float64()
		return math.Copysign(v, b.rand.Float64()-0.5)
	}, dims)
}

// Weight is a variable of normal numbers with variance 1/fan, where fan is the
// product of all axes but the last: what keeps a layer's output at unit size.
func (b *Builder) Weight(dims ...int) *graph.Node {
	fan := graph.Shape(dims[:len(dims)-1]).Size()
	return b.variable(0, 1/math.Sqrt(float64(fan)), dims)
}

// Bias is a variable of small normal numbers around mean.
func (b *Builder) Bias(mean float64, dims ...int) *graph.Node { return b.variable(mean, 0.3, dims) }

func (b *Builder) variable(mean, deviation float64, dims []int) *graph.Node {
	label := fmt.Sprintf("v%d", len(b.Set))
	n := b.Variable(label, dims...)
	b.fill(label, n, func() float64 { return mean + deviation*b.rand.NormFloat64() })
	b.sources = append(b.sources, n)
	return n
}

// Given is an input of the given values, which no gradient is taken by.
func (b *Builder) Given(values []float32, dims ...int) *graph.Node {
	label := fmt.Sprintf("g%d", len(b.Set))
	b.Set[label] = values
	return b.Input(label, dims...)
}

// State is a variable of one repeated value, which no gradient is taken by.
func (b *Builder) State(value float32, dims ...int) *graph.Node {
	label := fmt.Sprintf("s%d", len(b.Set))
	n := b.Variable(label, dims...)
	b.fill(label, n, func() float64 { return float64(value) })
	return n
}

// Loss is a scalar in which every element of every output has a random weight.
func (b *Builder) Loss(outputs []*graph.Node) *graph.Node {
	var total *graph.Node
	for _, out := range outputs {
		weights := make([]float32, out.Shape.Size())
		for i := range weights {
			weights[i] = float32(b.rand.NormFloat64())
		}
		part := b.Reshape(b.Sum(b.Mul(out, b.Given(weights, out.Shape...))))
		if total == nil {
			total = part
			continue
		}
		total = b.Add(total, part)
	}
	return total
}

// Conv is a convolution with drawn weights and bias, "same" padded for odd
// kernels.
func (b *Builder) Conv(x *graph.Node, out, kernel, stride int) *graph.Node {
	w := b.Weight(kernel, kernel, x.Shape[3], out)
	return b.Conv2D(x, w, b.Bias(0, out), stride, kernel/2)
}

// Norm is a group normalisation with drawn scale and shift.
func (b *Builder) Norm(x *graph.Node, groups int, silu bool) *graph.Node {
	c := x.Shape[3]
	return b.GroupNorm(x, b.Bias(1, c), b.Bias(0, c), groups, 1e-5, silu)
}
