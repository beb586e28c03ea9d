package graph

import "fmt"

// BinaryKind is the function of a [Binary].
type BinaryKind int

// The elementwise functions of two tensors.
const (
	AddKind BinaryKind = iota // a + b
	SubKind                   // a - b
	MulKind                   // a * b
	DivKind                   // a / b
)

var binaryNames = [...]string{"add", "sub", "mul", "div"}

// Binary is out = f(a, b) elementwise. Axes of one element stretch to the other
// operand's extent; both operands have the same number of axes.
type Binary struct{ Kind BinaryKind }

// Add is a + b, with stretching.
func (g *Graph) Add(a, b *Node) *Node { return g.apply(&Binary{AddKind}, a, b) }

// Sub is a - b, with stretching.
func (g *Graph) Sub(a, b *Node) *Node { return g.apply(&Binary{SubKind}, a, b) }

// Mul is a * b, with stretching.
func (g *Graph) Mul(a, b *Node) *Node { return g.apply(&Binary{MulKind}, a, b) }

// Div is a / b, with stretching.
func (g *Graph) Div(a, b *Node) *Node { return g.apply(&Binary{DivKind}, a, b) }

// Name implements [Op].
func (o *Binary) Name() string { return binaryNames[o.Kind] }

func (o *Binary) shape(in []Shape) (Shape, error) {
	a, b := in[0], in[1]
	if len(a) != len(b) {
		return nil, fmt.Errorf("%d and %d axes", len(a), len(b))
	}
	out := make(Shape, len(a))
	for i := range a {
		if a[i] != b[i] && a[i] != 1 && b[i] != 1 {
			return nil, fmt.Errorf("axis %d: %d against %d", i, a[i], b[i])
		}
		out[i] = max(a[i], b[i])
	}
	return out, nil
}

func (o *Binary) grad(g *Graph, n, dy *Node) []*Node {
	a, b := n.Inputs[0], n.Inputs[1]
	var da, db *Node
	switch o.Kind {
	case AddKind:
		da, db = dy, dy
	case SubKind:
		da, db = dy, g.Scale(dy, -1)
	case MulKind:
		da, db = g.Mul(dy, b), g.Mul(dy, a)
	case DivKind:
		da = g.Div(dy, b)
		db = g.Scale(g.Mul(da, n), -1)
	}
	return []*Node{g.sumTo(da, a.Shape), g.sumTo(db, b.Shape)}
}

// sumTo sums x over the axes along which a tensor of the given shape was
// stretched.
func (g *Graph) sumTo(x *Node, shape Shape) *Node {
	var axes []int
	for i, d := range shape {
		if d == 1 && x.Shape[i] != 1 {
			axes = append(axes, i)
		}
	}
	if axes == nil {
		return x
	}
	return g.Sum(x, axes...)
}
