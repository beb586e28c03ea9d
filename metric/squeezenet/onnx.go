package squeezenet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sr3-go/sr3/checkpoint"
)

// Limits on what a file may make us hold beside its own bytes. SqueezeNet 1.1
// has 66 nodes and 52 tensors.
const (
	maxNodes   = 1024
	maxTensors = 1024
	maxEntries = 64 // inputs, outputs, attributes, dimensions of one thing
)

// onnxModel is what is needed of an ONNX file (onnx.proto, IR version 3 and
// later): the operations, by the names of the values that they read and write,
// and the stored tensors. Byte slices point into the file's bytes.
type onnxModel struct {
	nodes           []*onnxNode
	tensors         map[string]*onnxTensor
	inputs, outputs []string // of the graph; older files list tensors among inputs
}

type onnxNode struct {
	op              string
	inputs, outputs []string
	attributes      map[string]onnxAttribute
}

// onnxAttribute holds an attribute of integers or of text; others stay empty.
type onnxAttribute struct {
	ints []int64
	text string
}

// onnxTensor is a tensor with its raw little-endian elements.
type onnxTensor struct {
	name string
	dims []int64
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

// field is one field of a protocol buffer message.
type field struct {
	number protowire.Number
	kind   protowire.Type
	varint uint64
	bytes  []byte
}

// parseONNX reads the wire format of a ModelProto.
func parseONNX(data []byte) (*onnxModel, error) {
	m := &onnxModel{tensors: map[string]*onnxTensor{}}
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

// fields visits the fields of a message in order.
func fields(b []byte, visit func(f field) error) error {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		f := field{number: number, kind: kind}
		switch kind {
		case protowire.VarintType:
			f.varint, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(number, kind, b)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if err := visit(f); err != nil {
			return err
		}
	}
	return nil
}

var errWireType = errors.New("a field has the wrong wire type")

// message visits the fields of an embedded message.
func (f field) message(visit func(f field) error) error {
	if f.kind != protowire.BytesType {
		return errWireType
	}
	return fields(f.bytes, visit)
}

// appendText adds a string to a list of bounded length.
func (f field) appendText(list *[]string) error {
	if f.kind != protowire.BytesType {
		return errWireType
	}
	if len(*list) == maxEntries {
		return fmt.Errorf("more than %d names in a list", maxEntries)
	}
	*list = append(*list, string(f.bytes))
	return nil
}

// setText stores a string.
func (f field) setText(s *string) error {
	if f.kind != protowire.BytesType {
		return errWireType
	}
	*s = string(f.bytes)
	return nil
}

// appendInts adds an integer, or packed integers, to a list of bounded length.
func (f field) appendInts(list *[]int64) error {
	packed := f.bytes
	switch f.kind {
	case protowire.VarintType:
		packed = protowire.AppendVarint(nil, f.varint)
	case protowire.BytesType:
	default:
		return errWireType
	}
	for len(packed) > 0 {
		v, n := protowire.ConsumeVarint(packed)
		if n < 0 {
			return protowire.ParseError(n)
		}
		if len(*list) == maxEntries {
			return fmt.Errorf("more than %d integers in a list", maxEntries)
		}
		packed = packed[n:]
		*list = append(*list, int64(v))
	}
	return nil
}

// graphField takes one field of GraphProto.
func (m *onnxModel) graphField(f field) error {
	switch f.number {
	case 1: // node
		if len(m.nodes) == maxNodes {
			return fmt.Errorf("more than %d nodes", maxNodes)
		}
		n := &onnxNode{attributes: map[string]onnxAttribute{}}
		m.nodes = append(m.nodes, n)
		return f.message(n.field)
	case 5: // initializer
		t := &onnxTensor{}
		if err := f.message(t.field); err != nil {
			return err
		}
		if len(m.tensors) == maxTensors {
			return fmt.Errorf("more than %d tensors", maxTensors)
		}
		if m.tensors[t.name] != nil {
			return fmt.Errorf("two tensors are called %q", t.name)
		}
		m.tensors[t.name] = t
	case 11: // input
		return valueName(f, &m.inputs)
	case 12: // output
		return valueName(f, &m.outputs)
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
func (n *onnxNode) field(f field) error {
	switch f.number {
	case 1:
		return f.appendText(&n.inputs)
	case 2:
		return f.appendText(&n.outputs)
	case 4:
		return f.setText(&n.op)
	case 5: // attribute
		var name string
		var a onnxAttribute
		if err := f.message(func(f field) error { return a.field(f, &name) }); err != nil {
			return err
		}
		if len(n.attributes) == maxEntries {
			return fmt.Errorf("more than %d attributes of a node", maxEntries)
		}
		n.attributes[name] = a
	}
	return nil
}

// field takes one field of AttributeProto.
func (a *onnxAttribute) field(f field, name *string) error {
	switch f.number {
	case 1:
		return f.setText(name)
	case 3, 8: // i, ints
		return f.appendInts(&a.ints)
	case 4: // s
		return f.setText(&a.text)
	}
	return nil
}

// field takes one field of TensorProto.
func (t *onnxTensor) field(f field) error {
	switch f.number {
	case 1:
		return f.appendInts(&t.dims)
	case 2:
		t.kind = f.varint
	case 4, 5, 6, 7, 10, 11, 13: // lists of typed elements, another file
		t.elsewhere = true
	case 14: // data_location
		t.elsewhere = t.elsewhere || f.varint != 0
	case 8:
		return f.setText(&t.name)
	case 9:
		if f.kind != protowire.BytesType {
			return errWireType
		}
		t.raw = f.bytes
	}
	return nil
}

// float32s decodes a tensor that must have the given shape.
func (t *onnxTensor) float32s(shape ...int) ([]float32, error) {
	want, size := make([]int64, len(shape)), 1
	for i, d := range shape {
		want[i] = int64(d)
		size *= d
	}
	if !slices.Equal(t.dims, want) {
		return nil, fmt.Errorf("tensor %q has shape %v, want %v", t.name, t.dims, want)
	}
	width := 4
	switch {
	case t.elsewhere:
		return nil, fmt.Errorf("tensor %q keeps its elements outside raw_data; save the model with its weights inside", t.name)
	case t.kind == onnxFloat16:
		width = 2
	case t.kind != onnxFloat:
		return nil, fmt.Errorf("tensor %q has element type %d, want float (1) or float16 (10)", t.name, t.kind)
	}
	if len(t.raw) != width*size {
		return nil, fmt.Errorf("tensor %q has %d bytes, its shape %v needs %d", t.name, len(t.raw), shape, width*size)
	}
	out := make([]float32, size)
	for i := range out {
		if width == 2 {
			out[i] = checkpoint.HalfToFloat32(binary.LittleEndian.Uint16(t.raw[2*i:]))
		} else {
			out[i] = math.Float32frombits(binary.LittleEndian.Uint32(t.raw[4*i:]))
		}
		if v := float64(out[i]); math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("element %d of tensor %q is %v; the file is damaged", i, t.name, v)
		}
	}
	return out, nil
}
