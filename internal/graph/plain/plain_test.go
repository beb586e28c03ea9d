package plain_test

import (
	"math"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/internal/graph/plain"
)

// inputs is a graph in which every input is given with its values.
type inputs struct {
	*graph.Graph
	set map[string][]float64
}

func newInputs() *inputs { return &inputs{graph.New(), map[string][]float64{}} }

func (b *inputs) of(values []float64, dims ...int) *graph.Node {
	label := strings.Repeat("x", len(b.set)+1)
	b.set[label] = values
	return b.Input(label, dims...)
}

// count is the numbers 1, 2, ... in the given shape.
func (b *inputs) count(dims ...int) *graph.Node {
	values := make([]float64, graph.Shape(dims).Size())
	for i := range values {
		values[i] = float64(i + 1)
	}
	return b.of(values, dims...)
}

func (b *inputs) run(n *graph.Node) []float64 {
	m := plain.New(b.Graph)
	for label, values := range b.set {
		m.Set(label, values)
	}
	m.Run(n)
	return m.Value(n)
}

// Results worked out by hand: the specification is not checked against itself.
func TestOperationsByHand(t *testing.T) {
	e := math.E
	half := 1 / math.Sqrt(1.25) // reciprocal deviation of 1, 2, 3, 4
	for name, c := range map[string]struct {
		build func(b *inputs) *graph.Node
		want  []float64
	}{
		"silu":    {func(b *inputs) *graph.Node { return b.SiLU(b.of([]float64{0, 1}, 2)) }, []float64{0, e / (e + 1)}},
		"sigmoid": {func(b *inputs) *graph.Node { return b.Sigmoid(b.of([]float64{0, -1}, 2)) }, []float64{0.5, 1 / (1 + e)}},
		"exp":     {func(b *inputs) *graph.Node { return b.Exp(b.of([]float64{0, 1}, 2)) }, []float64{1, e}},
		"sin":     {func(b *inputs) *graph.Node { return b.Sin(b.of([]float64{0, math.Pi / 6}, 2)) }, []float64{0, 0.5}},
		"cos":     {func(b *inputs) *graph.Node { return b.Cos(b.of([]float64{0, math.Pi / 3}, 2)) }, []float64{1, 0.5}},
		"square":  {func(b *inputs) *graph.Node { return b.Square(b.of([]float64{-3, 2}, 2)) }, []float64{9, 4}},
		"sqrt":    {func(b *inputs) *graph.Node { return b.Sqrt(b.of([]float64{9, 0}, 2)) }, []float64{3, 0}},
		"abs":     {func(b *inputs) *graph.Node { return b.Abs(b.of([]float64{-3, 0, 2}, 3)) }, []float64{3, 0, 2}},
		"sign":    {func(b *inputs) *graph.Node { return b.Sign(b.of([]float64{-3, 0, 2}, 3)) }, []float64{-1, 0, 1}},
		"relu":    {func(b *inputs) *graph.Node { return b.ReLU(b.of([]float64{-3, 0, 2}, 3)) }, []float64{0, 0, 2}},
		"affine":  {func(b *inputs) *graph.Node { return b.Affine(b.of([]float64{-3, 2}, 2), 2, 1) }, []float64{-5, 5}},
		"add":     {func(b *inputs) *graph.Node { return b.Add(b.count(2, 1), b.count(1, 3)) }, []float64{2, 3, 4, 3, 4, 5}},
		"sub":     {func(b *inputs) *graph.Node { return b.Sub(b.count(2, 1), b.count(2, 2)) }, []float64{0, -1, -1, -2}},
		"mul":     {func(b *inputs) *graph.Node { return b.Mul(b.count(1, 2), b.count(2, 2)) }, []float64{1, 4, 3, 8}},
		"div":     {func(b *inputs) *graph.Node { return b.Div(b.count(1, 2), b.of([]float64{4}, 1, 1)) }, []float64{0.25, 0.5}},
		"matmul":  {func(b *inputs) *graph.Node { return b.MatMul(b.count(1, 2, 2), b.count(1, 2, 1), false, false) }, []float64{5, 11}},
		"matmul A": {func(b *inputs) *graph.Node { return b.MatMul(b.count(1, 2, 2), b.count(1, 2, 1), true, false) },
			[]float64{7, 10}},
		"matmul B": {func(b *inputs) *graph.Node { return b.MatMul(b.count(1, 1, 2), b.count(1, 3, 2), false, true) },
			[]float64{5, 11, 17}},
		"matmul AB, batch": {func(b *inputs) *graph.Node { return b.MatMul(b.count(2, 2, 1), b.count(2, 1, 2), true, true) },
			[]float64{5, 25}},
		"linear": {func(b *inputs) *graph.Node {
			return b.Linear(b.count(1, 2), b.count(2, 2), b.of([]float64{100, 200}, 2))
		}, []float64{107, 210}},
		"softmax": {func(b *inputs) *graph.Node { return b.Softmax(b.of([]float64{0, math.Log(3), 5, 5}, 2, 2)) },
			[]float64{0.25, 0.75, 0.5, 0.5}},
		// Scores 0 and 2 ln 3 * scale, so weights 1/4 and 3/4 for the first query; 1/2 twice for the second.
		"attention": {func(b *inputs) *graph.Node {
			return b.Attention(b.of([]float64{1, 0, 8, 0, 2 * math.Log(3), 16}, 1, 2, 3), 0.5)
		}, []float64{14, 12}},
		"conv2d": {func(b *inputs) *graph.Node { return b.Conv2D(b.count(1, 2, 3, 1), b.count(2, 2, 1, 1), nil, 1, 0) },
			[]float64{1*1 + 2*2 + 4*3 + 5*4, 2*1 + 3*2 + 5*3 + 6*4}},
		"conv2d, pad, stride, bias": {func(b *inputs) *graph.Node {
			return b.Conv2D(b.count(1, 2, 2, 1), b.count(3, 3, 1, 1), b.of([]float64{1000}, 1), 2, 1)
		}, []float64{1000 + 1*5 + 2*6 + 3*8 + 4*9}},
		"conv2d, channels": {func(b *inputs) *graph.Node { return b.Conv2D(b.count(1, 1, 1, 2), b.count(1, 1, 2, 2), nil, 1, 0) },
			[]float64{1*1 + 2*3, 1*2 + 2*4}},
		"group stats": {func(b *inputs) *graph.Node { return b.GroupStats(b.count(1, 1, 2, 2), 1, 0) }, []float64{2.5, half}},
		"group stats of channels": {func(b *inputs) *graph.Node { return b.GroupStats(b.count(1, 2, 1, 2), 2, 3) },
			[]float64{2, 0.5, 3, 0.5}},
		"group norm": {func(b *inputs) *graph.Node {
			return b.GroupNorm(b.count(1, 1, 2, 2), b.of([]float64{1, 2}, 2), b.of([]float64{0, 10}, 2), 1, 0, false)
		}, []float64{-1.5 * half, 10 - half, 0.5 * half, 10 + 3*half}},
		"group norm, silu": {func(b *inputs) *graph.Node {
			return b.GroupNormWith(b.count(1, 1, 1, 1), b.of([]float64{-1, 0.5}, 1, 1, 2), b.count(1), b.of([]float64{0}, 1), true)
		}, []float64{e / (e + 1)}},
		"sum":     {func(b *inputs) *graph.Node { return b.Sum(b.count(2, 3), 0) }, []float64{5, 7, 9}},
		"sum all": {func(b *inputs) *graph.Node { return b.Sum(b.count(2, 3)) }, []float64{21}},
		"mean":    {func(b *inputs) *graph.Node { return b.Mean(b.count(2, 2)) }, []float64{2.5}},
		"stretch": {func(b *inputs) *graph.Node { return b.Stretch(b.count(2, 1), 2, 2) }, []float64{1, 1, 2, 2}},
		"reshape": {func(b *inputs) *graph.Node { return b.Reshape(b.count(2, 2), 4) }, []float64{1, 2, 3, 4}},
		"concat": {func(b *inputs) *graph.Node { return b.Concat(1, b.count(2, 1), b.count(2, 2)) },
			[]float64{1, 1, 2, 2, 3, 4}},
		"slice": {func(b *inputs) *graph.Node { return b.Slice(b.count(2, 3), 1, 1, 3) }, []float64{2, 3, 5, 6}},
		"pad":   {func(b *inputs) *graph.Node { return b.Pad(b.count(2, 1), 1, 1, 2) }, []float64{0, 1, 0, 0, 0, 2, 0, 0}},
		"space to depth": {func(b *inputs) *graph.Node { return b.SpaceToDepth(b.count(1, 2, 4, 1), 2) },
			[]float64{1, 2, 5, 6, 3, 4, 7, 8}},
		"depth to space": {func(b *inputs) *graph.Node { return b.DepthToSpace(b.count(1, 1, 2, 4), 2) },
			[]float64{1, 2, 5, 6, 3, 4, 7, 8}},
		"space to depth, channels": {func(b *inputs) *graph.Node { return b.SpaceToDepth(b.count(1, 2, 2, 2), 2) },
			[]float64{1, 2, 3, 4, 5, 6, 7, 8}},
		"upsample": {func(b *inputs) *graph.Node { return b.Upsample(b.count(1, 1, 2, 1), 2) }, []float64{1, 1, 2, 2, 1, 1, 2, 2}},
		"avgpool":  {func(b *inputs) *graph.Node { return b.AvgPool(b.count(1, 2, 4, 1), 2) }, []float64{3.5, 5.5}},
		"maxpool":  {func(b *inputs) *graph.Node { return b.MaxPool(b.count(1, 4, 5, 1), 3, 2) }, []float64{13, 15}},
		"maxpool, channels": {func(b *inputs) *graph.Node { return b.MaxPool(b.of([]float64{-1, 5, -3, 7}, 1, 1, 2, 2), 1, 1) },
			[]float64{-1, 5, -3, 7}},
		"maxpool gradient, windows apart": {func(b *inputs) *graph.Node {
			x := b.count(1, 1, 3, 1)
			return b.Gradients(b.Sum(b.MaxPool(x, 1, 2)), []*graph.Node{x})[0]
		}, []float64{1, 0, 1}},
		"maxpool gradient, shared and equal elements": {func(b *inputs) *graph.Node {
			x := b.of([]float64{0, 9, 0, 0, 0, 0, 4, 4, 4}, 1, 3, 3, 1)
			y := b.MaxPool(x, 2, 1) // 9 9 / 4 4
			return b.Gradients(b.Sum(b.Mul(y, b.count(1, 2, 2, 1))), []*graph.Node{x})[0]
		}, []float64{0, 1 + 2, 0, 0, 0, 0, 3, 4, 0}},
		"constant": {func(b *inputs) *graph.Node { return b.Constant([]float32{1, 0.5}, 2) }, []float64{1, 0.5}},
		"fill":     {func(b *inputs) *graph.Node { return b.Fill(0.5, 2) }, []float64{0.5, 0.5}},
	} {
		b := newInputs()
		got := b.run(c.build(b))
		if len(got) != len(c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
			continue
		}
		for i := range got {
			if math.Abs(got[i]-c.want[i]) > 1e-12 {
				t.Errorf("%s: %v, want %v", name, got, c.want)
				break
			}
		}
	}
}

// The first words of Philox4x32-10 with key 0 and counter 0 are 6627e8d5,
// e169c58d, bc57ac4c, 9b00dbd8 (0.399, 0.881, 0.736, 0.606 of 2^32), as its
// authors publish them.
func TestDropoutDrawsTheMaskOfItsSpecification(t *testing.T) {
	b := newInputs()
	got := b.run(b.Dropout(b.count(4), b.of([]float64{0, 0}, 2), 0.625, 0))
	rate := 1 - 0.625
	for i, want := range []float64{0, 2 / rate, 3 / rate, 0} {
		if math.Abs(got[i]-want) > 1e-12 {
			t.Errorf("element %d is %g, want %g", i, got[i], want)
		}
	}
}

// Both halves of the seed and the site choose the mask, the rate its density.
func TestDropoutMasks(t *testing.T) {
	const n = 10000
	mask := func(low, high float64, site uint64) []float64 {
		b := newInputs()
		return b.run(b.Dropout(b.Fill(1, n), b.of([]float64{low, high}, 2), 0.25, site))
	}
	first := mask(1, 2, 3)
	kept := 0
	for _, v := range first {
		if v != 0 {
			kept++
			if math.Abs(v-1/0.75) > 1e-12 {
				t.Fatalf("a kept element is %g", v)
			}
		}
	}
	if sigma := math.Sqrt(n * 0.25 * 0.75); math.Abs(float64(kept)-0.75*n) > 5*sigma {
		t.Errorf("%d of %d are kept", kept, n)
	}
	for _, other := range [][]float64{mask(2, 2, 3), mask(1, 3, 3), mask(1, 2, 4)} {
		same := 0
		for i := range other {
			if (other[i] == 0) == (first[i] == 0) {
				same++
			}
		}
		if agree := 0.75*0.75 + 0.25*0.25; math.Abs(float64(same)-agree*n) > 5*math.Sqrt(n*agree*(1-agree)) {
			t.Errorf("two masks agree in %d of %d elements", same, n)
		}
	}
}

func TestValuesPersistAndRunsDoNot(t *testing.T) {
	g := graph.New()
	x, w := g.Input("x", 1), g.Variable("w", 1)
	y := g.Mul(x, w)
	m := plain.New(g)
	m.Set("x", []float64{3})
	m.Set32("w", []float32{0.5})
	m.Run(y)
	if got := m.Value(y)[0]; got != 1.5 {
		t.Errorf("0.5 * 3 = %g", got)
	}
	m.Set("x", []float64{5})
	z := g.Square(y) // the graph may grow
	m.Run(z)
	if got := m.Value(z)[0]; got != 6.25 {
		t.Errorf("(0.5 * 5)^2 = %g", got)
	}
	m.Value(z)[0] = 7
	m.Value(x)[0] = 7
	m.Run(x)
	if got := m.Value(x)[0]; got != 5 || m.Get("x")[0] != 5 {
		t.Errorf("writing to a result changed the input to %g", got)
	}
	mustPanic(t, "a value of an earlier run", func() { m.Value(z) })
}

func TestMistakesPanic(t *testing.T) {
	g := graph.New()
	x := g.Input("x", 2)
	m := plain.New(g)
	mustPanic(t, "an input without value", func() { m.Run(g.Square(x)) })
	mustPanic(t, "an unknown label", func() { m.Set("y", []float64{1}) })
	mustPanic(t, "an empty label", func() { m.Set("", []float64{1}) })
	mustPanic(t, "a wrong length", func() { m.Set("x", []float64{1}) })
	mustPanic(t, "a foreign node", func() { m.Run(graph.New().Fill(1, 1)) })
	g.Variable("x", 2)
	mustPanic(t, "a shared label", func() { m.Set("x", []float64{1, 2}) })
}

func mustPanic(t *testing.T, name string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if message, ok := recover().(string); !ok || !strings.HasPrefix(message, "plain: ") {
			t.Errorf("%s: panicked with %q", name, message)
		}
	}()
	f()
	t.Errorf("%s did not panic", name)
}
