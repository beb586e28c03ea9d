package main

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// winograd is one of the transforms Y = L X L' of F(4x4, 3x3) or F(4x4, 2x2): X has in x in
// vectors, Y out x out. lines applies rows [lo, hi) of L to a line of vectors and
// hands each result to put as soon as it is known, so that few registers are
// alive. group is how many rows of L X are kept in registers at a time where there
// are 32 of them.
type winograd struct {
	name, doc string
	in, out   int
	group     int
	bias      bool // add a vector of bias to every result
	residual  bool // and a matrix laid out as the result, then multiply by a number
	lines     func(v *vector, x line, lo, hi int, put func(i int, r reg.VecVirtual))
}

// line gives the vectors of a line; they are loaded when they are first asked for.
type line func(i int) reg.VecVirtual

// lazily is the line of n vectors that load returns.
func lazily(n int, load func(i int) reg.VecVirtual) line {
	known := make([]reg.VecVirtual, n)
	return func(i int) reg.VecVirtual {
		if known[i] == nil {
			known[i] = load(i)
		}
		return known[i]
	}
}

// emitWinograd writes the transforms.
func emitWinograd(v *vector) {
	for _, w := range []winograd{
		{"winogradInput", "B' d B for 6x6 pixels d of the input.", 6, 6, 3, false, false, linesInput},
		{"winogradOutput", "A' m A, plus bias, for the 6x6 products m: 4x4 pixels of the output.", 6, 4, 4, true, false, linesOutput},
		{"winogradOutputAdd", "(A' m A + bias + res) * scale for the 6x6 products m; res lies as dst does.", 6, 4, 4, true, true, linesOutput},
		{"winogradInput2", "B' d B for 5x5 pixels d of the input, of F(4x4, 2x2).", 5, 5, 5, false, false, linesInput2},
		{"winogradOutput2", "A' m A, plus bias, for the 5x5 products m of F(4x4, 2x2).", 5, 4, 4, true, false, linesOutput2},
		{"winogradOutputAdd2", "(A' m A + bias + res) * scale for the 5x5 products m of F(4x4, 2x2); res lies as dst does.", 5, 4, 4, true, true, linesOutput2},
		{"winogradWeights2", "G w G' for a 2x2 filter w.", 2, 5, 5, false, false, linesWeights2},
		{"winogradGrad", "A g A' for 4x4 pixels g of the output's gradient.", 4, 6, 6, false, false, linesGrad},
		{"winogradWeights", "G w G' for a 3x3 filter w.", 3, 6, 6, false, false, linesWeights},
		{"winogradWeightsGrad", "G' m G for the 6x6 products m: the gradient of a 3x3 filter.", 6, 3, 3, false, false, linesWeightsGrad},
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

// fma is a + b*c, fnma a - b*c.
func (v *vector) fma(a, b reg.VecVirtual, c string) reg.VecVirtual {
	r := v.copyOf(a)
	v.VFMADD231PS(v.constant(c), b, r)
	return r
}

func (v *vector) fnma(a, b reg.VecVirtual, c string) reg.VecVirtual {
	r := v.copyOf(a)
	v.VFNMADD231PS(v.constant(c), b, r)
	return r
}

func (v *vector) times(a reg.VecVirtual, c string) reg.VecVirtual {
	r := v.new()
	v.VMULPS(v.constant(c), a, r)
	return r
}

// within returns put for results [lo, hi) alone.
func within(lo, hi int, put func(int, reg.VecVirtual)) func(int, func() reg.VecVirtual) {
	return func(i int, r func() reg.VecVirtual) {
		if lo <= i && i < hi {
			put(i, r())
		}
	}
}

func linesInput(v *vector, x line, lo, hi int, put func(int, reg.VecVirtual)) {
	some := within(lo, hi, put)
	if lo < 3 {
		some(0, func() reg.VecVirtual { return v.fma(v.fnma(x(4), x(2), "w5"), x(0), "w4") })
		a, b := v.fnma(x(4), x(2), "w4"), v.fnma(x(3), x(1), "w4")
		some(1, func() reg.VecVirtual { return v.add(a, b) })
		some(2, func() reg.VecVirtual { return v.sub(a, b) })
	}
	if hi > 3 {
		some(5, func() reg.VecVirtual { return v.fma(v.fnma(x(5), x(3), "w5"), x(1), "w4") })
		c, d := v.sub(x(4), x(2)), v.sub(x(3), x(1))
		some(3, func() reg.VecVirtual { return v.fma(c, d, "w2") })
		some(4, func() reg.VecVirtual { return v.fnma(c, d, "w2") })
	}
}

func linesOutput(v *vector, x line, lo, hi int, put func(int, reg.VecVirtual)) {
	some := within(lo, hi, put)
	s1, d1 := v.add(x(1), x(2)), v.sub(x(1), x(2))
	s2, d2 := v.add(x(3), x(4)), v.sub(x(3), x(4))
	some(1, func() reg.VecVirtual { return v.fma(d1, d2, "w2") })
	some(3, func() reg.VecVirtual { return v.add(v.fma(d1, d2, "w8"), x(5)) })
	some(2, func() reg.VecVirtual { return v.fma(s1, s2, "w4") })
	some(0, func() reg.VecVirtual { return v.add(x(0), v.add(s1, s2)) })
}

func linesInput2(v *vector, x line, lo, hi int, put func(int, reg.VecVirtual)) {
	some := within(lo, hi, put)
	c := v.sub(x(3), x(1))
	some(0, func() reg.VecVirtual { return v.fma(c, v.sub(x(0), x(2)), "w2") })
	some(1, func() reg.VecVirtual { return v.fnma(v.sub(x(3), x(2)), x(1), "w2") })
	some(2, func() reg.VecVirtual { return v.fma(v.fnma(x(3), x(2), "w3"), x(1), "w2") })
	some(4, func() reg.VecVirtual { return v.fnma(v.sub(x(4), x(2)), c, "w2") })
	some(3, func() reg.VecVirtual { return c })
}

func linesOutput2(v *vector, x line, lo, hi int, put func(int, reg.VecVirtual)) {
	some := within(lo, hi, put)
	s, d := v.add(x(1), x(2)), v.sub(x(1), x(2))
	some(1, func() reg.VecVirtual { return v.fma(d, x(3), "w2") })
	some(3, func() reg.VecVirtual { return v.add(v.fma(d, x(3), "w8"), x(4)) })
	some(2, func() reg.VecVirtual { return v.fma(s, x(3), "w4") })
	some(0, func() reg.VecVirtual { return v.add(v.add(x(0), x(3)), s) })
}

func linesWeights2(v *vector, x line, lo, hi int, put func(int, reg.VecVirtual)) {
	some := within(lo, hi, put)
	some(0, func() reg.VecVirtual { return v.times(x(0), "w1_2") })
	some(1, func() reg.VecVirtual { return v.times(v.add(x(0), x(1)), "wMinus1_2") })
	some(2, func() reg.VecVirtual { return v.times(v.sub(x(1), x(0)), "w1_6") })
	some(3, func() reg.VecVirtual { return v.times(v.fma(x(0), x(1), "w2"), "w1_6") })
	some(4, func() reg.VecVirtual { return x(1) })
}

func linesGrad(v *vector, x line, lo, hi int, put func(int, reg.VecVirtual)) {
	some := within(lo, hi, put)
	some(0, func() reg.VecVirtual { return x(0) })
	some(5, func() reg.VecVirtual { return x(3) })
	e, o := v.add(x(0), x(2)), v.add(x(1), x(3))
	some(1, func() reg.VecVirtual { return v.add(e, o) })
	some(2, func() reg.VecVirtual { return v.sub(e, o) })
	f, p := v.fma(x(0), x(2), "w4"), v.fma(v.times(x(1), "w2"), x(3), "w8")
	some(3, func() reg.VecVirtual { return v.add(f, p) })
	some(4, func() reg.VecVirtual { return v.sub(f, p) })
}

func linesWeights(v *vector, x line, lo, hi int, put func(int, reg.VecVirtual)) {
	some := within(lo, hi, put)
	some(0, func() reg.VecVirtual { return v.times(x(0), "w1_4") })
	some(5, func() reg.VecVirtual { return x(2) })
	e := v.times(v.add(x(0), x(2)), "wMinus1_6")
	some(1, func() reg.VecVirtual { return v.fnma(e, x(1), "w1_6") })
	some(2, func() reg.VecVirtual { return v.fma(e, x(1), "w1_6") })
	f := v.fma(v.times(x(0), "w1_24"), x(2), "w1_6")
	some(3, func() reg.VecVirtual { return v.fma(f, x(1), "w1_12") })
	some(4, func() reg.VecVirtual { return v.fnma(f, x(1), "w1_12") })
}

func linesWeightsGrad(v *vector, x line, lo, hi int, put func(int, reg.VecVirtual)) {
	some := within(lo, hi, put)
	s1, d1 := v.add(x(1), x(2)), v.sub(x(2), x(1))
	s2, d2 := v.add(x(3), x(4)), v.sub(x(3), x(4))
	e := v.times(s1, "wMinus1_6")
	some(0, func() reg.VecVirtual { return v.fma(v.fma(e, x(0), "w1_4"), s2, "w1_24") })
	some(2, func() reg.VecVirtual { return v.add(v.fma(e, s2, "w1_6"), x(5)) })
	some(1, func() reg.VecVirtual { return v.fma(v.times(d1, "w1_6"), d2, "w1_12") })
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

// winogradArgs are the registers of a transform's arguments.
type winogradArgs struct {
	dst, src, n, bias reg.GPVirtual
	resOff            reg.GPVirtual // from dst to the residual, bytes
	scale             reg.VecVirtual
	srcRow, dstCol    strides       // bytes
	srcCol, dstRow    reg.GPVirtual // bytes
	buffer            Mem
}

// emit writes the loop over channels, a vector at a time.
func (w winograd) emit(v *vector) {
	signature := "func(dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int, n int)"
	if w.bias {
		signature = "func(dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int, n int, bias *float32)"
	}
	if w.residual {
		signature = "func(dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int, n int, bias, res *float32, scale float32)"
	}
	v.begin(w.name, signature, w.doc)
	a := &winogradArgs{}
	transform := w.inRegisters
	if !v.wide() {
		v.Attributes(0) // the buffer is too large for a frame without a stack check
		a.buffer = v.AllocLocal(w.out * w.in * v.bytes())
		transform = w.throughBuffer
	}
	a.dst, a.src = v.Load(v.Param("dst"), v.GP64()).(reg.GPVirtual), v.Load(v.Param("src"), v.GP64()).(reg.GPVirtual)
	a.n = v.Load(v.Param("n"), v.GP64()).(reg.GPVirtual)
	if w.bias {
		a.bias = v.Load(v.Param("bias"), v.GP64()).(reg.GPVirtual)
	}
	a.srcRow, a.dstCol = v.strides("srcRow", w.in), v.strides("dstCol", w.out)
	a.srcCol, a.dstRow = v.Load(v.Param("srcCol"), v.GP64()).(reg.GPVirtual), v.Load(v.Param("dstRow"), v.GP64()).(reg.GPVirtual)
	v.SHLQ(Imm(2), a.srcCol)
	v.SHLQ(Imm(2), a.dstRow)
	if w.residual {
		a.resOff = v.Load(v.Param("res"), v.GP64()).(reg.GPVirtual)
		v.SUBQ(a.dst, a.resOff)
		a.scale = v.scalar("scale")
	}
	v.preload(w.constants()...)
	v.Label("vectors")
	v.CMPQ(a.n, U32(v.lanes))
	v.JL(LabelRef("rest"))
	transform(v, a, false)
	v.ADDQ(U32(v.bytes()), a.src)
	v.ADDQ(U32(v.bytes()), a.dst)
	if w.bias {
		v.ADDQ(U32(v.bytes()), a.bias)
	}
	v.SUBQ(U32(v.lanes), a.n)
	v.JMP(LabelRef("vectors"))
	v.Label("rest")
	v.TESTQ(a.n, a.n)
	v.JZ(LabelRef("done"))
	v.setMask(a.n)
	transform(v, a, true)
	v.Label("done")
	v.end()
}

// constants are those worth a register.
func (w winograd) constants() []string {
	switch w.name {
	case "winogradInput":
		return []string{"w4", "w5", "w2"}
	case "winogradInput2":
		return []string{"w2", "w3"}
	case "winogradOutput2":
		return []string{"w2", "w4", "w8"}
	case "winogradOutputAdd2":
		return []string{"w2", "w4"}
	case "winogradWeights2":
		return []string{"w1_2", "wMinus1_2", "w1_6", "w2"}
	case "winogradOutput":
		return []string{"w2", "w4", "w8"}
	case "winogradOutputAdd":
		return []string{"w2", "w4"}
	case "winogradWeights":
		return []string{"w1_4", "wMinus1_6", "w1_6", "w1_12", "w1_24"}
	}
	return nil
}

// column is column j of X.
func (w winograd) column(v *vector, a *winogradArgs, p reg.GPVirtual, part bool) line {
	return lazily(w.in, func(i int) reg.VecVirtual { return v.load(a.srcRow.at(p, i), part) })
}

// row takes a row of L X through the second pass to row i of Y, at q.
func (w winograd) row(v *vector, a *winogradArgs, q reg.GPVirtual, x line, part bool) {
	res := v.GP64()
	if w.residual {
		v.LEAQ(Mem{Base: q, Index: a.resOff, Scale: 1}, res)
	}
	w.lines(v, x, 0, w.out, func(j int, r reg.VecVirtual) {
		if w.bias {
			r = v.add(r, v.load(Mem{Base: a.bias}, part))
		}
		if w.residual {
			r = v.add(r, v.load(a.dstCol.at(res, j), part))
			v.VMULPS(a.scale, r, r)
		}
		v.store(r, a.dstCol.at(q, j), part)
	})
}

// inRegisters keeps a group of rows of L X in registers between the passes.
func (w winograd) inRegisters(v *vector, a *winogradArgs, part bool) {
	q := v.GP64()
	v.MOVQ(a.dst, q)
	for lo := 0; lo < w.out; lo += w.group {
		half := make([][]reg.VecVirtual, w.group)
		for i := range half {
			half[i] = make([]reg.VecVirtual, w.in)
		}
		p := v.GP64()
		v.MOVQ(a.src, p)
		for j := range w.in {
			w.lines(v, w.column(v, a, p, part), lo, lo+w.group, func(i int, r reg.VecVirtual) { half[i-lo][j] = r })
			if j < w.in-1 {
				v.ADDQ(a.srcCol, p)
			}
		}
		for i, row := range half {
			w.row(v, a, q, func(j int) reg.VecVirtual { return row[j] }, part)
			if lo+i < w.out-1 {
				v.ADDQ(a.dstRow, q)
			}
		}
	}
}

// throughBuffer keeps L X in a buffer on the stack between the passes.
func (w winograd) throughBuffer(v *vector, a *winogradArgs, part bool) {
	cell := func(i, j int) Mem { return a.buffer.Offset((i*w.in + j) * v.bytes()) }
	p := v.GP64()
	v.MOVQ(a.src, p)
	for j := range w.in {
		w.lines(v, w.column(v, a, p, part), 0, w.out, func(i int, r reg.VecVirtual) { v.VMOVUPS(r, cell(i, j)) })
		if j < w.in-1 {
			v.ADDQ(a.srcCol, p)
		}
	}
	q := v.GP64()
	v.MOVQ(a.dst, q)
	for i := range w.out {
		w.row(v, a, q, lazily(w.in, func(j int) reg.VecVirtual { return v.copyOf(cell(i, j)) }), part)
		if i < w.out-1 {
			v.ADDQ(a.dstRow, q)
		}
	}
}
