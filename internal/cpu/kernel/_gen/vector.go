package main

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// vector writes a kernel for one instruction set without naming it: its
// methods emit what differs between AVX2 and AVX-512. One vector serves one
// file; begin starts the next function of it.
type vector struct {
	*build.Context
	name  string // suffix of functions
	lanes int    // float32 per vector

	mask   reg.Register            // lanes of a ragged end: opmask or vector
	loaded map[string]reg.Register // constants that live in registers
	used   []string                // constants the file needs
}

// emitBoth runs f for AVX2 and then AVX-512 and adds the tables they used.
func emitBoth(ctx *build.Context, f func(*vector)) {
	used := map[string]bool{}
	for _, v := range []*vector{{name: "AVX2", lanes: 8}, {name: "AVX512", lanes: 16}} {
		v.Context = ctx
		f(v)
		for _, name := range v.used {
			used[name] = true
		}
	}
	tailMask(ctx)
	for _, name := range slices.Sorted(maps.Keys(used)) {
		ctx.StaticGlobal(name)
		ctx.DataAttributes(attr.RODATA | attr.NOPTR)
		for range 16 {
			ctx.AppendDatum(U32(constants[name]))
		}
	}
}

func (v *vector) wide() bool { return v.lanes == 16 }

// bytes of a vector.
func (v *vector) bytes() int { return 4 * v.lanes }

// begin starts function name with the tier's suffix.
func (v *vector) begin(name, signature, doc string) {
	v.Function(name + v.name)
	v.Attributes(attr.NOSPLIT)
	v.Pragma("noescape")
	v.SignatureExpr(signature)
	v.Doc(fmt.Sprintf("%s%s is the %s form of %s", name, v.name, v.title(), doc))
	v.loaded = map[string]reg.Register{}
	v.mask = nil
}

func (v *vector) title() string {
	if v.wide() {
		return "AVX-512"
	}
	return "AVX2"
}

// end leaves the vector state clean and returns.
func (v *vector) end() {
	v.VZEROUPPER()
	v.RET()
}

// new is a fresh vector register.
func (v *vector) new() reg.VecVirtual {
	if v.wide() {
		return v.ZMM()
	}
	return v.YMM()
}

// zero is a fresh register of zeros.
func (v *vector) zero() reg.VecVirtual {
	r := v.new()
	if v.wide() {
		v.VPXORD(r, r, r)
	} else {
		v.VXORPS(r, r, r)
	}
	return r
}

// copyOf is a fresh register with the value of src.
func (v *vector) copyOf(src Op) reg.VecVirtual {
	r := v.new()
	v.VMOVUPS(src, r)
	return r
}

// base and length load the parts of a slice parameter.
func (v *vector) base(param string) reg.GPVirtual {
	return v.Load(v.Param(param).Base(), v.GP64()).(reg.GPVirtual)
}

func (v *vector) length(param string) reg.GPVirtual {
	return v.Load(v.Param(param).Len(), v.GP64()).(reg.GPVirtual)
}

// scalar is a float32 parameter in all lanes.
func (v *vector) scalar(param string) reg.VecVirtual {
	b, err := v.Param(param).Resolve()
	if err != nil {
		panic(err)
	}
	r := v.new()
	v.VBROADCASTSS(b.Addr, r)
	return r
}

// preload puts constants into registers where the set of registers is large.
func (v *vector) preload(names ...string) {
	if !v.wide() {
		return
	}
	for _, name := range names {
		v.loaded[name] = v.copyOf(v.constant(name))
	}
}

// constant is an operand with the named constant in all lanes.
func (v *vector) constant(name string) Op {
	if r, ok := v.loaded[name]; ok {
		return r
	}
	if _, ok := constants[name]; !ok {
		panic("no constant " + name)
	}
	v.used = append(v.used, name)
	return NewDataAddr(NewStaticSymbol(name), 0)
}

// inRegister is the named constant in a register, for operands that may not be
// memory.
func (v *vector) inRegister(name string) reg.Register {
	if r, ok := v.loaded[name]; ok {
		return r
	}
	return v.copyOf(v.constant(name))
}

// setMask prepares load and store of the first n lanes, 0 <= n < lanes.
func (v *vector) setMask(n reg.GPVirtual) {
	if v.wide() {
		bits, mask := v.GP32(), v.K()
		v.MOVQ(n, reg.RCX)
		v.MOVL(U32(1), bits)
		v.SHLL(reg.CL, bits)
		v.DECL(bits)
		v.KMOVW(bits, mask)
		v.mask = mask
		return
	}
	at, neg, mask := v.GP64(), v.GP64(), v.YMM()
	v.LEAQ(tailMaskAt(32), at)
	v.MOVQ(n, neg)
	v.NEGQ(neg)
	v.VMOVUPS(Mem{Base: at, Index: neg, Scale: 4}, mask)
	v.mask = mask
}

// load reads a vector; when part, the lanes of the mask and zero elsewhere.
func (v *vector) load(m Mem, part bool) reg.VecVirtual {
	r := v.new()
	switch {
	case !part:
		v.VMOVUPS(m, r)
	case v.wide():
		v.VMOVUPS_Z(m, v.mask, r)
	default:
		v.VMASKMOVPS(m, v.mask, r)
	}
	return r
}

// store writes a vector; when part, the lanes of the mask.
func (v *vector) store(r Op, m Mem, part bool) {
	switch {
	case !part:
		v.VMOVUPS(r, m)
	case v.wide():
		v.VMOVUPS(r, v.mask, m)
	default:
		v.VMASKMOVPS(r, v.mask, m)
	}
}

const tailMaskName = "tailMask"

// tailMask emits eight words of ones and eight of zeros: a vector read n words
// before the middle has n leading lanes set.
func tailMask(ctx *build.Context) {
	ctx.StaticGlobal(tailMaskName)
	ctx.DataAttributes(attr.RODATA | attr.NOPTR)
	for i := range 16 {
		v := U32(0)
		if i < 8 {
			v = 0xffffffff
		}
		ctx.AppendDatum(v)
	}
}

// tailMaskAt addresses byte off of the table.
func tailMaskAt(off int) Mem {
	return NewDataAddr(NewStaticSymbol(tailMaskName), off)
}

func bits(x float32) uint32 { return math.Float32bits(x) }
