package main

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// emitTranspose writes the turning of 8 rows, for AVX2 alone: it is bound by loads
// and stores of half a line.
func emitTranspose(v *vector) {
	if v.wide() {
		return
	}
	v.begin("transpose", "func(dst []float32, dstStride int, src []float32, srcStride, blocks int)",
		"dst[j*dstStride+i] = src[i*srcStride+j] for i < 8, j < 8*blocks.")
	dst, src := v.base("dst"), v.base("src")
	to := v.Load(v.Param("dstStride"), v.GP64()).(reg.GPVirtual)
	from := v.Load(v.Param("srcStride"), v.GP64()).(reg.GPVirtual)
	blocks := v.Load(v.Param("blocks"), v.GP64()).(reg.GPVirtual)
	v.SHLQ(Imm(2), to)
	v.SHLQ(Imm(2), from)
	low, high, to3, from3 := v.GP64(), v.GP64(), v.GP64(), v.GP64()
	v.LEAQ(Mem{Base: from, Index: from, Scale: 2}, from3)
	v.LEAQ(Mem{Base: to, Index: to, Scale: 2}, to3)
	v.TESTQ(blocks, blocks)
	v.JZ(LabelRef("done"))
	v.MOVQ(src, low)
	v.LEAQ(Mem{Base: src, Index: from, Scale: 4}, high) // rows 4 to 7
	v.Label("block")
	for half := range 2 {
		v.turn4(dst, to, to3, low, high, from, from3, half*16)
		v.LEAQ(Mem{Base: dst, Index: to, Scale: 4}, dst)
	}
	v.ADDQ(Imm(32), low)
	v.ADDQ(Imm(32), high)
	v.DECQ(blocks)
	v.JNZ(LabelRef("block"))
	v.Label("done")
	v.end()
}

// row addresses row i < 4 of rows that are stride bytes apart.
func row(base, stride, stride3 reg.Register, i, disp int) Mem {
	switch i {
	case 0:
		return Mem{Base: base, Disp: disp}
	case 3:
		return Mem{Base: base, Index: stride3, Scale: 1, Disp: disp}
	}
	return Mem{Base: base, Index: stride, Scale: uint8(i), Disp: disp}
}

// turn4 turns four columns of eight rows, in each vector those of rows i and i+4,
// into four rows of eight.
func (v *vector) turn4(dst, to, to3, low, high, from, from3 reg.Register, disp int) {
	var a [4]reg.VecVirtual
	for i := range a {
		a[i] = v.YMM()
		v.VMOVUPS(row(low, from, from3, i, disp), a[i].AsX())
		v.VINSERTF128(Imm(1), row(high, from, from3, i, disp), a[i], a[i])
	}
	var t [4]reg.VecVirtual // columns 0 and 1 of rows 0, 1; columns 2 and 3; the same of rows 2, 3
	for i := range t {
		t[i] = v.YMM()
	}
	v.VUNPCKLPS(a[1], a[0], t[0])
	v.VUNPCKHPS(a[1], a[0], t[1])
	v.VUNPCKLPS(a[3], a[2], t[2])
	v.VUNPCKHPS(a[3], a[2], t[3])
	for i := range 4 {
		out := v.YMM()
		v.VSHUFPS(Imm([]uint64{0x44, 0xee}[i%2]), t[2+i/2], t[i/2], out)
		v.VMOVUPS(out, row(dst, to, to3, i, 0))
	}
}
