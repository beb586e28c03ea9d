package netfile

import (
	"fmt"
	"slices"
)

// Limits on what a file may make us hold beside its own bytes. Of the networks
// that are read, Inception-v3 has the most: about 310 nodes and 570 tensors.
const (
	maxNodes   = 1024
	maxTensors = 1024
	maxEntries = 64 // inputs, outputs, attributes, dimensions of one thing
)

// Model is what is needed of an ONNX file (onnx.proto, IR version 3 and later):
// the operations, by the names of the values that they read and write, and the
// stored tensors. Tensors point into the file's bytes.
type Model struct {
	Nodes   []*Node
	Tensors map[string]*Tensor
	// Inputs and Outputs are the graph's; older files list tensors among Inputs.
	Inputs, Outputs []string
}

// Node is an operation of a model.
type Node struct {
	Op              string
	Inputs, Outputs []string
	Attributes      map[string]Attribute
}

// Attribute holds an attribute of integers or of text; others stay empty.
type Attribute struct {
	Ints []int64
	Text string
}

// Tensor is a stored tensor of a model, not decoded.
type Tensor struct {
	Name string
	Dims []int64
	kind uint64 // TensorProto.DataType
	raw  []byte
	// elsewhere says that elements are kept outside raw: in a list of their own or
	// in another file.
	elsewhere bool
}

// The element types that are read.
const (
	onnxFloat   = 1
	onnxFloat16 = 10
)

// ParseONNX reads the wire format of a ModelProto. The model keeps data.
func ParseONNX(data []byte) (*Model, error) {
	m := &Model{Tensors: map[string]*Tensor{}}
	graphs := 0
	err := fields(data, func(f field) error {
		if f.number != 7 { // all but graph
			return nil
		}
		graphs++
		return f.message(m.graphField)
	})
	if err != nil {
		return nil, fmt.Errorf("not an ONNX model: %w", err)
	}
	if graphs != 1 {
		return nil, fmt.Errorf("not an ONNX model: %d graphs, want 1", graphs)
	}
	return m, nil
}

// graphField takes one field of GraphProto.
func (m *Model) graphField(f field) error {
	switch f.number {
	case 1: // node
		if len(m.Nodes) == maxNodes {
			return fmt.Errorf("more than %d nodes", maxNodes)
		}
		n := &Node{Attributes: map[string]Attribute{}}
		m.Nodes = append(m.Nodes, n)
		return f.message(n.field)
	case 5: // initializer
		t := &Tensor{}
		if err := f.message(t.field); err != nil {
			return err
		}
		if len(m.Tensors) == maxTensors {
			return fmt.Errorf("more than %d tensors", maxTensors)
		}
		if m.Tensors[t.Name] != nil {
			return fmt.Errorf("two tensors are called %q", t.Name)
		}
		m.Tensors[t.Name] = t
	case 11: // input
		return valueName(f, &m.Inputs)
	case 12: // output
		return valueName(f, &m.Outputs)
	}
	return nil
}

// valueName takes the name of a ValueInfoProto.
func valueName(f field, names *[]string) error {
	var name string
	err := f.message(func(f field) error {
		if f.number == 1 {
			return f.setText(&name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(*names) == maxTensors {
		return fmt.Errorf("more than %d inputs or outputs", maxTensors)
	}
	*names = append(*names, name)
	return nil
}

// field takes one field of NodeProto.
func (n *Node) field(f field) error {
	switch f.number {
	case 1:
		return f.appendText(&n.Inputs)
	case 2:
		return f.appendText(&n.Outputs)
	case 4:
		return f.setText(&n.Op)
	case 5: // attribute
		var name string
		var a Attribute
		if err := f.message(func(f field) error { return a.field(f, &name) }); err != nil {
			return err
		}
		if len(n.Attributes) == maxEntries {
			return fmt.Errorf("more than %d attributes of a node", maxEntries)
		}
		n.Attributes[name] = a
	}
	return nil
}

// String names a node for messages.
func (n *Node) String() string { return fmt.Sprintf("%s -> %.80q", n.Op, n.Outputs) }

// field takes one field of AttributeProto.
func (a *Attribute) field(f field, name *string) error {
	switch f.number {
	case 1:
		return f.setText(name)
	case 3, 8: // i, ints
		return f.appendInts(&a.Ints)
	case 4: // s
		return f.setText(&a.Text)
	}
	return nil
}

// field takes one field of TensorProto.
func (t *Tensor) field(f field) error {
	switch f.number {
	case 1:
		return f.appendInts(&t.Dims)
	case 2:
		t.kind = f.varint
	case 4, 5, 6, 7, 10, 11, 13: // lists of typed elements, another file
		t.elsewhere = true
	case 14: // data_location
		t.elsewhere = t.elsewhere || f.varint != 0
	case 8:
		return f.setText(&t.Name)
	case 9:
		if f.kind != bytesType {
			return errWireType
		}
		t.raw = f.bytes
	}
	return nil
}

// Float32s decodes a tensor that must have the given shape and finite elements of
// type float or float16.
func (t *Tensor) Float32s(shape ...int) ([]float32, error) {
	want, size := make([]int64, len(shape)), 1
	for i, d := range shape {
		want[i] = int64(d)
		size *= d
	}
	if !slices.Equal(t.Dims, want) {
		return nil, fmt.Errorf("tensor %q has shape %v, want %v", t.Name, t.Dims, want)
	}
	width := 4
	switch {
	case t.elsewhere:
		return nil, fmt.Errorf("tensor %q keeps its elements outside raw_data; save the model with its weights inside", t.Name)
	case t.kind == onnxFloat16:
		width = 2
	case t.kind != onnxFloat:
		return nil, fmt.Errorf("tensor %q has element type %d, want float (1) or float16 (10)", t.Name, t.kind)
	}
	out, err := decodeFloats(t.raw, width, size)
	if err != nil {
		return nil, fmt.Errorf("tensor %q of shape %v: %w", t.Name, shape, err)
	}
	return out, nil
}
