// Package plain runs graphs of internal/graph in float64 with the most obvious
// loops. It is the specification that executors are tested against and the
// arithmetic in which gradients are compared with finite differences; it makes
// no attempt at speed.
//
// Every operation is one small function that says the same as the operation's
// documentation. Attributes are float32 in the graph and are widened exactly.
package plain

import (
	"fmt"
	"slices"

	"github.com/sr3-go/sr3/internal/graph"
)

// Machine runs one graph. It holds the values of inputs and variables between
// runs and the values of nodes since the last run. It is not safe for use by
// several goroutines at once.
//
// Mistakes of the calling program (unknown labels, wrong lengths, inputs that
// were never set) panic.
type Machine struct {
	graph  *graph.Graph
	stored map[string][]float64      // inputs and variables
	values map[*graph.Node][]float64 // results of the last run
}

// New makes a machine for g, which may still grow between runs. No input and no
// variable has a value yet.
func New(g *graph.Graph) *Machine {
	return &Machine{graph: g, stored: map[string][]float64{}, values: map[*graph.Node][]float64{}}
}

// Set copies values, row-major, into the input or variable of this label.
func (m *Machine) Set(label string, values []float64) {
	n := m.named(label)
	if len(values) != n.Shape.Size() {
		panic(fmt.Sprintf("plain: %d values for %v", len(values), n))
	}
	m.stored[label] = slices.Clone(values)
}

// Set32 is [Machine.Set] for values of the precision that executors use.
func (m *Machine) Set32(label string, values []float32) {
	wide := make([]float64, len(values))
	for i, v := range values {
		wide[i] = float64(v)
	}
	m.Set(label, wide)
}

// Get returns the stored value of an input or variable, nil if it has none. It
// is the machine's own memory: writing to it changes the value, a run with
// a [graph.Update] replaces the variable's content in place.
func (m *Machine) Get(label string) []float64 { return m.stored[label] }

// Run computes the given nodes and all that they need, in the graph's order,
// and then applies the updates among them.
func (m *Machine) Run(outputs ...*graph.Node) {
	clear(m.values)
	var updates []*graph.Node
	for _, n := range m.needed(outputs) {
		if _, ok := n.Op.(graph.Update); ok {
			updates = append(updates, n)
			continue
		}
		m.values[n] = m.compute(n)
	}
	for _, n := range updates {
		m.values[n] = []float64{0}
		m.update(n)
	}
}

// Value is the node's value in the last run, row-major; for a variable, before
// the updates of that run. The token of an update is a zero.
func (m *Machine) Value(n *graph.Node) []float64 {
	v, ok := m.values[n]
	if !ok {
		panic(fmt.Sprintf("plain: %v was not needed in the last run", n))
	}
	return v
}

// named finds the one input or variable of a label.
func (m *Machine) named(label string) *graph.Node {
	var found *graph.Node
	for _, n := range m.graph.Nodes() {
		if storedLabel(n) != label || label == "" {
			continue
		}
		if found != nil {
			panic("plain: an input and a variable share the label " + label)
		}
		found = n
	}
	if found == nil {
		panic("plain: the graph has no input or variable named " + label)
	}
	return found
}

// storedLabel is the label of an input or a variable, else empty.
func storedLabel(n *graph.Node) string {
	switch op := n.Op.(type) {
	case *graph.Input:
		return op.Label
	case *graph.Variable:
		return op.Label
	}
	return ""
}

// needed lists outputs and everything they depend on in the graph's order.
func (m *Machine) needed(outputs []*graph.Node) []*graph.Node {
	marked := map[*graph.Node]bool{}
	for _, n := range outputs {
		marked[n] = true
	}
	nodes := m.graph.Nodes()
	var list []*graph.Node
	for _, n := range slices.Backward(nodes) {
		if !marked[n] {
			continue
		}
		for _, in := range n.Inputs {
			marked[in] = true
		}
		list = append(list, n)
	}
	if len(list) < len(marked) {
		panic("plain: an output belongs to another graph")
	}
	slices.Reverse(list)
	return list
}

// load copies the stored value of an input or variable.
func (m *Machine) load(n *graph.Node) []float64 {
	v := m.stored[storedLabel(n)]
	if v == nil {
		panic(fmt.Sprintf("plain: %v has no value", n))
	}
	return slices.Clone(v)
}

// compute evaluates one node from the values of its inputs.
func (m *Machine) compute(n *graph.Node) []float64 {
	in := make([][]float64, len(n.Inputs))
	for i, node := range n.Inputs {
		in[i] = m.values[node]
	}
	out := make([]float64, n.Shape.Size())
	switch op := n.Op.(type) {
	case *graph.Input, *graph.Variable:
		return m.load(n)
	case *graph.Constant:
		constant(op, out)
	case *graph.Fill:
		fill(op, out)
	case *graph.Unary:
		unary(op, out, in[0])
	case *graph.SiLUGrad:
		siluGrad(out, in[0], in[1])
	case *graph.Affine:
		affine(op, out, in[0])
	case *graph.Binary:
		binary(op, n, out, in[0], in[1])
	case *graph.Dropout:
		dropout(op, out, in[0], in[1])
	case *graph.MatMul:
		matmul(op, n, out, in[0], in[1])
	case *graph.Softmax:
		softmax(n, out, in[0])
	case *graph.SoftmaxGrad:
		softmaxGrad(n, out, in[0], in[1])
	case *graph.Attention:
		attention(op, n, out, in[0])
	case *graph.AttentionGrad:
		attentionGrad(op, n, out, in[0], in[1], in[2])
	case *graph.Conv2D:
		conv2d(op, n, out, in)
	case *graph.Conv2DInputGrad:
		conv2dInputGrad(op, n, out, in[0], in[1])
	case *graph.Conv2DWeightGrad:
		conv2dWeightGrad(op, n, out, in[0], in[1])
	case *graph.GroupStats:
		groupStats(op, n, out, in[0])
	case *graph.GroupNorm:
		groupNorm(op, n, out, in)
	case *graph.GroupNormGradSums:
		groupNormGradSums(op, n, out, in)
	case *graph.GroupNormInputGrad:
		groupNormInputGrad(op, n, out, in)
	case *graph.Sum:
		sum(n, out, in[0])
	case *graph.Stretch:
		stretch(n, out, in[0])
	case *graph.Reshape:
		copy(out, in[0])
	case *graph.Concat:
		concat(op, n, out, in)
	case *graph.Slice:
		slice(op, n, out, in[0])
	case *graph.Pad:
		pad(op, n, out, in[0])
	case *graph.SpaceToDepth:
		spaceToDepth(op, n, out, in[0])
	case *graph.DepthToSpace:
		depthToSpace(op, n, out, in[0])
	case *graph.Upsample:
		upsample(op, n, out, in[0])
	case *graph.AvgPool:
		avgPool(op, n, out, in[0])
	case *graph.MaxPool:
		maxPool(op, n, out, in[0])
	case *graph.MaxPoolGrad:
		maxPoolGrad(op, n, out, in[0], in[1])
	default:
		panic(fmt.Sprintf("plain: %v is an unknown operation", n))
	}
	return out
}
