// Package netfile reads the weights of networks out of the protocol buffer files
// of ONNX (.onnx) and Caffe (.caffemodel).
//
// No file is trusted: nothing is allocated but what the file's own bytes pay for,
// tensors stay where they are in these bytes until they are asked for with the
// shape they must have, and lists have limits.
package netfile

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// field is one field of a protocol buffer message.
type field struct {
	number protowire.Number
	kind   protowire.Type
	varint uint64
	bytes  []byte
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
