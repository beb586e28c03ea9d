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
		if family, _, _ := strings.Cut(c.Name, "/"); family == "order" || family == "block" || family == "adam" || family == "descent" {
			cases = append(cases, c)
		}
	}
	for _, c := range cases {
		graphtest.RunCase(t, c, 1e-4, executePoisoned)
	}
}

// TestConvolutionsOfUnusualSizes has frames whose pixels lie apart (multiples of
// 512 channels), images with more rows than one run of a weight gradient, and
// images with more tiles than one block, all with garbage in between.
func TestConvolutionsOfUnusualSizes(t *testing.T) {
	for _, c := range []struct {
		name              string
		n, h, w, in, out  int
		kernel, norm, pad int
	}{
		{"pitched", 1, 4, 5, 512, 6, 3, 0, 1},
		{"pitched-norm", 2, 3, 5, 512, 6, 3, 4, 1},
		{"pitched-1x1", 1, 3, 4, 512, 5, 1, 4, 0},
		{"pitched-gradient", 1, 4, 5, 6, 512, 3, 0, 1},
		{"pitched-winograd", 1, 15, 14, 512, 32, 3, 0, 1},
		{"long-gradient", 2, 50, 64, 6, 5, 3, 0, 1},
		{"long-winograd", 1, 50, 30, 32, 33, 3, 4, 1},
		{"wide-margins", 1, 3, 4, 5, 6, 3, 0, 7},
		{"one-pixel", 3, 1, 1, 8, 9, 5, 2, 2},
	} {
		build := func(b *graphtest.Builder) []*graph.Node {
			x := b.Normal(c.n, c.h, c.w, c.in)
			if c.norm > 0 {
				x = b.Norm(x, c.norm, true)
			}
			return []*graph.Node{b.Conv2D(x, b.Weight(c.kernel, c.kernel, c.in, c.out), b.Bias(0, c.out), 1, c.pad)}
		}
		graphtest.RunCase(t, graphtest.Case{Name: c.name, Build: build}, 1e-4, executePoisoned)
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
