package graph_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/internal/graph/graphtest"
	"github.com/sr3-go/sr3/internal/graph/plain"
)

const (
	step      = 1e-5 // of the central differences
	tolerance = 1e-6 // relative to the gradient's norm
)

// failer is what testing.T and rapid.T share.
type failer interface {
	Helper()
	Errorf(format string, args ...any)
}

// label is the name under which a drawn input or variable is stored.
func label(n *graph.Node) string {
	if op, ok := n.Op.(*graph.Input); ok {
		return op.Label
	}
	return n.Op.(*graph.Variable).Label
}

// slope is the central difference of the loss when the values under name move
// along direction.
func slope(m *plain.Machine, loss *graph.Node, name string, direction []float64) float64 {
	start := append([]float64{}, m.Get(name)...)
	at := func(h float64) float64 {
		moved := make([]float64, len(start))
		for i := range start {
			moved[i] = start[i] + h*direction[i]
		}
		m.Set(name, moved)
		m.Run(loss)
		return m.Value(loss)[0]
	}
	d := (at(step) - at(-step)) / (2 * step)
	m.Set(name, start)
	return d
}

// norm is the Euclidean norm.
func norm(x []float64) float64 { return math.Sqrt(dot(x, x)) }

func dot(a, b []float64) float64 {
	total := 0.0
	for i := range a {
		total += a[i] * b[i]
	}
	return total
}

// checkDirections compares, for every tensor that the case drew, the gradient's
// component along one random direction with the finite difference.
func checkDirections(t failer, c graphtest.Case) {
	t.Helper()
	r := c.Loss()
	m := r.Machine()
	random := rand.New(rand.NewPCG(1, 2))
	for i, source := range r.Sources {
		grad := r.Want[1+i]
		direction := make([]float64, len(grad))
		for j := range direction {
			direction[j] = random.NormFloat64()
		}
		compare(t, r.Name, source, -1, slope(m, r.Outputs[0], label(source), direction), dot(grad, direction), norm(grad))
	}
}

// checkElements compares every element of every gradient with its finite
// difference.
func checkElements(t failer, c graphtest.Case) {
	t.Helper()
	r := c.Loss()
	m := r.Machine()
	for i, source := range r.Sources {
		grad := r.Want[1+i]
		for j := range grad {
			direction := make([]float64, len(grad))
			direction[j] = 1
			compare(t, r.Name, source, j, slope(m, r.Outputs[0], label(source), direction), grad[j], norm(grad))
		}
	}
}

// compare allows for the rounding of the differences beside the tolerance.
func compare(t failer, name string, source *graph.Node, element int, want, got, scale float64) {
	t.Helper()
	if d := math.Abs(want - got); !(d <= tolerance*scale+1e-8) {
		t.Errorf("%s: gradient by %v, element %d: %.12g, finite difference %.12g, off by %.2g of its norm",
			name, source, element, got, want, d/scale)
	}
}

// single makes a case of one output.
func single(name string, build func(b *graphtest.Builder) *graph.Node) graphtest.Case {
	return graphtest.Case{Name: name, Build: func(b *graphtest.Builder) []*graph.Node {
		return []*graph.Node{build(b)}
	}}
}

// mustPanic reports when f returns, or panics with something that is not one of
// the package's messages.
func mustPanic(t *testing.T, name string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		message, ok := recover().(string)
		if !ok || len(message) < 8 || message[:7] != "graph: " {
			t.Errorf("%s: panicked with %q, want a message of the graph", name, message)
		}
	}()
	f()
	t.Errorf("%s did not panic", name)
}
