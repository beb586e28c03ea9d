package graphtest_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/internal/graph/graphtest"
	"github.com/sr3-go/sr3/internal/graph/plain"
)

// Every operation and every function of the elementwise ones must occur.
func TestCasesCoverEveryOperation(t *testing.T) {
	seen := map[string]bool{}
	names := map[string]bool{}
	for _, c := range graphtest.Cases() {
		if names[c.Name] {
			t.Errorf("two cases are named %s", c.Name)
		}
		names[c.Name] = true
		note(seen, c.Reference())
		if !c.NoGradient {
			note(seen, c.Gradient())
		}
	}
	for _, want := range []string{
		"input", "variable", "constant", "fill", "silu", "sigmoid", "exp", "sin", "cos", "square", "sqrt", "abs",
		"sign", "relu", "silu-grad", "affine", "add", "sub", "mul", "div", "dropout", "conv2d", "conv2d-input-grad",
		"conv2d-weight-grad", "matmul", "softmax", "softmax-grad", "attention", "attention-grad", "group-stats", "group-norm", "group-norm-grad-sums",
		"group-norm-input-grad", "sum", "stretch", "reshape", "concat", "slice", "pad", "space-to-depth",
		"depth-to-space", "upsample", "avgpool", "adam",
	} {
		if !seen[want] {
			t.Errorf("no case contains %s", want)
		}
	}
	t.Logf("%d cases", len(names))
}

func note(seen map[string]bool, r *graphtest.Reference) {
	for _, n := range r.Graph.Nodes() {
		switch n.Op.(type) {
		case *graph.Input:
			seen["input"] = true
		case *graph.Variable:
			seen["variable"] = true
		default:
			seen[n.Op.Name()] = true
		}
	}
	for i, want := range r.Want {
		if j := slices.IndexFunc(want, func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }); j >= 0 {
			panic(fmt.Sprintf("%s: output %d is %g", r.Name, i, want[j]))
		}
	}
}

// recorder stands in for a test that may fail.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Errorf(string, ...any) { r.failed = true }

func TestCheckFindsDifferences(t *testing.T) {
	r := graphtest.Reference{
		Outputs: []*graph.Node{graph.New().Input("x", 3)},
		Want:    [][]float64{{-1, 0, 3}},
	}
	nan := float32(math.NaN())
	for _, c := range []struct {
		got    [][]float32
		failed bool
	}{
		{[][]float32{{-1, 0, 3}}, false},
		{[][]float32{{-1, 0.0003, 3}}, false},
		{[][]float32{{-1, 0.0005, 3}}, true},
		{[][]float32{{-1, nan, 3}}, true},
		{[][]float32{{-1, 0}}, true},
		{[][]float32{}, true},
	} {
		rec := &recorder{TB: t}
		r.Check(rec, 1e-4, c.got)
		if rec.failed != c.failed {
			t.Errorf("%v: failed is %v", c.got, rec.failed)
		}
	}
}

// The specification, rounded to float32, passes its own suite.
func TestRunAcceptsTheSpecification(t *testing.T) {
	graphtest.Run(t, 1e-7, func(_ *testing.T, g *graph.Graph, set map[string][]float32, outputs []*graph.Node, runs int) [][]float32 {
		return execute(g, set, outputs, runs)
	})
}

func execute(g *graph.Graph, set map[string][]float32, outputs []*graph.Node, runs int) [][]float32 {
	m := plain.New(g)
	for label, values := range set {
		m.Set32(label, values)
	}
	for range runs {
		m.Run(outputs...)
	}
	got := make([][]float32, len(outputs))
	for i, n := range outputs {
		for _, v := range m.Value(n) {
			got[i] = append(got[i], float32(v))
		}
	}
	return got
}
