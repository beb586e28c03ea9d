package main

import (
	"slices"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// rowwise describes a kernel over rows of channels with one or more vectors of
// channels broadcast over the rows.
type rowwise struct {
	name, signature, doc string
	in                   []string // rows x channels, read
	broadcast            []string // channels, read; the first has the length
	skips                bool     // parameters dstSkip and xSkip: floats between rows
	setup                func(v *vector)
	body                 func(v *vector, x lane) // sets x["dst"]
}

// emit writes a loop over rows around one over the vectors of a row.
func (p rowwise) emit(v *vector) {
	v.begin(p.name, p.signature, p.doc)
	ptr := map[string]reg.GPVirtual{}
	streams := union(p.in, []string{"dst"})
	for _, s := range slices.Concat(streams, p.broadcast) {
		ptr[s] = v.base(s)
	}
	end := v.length("dst") // of all rows, in bytes from the first
	v.SHLQ(Imm(2), end)
	v.ADDQ(ptr["dst"], end)
	width := v.length(p.broadcast[0])
	full, j := v.GP64(), v.GP64()
	v.MOVQ(width, full)
	v.ANDQ(I32(-v.lanes), full)
	rest := v.GP64()
	v.MOVQ(width, rest)
	v.SUBQ(full, rest)
	v.setMask(rest)
	v.SHLQ(Imm(2), width)
	v.SHLQ(Imm(2), full)
	if p.setup != nil {
		p.setup(v)
	}
	vector := func(part bool) {
		x := lane{}
		for _, s := range slices.Concat(p.in, p.broadcast) {
			x[s] = v.load(Mem{Base: ptr[s], Index: j, Scale: 1}, part)
		}
		p.body(v, x)
		v.store(x["dst"], Mem{Base: ptr["dst"], Index: j, Scale: 1}, part)
	}
	step := map[string]reg.GPVirtual{}
	if p.skips {
		for _, s := range streams {
			step[s] = v.Load(v.Param(s+"Skip"), v.GP64()).(reg.GPVirtual)
			v.LEAQ(Mem{Base: width, Index: step[s], Scale: 4}, step[s])
		}
	}
	v.Label("row")
	v.CMPQ(ptr["dst"], end)
	v.JGE(LabelRef("done"))
	v.XORQ(j, j)
	v.CMPQ(j, full)
	v.JGE(LabelRef("rest"))
	v.Label("columns")
	vector(false)
	v.ADDQ(U32(v.bytes()), j)
	v.CMPQ(j, full)
	v.JL(LabelRef("columns"))
	v.Label("rest")
	v.CMPQ(j, width)
	v.JGE(LabelRef("next"))
	vector(true)
	v.Label("next")
	for _, s := range streams {
		if p.skips {
			v.ADDQ(step[s], ptr[s])
		} else {
			v.ADDQ(width, ptr[s])
		}
	}
	v.JMP(LabelRef("row"))
	v.Label("done")
	v.end()
}

func emitRows(v *vector) {
	rowwise{
		name: "addRow", signature: "func(dst, x, row []float32)", doc: "dst[r][j] = x[r][j] + row[j].",
		in: []string{"x"}, broadcast: []string{"row"},
		body: func(v *vector, x lane) { v.VADDPS(x["row"], x["x"], x["x"]); x["dst"] = x["x"] },
	}.emit(v)
	rowwise{
		name: "mulRow", signature: "func(dst, x, row []float32)", doc: "dst[r][j] = x[r][j] * row[j].",
		in: []string{"x"}, broadcast: []string{"row"},
		body: func(v *vector, x lane) { v.VMULPS(x["row"], x["x"], x["x"]); x["dst"] = x["x"] },
	}.emit(v)
	rowwise{
		name: "normApply", signature: "func(dst, x, a, b []float32, dstSkip, xSkip int)", doc: "dst[r][j] = x[r][j]*a[j] + b[j].",
		in: []string{"x"}, broadcast: []string{"a", "b"}, skips: true,
		body: func(v *vector, x lane) { x["dst"] = v.affine(x) },
	}.emit(v)
	rowwise{
		name: "normApplySilu", signature: "func(dst, x, a, b []float32, dstSkip, xSkip int)", doc: "dst[r][j] = silu(x[r][j]*a[j] + b[j]).",
		in: []string{"x"}, broadcast: []string{"a", "b"}, skips: true,
		setup: func(v *vector) { v.preload(siluConstants...) },
		body: func(v *vector, x lane) {
			x["dst"] = v.affine(x)
			v.silu(x["dst"])
		},
	}.emit(v)
	emitNormGradInput(v)
}

// affine is z = x*a + b in place of x.
func (v *vector) affine(x lane) reg.VecVirtual {
	v.VFMADD213PS(x["b"], x["a"], x["x"])
	return x["x"]
}

// emitNormGradInput writes the gradient of GroupNorm with respect to its input.
func emitNormGradInput(v *vector) {
	grad := func(v *vector, x lane, dz reg.VecVirtual) {
		v.VFMADD231PS(x["x"], x["q"], x["r"])
		v.VFMADD231PS(dz, x["p"], x["r"])
		x["dst"] = x["r"]
	}
	rowwise{
		name: "normGradInput", signature: "func(dst, x, g, p, q, r []float32)",
		doc: "dst[i][j] = g[i][j]*p[j] + x[i][j]*q[j] + r[j].",
		in:  []string{"x", "g"}, broadcast: []string{"p", "q", "r"},
		body: func(v *vector, x lane) { grad(v, x, x["g"]) },
	}.emit(v)
	rowwise{
		name: "normGradInputSilu", signature: "func(dst, x, g, a, b, p, q, r []float32)",
		doc: "dst[i][j] = dz*p[j] + x[i][j]*q[j] + r[j] with dz = g[i][j]*silu'(x[i][j]*a[j] + b[j]).",
		in:  []string{"x", "g"}, broadcast: []string{"a", "b", "p", "q", "r"},
		setup: func(v *vector) { v.preload(siluGradConstants...) },
		body: func(v *vector, x lane) {
			v.VFMADD231PS(x["x"], x["q"], x["r"])
			v.timesSiluGrad(x["g"], v.affine(x))
			v.VFMADD231PS(x["g"], x["p"], x["r"])
			x["dst"] = x["r"]
		},
	}.emit(v)
}
