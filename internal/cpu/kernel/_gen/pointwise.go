package main

import (
	"fmt"
	"slices"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// lane maps the names of streams to the vectors of one position.
type lane map[string]reg.VecVirtual

// pointwise describes a kernel that treats every element alike.
type pointwise struct {
	name, signature, doc string
	in, out              []string // slice parameters read and written
	unroll               int
	setup                func(v *vector) // loads constants and scalars
	body                 func(v *vector, x lane)
	finish               func(v *vector) // stores a result, if there is one
}

// emit writes the loops over unrolled vectors, single vectors, and the ragged
// end.
func (p pointwise) emit(v *vector) {
	v.begin(p.name, p.signature, p.doc)
	ptr := map[string]reg.GPVirtual{}
	for _, s := range union(p.in, p.out) {
		ptr[s] = v.base(s)
	}
	n := v.length(p.out[0])
	if p.setup != nil {
		p.setup(v)
	}
	group := func(count int, part bool) {
		var xs []lane
		for u := range count {
			x := lane{}
			for _, s := range p.in {
				x[s] = v.load(Mem{Base: ptr[s], Disp: u * v.bytes()}, part)
			}
			xs = append(xs, x)
		}
		for u, x := range xs {
			p.body(v, x)
			for _, s := range p.out {
				v.store(x[s], Mem{Base: ptr[s], Disp: u * v.bytes()}, part)
			}
		}
	}
	for _, count := range slices.Compact([]int{p.unroll, 1}) {
		label := fmt.Sprintf("by%d", count)
		v.SUBQ(U32(count*v.lanes), n)
		v.JL(LabelRef(label + "end"))
		v.Label(label)
		group(count, false)
		for _, s := range union(p.in, p.out) {
			v.ADDQ(U32(count*v.bytes()), ptr[s])
		}
		v.SUBQ(U32(count*v.lanes), n)
		v.JGE(LabelRef(label))
		v.Label(label + "end")
		v.ADDQ(U32(count*v.lanes), n)
	}
	v.JZ(LabelRef("done"))
	v.setMask(n)
	group(1, true)
	v.Label("done")
	if p.finish != nil {
		p.finish(v)
	}
	v.end()
}

// union is a followed by what only b has.
func union(a, b []string) []string {
	all := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(a, s) {
			all = append(all, s)
		}
	}
	return all
}

func emitPointwise(v *vector) {
	for _, op := range []struct {
		name, sign string
		emit       func(v *vector, a, b, d Op)
	}{
		{"add", "+", func(v *vector, a, b, d Op) { v.VADDPS(b, a, d) }},
		{"sub", "-", func(v *vector, a, b, d Op) { v.VSUBPS(b, a, d) }},
		{"mul", "*", func(v *vector, a, b, d Op) { v.VMULPS(b, a, d) }},
	} {
		pointwise{
			name: op.name, signature: "func(dst, a, b []float32)",
			doc: "dst[i] = a[i] " + op.sign + " b[i].",
			in:  []string{"a", "b"}, out: []string{"dst"}, unroll: 4,
			body: func(v *vector, x lane) {
				x["dst"] = v.new()
				op.emit(v, x["a"], x["b"], x["dst"])
			},
		}.emit(v)
	}
	emitLinear(v)
	emitActivations(v)
}

// emitLinear writes the kernels with scalar factors.
func emitLinear(v *vector) {
	var alpha, scale, shift reg.VecVirtual
	pointwise{
		name: "axpy", signature: "func(dst []float32, alpha float32, x []float32)",
		doc: "dst[i] += alpha*x[i].",
		in:  []string{"dst", "x"}, out: []string{"dst"}, unroll: 4,
		setup: func(v *vector) { alpha = v.scalar("alpha") },
		body:  func(v *vector, x lane) { v.VFMADD231PS(alpha, x["x"], x["dst"]) },
	}.emit(v)
	pointwise{
		name: "scaleShift", signature: "func(dst, x []float32, scale, shift float32)",
		doc: "dst[i] = x[i]*scale + shift.",
		in:  []string{"x"}, out: []string{"dst"}, unroll: 4,
		setup: func(v *vector) { scale, shift = v.scalar("scale"), v.scalar("shift") },
		body: func(v *vector, x lane) {
			v.VFMADD213PS(shift, scale, x["x"])
			x["dst"] = x["x"]
		},
	}.emit(v)
}

// emitActivations writes the kernels with an exponential in them.
func emitActivations(v *vector) {
	one := pointwise{in: []string{"x"}, out: []string{"dst"}, signature: "func(dst, x []float32)", unroll: 2}
	one.name, one.doc = "exp", "dst[i] = e^x[i]."
	one.setup = func(v *vector) { v.preload(append([]string{"expLow", "expHigh"}, expConstants...)...) }
	one.body = func(v *vector, x lane) {
		v.clamp(x["x"], "expLow", "expHigh")
		x["dst"] = v.exp(x["x"], false)
	}
	one.emit(v)
	one.name, one.doc = "sigmoid", "dst[i] = 1/(1 + e^-x[i])."
	one.setup = func(v *vector) { v.preload(siluConstants...) }
	one.body = func(v *vector, x lane) {
		x["dst"] = v.sigmoidDenominator(x["x"])
		v.VDIVPS(x["dst"], v.inRegister("one"), x["dst"])
	}
	one.emit(v)
	one.name, one.doc = "silu", "dst[i] = x[i]/(1 + e^-x[i])."
	one.body = func(v *vector, x lane) {
		v.silu(x["x"])
		x["dst"] = x["x"]
	}
	one.emit(v)
	pointwise{
		name: "siluGrad", signature: "func(dst, x, g []float32)",
		doc: "dst[i] = g[i] * silu'(x[i]).",
		in:  []string{"x", "g"}, out: []string{"dst"}, unroll: 2,
		setup: func(v *vector) { v.preload(siluGradConstants...) },
		body: func(v *vector, x lane) {
			v.timesSiluGrad(x["g"], x["x"])
			x["dst"] = x["g"]
		},
	}.emit(v)
}
