package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Versions of what is written. Operator set 17 has all that is needed and is read
// by every runtime since 2022.
const (
	irVersion    = 8
	opsetVersion = 17
)

// Element types, TensorProto.DataType.
const (
	typeFloat = 1
	typeInt64 = 7
)

// attribute is an attribute of a node: an int64, a list of them, a float32 or a
// string.
type attribute struct {
	name  string
	value any
}

// node is one operation.
type node struct {
	op         string
	inputs     []string
	output     string
	attributes []attribute
}

// tensor is a stored tensor. Its elements are made when they are written, so that
// the weights are not in memory a second time.
type tensor struct {
	name   string
	dims   []int
	kind   uint64
	size   int64 // bytes
	offset int64 // in the file of weights; -1 if the elements are in the model itself
	data   func() []byte
}

// port is an input or output of the whole graph.
type port struct {
	name string
	dims []int
}

// file is the content of an ONNX model.
type file struct {
	nodes           []node
	tensors         []*tensor
	inputs, outputs []port
	doc, version    string
	meta            [][2]string
}

func message(b []byte, number protowire.Number, content []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), content)
}

func text(b []byte, number protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, number, protowire.BytesType), s)
}

func integer(b []byte, number protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, number, protowire.VarintType), v)
}

// packed appends a list of integers.
func packed(b []byte, number protowire.Number, values []int64) []byte {
	var list []byte
	for _, v := range values {
		list = protowire.AppendVarint(list, uint64(v))
	}
	return message(b, number, list)
}

// bytes encodes an AttributeProto.
func (a attribute) bytes() []byte {
	b := text(nil, 1, a.name)
	switch v := a.value.(type) {
	case float32:
		b = protowire.AppendTag(b, 2, protowire.Fixed32Type)
		b = protowire.AppendFixed32(b, math.Float32bits(v))
		return integer(b, 20, 1)
	case int:
		return integer(integer(b, 3, uint64(v)), 20, 2)
	case string:
		return integer(text(b, 4, v), 20, 3)
	case []int64:
		return integer(packed(b, 8, v), 20, 7)
	}
	panic(fmt.Sprintf("onnx: attribute %s is a %T", a.name, a.value))
}

// bytes encodes a NodeProto.
func (n node) bytes() []byte {
	var b []byte
	for _, name := range n.inputs {
		b = text(b, 1, name)
	}
	b = text(b, 2, n.output)
	b = text(b, 3, n.output)
	b = text(b, 4, n.op)
	for _, a := range n.attributes {
		b = message(b, 5, a.bytes())
	}
	return b
}

// bytes encodes a ValueInfoProto of float32.
func (p port) bytes() []byte {
	var shape []byte
	for _, d := range p.dims {
		shape = message(shape, 1, integer(nil, 1, uint64(d)))
	}
	tensorType := message(integer(nil, 1, typeFloat), 2, shape)
	return message(text(nil, 1, p.name), 2, message(nil, 1, tensorType))
}

// head encodes a TensorProto up to its elements; weights is the name of the file
// that holds them if the model does not.
func (t *tensor) head(weights string) []byte {
	dims := make([]int64, len(t.dims))
	for i, d := range t.dims {
		dims[i] = int64(d)
	}
	b := text(integer(packed(nil, 1, dims), 2, t.kind), 8, t.name)
	if t.offset < 0 {
		b = protowire.AppendTag(b, 9, protowire.BytesType)
		return protowire.AppendVarint(b, uint64(t.size))
	}
	for _, entry := range [][2]string{{"location", weights}, {"offset", fmt.Sprint(t.offset)}, {"length", fmt.Sprint(t.size)}} {
		b = message(b, 13, text(text(nil, 1, entry[0]), 2, entry[1]))
	}
	return integer(b, 14, 1)
}

// inside is the number of bytes that follow the head.
func (t *tensor) inside() int64 {
	if t.offset < 0 {
		return t.size
	}
	return 0
}

// write writes the elements.
func (t *tensor) write(w io.Writer) error {
	data := t.data()
	if int64(len(data)) != t.size {
		panic(fmt.Sprintf("onnx: tensor %s has %d bytes, not %d", t.name, len(data), t.size))
	}
	_, err := w.Write(data)
	return err
}

// frame is the model around its stored tensors: what comes before them, and what
// each begins with.
type frame struct {
	before []byte
	heads  [][]byte
	total  int64 // bytes of the whole model
}

// frame lays the model out. Lengths come before contents in this format, so sizes
// are added up before anything is written.
func (f *file) frame(weights string) frame {
	var out frame
	var graph []byte
	for _, n := range f.nodes {
		graph = message(graph, 1, n.bytes())
	}
	graph = text(graph, 2, "unet")
	for _, p := range f.inputs {
		graph = message(graph, 11, p.bytes())
	}
	for _, p := range f.outputs {
		graph = message(graph, 12, p.bytes())
	}
	size := int64(len(graph))
	for _, t := range f.tensors {
		head := t.head(weights)
		b := protowire.AppendTag(nil, 5, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(int64(len(head))+t.inside()))
		out.heads = append(out.heads, append(b, head...))
		size += int64(len(b)+len(head)) + t.inside()
	}
	model := f.preamble()
	model = protowire.AppendTag(model, 7, protowire.BytesType)
	model = protowire.AppendVarint(model, uint64(size))
	out.before = append(model, graph...)
	out.total = int64(len(model)) + size
	return out
}

// preamble encodes the fields of the ModelProto but the graph.
func (f *file) preamble() []byte {
	b := integer(nil, 1, irVersion)
	b = text(text(b, 2, "sr3"), 3, f.version)
	b = text(b, 6, f.doc)
	b = message(b, 8, integer(text(nil, 1, ""), 2, opsetVersion))
	for _, entry := range f.meta {
		b = message(b, 14, text(text(nil, 1, entry[0]), 2, entry[1]))
	}
	return b
}

// write writes the model with the stored tensors that belong inside.
func (f *file) write(w io.Writer, fr frame) error {
	if _, err := w.Write(fr.before); err != nil {
		return err
	}
	for i, t := range f.tensors {
		if _, err := w.Write(fr.heads[i]); err != nil {
			return err
		}
		if t.offset < 0 {
			if err := t.write(w); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeWeights writes the elements that are kept outside, in order.
func (f *file) writeWeights(w io.Writer) error {
	var at int64
	for _, t := range f.tensors {
		if t.offset < 0 {
			continue
		}
		if t.offset != at {
			return errors.New("the stored tensors are out of order")
		}
		if err := t.write(w); err != nil {
			return err
		}
		at += t.size
	}
	return nil
}

// floatBytes encodes float32 elements.
func floatBytes(values []float32) []byte {
	b := make([]byte, 4*len(values))
	for i, v := range values {
		binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(v))
	}
	return b
}

// intBytes encodes int64 elements.
func intBytes(values []int64) []byte {
	b := make([]byte, 8*len(values))
	for i, v := range values {
		binary.LittleEndian.PutUint64(b[8*i:], uint64(v))
	}
	return b
}
