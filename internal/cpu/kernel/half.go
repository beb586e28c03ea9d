package kernel

import "math"

// Float16Encode converts src to IEEE 754 binary16, rounding to the nearest and
// ties to even. Values that round to 65520 or more become infinite; NaN keeps
// its sign and upper payload and becomes quiet. All tiers agree to the bit.
func Float16Encode(dst []uint16, src []float32) {
	same("Float16Encode", len(dst), len(src))
	done := len(dst) &^ (active.lanes - 1)
	active.halfEncode(dst[:done], src[:done])
	for i := done; i < len(src); i++ {
		dst[i] = encodeHalf(src[i])
	}
}

// Float16Decode converts src from IEEE 754 binary16, exactly; NaN becomes
// quiet. All tiers agree to the bit.
func Float16Decode(dst []float32, src []uint16) {
	same("Float16Decode", len(dst), len(src))
	done := len(dst) &^ (active.lanes - 1)
	active.halfDecode(dst[:done], src[:done])
	for i := done; i < len(src); i++ {
		dst[i] = decodeHalf(src[i])
	}
}

func refHalfEncode(dst []uint16, src []float32) {
	for i, x := range src {
		dst[i] = encodeHalf(x)
	}
}

func refHalfDecode(dst []float32, src []uint16) {
	for i, h := range src {
		dst[i] = decodeHalf(h)
	}
}

// encodeHalf is one element of Float16Encode.
func encodeHalf(x float32) uint16 {
	bits := math.Float32bits(x)
	sign, mag := uint16(bits>>16)&0x8000, bits&0x7fffffff
	switch {
	case mag > 0x7f800000: // NaN
		return sign | 0x7e00 | uint16(mag>>13)&0x3ff
	case mag >= 0x477ff000: // 65520 and above
		return sign | 0x7c00
	case mag >= 0x38800000: // normal: move the exponent's bias from 127 to 15
		return sign | uint16(roundShift(mag-(127-15)<<23, 13))
	case mag < 0x33000000: // below half the least denormal
		return sign
	default: // denormal: the significand in units of 2^-24
		exponent := mag >> 23
		return sign | uint16(roundShift(mag&0x7fffff|0x800000, 126-exponent))
	}
}

// roundShift is x / 2^n to the nearest, ties to even, for 1 <= n <= 31.
func roundShift(x, n uint32) uint32 {
	half := uint32(1)<<(n-1) - 1
	return (x + half + x>>n&1) >> n
}

// decodeHalf is one element of Float16Decode.
func decodeHalf(h uint16) float32 {
	sign, exponent, frac := uint32(h&0x8000)<<16, uint32(h>>10)&31, uint32(h)&0x3ff
	switch {
	case exponent == 31 && frac != 0: // NaN
		return math.Float32frombits(sign | 0x7fc00000 | frac<<13)
	case exponent == 31:
		return math.Float32frombits(sign | 0x7f800000)
	case exponent == 0: // zero or denormal: units of 2^-24
		return math.Float32frombits(sign | math.Float32bits(float32(frac)*0x1p-24))
	default:
		return math.Float32frombits(sign | (exponent+127-15)<<23 | frac<<13)
	}
}
