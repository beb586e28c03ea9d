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
		if !winogradPays(graph.Shape{3, 3, in, out}, 1, graph.Shape{n, h + 2*pad - 2, w + 2*pad - 2, out}) {
			t.Fatalf("the rule chooses another kernel for %dx%dx%d, %d to %d channels, padding %d", n, h, w, in, out, pad)
		}
		if i == 7 && !testing.Short() { // filters and products in blocks, and tiles enough for two of the micro-kernel
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

// BenchmarkConv times convolutions in every way there is; a star marks the one that
// is chosen. As in a network, the filters are not in cache: there are many
// convolutions, with filters of their own. GFLOP/s count the products of the direct
// form.
func BenchmarkConv(b *testing.B) {
	for _, c := range []struct{ side, in, out int }{
		{128, 32, 32}, {128, 64, 64}, {128, 128, 64}, {64, 96, 96}, {64, 128, 128}, {64, 256, 256},
		{32, 128, 128}, {32, 192, 192}, {32, 256, 256}, {32, 512, 512}, {16, 96, 96}, {16, 256, 256}, {16, 512, 512}, {8, 128, 128}, {8, 512, 512}, {128, 64, 3},
	} {
		chosen := chooseWay(graph.Shape{3, 3, c.in, c.out}, 1, graph.Shape{1, c.side, c.side, c.out})
		for way := range wayStreamed + 1 {
			if way == wayThin && c.out > thinMostChannels || way >= wayKept && c.out < winogradMinChannels {
				continue
			}
			name := fmt.Sprintf("%dx%d/%d-%d/%s", c.side, c.side, c.in, c.out, way)
			if way == chosen {
				name += "*"
			}
			b.Run(name, func(b *testing.B) { benchmarkConv(b, c.side, c.in, c.out, way) })
		}
	}
}

func benchmarkConv(b *testing.B, side, in, out int, way convWay) {
	copies := min(max(1, 16<<20/(9*in*out)), 16)
	g, vars := graph.New(), NewVariables()
	x := g.Input("x", 1, side, side, in)
	var outputs []*graph.Node
	for i := range copies {
		label := fmt.Sprint("w", i)
		w := vars.Ensure(label, 9*in*out)
		for k := range w {
			w[k] = float32(k%7) + 1e-4 // no float16 numbers
		}
		outputs = append(outputs, g.Sum(g.Conv2D(x, g.Variable(label, 3, 3, in, out), nil, 1, 1)))
	}
	p, err := Compile(g, vars, outputs, Options{Threads: 1, Profile: true, choose: func(graph.Shape, int, graph.Shape) convWay { return way }})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	p.Run()
	p.ResetProfile()
	for b.Loop() {
		p.Run()
	}
	var flops, seconds float64
	for _, s := range p.Profile() {
		if s.Op == "conv2d" {
			flops, seconds = flops+float64(s.FLOPs), seconds+s.Time.Seconds()
		}
	}
	b.ReportMetric(flops*float64(b.N)/seconds/1e9, "GFLOP/s")
}
