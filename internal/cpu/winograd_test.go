package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/internal/graph/plain"
)

// winogradError is the largest error that a fast convolution may have, relative to
// the range of the exact result. Seen: 4e-6 on normal numbers.
const winogradError = 1e-5

// TestWinogradAgainstPlain compares wide convolutions and both gradients with the
// float64 specification on random shapes, ragged ones among them.
func TestWinogradAgainstPlain(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	worst := 0.0
	for i := range 8 {
		n, h, w := 1+r.IntN(2), 15+r.IntN(4), 15+r.IntN(6)
		in, out, pad := 32+r.IntN(18), 32+r.IntN(39), r.IntN(3)
		if !winogradPays(graph.Shape{3, 3, in, out}, 1, n, h+2*pad-2, w+2*pad-2) {
			t.Fatalf("the rule chooses another kernel for %dx%dx%d, %d to %d channels, padding %d", n, h, w, in, out, pad)
		}
		if i == 7 { // filters and products in blocks, and tiles enough for two of the micro-kernel
			in, out = 200, 190
		}
		g := graph.New()
		x, weights, bias := g.Input("x", n, h, w, in), g.Variable("w", 3, 3, in, out), g.Variable("b", out)
		y := g.Conv2D(x, weights, bias, 1, pad)
		loss := g.Sum(g.Mul(y, g.Input("dy", y.Shape...)))
		outputs := append([]*graph.Node{y}, g.Gradients(loss, []*graph.Node{x, weights})...)
		worst = max(worst, compareWithPlain(t, g, outputs, 1+r.IntN(3)))
	}
	t.Logf("largest error: %.1e of the range", worst)
}

// compareWithPlain runs both on the same numbers and returns the largest error
// relative to an output's range.
func compareWithPlain(t *testing.T, g *graph.Graph, outputs []*graph.Node, threads int) (worst float64) {
	vars := NewVariables()
	p, err := Compile(g, vars, outputs, Options{Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	m := plain.New(g)
	r := rand.New(rand.NewPCG(3, 4))
	var labels []string
	for _, n := range g.Nodes() {
		switch op := n.Op.(type) {
		case *graph.Input:
			labels = append(labels, op.Label)
		case *graph.Variable:
			labels = append(labels, op.Label)
		}
	}
	for _, label := range labels {
		data := p.Input(label)
		if data == nil {
			data = vars.Get(label)
		}
		for k := range data {
			data[k] = float32(r.NormFloat64())
		}
		m.Set32(label, data)
	}
	p.Run()
	m.Run(outputs...)
	for i, n := range outputs {
		want := m.Value(n)
		lo, hi, diff := math.Inf(1), math.Inf(-1), 0.0
		for k, v := range want {
			lo, hi = min(lo, v), max(hi, v)
			diff = max(diff, math.Abs(float64(p.Output(i)[k])-v))
		}
		if e := diff / (hi - lo); !(e <= winogradError) {
			t.Fatalf("output %d, %v: error %.2g of the range", i, n, e)
		} else {
			worst = max(worst, e)
		}
	}
	return worst
}

// BenchmarkConv times single convolutions; GFLOP/s count the products of the
// direct form.
func BenchmarkConv(b *testing.B) {
	for _, c := range []struct{ side, in, out int }{
		{128, 64, 64}, {128, 128, 64}, {64, 128, 128}, {32, 256, 256}, {16, 512, 512}, {16, 96, 96}, {64, 96, 96}, {32, 192, 192},
	} {
		b.Run(fmt.Sprintf("%dx%d/%d-%d", c.side, c.side, c.in, c.out), func(b *testing.B) {
			g := graph.New()
			y := g.Conv2D(g.Input("x", 1, c.side, c.side, c.in), g.Variable("w", 3, 3, c.in, c.out), nil, 1, 1)
			p, err := Compile(g, NewVariables(), []*graph.Node{y}, Options{Threads: 1})
			if err != nil {
				b.Fatal(err)
			}
			defer p.Close()
			p.Run()
			for b.Loop() {
				p.Run()
			}
			flops := 2 * 9 * float64(c.side*c.side*c.in*c.out)
			b.ReportMetric(flops*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}
