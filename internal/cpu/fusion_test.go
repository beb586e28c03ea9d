package cpu

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/internal/graph/graphtest"
)

// TestFusionAgainstPlain builds what residual blocks are made of, in all orders and
// with every kernel of convolutions, and compares it with the specification.
func TestFusionAgainstPlain(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	seen := map[string]int{}
	for _, c := range []struct {
		name, way         string // way is how Profile describes the convolution's kernel
		n, side, in, out  int
		kernel, stride    int
		up, shift, shared bool
	}{
		{"winograd", "winograd 3x3", 2, 17, 33, 40, 3, 1, false, true, false},
		{"one shift for all", "winograd 3x3", 2, 16, 32, 32, 3, 1, false, true, true},
		{"streamed", "winograd, streamed,", 1, 17, 200, 193, 3, 1, false, true, false},
		{"2x2 winograd, streamed", "2x2 winograd, streamed,", 1, 16, 200, 197, 3, 1, true, true, false},
		{"2x2 winograd", "2x2 winograd 3x3", 2, 15, 32, 35, 3, 1, true, true, false},
		{"upsampled, too small", "winograd 3x3", 1, 6, 32, 35, 3, 1, true, false, false},
		{"direct", "direct", 2, 7, 5, 9, 3, 1, false, true, false},
		{"thin", "thin", 1, 40, 20, 3, 3, 1, false, false, false},
		{"strided", "direct", 2, 12, 24, 24, 3, 2, false, true, false},
		{"1x1", "direct", 2, 11, 20, 36, 1, 1, false, true, false},
		{"1x1 without shift", "direct", 1, 33, 20, 36, 1, 1, false, false, false},
	} {
		for order := range 4 {
			if c.in*c.out > 1e4 && (order%2 == 0 || testing.Short()) {
				continue // the specification is slow
			}
			g := graph.New()
			x := g.Input("x", c.n, c.side, c.side, c.in)
			if c.up {
				x = g.Upsample(x, 2)
			}
			conv := func(label string, x *graph.Node, out, kernel, stride int) *graph.Node {
				return g.Conv2D(x, g.Variable(label, kernel, kernel, x.Shape[3], out), g.Variable(label+".b", out), stride, kernel/2)
			}
			h := conv("w", x, c.out, c.kernel, c.stride)
			if c.shift {
				images := c.n
				if c.shared {
					images = 1
				}
				h = g.Add(h, g.Input("shift", images, 1, 1, c.out))
			}
			if order > 0 {
				h = g.Add(g.Input("residual", h.Shape...), h)
			}
			if order > 1 {
				h = g.Scale(h, 0.7)
			}
			outputs := []*graph.Node{}
			if order > 2 {
				joined := g.Concat(3, h, conv("v", g.Input("y", h.Shape[0], h.Shape[1], h.Shape[2], 7), 3, 3, 1))
				z := g.GroupNorm(joined, g.Variable("scale", joined.Shape[3]), g.Variable("offset", joined.Shape[3]), 1, 1e-5, true)
				outputs = append(outputs, conv("w3", z, 33, 3, 1), conv("w1", joined, 12, 1, 1))
			} else {
				z := g.GroupNorm(h, g.Variable("scale", c.out), g.Variable("offset", c.out), 1, 1e-5, false)
				outputs = append(outputs, conv("w3", z, 5, 3, 1), h)
			}
			if e := compareWithPlain(t, g, outputs, 1+r.IntN(3)); e == 0 {
				t.Errorf("%s: no error at all", c.name)
			}
			steps := compiled(t, g, outputs).Profile()
			for _, s := range steps {
				seen[s.Op]++
			}
			first := slices.IndexFunc(steps, func(s StepTime) bool { return s.Op == "conv2d" })
			if got := steps[first].Detail; !strings.HasPrefix(got, c.way) {
				t.Errorf("%s: the kernel is %q, not %s", c.name, got, c.way)
			}
		}
	}
	for _, op := range []string{"add", "concat", "upsample"} {
		t.Logf("%d steps of %s are left", seen[op], op)
	}
	if seen["add"] > 0 || seen["concat"] > 0 {
		t.Error("sums or joins of convolutions have steps of their own")
	}
}

// TestFusionThreads demands the same bytes of any number of threads where work is
// shared in many ways.
func TestFusionThreads(t *testing.T) {
	for _, side := range []int{8, 16, 40} {
		g := graph.New()
		x := g.Input("x", 1, side, side, 200)
		h := g.Add(g.Conv2D(g.Upsample(x, 2), g.Variable("w", 3, 3, 200, 200), nil, 1, 1), g.Input("shift", 1, 1, 1, 200))
		h = g.GroupNorm(h, g.Variable("scale", 200), g.Variable("offset", 200), 10, 1e-5, true)
		h = g.Conv2D(h, g.Variable("v", 3, 3, 200, 40), nil, 1, 1)
		var first []float32
		for threads := 1; threads <= 3; threads++ {
			vars := NewVariables()
			p, err := Compile(g, vars, []*graph.Node{h}, Options{Threads: threads})
			if err != nil {
				t.Fatal(err)
			}
			for i, label := range []string{"x", "shift", "w", "v", "scale", "offset"} {
				data := p.Input(label)
				if data == nil {
					data = vars.Get(label)
				}
				r := rand.New(rand.NewPCG(uint64(i), 1))
				for k := range data {
					data[k] = float32(r.NormFloat64())
				}
			}
			p.Run()
			if got := p.Output(0); first == nil {
				first = slices.Clone(got)
			} else if !slices.Equal(first, got) {
				t.Errorf("side %d: %d threads give other bytes than 1", side, threads)
			}
			p.Close()
		}
	}
}

// compiled is a program of the graph, already closed.
func compiled(t *testing.T, g *graph.Graph, outputs []*graph.Node) *Program {
	t.Helper()
	p, err := Compile(g, NewVariables(), outputs, Options{Threads: 1})
	if err != nil {
		t.Fatal(fmt.Errorf("compile: %w", err))
	}
	p.Close()
	return p
}

// TestConvolutionOverItsOwnImage adds to a convolution the image that it reads, in
// another shape: the result cannot be written over it. Without a margin the fast
// convolution reads images of some sizes where they lie.
func TestConvolutionOverItsOwnImage(t *testing.T) {
	for _, c := range []struct{ kernel, n, side, in, out int }{{3, 4, 6, 32, 72}, {3, 4, 6, 192, 432}, {2, 2, 6, 25, 36}, {3, 2, 4, 1, 4}, {2, 3, 2, 16, 64}} {
		build := func(b *graphtest.Builder) []*graph.Node {
			x := b.Scale(b.Normal(c.n, c.side, c.side, c.in), 0.9)
			side := c.side + 1 - c.kernel
			again := b.Reshape(x, c.n, side, side, c.out)
			return []*graph.Node{b.Add(b.Conv2D(x, b.Weight(c.kernel, c.kernel, c.in, c.out), b.Bias(0, c.out), 1, 0), again)}
		}
		graphtest.RunCase(t, graphtest.Case{Name: fmt.Sprint(c), Build: build, NoGradient: true}, 1e-4, executePoisoned)
	}
}
