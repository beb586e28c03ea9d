package cpu

import (
	"math"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/internal/graph/graphtest"
)

// TestNothingIsReadOutsideItsLifetime runs graphs while every buffer of the arena
// holds NaN before its first and after its last step. A lifetime that is too
// short, or memory that is taken to be zero, shows in the results.
func TestNothingIsReadOutsideItsLifetime(t *testing.T) {
	cases := make([]graphtest.Case, 60)
	for i := range cases {
		cases[i] = graphtest.Random(uint64(1000 + i))
	}
	for _, c := range graphtest.Cases() {
		if family, _, _ := strings.Cut(c.Name, "/"); family == "order" || family == "block" || family == "adam" {
			cases = append(cases, c)
		}
	}
	for _, c := range cases {
		graphtest.RunCase(t, c, 1e-4, executePoisoned)
	}
}

func executePoisoned(t *testing.T, g *graph.Graph, set map[string][]float32, outputs []*graph.Node, runs int) [][]float32 {
	vars := NewVariables()
	for label, values := range set {
		vars.Set(label, values)
	}
	c := newCompiler(vars, 1)
	if err := c.compile(g, outputs); err != nil {
		t.Fatal(err)
	}
	c.program.pool = newPool(1)
	for label, values := range set {
		copy(c.program.Input(label), values)
	}
	for range runs {
		runPoisoned(c)
	}
	out := make([][]float32, len(outputs))
	for i := range outputs {
		out[i] = c.program.Output(i)
	}
	return out
}

// runPoisoned is [Program.Run] between NaN.
func runPoisoned(c *compiler) {
	takes, taken := map[*buffer]bool{}, map[*buffer]bool{}
	for b, from := range c.inPlace {
		if !from.fixed && from.last == b.first && from.offset == b.offset {
			takes[b], taken[from] = true, true
		}
	}
	steps := c.program.steps
	for i := range steps {
		for _, b := range c.buffers {
			if b.first == i && !takes[b] {
				poison(b)
			}
		}
		c.program.steps = steps[i : i+1]
		c.program.Run()
		c.program.steps = steps
		for _, b := range c.buffers {
			if b.last == i && !taken[b] {
				poison(b)
			}
		}
	}
}

// poison fills a buffer and the slack behind it with NaN.
func poison(b *buffer) {
	data := b.data[:cap(b.data)]
	for i := range data {
		data[i] = float32(math.NaN())
	}
}
