package checkpoint

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"
)

// maxRank bounds the dimensions of a tensor that is read. Nothing in use has
// more than eight.
const maxRank = 32

// Tensor is a dense array: Data holds the elements of Shape in row-major order,
// little-endian. Tensors that were read may share memory with each other, so
// Data is to be treated as read-only.
type Tensor struct {
	DType DType
	Shape []int
	Data  []byte
}

// Len returns the number of elements, the product of the shape; 1 for a scalar.
func (t *Tensor) Len() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// check reports a shape that does not fit the type and the data.
func (t *Tensor) check() error {
	n, err := byteSize(t.DType, t.Shape)
	if err != nil {
		return err
	}
	if n != len(t.Data) {
		return fmt.Errorf("shape %v of %s needs %d bytes, data has %d", t.Shape, t.DType, n, len(t.Data))
	}
	return nil
}

// Float32s returns the elements as float32 in a new slice. Every type but Bool
// converts; F64 and integers are rounded. A type that is not a number, or data
// that does not fit the shape, is an error.
func (t *Tensor) Float32s() ([]float32, error) {
	if err := t.numeric(); err != nil {
		return nil, err
	}
	out := make([]float32, t.Len())
	t.DType.toFloat32(out, t.Data)
	return out, nil
}

// toFloat32 converts the first elements of data, of a numeric type.
func (d DType) toFloat32(out []float32, data []byte) {
	le := binary.LittleEndian
	switch d {
	case F32:
		for i := range out {
			out[i] = math.Float32frombits(le.Uint32(data[4*i:]))
		}
	case F16:
		for i := range out {
			out[i] = HalfToFloat32(le.Uint16(data[2*i:]))
		}
	default:
		for i := range out {
			out[i] = float32(d.float64At(data, i))
		}
	}
}

// Float64s returns the elements as float64 in a new slice; errors as Float32s.
func (t *Tensor) Float64s() ([]float64, error) {
	if err := t.numeric(); err != nil {
		return nil, err
	}
	out := make([]float64, t.Len())
	for i := range out {
		out[i] = t.DType.float64At(t.Data, i)
	}
	return out, nil
}

// Int64s returns the elements of a tensor of integers in a new slice. Floating
// point and Bool tensors, and U64 values above the range of int64, are errors.
func (t *Tensor) Int64s() ([]int64, error) {
	if err := t.numeric(); err != nil {
		return nil, err
	}
	if t.DType.isFloat() {
		return nil, fmt.Errorf("tensor of %s is not a tensor of integers", t.DType)
	}
	out := make([]int64, t.Len())
	for i := range out {
		out[i] = t.DType.int64At(t.Data, i)
		if t.DType == U64 && out[i] < 0 {
			return nil, fmt.Errorf("element %d exceeds the range of int64", i)
		}
	}
	return out, nil
}

func (t *Tensor) numeric() error {
	if t.DType == Bool {
		return fmt.Errorf("tensor of %s is not a tensor of numbers", t.DType)
	}
	return t.check()
}

// FromFloat32 stores values as an F32 tensor. It panics when the shape does not
// hold exactly len(values) elements, as do the other From functions.
func FromFloat32(shape []int, values []float32) *Tensor {
	t := newTensor(F32, shape, len(values))
	for i, v := range values {
		binary.LittleEndian.PutUint32(t.Data[4*i:], math.Float32bits(v))
	}
	return t
}

// FromFloat64s stores values as an F64 tensor.
func FromFloat64s(shape []int, values []float64) *Tensor {
	t := newTensor(F64, shape, len(values))
	for i, v := range values {
		binary.LittleEndian.PutUint64(t.Data[8*i:], math.Float64bits(v))
	}
	return t
}

// FromInt64s stores values as an I64 tensor.
func FromInt64s(shape []int, values []int64) *Tensor {
	t := newTensor(I64, shape, len(values))
	for i, v := range values {
		binary.LittleEndian.PutUint64(t.Data[8*i:], uint64(v))
	}
	return t
}

// FromBytes stores a copy of values as a U8 tensor.
func FromBytes(shape []int, values []byte) *Tensor {
	t := newTensor(U8, shape, len(values))
	copy(t.Data, values)
	return t
}

// FromFloat32As stores values rounded to d, one of F16, BF16, F32 and F64. A
// finite value that d cannot hold (beyond 65504 in F16) is an error, never an
// infinity. It panics when the shape does not fit the values.
func FromFloat32As(d DType, shape []int, values []float32) (*Tensor, error) {
	if d == F32 {
		return FromFloat32(shape, values), nil
	}
	if !d.isFloat() {
		return nil, fmt.Errorf("store float32 values as %s: want F16, BF16, F32 or F64", d)
	}
	t := newTensor(d, shape, len(values))
	le := binary.LittleEndian
	for i, v := range values {
		switch d {
		case F16:
			le.PutUint16(t.Data[2*i:], Float32ToHalf(v))
		case BF16:
			le.PutUint16(t.Data[2*i:], float32ToBFloat16(v))
		case F64:
			le.PutUint64(t.Data[8*i:], math.Float64bits(float64(v)))
		}
		if math.IsInf(d.float64At(t.Data, i), 0) && !math.IsInf(float64(v), 0) {
			return nil, fmt.Errorf("element %d is %g, which %s cannot hold; store it as F32", i, v, d)
		}
	}
	return t, nil
}

// newTensor allocates a tensor and checks that its shape holds n elements.
func newTensor(d DType, shape []int, n int) *Tensor {
	size, err := byteSize(d, shape)
	if err != nil || size != n*d.Size() {
		panic(fmt.Sprintf("checkpoint: shape %v does not hold %d values", shape, n))
	}
	return &Tensor{DType: d, Shape: slices.Clone(shape), Data: make([]byte, size)}
}

// byteSize returns the bytes that shape takes in d, without overflowing.
func byteSize(d DType, shape []int) (int, error) {
	size := d.Size()
	if size == 0 {
		return 0, fmt.Errorf("unknown element type %q", string(d))
	}
	if len(shape) > maxRank {
		return 0, fmt.Errorf("%d dimensions, the limit is %d", len(shape), maxRank)
	}
	total := uint64(size)
	for _, dim := range shape {
		if dim < 0 {
			return 0, fmt.Errorf("negative dimension in shape %v", shape)
		}
		hi, lo := bits.Mul64(total, uint64(dim))
		if hi != 0 || lo > math.MaxInt {
			return 0, fmt.Errorf("shape %v is too large", shape)
		}
		total = lo
	}
	return int(total), nil
}
