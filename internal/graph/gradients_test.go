package graph_test

import (
	"math"
	"slices"
	"testing"

	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/internal/graph/plain"
)

// evaluate runs a graph whose inputs have the given values.
func evaluate(g *graph.Graph, set map[string][]float64, outputs ...*graph.Node) [][]float64 {
	m := plain.New(g)
	for name, values := range set {
		m.Set(name, values)
	}
	m.Run(outputs...)
	results := make([][]float64, len(outputs))
	for i, n := range outputs {
		results[i] = m.Value(n)
	}
	return results
}

// A value that is read several times gets the sum of what its readers say.
func TestGradientsOfSharedNodes(t *testing.T) {
	g := graph.New()
	x := g.Input("x", 2)
	y := g.Square(x)                                // x^2
	loss := g.Sum(g.Add(g.Mul(y, y), g.Add(y, x)))  // x^4 + x^2 + x
	grads := g.Gradients(loss, []*graph.Node{x, y}) // 4x^3 + 2x + 1, 2x^2 + 1
	got := evaluate(g, map[string][]float64{"x": {2, -3}}, grads...)
	for i, want := range [][]float64{{37, -113}, {9, 19}} {
		if !slices.Equal(got[i], want) {
			t.Errorf("gradient %d is %v, want %v", i, got[i], want)
		}
	}
}

func TestGradientOfUnusedIsZero(t *testing.T) {
	g := graph.New()
	x, unused := g.Input("x", 2), g.Input("unused", 3, 1)
	branch := g.Exp(x) // depends on x, the loss does not depend on it
	loss := g.Sum(g.Square(x))
	later := g.Scale(loss, 2)
	grads := g.Gradients(loss, []*graph.Node{unused, branch, later})
	for i, n := range []*graph.Node{unused, branch, later} {
		if !grads[i].Shape.Equal(n.Shape) {
			t.Errorf("the gradient by %v has shape %v", n, grads[i].Shape)
		}
	}
	for i, v := range evaluate(g, map[string][]float64{"x": {1, 2}, "unused": {1, 2, 3}}, grads...) {
		if norm(v) != 0 {
			t.Errorf("gradient %d is %v, want zero", i, v)
		}
	}
}

func TestGradientOfLossByItself(t *testing.T) {
	g := graph.New()
	x := g.Input("x", 1)
	loss := g.Square(x)
	grads := g.Gradients(loss, []*graph.Node{loss, x, x})
	got := evaluate(g, map[string][]float64{"x": {5}}, grads...)
	if got[0][0] != 1 || got[1][0] != 10 || got[2][0] != 10 {
		t.Errorf("gradients %v, want 1, 10, 10", got)
	}
}

// Operations made of differentiable ones can be differentiated twice.
func TestSecondGradient(t *testing.T) {
	g := graph.New()
	x := g.Input("x", 2)
	first := g.Gradients(g.Sum(g.Mul(g.Square(x), g.Sin(x))), []*graph.Node{x})[0]
	second := g.Gradients(g.Sum(first), []*graph.Node{x})[0]
	values := []float64{0.7, -1.3}
	got := evaluate(g, map[string][]float64{"x": values}, second)[0]
	for i, v := range values { // (x^2 sin x)'' = 2 sin x + 4x cos x - x^2 sin x
		want := 2*math.Sin(v) + 4*v*math.Cos(v) - v*v*math.Sin(v)
		if math.Abs(got[i]-want) > 1e-12 {
			t.Errorf("second derivative at %g is %g, want %g", v, got[i], want)
		}
	}
	mustPanic(t, "a gradient-only operation differentiated", func() {
		y := g.Gradients(g.Sum(g.SiLU(x)), []*graph.Node{x})[0]
		g.Gradients(g.Sum(y), []*graph.Node{x})
	})
}

// Kinks have the derivative zero, which is one of their subgradients.
func TestGradientsAtKinks(t *testing.T) {
	g := graph.New()
	x := g.Input("x", 3)
	var grads []*graph.Node
	for _, y := range []*graph.Node{g.Abs(x), g.ReLU(x), g.Sign(x)} {
		grads = append(grads, g.Gradients(g.Sum(y), []*graph.Node{x})...)
	}
	got := evaluate(g, map[string][]float64{"x": {-2, 0, 2}}, grads...)
	for i, want := range [][]float64{{-1, 0, 1}, {0, 0, 1}, {0, 0, 0}} {
		if !slices.Equal(got[i], want) {
			t.Errorf("gradient %d is %v, want %v", i, got[i], want)
		}
	}
}

func TestGradientsNeedAScalar(t *testing.T) {
	g := graph.New()
	x := g.Input("x", 2)
	mustPanic(t, "the gradient of a vector", func() { g.Gradients(x, []*graph.Node{x}) })
}

// Adam through the graph is the update written out by hand (Kingma and Ba,
// 2015, Algorithm 1) on the gradient of a quadratic.
func TestAdamAgainstALoop(t *testing.T) {
	const rate, b1, b2, epsilon, clip, decay = 0.0625, 0.875, 0.96875, 0.0078125, 0.5, 0.75
	g := graph.New()
	p, m, v, ema := g.Variable("p", 3), g.Variable("m", 3), g.Variable("v", 3), g.Variable("ema", 3)
	target, hyper := g.Input("target", 3), g.Input("hyper", graph.AdamHyper)
	loss := g.Sum(g.Square(g.Sub(p, target)))
	grad := g.Gradients(loss, []*graph.Node{p})[0]
	update := g.Adam(graph.Adam{B1: b1, B2: b2, Epsilon: epsilon}, p, grad, m, v, hyper, ema)
	goal, at := []float64{1, -2, 0}, []float64{0, 3, 0.5}
	machine := plain.New(g)
	for name, values := range map[string][]float64{"p": at, "m": make([]float64, 3), "v": make([]float64, 3), "ema": at, "target": goal} {
		machine.Set(name, values)
	}

	first, second, average := make([]float64, 3), make([]float64, 3), slices.Clone(at)
	for t0 := 1; t0 <= 20; t0++ {
		c1, c2 := 1-math.Pow(b1, float64(t0)), 1-math.Pow(b2, float64(t0))
		step := []float64{graph.AdamRate: rate, graph.AdamC1: c1, graph.AdamC2: c2, graph.AdamClip: clip, graph.AdamDecay: decay}
		machine.Set("hyper", step)
		machine.Run(update, loss)
		if want := dot(minus(at, goal), minus(at, goal)); math.Abs(machine.Value(loss)[0]-want) > 1e-12 {
			t.Fatalf("step %d: the loss %g is not that before the update, %g", t0, machine.Value(loss)[0], want)
		}
		for i := range at {
			d := clip * 2 * (at[i] - goal[i])
			first[i] = b1*first[i] + (1-b1)*d
			second[i] = b2*second[i] + (1-b2)*d*d
			at[i] -= rate * (first[i] / c1) / (math.Sqrt(second[i]/c2) + epsilon)
			average[i] = decay*average[i] + (1-decay)*at[i]
		}
		for name, want := range map[string][]float64{"p": at, "m": first, "v": second, "ema": average} {
			if d := norm(minus(machine.Get(name), want)); d > 1e-12 {
				t.Fatalf("step %d: %s is %v, want %v", t0, name, machine.Get(name), want)
			}
		}
	}
}

func minus(a, b []float64) []float64 {
	d := make([]float64, len(a))
	for i := range a {
		d[i] = a[i] - b[i]
	}
	return d
}

// Attention and its gradient are those of the operations that it stands for.
func TestAttentionIsItsParts(t *testing.T) {
	const n, p, c, scale = 2, 9, 4, 0.75
	g := graph.New()
	qkv, weights := g.Input("qkv", n, p, 3*c), g.Input("weights", n, p, c)
	q, k, v := g.Slice(qkv, 2, 0, c), g.Slice(qkv, 2, c, 2*c), g.Slice(qkv, 2, 2*c, 3*c)
	parts := g.MatMul(g.Softmax(g.Scale(g.MatMul(q, k, false, true), scale)), v, false, false)
	whole := g.Attention(qkv, scale)
	outputs := []*graph.Node{whole, parts}
	for _, y := range outputs[:2] {
		outputs = append(outputs, g.Gradients(g.Sum(g.Mul(y, weights)), []*graph.Node{qkv})...)
	}
	set := map[string][]float64{"qkv": make([]float64, n*p*3*c), "weights": make([]float64, n*p*c)}
	for _, x := range set {
		for i := range x {
			x[i] = math.Sin(float64(3*i + len(x)))
		}
	}
	got := evaluate(g, set, outputs...)
	for i := 0; i < len(got); i += 2 {
		if d := norm(minus(got[i], got[i+1])); !(d <= 1e-12*norm(got[i+1])) || norm(got[i]) == 0 {
			t.Errorf("pair %d is off by %g of %g", i/2, d, norm(got[i+1]))
		}
	}
}
