package graph

import (
	"fmt"
	"slices"
)

// Input is a tensor that the caller fills before every run.
type Input struct {
	Label string
	Dims  Shape
}

// Input adds a named input.
func (g *Graph) Input(label string, dims ...int) *Node {
	if g.inputs[label] != nil {
		panic("graph: a second input named " + label)
	}
	n := g.apply(&Input{label, dims})
	g.inputs[label] = n
	return n
}

// Name implements [Op].
func (o *Input) Name() string                      { return "input:" + o.Label }
func (o *Input) shape([]Shape) (Shape, error)      { return checkDims(o.Dims) }
func (o *Input) grad(_ *Graph, _, _ *Node) []*Node { return nil }

// Variable is a tensor that outlives a run: a parameter, an optimiser's moment,
// an average. Programs that share storage share variables by label.
type Variable struct {
	Label string
	Dims  Shape
}

// Variable adds a variable, or returns the one that already has this label,
// whose shape must agree.
func (g *Graph) Variable(label string, dims ...int) *Node {
	if n := g.variables[label]; n != nil {
		if !n.Shape.Equal(dims) {
			panic(fmt.Sprintf("graph: variable %s is %v, asked for as %v", label, n.Shape, dims))
		}
		return n
	}
	n := g.apply(&Variable{label, dims})
	g.variables[label] = n
	return n
}

// Name implements [Op].
func (o *Variable) Name() string                      { return "variable:" + o.Label }
func (o *Variable) shape([]Shape) (Shape, error)      { return checkDims(o.Dims) }
func (o *Variable) grad(_ *Graph, _, _ *Node) []*Node { return nil }

// Constant is a tensor of given values.
type Constant struct {
	Values []float32
	Dims   Shape
}

// Constant adds a tensor of given values, row-major.
func (g *Graph) Constant(values []float32, dims ...int) *Node {
	return g.apply(&Constant{values, dims})
}

// Name implements [Op].
func (o *Constant) Name() string { return "constant" }
func (o *Constant) shape([]Shape) (Shape, error) {
	if len(o.Values) != o.Dims.Size() {
		return nil, fmt.Errorf("%d values for shape %v", len(o.Values), o.Dims)
	}
	return checkDims(o.Dims)
}
func (o *Constant) grad(_ *Graph, _, _ *Node) []*Node { return nil }

// Fill is a tensor that holds one number everywhere.
type Fill struct {
	Value float32
	Dims  Shape
}

// Fill adds a tensor of one repeated number.
func (g *Graph) Fill(value float32, dims ...int) *Node { return g.apply(&Fill{value, dims}) }

// Name implements [Op].
func (o *Fill) Name() string                      { return "fill" }
func (o *Fill) shape([]Shape) (Shape, error)      { return checkDims(o.Dims) }
func (o *Fill) grad(_ *Graph, _, _ *Node) []*Node { return nil }

// checkDims refuses axes without elements.
func checkDims(dims Shape) (Shape, error) {
	for _, d := range dims {
		if d < 1 {
			return nil, fmt.Errorf("an axis of %d elements", d)
		}
	}
	return slices.Clone(dims), nil
}
