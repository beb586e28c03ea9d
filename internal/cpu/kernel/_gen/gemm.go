package main

import (
	"bytes"
	"fmt"
	"text/template"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// gemmTier is one instruction set of the matrix tile: C[M][N] += A*B with M up
// to rows and N up to 2*lanes, all of C in registers.
type gemmTier struct {
	name  string            // suffix of the routines
	rows  int               // largest M
	lanes int               // float32 per vector
	vec   []reg.VecPhysical // vector registers, accumulators first
}

var gemmAVX512 = gemmTier{name: "AVX512", rows: 14, lanes: 16, vec: zmm()}
var gemmAVX2 = gemmTier{name: "AVX2", rows: 6, lanes: 8, vec: ymm()}

// Byte offsets of kernel.Tile; TestTileLayout holds them to the Go struct.
const (
	tileC = 8 * iota
	tileLDC
	tileRes
	tileLDRes
	tileBias
	tileA
	tileARS
	tileAKS
	tileB
	tileBKS
	tileAOff
	tileBOff
	tileSegments
	tileK
	tileM
	tileN
	tileScale
)

// unroll is the number of k steps in the main loop.
const unroll = 4

// General purpose registers of a tile routine.
var (
	rTile  = reg.RDI
	rA     = reg.RSI // row 0 of A at the current k
	rA7    = reg.R8  // row 7 of A, for tiles of more than 7 rows
	rARS   = reg.R9  // row stride of A in bytes, and 3 and 5 times that
	rARS3  = reg.R10
	rARS5  = reg.R11
	rAKS   = reg.R12
	rB     = reg.RBX
	rBKS   = reg.R13
	rCount = reg.RCX // k steps left
	rSeg   = reg.RDX
	rTmp   = reg.RAX
)

// gemmRoutine emits one size: m rows, v vectors of columns.
type gemmRoutine struct {
	*build.Context
	gemmTier
	m, v int
}

func emitGemm(ctx *build.Context, t gemmTier) {
	for v := 2; v >= 1; v-- {
		for m := t.rows; m >= 1; m-- {
			r := gemmRoutine{ctx, t, m, v}
			r.emit()
		}
	}
	if t.lanes == 8 {
		tailMask(ctx)
	}
}

func gemmName(tier string, m, n int) string { return fmt.Sprintf("gemm%s_%dx%d", tier, m, n) }

func (r gemmRoutine) acc(i, j int) reg.VecPhysical { return r.vec[i*r.v+j] }
func (r gemmRoutine) b(j int) reg.VecPhysical      { return r.vec[r.m*r.v+j] }
func (r gemmRoutine) field(off int) Mem            { return Mem{Base: rTile, Disp: off} }

// bcast is the register that takes the broadcast of A for row i: the ones left
// over after accumulators and B, in turn.
func (r gemmRoutine) bcast(i int) reg.VecPhysical {
	free := r.vec[(r.m+1)*r.v:]
	return free[i%min(len(free), 4)]
}

func (r gemmRoutine) emit() {
	r.Function(gemmName(r.name, r.m, r.v*r.lanes))
	r.Attributes(attr.NOSPLIT)
	r.SignatureExpr("func(t *byte)")
	r.Load(r.Param("t"), rTile)
	r.strides()
	for i := range r.m {
		for j := range r.v {
			a := r.acc(i, j)
			if r.lanes == 16 {
				r.VPXORD(a, a, a)
			} else {
				r.VXORPS(a, a, a)
			}
		}
	}
	r.segments()
	r.epilogue()
	r.VZEROUPPER()
	r.RET()
}

// strides loads the element strides as bytes with their multiples.
func (r gemmRoutine) strides() {
	r.MOVQ(r.field(tileARS), rARS)
	r.SHLQ(Imm(2), rARS)
	r.MOVQ(r.field(tileAKS), rAKS)
	r.SHLQ(Imm(2), rAKS)
	r.MOVQ(r.field(tileBKS), rBKS)
	r.SHLQ(Imm(2), rBKS)
	if r.m > 3 {
		r.LEAQ(Mem{Base: rARS, Index: rARS, Scale: 2}, rARS3)
	}
	if r.m > 5 {
		r.LEAQ(Mem{Base: rARS, Index: rARS, Scale: 4}, rARS5)
	}
}

// segments emits the loop over the pairs of offsets, each a run of K steps.
func (r gemmRoutine) segments() {
	r.XORQ(rSeg, rSeg)
	r.Label("segment")
	r.CMPQ(rSeg, r.field(tileSegments))
	r.JGE(LabelRef("epilogue"))
	r.MOVQ(r.field(tileAOff), rTmp)
	r.MOVQ(Mem{Base: rTmp, Index: rSeg, Scale: 8}, rTmp)
	r.MOVQ(r.field(tileA), rA)
	r.LEAQ(Mem{Base: rA, Index: rTmp, Scale: 4}, rA)
	if r.m > 7 {
		r.LEAQ(Mem{Base: rARS3, Index: rARS, Scale: 4}, rA7)
		r.ADDQ(rA, rA7)
	}
	r.MOVQ(r.field(tileBOff), rTmp)
	r.MOVQ(Mem{Base: rTmp, Index: rSeg, Scale: 8}, rTmp)
	r.MOVQ(r.field(tileB), rB)
	r.LEAQ(Mem{Base: rB, Index: rTmp, Scale: 4}, rB)
	r.INCQ(rSeg)
	r.MOVQ(r.field(tileK), rCount)
	r.SUBQ(Imm(unroll), rCount)
	r.JL(LabelRef("rest"))
	r.Label("main")
	for range unroll {
		r.step()
	}
	r.SUBQ(Imm(unroll), rCount)
	r.JGE(LabelRef("main"))
	r.Label("rest")
	r.ADDQ(Imm(unroll), rCount)
	r.JLE(LabelRef("segment"))
	r.Label("one")
	r.step()
	r.DECQ(rCount)
	r.JNZ(LabelRef("one"))
	r.JMP(LabelRef("segment"))
}

// step is one k: load a row of B, then for each row of A broadcast and
// multiply-add. At half the width of AVX-512 the multiply-add takes A from memory
// itself: a broadcast of its own for each would be one instruction in two.
func (r gemmRoutine) step() {
	for j := range r.v {
		r.VMOVUPS(Mem{Base: rB, Disp: j * r.lanes * 4}, r.b(j))
	}
	r.ADDQ(rBKS, rB)
	for i := range r.m {
		if r.v == 1 && r.lanes == 16 {
			r.VFMADD231PS_BCST(r.rowA(i), r.b(0), r.acc(i, 0))
			continue
		}
		s := r.bcast(i)
		r.VBROADCASTSS(r.rowA(i), s)
		for j := range r.v {
			r.VFMADD231PS(s, r.b(j), r.acc(i, j))
		}
	}
	r.ADDQ(rAKS, rA)
	if r.m > 7 {
		r.ADDQ(rAKS, rA7)
	}
}

// rowA addresses row i of A at the current k: seven rows from each base.
func (r gemmRoutine) rowA(i int) Mem {
	base := rA
	if i >= 7 {
		base, i = rA7, i-7
	}
	switch i {
	case 0:
		return Mem{Base: base}
	case 1, 2, 4:
		return Mem{Base: base, Index: rARS, Scale: uint8(i)}
	case 3, 6:
		return Mem{Base: base, Index: rARS3, Scale: uint8(i / 3)}
	default:
		return Mem{Base: base, Index: rARS5, Scale: 1}
	}
}

// epilogue adds bias and residual and stores. The last vector of each row goes
// through a mask of N - (v-1)*lanes columns.
func (r gemmRoutine) epilogue() {
	r.Label("epilogue")
	r.MOVQ(r.field(tileN), rCount)
	if r.v == 2 {
		r.SUBQ(U32(r.lanes), rCount)
	}
	if r.lanes == 16 {
		r.MOVL(U32(1), reg.EAX)
		r.SHLL(reg.CL, reg.EAX)
		r.DECL(reg.EAX)
		r.KMOVW(reg.EAX, reg.K1)
		r.finish("", true)
		return
	}
	r.CMPQ(rCount, Imm(uint64(r.lanes)))
	r.JL(LabelRef("edge"))
	r.finish("full", false)
	r.VZEROUPPER()
	r.RET()
	r.Label("edge")
	r.loadTailMask(rCount, rTmp, r.maskVec())
	r.finish("edge", true)
}

// maskVec holds the AVX2 column mask during the epilogue.
func (r gemmRoutine) maskVec() reg.VecPhysical { return r.vec[len(r.vec)-1] }

// finish is the epilogue for whole rows or, when masked, for ragged ones.
func (r gemmRoutine) finish(prefix string, masked bool) {
	last := r.v - 1
	r.MOVQ(r.field(tileBias), rTmp)
	r.TESTQ(rTmp, rTmp)
	r.JZ(LabelRef(prefix + "residual"))
	for j := range r.v {
		r.load(Mem{Base: rTmp, Disp: j * r.lanes * 4}, r.b(j), masked && j == last)
	}
	for i := range r.m {
		for j := range r.v {
			r.VADDPS(r.b(j), r.acc(i, j), r.acc(i, j))
		}
	}
	r.Label(prefix + "residual")
	r.MOVQ(r.field(tileRes), rTmp)
	r.TESTQ(rTmp, rTmp)
	r.JZ(LabelRef(prefix + "scale"))
	r.MOVQ(r.field(tileLDRes), rB)
	for i := range r.m {
		for j := range r.v {
			r.addMem(Mem{Base: rTmp, Disp: j * r.lanes * 4}, r.acc(i, j), masked && j == last)
		}
		if i < r.m-1 {
			r.LEAQ(Mem{Base: rTmp, Index: rB, Scale: 4}, rTmp)
		}
	}
	r.Label(prefix + "scale")
	r.CMPL(r.field(tileScale), Imm(0))
	r.JE(LabelRef(prefix + "store"))
	r.VBROADCASTSS(r.field(tileScale), r.b(0))
	for i := range r.m {
		for j := range r.v {
			r.VMULPS(r.b(0), r.acc(i, j), r.acc(i, j))
		}
	}
	r.Label(prefix + "store")
	r.MOVQ(r.field(tileC), rTmp)
	r.MOVQ(r.field(tileLDC), rB)
	for i := range r.m {
		for j := range r.v {
			r.store(r.acc(i, j), Mem{Base: rTmp, Disp: j * r.lanes * 4}, masked && j == last)
		}
		if i < r.m-1 {
			r.LEAQ(Mem{Base: rTmp, Index: rB, Scale: 4}, rTmp)
		}
	}
}

func (r gemmRoutine) load(m Mem, v reg.VecPhysical, masked bool) {
	switch {
	case !masked:
		r.VMOVUPS(m, v)
	case r.lanes == 16:
		r.VMOVUPS_Z(m, reg.K1, v)
	default:
		r.VMASKMOVPS(m, r.maskVec(), v)
	}
}

// addMem adds memory to an accumulator; after the bias the registers of B are
// free.
func (r gemmRoutine) addMem(m Mem, v reg.VecPhysical, masked bool) {
	switch {
	case !masked:
		r.VADDPS(m, v, v)
	case r.lanes == 16:
		r.VADDPS(m, v, reg.K1, v)
	default:
		r.VMASKMOVPS(m, r.maskVec(), r.b(0))
		r.VADDPS(r.b(0), v, v)
	}
}

func (r gemmRoutine) store(v reg.VecPhysical, m Mem, masked bool) {
	switch {
	case !masked:
		r.VMOVUPS(v, m)
	case r.lanes == 16:
		r.VMOVUPS(v, reg.K1, m)
	default:
		r.VMASKMOVPS(v, r.maskVec(), m)
	}
}

// loadTailMask sets mask to n leading lanes of ones, 0 <= n <= 8.
func (r gemmRoutine) loadTailMask(n, tmp reg.GPPhysical, mask reg.VecPhysical) {
	r.LEAQ(tailMaskAt(32), tmp)
	r.SHLQ(Imm(2), n)
	r.SUBQ(n, tmp)
	r.VMOVUPS(Mem{Base: tmp}, mask)
}

func zmm() []reg.VecPhysical {
	return []reg.VecPhysical{
		reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7,
		reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
		reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23,
		reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31,
	}
}

func ymm() []reg.VecPhysical {
	return []reg.VecPhysical{
		reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7,
		reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15,
	}
}

// writeGemmDispatch writes the declarations of all tile routines and, for each
// tier, the switch that picks one. A switch, unlike a table of function
// values, lets a Tile stay on its caller's stack.
func writeGemmDispatch(path string) error {
	type tier struct {
		Name       string
		Rows       []int
		Half, Full int
	}
	var tiers []tier
	for _, t := range []gemmTier{gemmAVX512, gemmAVX2} {
		d := tier{Name: t.name, Half: t.lanes, Full: 2 * t.lanes}
		for m := 1; m <= t.rows; m++ {
			d.Rows = append(d.Rows, m)
		}
		tiers = append(tiers, d)
	}
	var buf bytes.Buffer
	if err := gemmDispatch.Execute(&buf, tiers); err != nil {
		return err
	}
	return writeGo(path, buf.Bytes())
}

var gemmDispatch = template.Must(template.New("dispatch").Parse(`// Code generated by _gen. DO NOT EDIT.

//go:build !noasm

package kernel
{{range $t := .}}
// gemm{{.Name}} runs the routine for the size of t.
func gemm{{.Name}}(t *Tile) {
	if t.N > {{.Half}} {
		switch t.M {
{{- range .Rows}}
		case {{.}}:
			gemm{{$t.Name}}_{{.}}x{{$t.Full}}(t)
{{- end}}
		}
		return
	}
	switch t.M {
{{- range .Rows}}
	case {{.}}:
		gemm{{$t.Name}}_{{.}}x{{$t.Half}}(t)
{{- end}}
	}
}
{{range .Rows}}
//go:noescape
func gemm{{$t.Name}}_{{.}}x{{$t.Full}}(t *Tile)

//go:noescape
func gemm{{$t.Name}}_{{.}}x{{$t.Half}}(t *Tile)
{{end}}{{end}}`))
