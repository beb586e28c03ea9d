// Package graph describes networks, their losses and their training steps as
// static graphs of about thirty operations on float32 tensors.
//
// A graph is built once, read by executors (internal/cpu runs it) and never
// changed by them. Every operation is one Go type in one file, which holds its
// specification, its shape rule and its gradient; the gradient is again made of
// operations ([Graph.Gradients]), so an executor that can run a network can
// train it.
//
// Images are NHWC, convolution weights [kh, kw, in, out], linear weights
// [in, out]. Shapes are static. Wrong shapes are mistakes of the program that
// builds the graph, so builders panic; whoever builds from a user's
// configuration validates it first.
package graph

import (
	"fmt"
	"slices"
)

// Shape is the extent of a tensor along each axis, outermost first. A scalar
// has no axes.
type Shape []int

// Size is the number of elements.
func (s Shape) Size() int {
	n := 1
	for _, d := range s {
		n *= d
	}
	return n
}

// Equal reports whether both shapes have the same axes.
func (s Shape) Equal(t Shape) bool { return slices.Equal(s, t) }

// Op is an operation: its attributes are its exported fields. Executors
// dispatch on the concrete type.
type Op interface {
	// Name is the operation's name for messages and dumps.
	Name() string
	// shape checks the inputs' shapes and gives the output's.
	shape(in []Shape) (Shape, error)
	// grad emits the vector-Jacobian product: for the gradient dy of the loss by
	// n, the gradients by n's inputs, nil where an input gets none.
	grad(g *Graph, n, dy *Node) []*Node
}

// Node is one operation applied to inputs: a value of the graph.
type Node struct {
	ID     int // position in Graph.Nodes; inputs have smaller IDs
	Op     Op
	Inputs []*Node
	Shape  Shape
}

// String names the node for error messages and dumps.
func (n *Node) String() string { return fmt.Sprintf("%%%d=%s%v", n.ID, n.Op.Name(), n.Shape) }

// Graph is a list of nodes in an order in which they can be computed.
type Graph struct {
	nodes     []*Node
	variables map[string]*Node
	inputs    map[string]*Node
	kept      map[*Node]bool // see Keep
}

// New returns an empty graph.
func New() *Graph {
	return &Graph{variables: map[string]*Node{}, inputs: map[string]*Node{}, kept: map[*Node]bool{}}
}

// Nodes returns all nodes; every node comes after its inputs.
func (g *Graph) Nodes() []*Node { return g.nodes }

// apply adds a node, checking shapes.
func (g *Graph) apply(op Op, inputs ...*Node) *Node {
	shapes := make([]Shape, len(inputs))
	for i, in := range inputs {
		shapes[i] = in.Shape
	}
	shape, err := op.shape(shapes)
	if err != nil {
		panic(fmt.Sprintf("graph: %s%v: %v", op.Name(), shapes, err))
	}
	n := &Node{ID: len(g.nodes), Op: op, Inputs: inputs, Shape: shape}
	g.nodes = append(g.nodes, n)
	return n
}

// sameShapes is the shape rule of operations whose inputs all agree.
func sameShapes(in []Shape) (Shape, error) {
	for _, s := range in[1:] {
		if !s.Equal(in[0]) {
			return nil, fmt.Errorf("shapes differ")
		}
	}
	return slices.Clone(in[0]), nil
}

// once stands in for the gradient of operations that only gradients use.
type once struct{}

func (once) grad(_ *Graph, n, _ *Node) []*Node {
	panic("graph: " + n.Op.Name() + " appears in gradients only and is not differentiated again")
}
