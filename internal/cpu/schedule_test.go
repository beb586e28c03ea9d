package cpu

import (
	"slices"
	"testing"

	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/internal/graph/graphtest"
)

// trainedStack is a training step of a few layers on one parameter each, with the
// norm of all gradients: a variable that is normalised itself, one that is read
// through a reshape, one that two layers share.
func trainedStack(b *graphtest.Builder) []*graph.Node {
	x, level := b.Normal(2, 6, 6, 8), b.Normal(2, 5)
	template, shared, first, second := b.Weight(2, 6, 6, 8), b.Weight(3, 3, 8, 8), b.Weight(3, 3, 8, 8), b.Weight(5, 8)
	scale, shift := b.Bias(1, 8), b.Bias(0, 8)
	x = b.Add(x, b.Conv2D(b.GroupNorm(template, scale, shift, 2, 1e-5, true), first, nil, 1, 1))
	x = b.Add(x, b.Reshape(b.Linear(level, second, nil), 2, 1, 1, 8))
	x = b.SiLU(b.Conv2D(b.SiLU(b.Conv2D(x, shared, nil, 1, 1)), shared, nil, 1, 1))
	loss := b.Mean(b.Square(x))
	wrt := []*graph.Node{template, shared, first, second, scale, shift}
	grads := b.Gradients(loss, wrt)
	squares := b.Constant([]float32{0}, 1)
	for _, grad := range grads {
		squares = b.Add(squares, b.Reshape(b.Sum(b.Square(grad)), 1))
	}
	outputs := []*graph.Node{loss, squares}
	hyper := b.Given([]float32{0.05, 0.19, 0.002, 0.7, 0.9}, graph.AdamHyper)
	for i, p := range wrt {
		m, v := b.State(0.01, p.Shape...), b.State(0.02, p.Shape...)
		outputs = append(outputs, b.Adam(graph.Adam{B1: 0.9, B2: 0.999, Epsilon: 1e-8}, p, grads[i], m, v, hyper, nil))
	}
	return outputs
}

// TestEarlyUpdates compares losses and norms of five steps with updates that come
// last: what is read after its update shows in them.
func TestEarlyUpdates(t *testing.T) {
	for _, runs := range []int{1, 2, 5} {
		c := graphtest.Case{Name: "early-updates", Runs: runs, NoGradient: true, Build: trainedStack}
		graphtest.RunCase(t, c, 1e-4, executePoisoned)
	}
}

// TestUpdatesWaitForIndirectReaders has variables whose gradients are known first
// of all, and which are read later through a reshape, through a normalisation that
// a convolution applies, and through both.
func TestUpdatesWaitForIndirectReaders(t *testing.T) {
	c := graphtest.Case{Name: "indirect-readers", Runs: 2, NoGradient: true, Build: func(b *graphtest.Builder) []*graph.Node {
		p, q, r := b.Weight(1, 4, 4, 8), b.Weight(1, 4, 4, 8), b.Weight(1, 16, 8)
		norm := func(x *graph.Node) *graph.Node { return b.GroupNorm(x, b.Bias(1, 8), b.Bias(0, 8), 2, 1e-5, true) }
		reshaped, normalised, both := b.Reshape(p, 16, 8), norm(q), norm(b.Reshape(r, 1, 4, 4, 8))
		hyper := b.Given([]float32{0.5, 0.19, 0.002, 0.7, 0.9}, graph.AdamHyper)
		var updates []*graph.Node
		for _, n := range []*graph.Node{p, q, r} {
			m, v := b.State(0.01, n.Shape...), b.State(0.02, n.Shape...)
			updates = append(updates, b.Adam(graph.Adam{B1: 0.9, B2: 0.999, Epsilon: 1e-8}, n, b.Exp(b.Normal(n.Shape...)), m, v, hyper, nil))
		}
		y := b.SiLU(b.Exp(b.Normal(16, 8)))
		filter := b.Weight(3, 3, 8, 8)
		return append(updates, b.Add(y, reshaped), b.Conv2D(normalised, filter, nil, 1, 1), b.Conv2D(both, filter, nil, 1, 1))
	}}
	graphtest.RunCase(t, c, 1e-4, executePoisoned)
}

// TestCopiesRoundAlike has a shift that comes after its convolution, but is at hand
// when that is computed again: bias and shift must not be added up first then.
func TestCopiesRoundAlike(t *testing.T) {
	r := graphtest.Case{Name: "copies", NoGradient: true, Build: func(b *graphtest.Builder) []*graph.Node {
		x, w := b.Keep(b.Conv(b.Normal(2, 6, 6, 8), 8, 3, 1)), b.Weight(3, 3, 8, 8)
		h := b.Conv2D(x, w, b.Bias(0, 8), 1, 1)
		h = b.Add(h, b.Keep(b.Exp(b.Normal(2, 1, 1, 8))))
		loss := b.Mean(b.Keep(b.SiLU(h)))
		wrt := []*graph.Node{x, w}
		outputs := append([]*graph.Node{loss}, b.Gradients(loss, wrt)...)
		return append(append(outputs, loss), b.RecomputedGradients(loss, wrt)...)
	}}.Reference()
	once := executePoisoned(t, r.Graph, r.Set, r.Outputs[:3], 1)
	again := executePoisoned(t, r.Graph, r.Set, r.Outputs[3:], 1)
	for i := range once {
		if !slices.Equal(once[i], again[i]) {
			t.Errorf("output %d differs", i)
		}
	}
}

// TestGradientsDieEarly: an update waits for nothing but the readers of its
// variables, so it is not the end of the program that most of them wait for, and
// the squares of a gradient are summed as soon as it is computed.
func TestGradientsDieEarly(t *testing.T) {
	r := graphtest.Case{Name: "early-updates", NoGradient: true, Build: trainedStack}.Reference()
	c := newCompiler(NewVariables(), 1)
	if err := c.compile(r.Graph, r.Outputs); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range c.program.steps {
		names = append(names, s.name)
	}
	// Backward through the shared filters and the linear layer, then the first layer.
	last := len(names) - 1 - slices.Index(reversed(names), "conv2d-weight-grad")
	updates, squares := 0, 0
	for _, name := range names[:last] {
		switch name {
		case "adam":
			updates++
		case "square":
			squares++
		}
	}
	if updates < 2 || squares < 3 { // of the loss, and two gradients
		t.Errorf("%d updates and %d squares before the last filter's gradient in %v", updates, squares, names)
	}
}

func reversed(names []string) []string {
	out := slices.Clone(names)
	slices.Reverse(out)
	return out
}
