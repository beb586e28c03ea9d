package graph_test

import (
	"slices"
	"testing"

	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/internal/graph/graphtest"
)

// recomputed are cases with a loss and, beside its gradients, those with
// recomputation from every k-th node.
func recomputed(t *testing.T, check func(t *testing.T, r *graphtest.Reference, kept map[*graph.Node]bool, again []*graph.Node)) {
	var cases []graphtest.Case
	for _, c := range graphtest.Cases() {
		if !c.NoGradient {
			cases = append(cases, c)
		}
	}
	for seed := range 40 {
		cases = append(cases, graphtest.Random(uint64(seed)))
	}
	for i, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			r, kept := c.Loss(), map[*graph.Node]bool{}
			step := 2 + i%4
			for _, n := range r.Graph.Nodes() {
				if n.ID%step == 0 {
					kept[r.Graph.Keep(n)] = true
				}
			}
			check(t, r, kept, r.Graph.RecomputedGradients(r.Outputs[0], r.Sources))
		})
	}
}

func TestRecomputedGradientsAreTheSame(t *testing.T) {
	recomputed(t, func(t *testing.T, r *graphtest.Reference, _ map[*graph.Node]bool, again []*graph.Node) {
		m := r.Machine()
		m.Run(append(again, r.Outputs...)...)
		for i, n := range again {
			if want := m.Value(r.Outputs[1+i]); !slices.Equal(m.Value(n), want) {
				t.Errorf("gradient %d is %v, want %v", i, m.Value(n), want)
			}
		}
	})
}

// TestRecomputationReadsKeptValues: the forward pass ends with the loss. Of the
// values before, what comes after reads those without inputs and the kept ones.
func TestRecomputationReadsKeptValues(t *testing.T) {
	recomputed(t, func(t *testing.T, r *graphtest.Reference, kept map[*graph.Node]bool, again []*graph.Node) {
		loss, seen := r.Outputs[0], map[*graph.Node]bool{}
		var walk func(n *graph.Node)
		walk = func(n *graph.Node) {
			if seen[n] {
				return
			}
			seen[n] = true
			if n.ID > loss.ID {
				for _, in := range n.Inputs {
					walk(in)
				}
			} else if len(n.Inputs) > 0 && !kept[n] {
				t.Errorf("the backward pass reads %v", n)
			}
		}
		for _, n := range again {
			walk(n)
		}
	})
}

// TestCopiesStandWhereTheyAreRead has two blocks: the inside of the first one is
// copied when the gradient has passed the second.
func TestCopiesStandWhereTheyAreRead(t *testing.T) {
	g := graph.New()
	x := g.Input("x", 3)
	block := func(x *graph.Node) *graph.Node { return g.Keep(g.Square(g.SiLU(x))) }
	y := block(x)
	loss := g.Sum(block(y))
	g.RecomputedGradients(loss, []*graph.Node{x})
	var order []string
	for _, n := range g.Nodes()[loss.ID+1:] {
		switch {
		case n.Op.Name() == "silu" && n.Inputs[0] == y:
			order = append(order, "second again")
		case n.Op.Name() == "silu" && n.Inputs[0] == x:
			order = append(order, "first again")
		case n.Op.Name() == "silu-grad":
			order = append(order, "gradient")
		}
	}
	if want := []string{"second again", "gradient", "first again", "gradient"}; !slices.Equal(order, want) {
		t.Errorf("the order is %v, want %v", order, want)
	}
}
