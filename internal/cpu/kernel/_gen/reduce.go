package main

import (
	"fmt"
	"slices"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// columnSums describes a kernel that adds something over rows, channel by
// channel.
type columnSums struct {
	name, signature, doc string
	out                  []string // channels, added to; the first has the length
	in                   []string // rows x channels
	broadcast            []string // channels
	block                int      // vectors of channels that go down the rows together
	setup                func(v *vector)
	body                 func(v *vector, x lane) // adds to the vectors of out
}

// emit writes a loop over blocks of channels around one over rows, the sums in
// registers.
func (p columnSums) emit(v *vector) {
	v.begin(p.name, p.signature, p.doc)
	ptr := map[string]reg.GPVirtual{}
	row := map[string]reg.GPVirtual{}
	for _, s := range slices.Concat(p.out, p.broadcast, p.in) {
		ptr[s] = v.base(s)
	}
	for _, s := range p.in {
		row[s] = v.GP64()
	}
	left := v.length(p.out[0]) // channels
	width, total, count := v.GP64(), v.length(p.in[0]), v.GP64()
	v.MOVQ(left, width)
	v.SHLQ(Imm(2), width)
	v.SHLQ(Imm(2), total)
	if p.setup != nil {
		p.setup(v)
	}
	v.TESTQ(total, total)
	v.JZ(LabelRef("done"))
	block := func(label string, vectors int, part bool) {
		p.down(v, label, vectors, part, ptr, row, width, total, count)
	}
	for _, n := range slices.Compact([]int{p.block, 1}) {
		label := fmt.Sprintf("block%d", n)
		v.Label(label)
		v.CMPQ(left, U32(n*v.lanes))
		v.JL(LabelRef(label + "end"))
		block(fmt.Sprintf("rows%d", n), n, false)
		for _, s := range slices.Concat(p.out, p.broadcast, p.in) {
			v.ADDQ(U32(n*v.bytes()), ptr[s])
		}
		v.SUBQ(U32(n*v.lanes), left)
		v.JMP(LabelRef(label))
		v.Label(label + "end")
	}
	v.TESTQ(left, left)
	v.JZ(LabelRef("done"))
	v.setMask(left)
	block("rowsPart", 1, true)
	v.Label("done")
	v.end()
}

// down emits the loop over rows for a number of vectors of channels.
func (p columnSums) down(v *vector, label string, vectors int, part bool, ptr, row map[string]reg.GPVirtual,
	width, total, count reg.GPVirtual) {
	sums := make([]lane, vectors)
	for u := range sums {
		sums[u] = lane{}
		for _, s := range p.out {
			sums[u][s] = v.zero()
		}
		for _, s := range p.broadcast {
			sums[u][s] = v.load(Mem{Base: ptr[s], Disp: u * v.bytes()}, part)
		}
	}
	for _, s := range p.in {
		v.MOVQ(ptr[s], row[s])
	}
	v.MOVQ(total, count)
	v.Label(label)
	for u := range sums {
		for _, s := range p.in {
			sums[u][s] = v.load(Mem{Base: row[s], Disp: u * v.bytes()}, part)
		}
		p.body(v, sums[u])
	}
	for _, s := range p.in {
		v.ADDQ(width, row[s])
	}
	v.SUBQ(width, count)
	v.JG(LabelRef(label))
	for u := range sums {
		for _, s := range p.out {
			at := Mem{Base: ptr[s], Disp: u * v.bytes()}
			old := v.load(at, part)
			v.VADDPS(sums[u][s], old, old)
			v.store(old, at, part)
		}
	}
}

func emitColumnSums(v *vector) {
	columnSums{
		name: "sumRows", signature: "func(dst, x []float32)", doc: "dst[j] += the sum of x[r][j] over r.",
		out: []string{"dst"}, in: []string{"x"}, block: 4,
		body: func(v *vector, x lane) { v.VADDPS(x["x"], x["dst"], x["dst"]) },
	}.emit(v)
	columnSums{
		name: "moments", signature: "func(sum, sumsq, x []float32)",
		doc: "sum[j] += the sum of x[r][j] over r, sumsq[j] += that of x[r][j]^2.",
		out: []string{"sum", "sumsq"}, in: []string{"x"}, block: 4,
		body: func(v *vector, x lane) {
			v.VADDPS(x["x"], x["sum"], x["sum"])
			v.VFMADD231PS(x["x"], x["x"], x["sumsq"])
		},
	}.emit(v)
	columnSums{
		name: "normGradSums", signature: "func(sumG, sumGX, x, g []float32)",
		doc: "sumG[j] += the sum of g[r][j] over r, sumGX[j] += that of g[r][j]*x[r][j].",
		out: []string{"sumG", "sumGX"}, in: []string{"x", "g"}, block: 4,
		body: func(v *vector, x lane) {
			v.VADDPS(x["g"], x["sumG"], x["sumG"])
			v.VFMADD231PS(x["g"], x["x"], x["sumGX"])
		},
	}.emit(v)
	columnSums{
		name: "normGradSumsSilu", signature: "func(sumG, sumGX, x, g, a, b []float32)",
		doc: "sumG[j] += the sum of dz over r, sumGX[j] += that of dz*x[r][j], with dz = g[r][j]*silu'(x[r][j]*a[j] + b[j]).",
		out: []string{"sumG", "sumGX"}, in: []string{"x", "g"}, broadcast: []string{"a", "b"}, block: 1,
		setup: func(v *vector) { v.preload(siluGradConstants...) },
		body: func(v *vector, x lane) {
			z := v.copyOf(x["x"])
			v.VFMADD213PS(x["b"], x["a"], z)
			v.timesSiluGrad(x["g"], z)
			v.VADDPS(x["g"], x["sumG"], x["sumG"])
			v.VFMADD231PS(x["g"], x["x"], x["sumGX"])
		},
	}.emit(v)
}

// emitSums writes the reductions to one number: sums in float64 over four
// vectors of lanes, added pairwise at the end, and the maximum.
func emitSums(v *vector) {
	for _, k := range []struct {
		name, params, doc string
	}{
		{"sum", "x []float32", "the sum of x[i] in float64."},
		{"sumSquares", "x []float32", "the sum of x[i]^2 in float64."},
		{"dot", "x, y []float32", "the sum of x[i]*y[i] in float64."},
	} {
		v.begin(k.name, "func("+k.params+") float64", k.doc)
		v.doubleSum(k.name)
	}
	emitMax(v)
}

// doubleSum adds, in float64, terms of x (and y for dot).
func (v *vector) doubleSum(kind string) {
	half := v.lanes / 2 // doubles per vector
	n, x := v.length("x"), v.base("x")
	var y reg.GPVirtual
	if kind == "dot" {
		y = v.base("y")
	}
	var acc [4]reg.VecVirtual
	for u := range acc {
		acc[u] = v.zero()
	}
	term := func(u int) {
		t := v.new()
		v.VCVTPS2PD(Mem{Base: x, Disp: u * half * 4}, t)
		switch kind {
		case "sum":
			v.VADDPD(t, acc[u], acc[u])
		case "sumSquares":
			v.VFMADD231PD(t, t, acc[u])
		case "dot":
			s := v.new()
			v.VCVTPS2PD(Mem{Base: y, Disp: u * half * 4}, s)
			v.VFMADD231PD(t, s, acc[u])
		}
	}
	for _, vectors := range []int{4, 1} {
		label := fmt.Sprintf("by%d", vectors)
		step := vectors * half
		v.SUBQ(U32(step), n)
		v.JL(LabelRef(label + "end"))
		v.Label(label)
		for u := range vectors {
			term(u)
		}
		v.advance(uint64(step*4), x, y)
		v.SUBQ(U32(step), n)
		v.JGE(LabelRef(label))
		v.Label(label + "end")
		v.ADDQ(U32(step), n)
	}
	v.VADDPD(acc[1], acc[0], acc[0])
	v.VADDPD(acc[3], acc[2], acc[2])
	v.VADDPD(acc[2], acc[0], acc[0])
	total := v.addLanes(acc[0])
	v.scalarTerms(kind, n, x, y, total)
	v.Store(total, v.ReturnIndex(0))
	v.end()
}

// advance moves pointers; y may be nil.
func (v *vector) advance(bytes uint64, x, y reg.GPVirtual) {
	v.ADDQ(U32(bytes), x)
	if y != nil {
		v.ADDQ(U32(bytes), y)
	}
}

// scalarTerms adds the last n terms one by one.
func (v *vector) scalarTerms(kind string, n, x, y reg.GPVirtual, total reg.VecVirtual) {
	v.TESTQ(n, n)
	v.JZ(LabelRef("done"))
	v.Label("scalar")
	t, s := v.XMM(), v.XMM()
	v.VXORPS(t, t, t)
	v.VCVTSS2SD(Mem{Base: x}, t, t)
	switch kind {
	case "sum":
		v.VADDSD(t, total, total)
	case "sumSquares":
		v.VFMADD231SD(t, t, total)
	case "dot":
		v.VXORPS(s, s, s)
		v.VCVTSS2SD(Mem{Base: y}, s, s)
		v.VFMADD231SD(t, s, total)
	}
	v.advance(4, x, y)
	v.DECQ(n)
	v.JNZ(LabelRef("scalar"))
	v.Label("done")
}

// addLanes is the sum of the doubles of a vector.
func (v *vector) addLanes(x reg.VecVirtual) reg.VecVirtual {
	if v.wide() {
		upper := v.YMM()
		v.VEXTRACTF64X4(Imm(1), x, upper)
		v.VADDPD(upper, x.AsY(), x.AsY())
	}
	upper := v.XMM()
	v.VEXTRACTF128(Imm(1), x.AsY(), upper)
	total := v.XMM()
	v.VADDPD(upper, x.AsX(), total)
	v.VPERMILPD(Imm(1), total, upper)
	v.VADDSD(upper, total, total)
	return total
}

// emitMax writes the maximum. NaN operands lose against the running maximum,
// the operand that VMAXPS returns when it cannot decide.
func emitMax(v *vector) {
	v.begin("max", "func(x []float32) float32", "the largest x[i].")
	n, x := v.length("x"), v.base("x")
	var acc [4]reg.VecVirtual
	for u := range acc {
		acc[u] = v.copyOf(v.constant("minusInf"))
	}
	for _, vectors := range []int{4, 1} {
		label := fmt.Sprintf("by%d", vectors)
		v.SUBQ(U32(vectors*v.lanes), n)
		v.JL(LabelRef(label + "end"))
		v.Label(label)
		for u := range vectors {
			t := v.load(Mem{Base: x, Disp: u * v.bytes()}, false)
			v.VMAXPS(acc[u], t, acc[u])
		}
		v.ADDQ(U32(vectors*v.bytes()), x)
		v.SUBQ(U32(vectors*v.lanes), n)
		v.JGE(LabelRef(label))
		v.Label(label + "end")
		v.ADDQ(U32(vectors*v.lanes), n)
	}
	v.VMAXPS(acc[1], acc[0], acc[0])
	v.VMAXPS(acc[3], acc[2], acc[2])
	v.VMAXPS(acc[2], acc[0], acc[0])
	best := v.largestLane(acc[0])
	v.TESTQ(n, n)
	v.JZ(LabelRef("done"))
	v.Label("scalar")
	t := v.XMM()
	v.VMOVSS(Mem{Base: x}, t)
	v.VMAXSS(best, t, best)
	v.ADDQ(Imm(4), x)
	v.DECQ(n)
	v.JNZ(LabelRef("scalar"))
	v.Label("done")
	v.Store(best, v.ReturnIndex(0))
	v.end()
}

// largestLane is the largest lane of top, which is used up. With AVX-512 top may be
// in any of the 32 registers.
func (v *vector) largestLane(top reg.VecVirtual) reg.VecVirtual {
	upper, best := v.XMM(), v.XMM()
	if v.wide() {
		half := v.YMM()
		v.VEXTRACTF64X4(Imm(1), top, half)
		v.VMAXPS(half, top.AsY(), top.AsY())
		v.VEXTRACTF32X4(Imm(1), top.AsY(), upper)
	} else {
		v.VEXTRACTF128(Imm(1), top.AsY(), upper)
	}
	v.VMAXPS(upper, top.AsX(), best)
	v.VPERMILPS(Imm(0b1110), best, upper)
	v.VMAXPS(upper, best, best)
	v.VPERMILPS(Imm(0b01), best, upper)
	v.VMAXSS(upper, best, best)
	return best
}
