package graph_test

import (
	"strings"
	"testing"

	"github.com/sr3-go/sr3/internal/graph"
)

func TestShapes(t *testing.T) {
	g := graph.New()
	n := 0
	in := func(dims ...int) *graph.Node {
		n++
		return g.Input(strings.Repeat("x", n), dims...)
	}
	for _, c := range []struct {
		name string
		got  *graph.Node
		want graph.Shape
	}{
		{"conv same", g.Conv2D(in(2, 5, 7, 3), in(3, 3, 3, 8), in(8), 1, 1), graph.Shape{2, 5, 7, 8}},
		{"conv valid", g.Conv2D(in(2, 5, 7, 3), in(3, 3, 3, 8), nil, 1, 0), graph.Shape{2, 3, 5, 8}},
		{"conv stride, odd", g.Conv2D(in(1, 5, 7, 3), in(3, 3, 3, 8), nil, 2, 1), graph.Shape{1, 3, 4, 8}},
		{"conv stride, even", g.Conv2D(in(1, 6, 8, 3), in(3, 3, 3, 8), nil, 2, 1), graph.Shape{1, 3, 4, 8}},
		{"conv 4x4", g.Conv2D(in(1, 6, 8, 3), in(4, 4, 3, 8), nil, 2, 1), graph.Shape{1, 3, 4, 8}},
		{"conv to one pixel", g.Conv2D(in(1, 2, 1, 3), in(4, 3, 3, 8), nil, 2, 1), graph.Shape{1, 1, 1, 8}},
		{"matmul", g.MatMul(in(2, 3, 5), in(2, 5, 7), false, false), graph.Shape{2, 3, 7}},
		{"matmul A", g.MatMul(in(2, 5, 3), in(2, 5, 7), true, false), graph.Shape{2, 3, 7}},
		{"matmul B", g.MatMul(in(2, 3, 5), in(2, 7, 5), false, true), graph.Shape{2, 3, 7}},
		{"matmul AB", g.MatMul(in(2, 5, 3), in(2, 7, 5), true, true), graph.Shape{2, 3, 7}},
		{"linear", g.Linear(in(4, 5), in(5, 6), in(6)), graph.Shape{4, 6}},
		{"stretching", g.Add(in(2, 1, 5), in(1, 3, 5)), graph.Shape{2, 3, 5}},
		{"scalars", g.Mul(in(), in()), graph.Shape{}},
		{"stats", g.GroupStats(in(2, 3, 4, 6), 3, 0), graph.Shape{2, 3, 2}},
		{"norm", g.GroupNorm(in(2, 3, 4, 6), in(6), in(6), 3, 0, true), graph.Shape{2, 3, 4, 6}},
		{"sum", g.Sum(in(2, 3, 4), 0, 2), graph.Shape{1, 3, 1}},
		{"sum of all", g.Sum(in(2, 3, 4)), graph.Shape{1, 1, 1}},
		{"mean", g.Mean(in(2, 3)), graph.Shape{1, 1}},
		{"stretch", g.Stretch(in(1, 3), 4, 3), graph.Shape{4, 3}},
		{"reshape", g.Reshape(in(2, 3, 4), 6, 4), graph.Shape{6, 4}},
		{"reshape to scalar", g.Reshape(in(1, 1)), graph.Shape{}},
		{"concat", g.Concat(1, in(2, 3), in(2, 1), in(2, 4)), graph.Shape{2, 8}},
		{"slice", g.Slice(in(2, 5), 1, 1, 4), graph.Shape{2, 3}},
		{"pad", g.Pad(in(2, 5), 0, 1, 4), graph.Shape{7, 5}},
		{"fold", g.SpaceToDepth(in(1, 4, 6, 3), 2), graph.Shape{1, 2, 3, 12}},
		{"unfold", g.DepthToSpace(in(1, 4, 6, 12), 2), graph.Shape{1, 8, 12, 3}},
		{"upsample", g.Upsample(in(1, 4, 6, 3), 3), graph.Shape{1, 12, 18, 3}},
		{"avgpool", g.AvgPool(in(1, 4, 6, 3), 2), graph.Shape{1, 2, 3, 3}},
		{"maxpool", g.MaxPool(in(2, 7, 9, 3), 3, 2), graph.Shape{2, 3, 4, 3}},
		{"maxpool, remainder", g.MaxPool(in(2, 8, 3, 3), 3, 2), graph.Shape{2, 3, 1, 3}},
		{"dropout", g.Dropout(in(3, 4), in(2), 0.5, 1), graph.Shape{3, 4}},
		{"softmax", g.Softmax(in(3, 4)), graph.Shape{3, 4}},
		{"attention", g.Attention(in(2, 5, 12), 1), graph.Shape{2, 5, 4}},
	} {
		if !c.got.Shape.Equal(c.want) {
			t.Errorf("%s: %v, want %v", c.name, c.got.Shape, c.want)
		}
	}
}

func TestWrongShapesPanic(t *testing.T) {
	g := graph.New()
	n := 0
	in := func(dims ...int) *graph.Node {
		n++
		return g.Input(strings.Repeat("x", n), dims...)
	}
	image, hyper := in(1, 4, 6, 6), in(graph.AdamHyper)
	p, m, v := g.Variable("p", 3), g.Variable("m", 3), g.Variable("v", 3)
	for name, f := range map[string]func(){
		"add, axes":                 func() { g.Add(in(2, 3), in(3)) },
		"add, extents":              func() { g.Add(in(2, 3), in(2, 4)) },
		"conv, channels":            func() { g.Conv2D(image, in(3, 3, 5, 2), nil, 1, 1) },
		"conv, bias":                func() { g.Conv2D(image, in(3, 3, 6, 2), in(3), 1, 1) },
		"conv, rank":                func() { g.Conv2D(in(4, 6, 6), in(3, 3, 6, 2), nil, 1, 1) },
		"conv, weights' rank":       func() { g.Conv2D(image, in(3, 6, 2), nil, 1, 1) },
		"conv, stride":              func() { g.Conv2D(image, in(3, 3, 6, 2), nil, 0, 1) },
		"conv, padding":             func() { g.Conv2D(image, in(3, 3, 6, 2), nil, 1, -1) },
		"conv, kernel too high":     func() { g.Conv2D(in(1, 2, 9, 6), in(3, 3, 6, 2), nil, 1, 0) },
		"conv, too high, strided":   func() { g.Conv2D(in(1, 2, 9, 6), in(3, 3, 6, 2), nil, 2, 0) },
		"conv, too wide, strided":   func() { g.Conv2D(in(1, 9, 2, 6), in(3, 3, 6, 2), nil, 2, 0) },
		"matmul, inner":             func() { g.MatMul(in(1, 2, 3), in(1, 2, 3), false, false) },
		"matmul, inner of A":        func() { g.MatMul(in(1, 2, 3), in(1, 3, 3), true, false) },
		"matmul, batch":             func() { g.MatMul(in(1, 2, 3), in(2, 3, 2), false, false) },
		"matmul, rank":              func() { g.MatMul(in(2, 3), in(3, 2), false, false) },
		"linear, width":             func() { g.Linear(in(2, 3), in(4, 2), nil) },
		"linear, bias":              func() { g.Linear(in(2, 3), in(3, 2), in(3)) },
		"softmax of a scalar":       func() { g.Softmax(in()) },
		"attention, thirds":         func() { g.Attention(in(2, 5, 7), 1) },
		"attention, scale":          func() { g.Attention(in(2, 5, 6), -1) },
		"attention, rank":           func() { g.Attention(in(2, 5, 2, 6), 1) },
		"group stats, groups":       func() { g.GroupStats(image, 4, 0) },
		"group stats, none":         func() { g.GroupStats(image, 0, 0) },
		"group stats, rank":         func() { g.GroupStats(in(2, 6), 2, 0) },
		"group norm, scale":         func() { g.GroupNorm(image, in(5), in(6), 2, 0, false) },
		"group norm, shift":         func() { g.GroupNorm(image, in(6), in(1), 2, 0, false) },
		"group norm, statistics":    func() { g.GroupNormWith(image, in(1, 4, 2), in(6), in(6), false) },
		"group norm, images":        func() { g.GroupNormWith(image, in(2, 2, 2), in(6), in(6), false) },
		"sum, axis":                 func() { g.Sum(in(2, 3), 2) },
		"stretch, axes":             func() { g.Stretch(in(1, 3), 3) },
		"stretch, extent":           func() { g.Stretch(in(2, 3), 4, 3) },
		"stretch to nothing":        func() { g.Stretch(in(1, 3), 0, 3) },
		"reshape, size":             func() { g.Reshape(in(2, 3), 5) },
		"reshape, negative":         func() { g.Reshape(in(2, 3), -2, -3) },
		"concat, axis":              func() { g.Concat(2, in(2, 3), in(2, 3)) },
		"concat, extent":            func() { g.Concat(1, in(2, 3), in(3, 3)) },
		"concat, rank":              func() { g.Concat(0, in(2, 3), in(2)) },
		"concat of nothing":         func() { g.Concat(0) },
		"slice, empty":              func() { g.Slice(in(2, 3), 1, 2, 2) },
		"slice, beyond":             func() { g.Slice(in(2, 3), 1, 2, 4) },
		"slice, before":             func() { g.Slice(in(2, 3), 1, -1, 2) },
		"slice, axis":               func() { g.Slice(in(2, 3), 2, 0, 1) },
		"pad, negative":             func() { g.Pad(in(2, 3), 1, -1, 0) },
		"pad, axis":                 func() { g.Pad(in(2, 3), -1, 1, 0) },
		"fold, remainder":           func() { g.SpaceToDepth(image, 4) },
		"unfold, remainder":         func() { g.DepthToSpace(image, 2) },
		"upsample, factor":          func() { g.Upsample(image, 0) },
		"avgpool, remainder":        func() { g.AvgPool(image, 4) },
		"avgpool, rank":             func() { g.AvgPool(in(4, 4), 2) },
		"maxpool, rank":             func() { g.MaxPool(in(4, 4), 2, 2) },
		"maxpool, stride":           func() { g.MaxPool(image, 2, 0) },
		"maxpool, kernel":           func() { g.MaxPool(image, 0, 1) },
		"maxpool, too large":        func() { g.MaxPool(image, 5, 1) },
		"dropout, rate":             func() { g.Dropout(image, in(2), 1, 0) },
		"dropout, negative rate":    func() { g.Dropout(image, in(2), -0.1, 0) },
		"dropout, seed":             func() { g.Dropout(image, in(3), 0.5, 0) },
		"input, empty axis":         func() { in(2, 0) },
		"input, twice":              func() { g.Input("x", 1) },
		"variable, another shape":   func() { g.Variable("p", 4) },
		"constant, values":          func() { g.Constant([]float32{1, 2}, 3) },
		"fill, empty":               func() { g.Fill(1, 0) },
		"adam, not a variable":      func() { g.Adam(graph.Adam{}, in(3), p, m, v, hyper, nil) },
		"adam, average no variable": func() { g.Adam(graph.Adam{}, p, in(3), m, v, hyper, in(3)) },
		"adam, gradient":            func() { g.Adam(graph.Adam{}, p, in(4), m, v, hyper, nil) },
		"adam, hyper":               func() { g.Adam(graph.Adam{}, p, in(3), m, v, in(4), nil) },
		"descent, not a variable":   func() { g.Descend(p, in(3), in(3), in(3), hyper, nil) },
		"descent, direction":        func() { g.Descend(p, in(4), m, in(3), hyper, nil) },
		"descent, average":          func() { g.Descend(p, in(3), m, in(3), hyper, g.Variable("short", 2)) },
	} {
		mustPanic(t, name, f)
	}
}

// The order of nodes is an order of computation, IDs are positions, and a
// variable asked for twice is one node.
func TestNodes(t *testing.T) {
	g := graph.New()
	w := g.Variable("w", 3, 3, 2, 4)
	y := g.Conv2D(g.Input("x", 1, 5, 5, 2), w, nil, 1, 1)
	if g.Variable("w", 3, 3, 2, 4) != w {
		t.Error("a variable asked for again is another node")
	}
	g.Gradients(g.Mean(g.Square(y)), []*graph.Node{w})
	for i, n := range g.Nodes() {
		if n.ID != i {
			t.Errorf("%v is at position %d", n, i)
		}
		for _, in := range n.Inputs {
			if in.ID >= n.ID {
				t.Errorf("%v reads %v", n, in)
			}
		}
	}
	if got := y.String(); got != "%2=conv2d[1 5 5 4]" {
		t.Errorf("the node is called %s", got)
	}
}
