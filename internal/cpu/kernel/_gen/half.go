package main

import (
	. "github.com/mmcloughlin/avo/operand"
)

// emitHalf writes the float16 conversions over the whole vectors of a slice;
// the caller converts the ragged end, to the same bits.
func emitHalf(v *vector) {
	loop := func(body func(src, dst Mem), srcBytes, dstBytes int) {
		n, src, dst := v.length("dst"), v.base("src"), v.base("dst")
		v.SUBQ(U32(v.lanes), n)
		v.JL(LabelRef("done"))
		v.Label("loop")
		body(Mem{Base: src}, Mem{Base: dst})
		v.ADDQ(U32(srcBytes*v.lanes), src)
		v.ADDQ(U32(dstBytes*v.lanes), dst)
		v.SUBQ(U32(v.lanes), n)
		v.JGE(LabelRef("loop"))
		v.Label("done")
		v.end()
	}
	v.begin("halfEncode", "func(dst []uint16, src []float32)", "dst[i] = float16(src[i]), whole vectors only.")
	loop(func(src, dst Mem) {
		x := v.load(src, false)
		v.VCVTPS2PH(Imm(0), x, dst)
	}, 4, 2)
	v.begin("halfDecode", "func(dst []float32, src []uint16)", "dst[i] = float32(src[i]), whole vectors only.")
	loop(func(src, dst Mem) {
		x := v.new()
		v.VCVTPH2PS(src, x)
		v.store(x, dst, false)
	}, 2, 4)
}
