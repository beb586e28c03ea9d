package main

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// constants of the exponential. e^x is 2^n e^r with n the integer nearest to
// x/ln 2 and |r| <= ln 2 / 2; ln 2 is split in two so that r is exact, and e^r
// is 1 + r + r*r*P(r) with P of degree five (the coefficients of the expf of
// Cephes). Adding expMagic leaves n in the low bits of the sum.
var constants = map[string]uint32{
	"expHigh":  bits(89),
	"expLow":   bits(-104),
	"expLog2e": bits(1.44269504088896341),
	"expMagic": bits(12582912),
	"expLn2Hi": bits(0.693359375),
	"expLn2Lo": bits(-2.12194440e-4),
	"expP0":    bits(1.9875691500e-4),
	"expP1":    bits(1.3981999507e-3),
	"expP2":    bits(8.3334519073e-3),
	"expP3":    bits(4.1665795894e-2),
	"expP4":    bits(1.6666665459e-1),
	"expP5":    bits(5.0000001201e-1),
	"one":      bits(1),
	"bias":     127,

	"sigmoidHigh": bits(104),
	"sigmoidLow":  bits(-89),
	"gradHigh":    bits(87),
	"gradLow":     bits(-87),
	"minusInf":    0xff800000,

	"w2": bits(2), "w3": bits(3), "w4": bits(4), "w5": bits(5), "w8": bits(8),
	"w1_2": bits(1.0 / 2), "wMinus1_2": bits(-1.0 / 2), "w1_4": bits(1.0 / 4), "w1_6": bits(1.0 / 6), "wMinus1_6": bits(-1.0 / 6), "w1_12": bits(1.0 / 12), "w1_24": bits(1.0 / 24),
}

var expConstants = []string{"expLog2e", "expMagic", "expLn2Hi", "expLn2Lo", "expP0", "expP1", "expP2", "expP3",
	"expP4", "expP5", "one"}

// clamp limits x to the named bounds; NaN stays NaN, which is why x is the
// operand that minimum and maximum return when they cannot decide.
func (v *vector) clamp(x reg.VecVirtual, low, high string) {
	v.VMINPS(x, v.inRegister(high), x)
	v.VMAXPS(x, v.inRegister(low), x)
}

// exp is e^x, or e^-x when negate, for x within the clamp of its caller; x is
// used up.
func (v *vector) exp(x reg.VecVirtual, negate bool) reg.VecVirtual {
	z := v.copyOf(v.constant("expMagic"))
	if negate {
		v.VFNMADD231PS(v.constant("expLog2e"), x, z)
	} else {
		v.VFMADD231PS(v.constant("expLog2e"), x, z)
	}
	n := v.new()
	v.VSUBPS(v.constant("expMagic"), z, n)
	if negate {
		v.VFNMSUB231PS(v.constant("expLn2Hi"), n, x)
	} else {
		v.VFNMADD231PS(v.constant("expLn2Hi"), n, x)
	}
	v.VFNMADD231PS(v.constant("expLn2Lo"), n, x)
	p := v.copyOf(v.constant("expP0"))
	for _, c := range []string{"expP1", "expP2", "expP3", "expP4", "expP5"} {
		v.VFMADD213PS(v.constant(c), x, p)
	}
	square := v.new()
	v.VMULPS(x, x, square)
	v.VFMADD213PS(x, square, p)
	v.VADDPS(v.constant("one"), p, p)
	if v.wide() {
		v.VSCALEFPS(n, p, p)
		return p
	}
	// 2^n in two factors, since n may lie outside of the normal exponents.
	half := v.new()
	v.VPSUBD(v.constant("expMagic"), z, z)
	v.VPSRAD(Imm(1), z, half)
	v.VPSUBD(half, z, z)
	for _, part := range []reg.VecVirtual{half, z} {
		v.VPADDD(v.constant("bias"), part, part)
		v.VPSLLD(Imm(23), part, part)
		v.VMULPS(part, p, p)
	}
	return p
}

// sigmoidDenominator is 1 + e^-x; x stays.
func (v *vector) sigmoidDenominator(x reg.VecVirtual) reg.VecVirtual {
	t := v.copyOf(x)
	v.clamp(t, "sigmoidLow", "sigmoidHigh")
	e := v.exp(t, true)
	v.VADDPS(v.constant("one"), e, e)
	return e
}

// silu is x / (1 + e^-x), in place.
func (v *vector) silu(x reg.VecVirtual) {
	v.VDIVPS(v.sigmoidDenominator(x), x, x)
}

// timesSiluGrad multiplies g by silu'(x) = s + x s (1-s), where s is the
// sigmoid of x and 1-s is taken as s e^-x to keep its digits. Beyond +-87 the
// derivative is that at the bound, 1 or 0 to rounding. x is used up.
func (v *vector) timesSiluGrad(g, x reg.VecVirtual) {
	v.clamp(x, "gradLow", "gradHigh")
	e := v.exp(v.copyOf(x), true)
	s := v.new()
	v.VADDPS(v.constant("one"), e, s)
	v.VDIVPS(s, v.inRegister("one"), s)
	v.VMULPS(s, e, e)
	v.VMULPS(s, x, x)
	v.VFMADD231PS(x, e, s)
	v.VMULPS(s, g, g)
}

// siluConstants are what silu and its derivative keep in registers.
var siluConstants = append([]string{"sigmoidLow", "sigmoidHigh"}, expConstants...)
var siluGradConstants = append([]string{"gradLow", "gradHigh"}, expConstants...)
