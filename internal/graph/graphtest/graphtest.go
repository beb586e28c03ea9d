// Package graphtest checks executors of internal/graph. [Cases] covers every
// operation, its gradient, and the combinations that executors like to fuse, in
// many shapes; [Run] compares an executor on all of them with the float64
// specification in internal/graph/plain.
package graphtest

import (
	"hash/fnv"
	"math"
	"slices"
	"testing"

	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/internal/graph/plain"
)

// Case is a graph to try an executor on.
type Case struct {
	Name string
	// Build adds the graph and returns its outputs. It draws the same numbers
	// every time.
	Build func(b *Builder) []*graph.Node
	// Runs is how many times the program is run before the outputs are
	// compared. Zero means two, which shows what a run leaves behind.
	Runs int
	// NoGradient marks outputs that are not to be differentiated: updates,
	// kinks, operations without a gradient.
	NoGradient bool
}

// Reference is a case with its values and the results that are expected.
type Reference struct {
	Name    string
	Graph   *graph.Graph
	Set     map[string][]float32 // inputs and variables by label
	Outputs []*graph.Node
	Runs    int         // at least 1
	Want    [][]float64 // outputs of the last run; nil for the token of an Adam node
	Sources []*graph.Node
}

// Execute compiles outputs of g, stores set in the inputs and variables, runs
// the program the given number of times and returns the outputs of the last run.
// Between runs it leaves variables as the run left them.
type Execute func(t *testing.T, g *graph.Graph, set map[string][]float32, outputs []*graph.Node, runs int) [][]float32

// Run compares execute with the specification on every case and on the gradient
// of every case, each in a subtest. tolerance is the largest difference allowed,
// relative to the range of the expected tensor (see [Reference.Check]).
func Run(t *testing.T, tolerance float64, execute Execute) {
	for _, c := range Cases() {
		RunCase(t, c, tolerance, execute)
	}
}

// RunCase compares execute with the specification on one case and its gradient.
func RunCase(t *testing.T, c Case, tolerance float64, execute Execute) {
	t.Run(c.Name, func(t *testing.T) {
		r := c.Reference()
		r.Check(t, tolerance, execute(t, r.Graph, r.Set, r.Outputs, r.Runs))
	})
	if c.NoGradient {
		return
	}
	t.Run(c.Name+"/gradient", func(t *testing.T) {
		r := c.Gradient()
		r.Check(t, tolerance, execute(t, r.Graph, r.Set, r.Outputs, r.Runs))
	})
}

// Reference builds the case and computes what its outputs must be.
func (c Case) Reference() *Reference {
	b := newBuilder(c.Name)
	outputs := c.Build(b)
	return c.finish(c.Name, b, outputs)
}

// Gradient builds the case, a loss that weighs all elements of all outputs with
// random numbers, and its gradients by everything that b drew; the gradients
// are the outputs. [Case.Loss] has the loss too.
func (c Case) Gradient() *Reference {
	b := newBuilder(c.Name)
	loss := b.Loss(c.Build(b))
	return c.finish(c.Name+"/gradient", b, b.Gradients(loss, b.sources))
}

// Loss builds the case and the scalar loss that [Case.Gradient] differentiates:
// the first output. The others are its gradients by Sources.
func (c Case) Loss() *Reference {
	b := newBuilder(c.Name)
	loss := b.Loss(c.Build(b))
	outputs := append([]*graph.Node{loss}, b.Gradients(loss, b.sources)...)
	return c.finish(c.Name+"/loss", b, outputs)
}

// finish runs the specification.
func (c Case) finish(name string, b *Builder, outputs []*graph.Node) *Reference {
	r := &Reference{Name: name, Graph: b.Graph, Set: b.Set, Outputs: outputs, Runs: c.Runs, Sources: b.sources}
	if r.Runs == 0 {
		r.Runs = 2
	}
	m := r.Machine()
	runs := r.Runs
	if !slices.ContainsFunc(outputs, isToken) {
		runs = 1 // without updates all runs are alike
	}
	for range runs {
		m.Run(outputs...)
	}
	for _, n := range outputs {
		var want []float64
		if !isToken(n) {
			want = m.Value(n)
		}
		r.Want = append(r.Want, want)
	}
	return r
}

// Machine is the specification of the reference's graph, filled with its values.
func (r *Reference) Machine() *plain.Machine {
	m := plain.New(r.Graph)
	for label, values := range r.Set {
		m.Set32(label, values)
	}
	return m
}

func isToken(n *graph.Node) bool {
	_, ok := n.Op.(graph.Update)
	return ok
}

// Check reports outputs that differ from what is expected by more than
// tolerance times the range (largest minus smallest, but at least the largest
// magnitude) of the expected tensor, or that are not numbers.
func (r *Reference) Check(t testing.TB, tolerance float64, got [][]float32) {
	t.Helper()
	if len(got) != len(r.Want) {
		t.Errorf("%d outputs, want %d", len(got), len(r.Want))
		return
	}
	for i, want := range r.Want {
		if want != nil {
			check(t, r.Outputs[i], tolerance, got[i], want)
		}
	}
}

func check(t testing.TB, n *graph.Node, tolerance float64, got []float32, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%v: %d elements, want %d", n, len(got), len(want))
		return
	}
	limit := tolerance * spread(want)
	bad, worst, where := 0, 0.0, 0
	for i, w := range want {
		d := math.Abs(float64(got[i]) - w)
		if d <= limit { // false for a NaN
			continue
		}
		bad++
		if !(d <= worst) {
			worst, where = d, i
		}
	}
	if bad > 0 {
		t.Errorf("%v: %d of %d elements are off; element %d is %g, want %g: %.2g of the range, allowed %.2g",
			n, bad, len(want), where, got[where], want[where], worst/spread(want), tolerance)
	}
}

// spread is the range of the values, at least their largest magnitude.
func spread(values []float64) float64 {
	low, high := slices.Min(values), slices.Max(values)
	return max(high-low, high, -low)
}

// seedOf is a number that depends on the case's name.
func seedOf(name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	return h.Sum64()
}
