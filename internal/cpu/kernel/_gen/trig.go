package main

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Sine and cosine take |x| less the nearest multiple n of pi/2 (Cody and Waite,
// 1980): pi/2 is the sum of three float32, the first product is exact within the
// multiply-add, the other two are small. The rest r, |r| <= pi/4, goes into the
// polynomials of Cephes' sinf and cosf, of which the lowest bit of n chooses one and
// the next the sign.
func init() {
	for name, value := range map[string]uint32{
		"trigTwoOverPi": bits(0.636619772367581343),
		"trigMagic":     bits(12582912), // leaves n in the low bits of the sum
		"trigHigh":      bits(1.5707963705062866),
		"trigMiddle":    bits(-4.371138828673793e-08),
		"trigLow":       bits(-1.7151245100058819e-15),
		"trigSin0":      bits(-1.9515295891e-4),
		"trigSin1":      bits(8.3321608736e-3),
		"trigSin2":      bits(-1.6666654611e-1),
		"trigCos0":      bits(2.443315711809948e-5),
		"trigCos1":      bits(-1.388731625493765e-3),
		"trigCos2":      bits(4.166664568298827e-2),
		"trigHalf":      bits(0.5),
		"trigBound":     bits(1 << 17),
		"signBit":       1 << 31,
		"magnitude":     1<<31 - 1,
		"integerOne":    1,
	} {
		constants[name] = value
	}
}

var trigConstants = []string{"trigTwoOverPi", "trigMagic", "trigHigh", "trigMiddle", "trigLow", "trigSin0", "trigSin1",
	"trigSin2", "trigCos0", "trigCos1", "trigCos2", "trigHalf", "trigBound", "signBit", "magnitude", "integerOne", "one"}

// and is the bits that x and the named constant share.
func (v *vector) and(name string, x reg.VecVirtual) reg.VecVirtual {
	d := v.new()
	if v.wide() {
		v.VPANDD(v.constant(name), x, d)
	} else {
		v.VANDPS(v.constant(name), x, d)
	}
	return d
}

// flip is x with the bits of by turned over, in place.
func (v *vector) flip(x, by reg.VecVirtual) {
	if v.wide() {
		v.VPXORD(by, x, x)
	} else {
		v.VXORPS(by, x, x)
	}
}

// polynomial is c[0]*z^n + ... + c[n].
func (v *vector) polynomial(z reg.VecVirtual, c ...string) reg.VecVirtual {
	p := v.copyOf(v.constant(c[0]))
	for _, name := range c[1:] {
		v.VFMADD213PS(v.constant(name), z, p)
	}
	return p
}

// trig is sin x, or cos x, where |x| is within the bound, and x elsewhere. The
// magnitude of x goes into largest, unless it is NaN.
func (v *vector) trig(x, largest reg.VecVirtual, cosine bool) reg.VecVirtual {
	a := v.and("magnitude", x)
	v.VMAXPS(largest, a, largest)
	z := v.copyOf(v.constant("trigMagic"))
	v.VFMADD231PS(v.constant("trigTwoOverPi"), a, z)
	n, r := v.new(), v.copyOf(a)
	v.VSUBPS(v.constant("trigMagic"), z, n)
	for _, c := range []string{"trigHigh", "trigMiddle", "trigLow"} {
		v.VFNMADD231PS(v.constant(c), n, r)
	}
	if cosine { // cos x = sin(x + pi/2)
		v.VPADDD(v.constant("integerOne"), z, z)
	}
	square, cube := v.new(), v.new()
	v.VMULPS(r, r, square)
	v.VMULPS(r, square, cube)
	sin := v.polynomial(square, "trigSin0", "trigSin1", "trigSin2")
	v.VFMADD213PS(r, cube, sin)
	cos := v.polynomial(square, "trigCos0", "trigCos1", "trigCos2")
	v.VMULPS(square, cos, cos)
	v.VMULPS(square, cos, cos)
	v.VFNMADD231PS(v.constant("trigHalf"), square, cos)
	v.VADDPS(v.constant("one"), cos, cos)
	v.choose(sin, cos, z)
	sign := v.new()
	v.VPSLLD(Imm(30), z, sign)
	sign = v.and("signBit", sign)
	v.flip(sin, sign)
	if !cosine {
		v.flip(sin, v.and("signBit", x))
	}
	v.keepBeyond(sin, x, a)
	return sin
}

// choose replaces sin by cos where n is odd.
func (v *vector) choose(sin, cos, n reg.VecVirtual) {
	if v.wide() {
		k := v.K()
		v.VPTESTMD(v.constant("integerOne"), n, k)
		v.VMOVAPS(cos, k, sin)
		return
	}
	odd := v.new()
	v.VPSLLD(Imm(31), n, odd)
	v.VBLENDVPS(odd, cos, sin, sin)
}

// keepBeyond replaces y by x where |x| = a is beyond the bound.
func (v *vector) keepBeyond(y, x, a reg.VecVirtual) {
	const greater = 0x1e // quiet, false for NaN
	if v.wide() {
		k := v.K()
		v.VCMPPS(Imm(greater), v.constant("trigBound"), a, k)
		v.VMOVAPS(x, k, y)
		return
	}
	beyond := v.new()
	v.VCMPPS(Imm(greater), v.constant("trigBound"), a, beyond)
	v.VBLENDVPS(beyond, x, y, y)
}

func emitTrig(v *vector) {
	for _, cosine := range []bool{false, true} {
		var largest reg.VecVirtual
		p := pointwise{
			name: "sin", signature: "func(dst, x []float32) float32",
			doc: "dst[i] = sin x[i], x[i] itself beyond the bound; it returns the largest |x[i]|.",
			in:  []string{"x"}, out: []string{"dst"}, unroll: 1,
			setup: func(v *vector) {
				v.preload(trigConstants...)
				largest = v.zero()
			},
			body:   func(v *vector, x lane) { x["dst"] = v.trig(x["x"], largest, cosine) },
			finish: func(v *vector) { v.Store(v.largestLane(largest), v.ReturnIndex(0)) },
		}
		if cosine {
			p.name, p.doc = "cos", "dst[i] = cos x[i], x[i] itself beyond the bound; it returns the largest |x[i]|."
		}
		p.emit(v)
	}
}
