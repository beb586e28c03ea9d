package graph

import (
	"fmt"
	"slices"
)

// Sum adds up the elements along Axes, which stay as axes of one element.
type Sum struct{ Axes []int }

// Sum adds up along the given axes, or along all without any.
func (g *Graph) Sum(x *Node, axes ...int) *Node {
	if len(axes) == 0 {
		for i := range x.Shape {
			axes = append(axes, i)
		}
	}
	return g.apply(&Sum{axes}, x)
}

// Mean is the arithmetic mean over all elements: a tensor of one element with
// as many axes as x.
func (g *Graph) Mean(x *Node) *Node { return g.Scale(g.Sum(x), 1/float32(x.Shape.Size())) }

// Name implements [Op].
func (o *Sum) Name() string { return "sum" }
func (o *Sum) shape(in []Shape) (Shape, error) {
	out := slices.Clone(in[0])
	for _, a := range o.Axes {
		if a < 0 || a >= len(out) {
			return nil, fmt.Errorf("no axis %d", a)
		}
		out[a] = 1
	}
	return out, nil
}
func (o *Sum) grad(g *Graph, n, dy *Node) []*Node {
	return []*Node{g.Stretch(dy, n.Inputs[0].Shape...)}
}

// Stretch repeats axes of one element up to Dims.
type Stretch struct{ Dims Shape }

// Stretch repeats axes of one element to the given extents.
func (g *Graph) Stretch(x *Node, dims ...int) *Node {
	if x.Shape.Equal(dims) {
		return x
	}
	return g.apply(&Stretch{slices.Clone(dims)}, x)
}

// Name implements [Op].
func (o *Stretch) Name() string { return "stretch" }
func (o *Stretch) shape(in []Shape) (Shape, error) {
	if len(in[0]) != len(o.Dims) {
		return nil, fmt.Errorf("to %v", o.Dims)
	}
	for i, d := range in[0] {
		if d != 1 && d != o.Dims[i] {
			return nil, fmt.Errorf("to %v: axis %d has %d elements", o.Dims, i, d)
		}
	}
	return checkDims(o.Dims)
}
func (o *Stretch) grad(g *Graph, n, dy *Node) []*Node {
	return []*Node{g.sumTo(dy, n.Inputs[0].Shape)}
}
