package main

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// winograd is one of the transforms Y = L X L' of F(4x4, 3x3): X has in x in
// vectors, Y out x out. lines applies L to a line of vectors and hands each
// result to put as soon as it is known, so that few registers are alive.
type winograd struct {
	name, doc string
	in, out   int
	bias      bool // add a vector of bias to every result
	lines     func(v *vector, x []reg.VecVirtual, put func(i int, r reg.VecVirtual))
}

// emitWinograd writes the five transforms.
func emitWinograd(v *vector) {
	for _, w := range []winograd{
		{"winogradInput", "B' d B for 6x6 pixels d of the input.", 6, 6, false, linesInput},
		{"winogradOutput", "A' m A, plus bias, for the 6x6 products m: 4x4 pixels of the output.", 6, 4, true, linesOutput},
		{"winogradGrad", "A g A' for 4x4 pixels g of the output's gradient.", 4, 6, false, linesGrad},
		{"winogradWeights", "G w G' for a 3x3 filter w.", 3, 6, false, linesWeights},
		{"winogradWeightsGrad", "G' m G for the 6x6 products m: the gradient of a 3x3 filter.", 6, 3, false, linesWeightsGrad},
	} {
		w.emit(v)
	}
}

// add, sub, fma and times are arithmetic on fresh registers.
func (v *vector) add(a, b reg.VecVirtual) reg.VecVirtual {
	r := v.new()
	v.VADDPS(b, a, r)
	return r
}

func (v *vector) sub(a, b reg.VecVirtual) reg.VecVirtual {
	r := v.new()
	v.VSUBPS(b, a, r)
	return r
}

// fma is a + b*c.
func (v *vector) fma(a, b reg.VecVirtual, c string) reg.VecVirtual {
	r := v.copyOf(a)
	v.VFMADD231PS(v.constant(c), b, r)
	return r
}

func (v *vector) times(a reg.VecVirtual, c string) reg.VecVirtual {
	r := v.new()
	v.VMULPS(v.constant(c), a, r)
	return r
}

func linesInput(v *vector, x []reg.VecVirtual, put func(int, reg.VecVirtual)) {
	put(0, v.fma(v.fma(x[4], x[2], "wMinus5"), x[0], "w4"))
	put(5, v.fma(v.fma(x[5], x[3], "wMinus5"), x[1], "w4"))
	a, b := v.fma(x[4], x[2], "wMinus4"), v.fma(x[3], x[1], "wMinus4")
	put(1, v.add(a, b))
	put(2, v.sub(a, b))
	c, d := v.sub(x[4], x[2]), v.times(v.sub(x[3], x[1]), "w2")
	put(3, v.add(c, d))
	put(4, v.sub(c, d))
}

func linesOutput(v *vector, x []reg.VecVirtual, put func(int, reg.VecVirtual)) {
	s1, d1 := v.add(x[1], x[2]), v.sub(x[1], x[2])
	s2, d2 := v.add(x[3], x[4]), v.sub(x[3], x[4])
	put(0, v.add(x[0], v.add(s1, s2)))
	put(1, v.fma(d1, d2, "w2"))
	put(2, v.fma(s1, s2, "w4"))
	put(3, v.add(v.fma(d1, d2, "w8"), x[5]))
}

func linesGrad(v *vector, x []reg.VecVirtual, put func(int, reg.VecVirtual)) {
	put(0, x[0])
	put(5, x[3])
	e, o := v.add(x[0], x[2]), v.add(x[1], x[3])
	put(1, v.add(e, o))
	put(2, v.sub(e, o))
	e, o = v.fma(x[0], x[2], "w4"), v.fma(v.times(x[1], "w2"), x[3], "w8")
	put(3, v.add(e, o))
	put(4, v.sub(e, o))
}

func linesWeights(v *vector, x []reg.VecVirtual, put func(int, reg.VecVirtual)) {
	put(0, v.times(x[0], "w1_4"))
	put(5, x[2])
	e, o := v.times(v.add(x[0], x[2]), "wMinus1_6"), v.times(x[1], "w1_6")
	put(1, v.sub(e, o))
	put(2, v.add(e, o))
	e, o = v.fma(v.times(x[0], "w1_24"), x[2], "w1_6"), v.times(x[1], "w1_12")
	put(3, v.add(e, o))
	put(4, v.sub(e, o))
}

func linesWeightsGrad(v *vector, x []reg.VecVirtual, put func(int, reg.VecVirtual)) {
	s1, d1 := v.add(x[1], x[2]), v.sub(x[2], x[1])
	s2, d2 := v.add(x[3], x[4]), v.sub(x[3], x[4])
	e := v.times(s1, "wMinus1_6")
	put(0, v.fma(v.fma(e, x[0], "w1_4"), s2, "w1_24"))
	put(2, v.add(v.fma(e, s2, "w1_6"), x[5]))
	put(1, v.fma(v.times(d1, "w1_6"), d2, "w1_12"))
}

// strides addresses lines 0 to 5 of a matrix whose lines lie step bytes apart.
type strides struct{ step, step3, step5 reg.GPVirtual }

func (v *vector) strides(param string, n int) strides {
	s := strides{step: v.Load(v.Param(param), v.GP64()).(reg.GPVirtual)}
	v.SHLQ(Imm(2), s.step)
	if n > 3 {
		s.step3 = v.GP64()
		v.LEAQ(Mem{Base: s.step, Index: s.step, Scale: 2}, s.step3)
	}
	if n > 5 {
		s.step5 = v.GP64()
		v.LEAQ(Mem{Base: s.step, Index: s.step, Scale: 4}, s.step5)
	}
	return s
}

func (s strides) at(base reg.GPVirtual, i int) Mem {
	switch i {
	case 0:
		return Mem{Base: base}
	case 3:
		return Mem{Base: base, Index: s.step3, Scale: 1}
	case 5:
		return Mem{Base: base, Index: s.step5, Scale: 1}
	}
	return Mem{Base: base, Index: s.step, Scale: uint8(i)}
}

// emit writes the loop over channels: columns go through the first pass to a
// buffer on the stack, its rows through the second to the result.
func (w winograd) emit(v *vector) {
	signature := "func(dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int, n int)"
	if w.bias {
		signature = "func(dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int, n int, bias *float32)"
	}
	v.begin(w.name, signature, w.doc)
	v.Attributes(0) // the buffer is too large for a frame without a stack check
	dst, src := v.Load(v.Param("dst"), v.GP64()).(reg.GPVirtual), v.Load(v.Param("src"), v.GP64()).(reg.GPVirtual)
	n := v.Load(v.Param("n"), v.GP64()).(reg.GPVirtual)
	var bias reg.GPVirtual
	if w.bias {
		bias = v.Load(v.Param("bias"), v.GP64()).(reg.GPVirtual)
	}
	srcRow, dstCol := v.strides("srcRow", w.in), v.strides("dstCol", w.out)
	srcCol, dstRow := v.Load(v.Param("srcCol"), v.GP64()).(reg.GPVirtual), v.Load(v.Param("dstRow"), v.GP64()).(reg.GPVirtual)
	v.SHLQ(Imm(2), srcCol)
	v.SHLQ(Imm(2), dstRow)
	buffer := v.AllocLocal(w.out * w.in * v.bytes())
	cell := func(i, j int) Mem { return buffer.Offset((i*w.in + j) * v.bytes()) }

	transform := func(part bool) {
		p := v.GP64()
		v.MOVQ(src, p)
		for j := range w.in {
			x := make([]reg.VecVirtual, w.in)
			for i := range x {
				x[i] = v.load(srcRow.at(p, i), part)
			}
			w.lines(v, x, func(i int, r reg.VecVirtual) { v.VMOVUPS(r, cell(i, j)) })
			if j < w.in-1 {
				v.ADDQ(srcCol, p)
			}
		}
		q := v.GP64()
		v.MOVQ(dst, q)
		for i := range w.out {
			x := make([]reg.VecVirtual, w.in)
			for j := range x {
				x[j] = v.copyOf(cell(i, j))
			}
			w.lines(v, x, func(j int, r reg.VecVirtual) {
				if w.bias {
					r = v.add(r, v.load(Mem{Base: bias}, part))
				}
				v.store(r, dstCol.at(q, j), part)
			})
			if i < w.out-1 {
				v.ADDQ(dstRow, q)
			}
		}
	}
	v.Label("vectors")
	v.CMPQ(n, U32(v.lanes))
	v.JL(LabelRef("rest"))
	transform(false)
	v.ADDQ(U32(v.bytes()), src)
	v.ADDQ(U32(v.bytes()), dst)
	if w.bias {
		v.ADDQ(U32(v.bytes()), bias)
	}
	v.SUBQ(U32(v.lanes), n)
	v.JMP(LabelRef("vectors"))
	v.Label("rest")
	v.TESTQ(n, n)
	v.JZ(LabelRef("done"))
	v.setMask(n)
	transform(true)
	v.Label("done")
	v.end()
}
