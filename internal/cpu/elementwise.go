package cpu

import (
	"math"

	"github.com/sr3-go/sr3/internal/cpu/kernel"
	"github.com/sr3-go/sr3/internal/graph"
)

// chunk is how many elements one work item of an elementwise loop has: enough to
// hide the cost of handing it out, few enough to stay in the first caches.
const chunk = 16 << 10

// chunks is a phase over [lo, hi) ranges of n elements.
func chunks(n int, body func(lo, hi int)) phase {
	return phase{n: (n + chunk - 1) / chunk, body: func(_, item int) {
		lo := item * chunk
		body(lo, min(lo+chunk, n))
	}}
}

// rowChunks is a phase over [lo, hi) ranges of rows, about chunk elements each.
func rowChunks(rows, width int, body func(lo, hi int)) phase {
	per := max(1, chunk/max(width, 1))
	return phase{n: (rows + per - 1) / per, body: func(_, item int) {
		lo := item * per
		body(lo, min(lo+per, rows))
	}}
}

var binaryKernels = [...]func(dst, a, b []float32){
	graph.AddKind: kernel.Add, graph.SubKind: kernel.Sub, graph.MulKind: kernel.Mul, graph.DivKind: div,
}

func div(dst, a, b []float32) {
	for i := range dst {
		dst[i] = a[i] / b[i]
	}
}

// binary lowers elementwise functions of two tensors. The common ways of
// stretching (none, a row over pixels) have loops of their own, the others
// are walked index by index.
func (c *compiler) binary(n *graph.Node, op *graph.Binary) {
	an, bn := n.Inputs[0], n.Inputs[1]
	if op.Kind == graph.AddKind || op.Kind == graph.MulKind {
		if !an.Shape.Equal(n.Shape) && bn.Shape.Equal(n.Shape) {
			an, bn = bn, an
		}
	}
	a, b := c.in(an), c.in(bn)
	f := binaryKernels[op.Kind]
	switch outer, mid, inner, ok := stretchedMiddle(n.Shape, bn.Shape); {
	case !an.Shape.Equal(n.Shape) || !ok:
		c.binaryGeneral(n, an, bn, f)
	case mid == 1:
		out := c.outInPlace(n, a)
		c.emit(op.Name(), chunks(a.size, func(lo, hi int) { f(out.data[lo:hi], a.data[lo:hi], b.data[lo:hi]) }))
	case inner > 1 && (op.Kind == graph.AddKind || op.Kind == graph.MulKind):
		rowKernel := kernel.AddRow
		if op.Kind == graph.MulKind {
			rowKernel = kernel.MulRow
		}
		out := c.outInPlace(n, a)
		c.emit(op.Name(), perOuterRows(outer, mid, inner, func(o, lo, hi int) {
			rowKernel(out.data[lo:hi], a.data[lo:hi], b.data[o*inner:(o+1)*inner])
		}))
	default:
		out := c.outInPlace(n, a)
		c.emit(op.Name(), perOuterRows(outer, mid, inner, func(o, lo, hi int) {
			row := b.data[o*inner : (o+1)*inner]
			for i := lo; i < hi; i += inner {
				if inner == 1 {
					scalarBinary(op.Kind, out.data[lo:hi], a.data[lo:hi], row[0])
					return
				}
				f(out.data[i:i+inner], a.data[i:i+inner], row)
			}
		}))
	}
}

// scalarBinary is dst = f(a, s) for one number s.
func scalarBinary(kind graph.BinaryKind, dst, a []float32, s float32) {
	switch kind {
	case graph.AddKind:
		kernel.ScaleShift(dst, a, 1, s)
	case graph.SubKind:
		kernel.ScaleShift(dst, a, 1, -s)
	case graph.MulKind:
		kernel.ScaleShift(dst, a, s, 0)
	case graph.DivKind:
		for i := range dst {
			dst[i] = a[i] / s
		}
	}
}

// stretchedMiddle says whether a tensor of shape small is stretched to shape full
// along consecutive axes only: full = outer x mid x inner, small = outer x inner.
func stretchedMiddle(full, small graph.Shape) (outer, mid, inner int, ok bool) {
	outer, mid, inner = 1, 1, 1
	stage := 0
	for i, d := range full {
		stretched := small[i] == 1 && d != 1
		switch {
		case d == 1:
		case stretched && stage == 0, stretched && stage == 1:
			stage = 1
			mid *= d
		case !stretched && stage == 0:
			outer *= d
		case !stretched:
			stage = 2
			inner *= d
		default:
			return 0, 0, 0, false
		}
	}
	if stage == 0 { // same shape: one row
		return 1, 1, outer, true
	}
	return outer, mid, inner, true
}

// perOuterRows is a phase over element ranges [lo, hi) of whole rows, each range
// within one index o of the outer axis.
func perOuterRows(outer, mid, inner int, body func(o, lo, hi int)) phase {
	per := max(1, chunk/inner)
	blocks := (mid + per - 1) / per
	return phase{n: outer * blocks, body: func(_, item int) {
		o, block := item/blocks, item%blocks
		lo, hi := block*per, min((block+1)*per, mid)
		body(o, (o*mid+lo)*inner, (o*mid+hi)*inner)
	}}
}

// binaryGeneral stretches both operands row by row of the last axis.
func (c *compiler) binaryGeneral(n, an, bn *graph.Node, f func(dst, a, b []float32)) {
	a, b := c.in(an), c.in(bn)
	out, stretched := c.out(n), c.temp(n.Shape.Size())
	ra, rb := newRowReader(n.Shape, an.Shape), newRowReader(n.Shape, bn.Shape)
	width := n.Shape[len(n.Shape)-1]
	c.emit("stretched", rowChunks(n.Shape.Size()/width, width, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			x, y := out.data[r*width:(r+1)*width], stretched.data[r*width:(r+1)*width]
			ra.read(x, a.data, r)
			rb.read(y, b.data, r)
			f(x, x, y)
		}
	}))
}

// rowReader reads rows along the last axis of a tensor stretched to a shape.
type rowReader struct {
	full   graph.Shape
	stride []int // elements per step along each axis, 0 where stretched
}

func newRowReader(full, small graph.Shape) *rowReader {
	r := &rowReader{full, make([]int, len(full))}
	step := 1
	for i := len(full) - 1; i >= 0; i-- {
		if small[i] != 1 {
			r.stride[i] = step
		}
		step *= small[i]
	}
	return r
}

// read copies row number row (counted over all axes but the last) to dst.
func (r *rowReader) read(dst, src []float32, row int) {
	at := r.start(row)
	if r.stride[len(r.full)-1] == 1 {
		copy(dst, src[at:])
		return
	}
	for i := range dst {
		dst[i] = src[at]
	}
}

// start is where in the small tensor a row begins.
func (r *rowReader) start(row int) int {
	at := 0
	for i := len(r.full) - 2; i >= 0; i-- {
		at += row % r.full[i] * r.stride[i]
		row /= r.full[i]
	}
	return at
}

func (c *compiler) stretch(n *graph.Node) {
	x := c.in(n.Inputs[0])
	out := c.out(n)
	width := n.Shape[len(n.Shape)-1]
	r := newRowReader(n.Shape, n.Inputs[0].Shape)
	c.emit("stretch", rowChunks(n.Shape.Size()/width, width, func(lo, hi int) {
		for row := lo; row < hi; row++ {
			r.read(out.data[row*width:(row+1)*width], x.data, row)
		}
	}))
}

func (c *compiler) unary(n *graph.Node, op *graph.Unary) {
	x := c.in(n.Inputs[0])
	out := c.outInPlace(n, x)
	f := unaryFunc(op.Kind)
	c.emit(op.Name(), chunks(x.size, func(lo, hi int) { f(out.data[lo:hi], x.data[lo:hi]) }))
}

// unaryFunc is the loop of an elementwise function. Those without a kernel are
// rare and small in networks: they run on a few numbers per image.
func unaryFunc(kind graph.UnaryKind) func(dst, x []float32) {
	each := func(f func(float64) float64) func(dst, x []float32) {
		return func(dst, x []float32) {
			for i, v := range x {
				dst[i] = float32(f(float64(v)))
			}
		}
	}
	switch kind {
	case graph.SiLUKind:
		return kernel.Silu
	case graph.SigmoidKind:
		return kernel.Sigmoid
	case graph.ExpKind:
		return kernel.Exp
	case graph.SinKind:
		return kernel.Sin
	case graph.CosKind:
		return kernel.Cos
	case graph.SquareKind:
		return func(dst, x []float32) { kernel.Mul(dst, x, x) }
	case graph.SqrtKind:
		return each(math.Sqrt)
	case graph.AbsKind:
		return abs
	case graph.SignKind:
		return sign
	case graph.ReLUKind:
		return relu
	}
	panic("cpu: an elementwise function without a loop")
}

func abs(dst, x []float32) {
	for i, v := range x {
		dst[i] = math.Float32frombits(math.Float32bits(v) &^ (1 << 31))
	}
}

func sign(dst, x []float32) {
	for i, v := range x {
		switch {
		case v > 0:
			dst[i] = 1
		case v < 0:
			dst[i] = -1
		default:
			dst[i] = v // 0, and NaN stays visible
		}
	}
}

func relu(dst, x []float32) {
	for i, v := range x {
		dst[i] = max(v, 0)
	}
}

func (c *compiler) siluGrad(n *graph.Node) {
	x, dy := c.in(n.Inputs[0]), c.in(n.Inputs[1])
	out := c.outInPlace(n, dy)
	c.emit("silu-grad", chunks(x.size, func(lo, hi int) {
		kernel.SiluGrad(out.data[lo:hi], x.data[lo:hi], dy.data[lo:hi])
	}))
}

func (c *compiler) affine(n *graph.Node, op *graph.Affine) {
	x := c.in(n.Inputs[0])
	out := c.outInPlace(n, x)
	c.emit("affine", chunks(x.size, func(lo, hi int) {
		kernel.ScaleShift(out.data[lo:hi], x.data[lo:hi], op.Scale, op.Shift)
	}))
}

// dropout draws the mask of [graph.Graph.Dropout]. Chunks begin at a multiple of the
// four elements that one block of random words serves.
func (c *compiler) dropout(n *graph.Node, op *graph.Dropout) {
	x, seed := c.in(n.Inputs[0]), c.in(n.Inputs[1])
	out := c.outInPlace(n, x)
	keep := 1 / (1 - op.Rate)
	threshold := uint32(math.Ceil(float64(op.Rate) * (1 << 32))) // word/2^32 < rate
	c.emit("dropout", chunks(x.size, func(lo, hi int) {
		key := uint64(seed.data[0]) | uint64(seed.data[1])<<24
		kernel.Dropout(out.data[lo:hi], x.data[lo:hi], key, op.Site, uint64(lo/4), threshold, keep)
	}))
}
