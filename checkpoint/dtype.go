package checkpoint

import (
	"encoding/binary"
	"math"
)

// DType names the element type of a tensor, spelled as in a safetensors header.
// Elements are stored little-endian.
type DType string

// The element types that are read and written. Types of less than a byte and
// the 8-bit floats of the safetensors format are refused when read.
const (
	Bool DType = "BOOL"
	U8   DType = "U8"
	I8   DType = "I8"
	U16  DType = "U16"
	I16  DType = "I16"
	F16  DType = "F16"
	BF16 DType = "BF16"
	U32  DType = "U32"
	I32  DType = "I32"
	F32  DType = "F32"
	U64  DType = "U64"
	I64  DType = "I64"
	F64  DType = "F64"
)

// Size returns the bytes of one element, or 0 for a type that is not known.
func (d DType) Size() int {
	switch d {
	case Bool, U8, I8:
		return 1
	case U16, I16, F16, BF16:
		return 2
	case U32, I32, F32:
		return 4
	case U64, I64, F64:
		return 8
	}
	return 0
}

// isFloat tells whether d is a floating-point type.
func (d DType) isFloat() bool {
	return d == F16 || d == BF16 || d == F32 || d == F64
}

// float64At decodes element i of b. Integers above 2^53 lose their low bits.
func (d DType) float64At(b []byte, i int) float64 {
	le := binary.LittleEndian
	switch d {
	case F16:
		return float64(HalfToFloat32(le.Uint16(b[2*i:])))
	case BF16:
		return float64(math.Float32frombits(uint32(le.Uint16(b[2*i:])) << 16))
	case F32:
		return float64(math.Float32frombits(le.Uint32(b[4*i:])))
	case F64:
		return math.Float64frombits(le.Uint64(b[8*i:]))
	case U64:
		return float64(le.Uint64(b[8*i:]))
	}
	return float64(d.int64At(b, i))
}

// int64At decodes element i of b, which must be of an integer type or Bool.
// A U64 above the range of int64 wraps.
func (d DType) int64At(b []byte, i int) int64 {
	le := binary.LittleEndian
	switch d {
	case Bool, U8:
		return int64(b[i])
	case I8:
		return int64(int8(b[i]))
	case U16:
		return int64(le.Uint16(b[2*i:]))
	case I16:
		return int64(int16(le.Uint16(b[2*i:])))
	case U32:
		return int64(le.Uint32(b[4*i:]))
	case I32:
		return int64(int32(le.Uint32(b[4*i:])))
	}
	return int64(le.Uint64(b[8*i:]))
}

// HalfToFloat32 widens an IEEE 754 binary16 value; the result is exact.
func HalfToFloat32(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exp := uint32(h>>10) & 0x1f
	frac := uint32(h & 0x3ff)
	switch exp {
	case 0: // zero and subnormals: frac * 2^-24
		v := float32(frac) * (1.0 / (1 << 24))
		return math.Float32frombits(math.Float32bits(v) | sign)
	case 31:
		return math.Float32frombits(sign | 0x7f800000 | frac<<13)
	}
	return math.Float32frombits(sign | (exp+127-15)<<23 | frac<<13)
}

// Float32ToHalf rounds v to IEEE 754 binary16, ties to even. Values that round
// beyond 65504 become infinite.
func Float32ToHalf(v float32) uint16 {
	bits := math.Float32bits(v)
	sign := uint16(bits>>16) & 0x8000
	bits &= 0x7fffffff
	switch {
	case bits > 0x7f800000: // NaN, kept quiet
		return sign | 0x7e00
	case bits >= 0x477ff000: // 65520 and above round to infinity
		return sign | 0x7c00
	case bits < 0x38800000: // below 2^-14: a multiple of 2^-24
		// Multiplying by 2^24 is exact, and RoundToEven of at most 1024 is too.
		return sign | uint16(math.RoundToEven(float64(math.Float32frombits(bits))*(1<<24)))
	}
	// Rebias the exponent, then round the 13 lost bits; a carry moves into the
	// exponent, as it should.
	bits -= (127 - 15) << 23
	bits += 0xfff + (bits>>13)&1
	return sign | uint16(bits>>13)
}

// float32ToBFloat16 rounds v to bfloat16, ties to even.
func float32ToBFloat16(v float32) uint16 {
	bits := math.Float32bits(v)
	if v != v {
		return uint16(bits>>16) | 0x40
	}
	return uint16((bits + 0x7fff + (bits>>16)&1) >> 16)
}
