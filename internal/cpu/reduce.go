package cpu

import (
	"math"

	"github.com/sr3-go/sr3/internal/cpu/kernel"
	"github.com/sr3-go/sr3/internal/graph"
)

// partials is into how many parts a long sum is cut; fixed, so that the order of
// additions does not depend on the number of threads.
const partials = 32

// sum lowers a sum over consecutive axes, out[o, i] = sum over r of x[o, r, i];
// a sum over scattered axes adds elements one by one.
func (c *compiler) sum(n *graph.Node) {
	outer, mid, inner, ok := stretchedMiddle(n.Inputs[0].Shape, n.Shape)
	if !ok {
		c.sumScattered(n)
		return
	}
	x := c.in(n.Inputs[0])
	switch {
	case mid == 1:
		out := c.outInPlace(n, x)
		c.emit("sum", chunks(x.size, func(lo, hi int) { copy(out.data[lo:hi], x.data[lo:hi]) }))
	case inner == 1 && mid <= chunk:
		out := c.out(n)
		c.emit("sum", rowChunks(outer, mid, func(lo, hi int) {
			for o := lo; o < hi; o++ {
				out.data[o] = float32(kernel.Sum(x.data[o*mid : (o+1)*mid]))
			}
		}))
	case inner == 1:
		c.sumLong(n, x, outer, mid)
	default:
		c.sumRows(n, x, outer, mid, inner)
	}
}

// sumLong sums long runs of mid elements in float64, cut into parts.
func (c *compiler) sumLong(n *graph.Node, x *buffer, outer, mid int) {
	out := c.out(n)
	sums := make([]float64, outer*partials)
	per := (mid + partials - 1) / partials
	part := phase{n: outer * partials, body: func(_, item int) {
		o, k := item/partials, item%partials
		lo, hi := min(k*per, mid), min((k+1)*per, mid)
		sums[item] = kernel.Sum(x.data[o*mid+lo : o*mid+hi])
	}}
	total := phase{n: outer, body: func(_, o int) {
		var s float64
		for _, v := range sums[o*partials : (o+1)*partials] {
			s += v
		}
		out.data[o] = float32(s)
	}}
	c.emit("sum", part, total)
}

// sumRows sums rows of inner elements.
func (c *compiler) sumRows(n *graph.Node, x *buffer, outer, mid, inner int) {
	out := c.out(n)
	blocks := min(partials, (mid+63)/64)
	per := (mid + blocks - 1) / blocks
	parts := c.temp(outer * blocks * inner)
	part := phase{n: outer * blocks, body: func(_, item int) {
		o, k := item/blocks, item%blocks
		lo, hi := min(k*per, mid), min((k+1)*per, mid)
		dst := parts.data[item*inner : (item+1)*inner]
		clear(dst)
		kernel.SumRows(dst, x.data[(o*mid+lo)*inner:(o*mid+hi)*inner])
	}}
	total := phase{n: outer, body: func(_, o int) {
		dst := out.data[o*inner : (o+1)*inner]
		clear(dst)
		kernel.SumRows(dst, parts.data[o*blocks*inner:(o+1)*blocks*inner])
	}}
	c.emit("sum", part, total)
}

// sumScattered adds every element to its place, in order.
func (c *compiler) sumScattered(n *graph.Node) {
	x := c.in(n.Inputs[0])
	out := c.out(n)
	full := n.Inputs[0].Shape
	r := newRowReader(full, n.Shape)
	c.emit("sum", phase{n: 1, body: func(_, _ int) {
		clear(out.data)
		width := full[len(full)-1]
		for row := range x.size / width {
			at := r.start(row)
			for i, v := range x.data[row*width : (row+1)*width] {
				out.data[at+i*r.stride[len(full)-1]] += v
			}
		}
	}})
}

func (c *compiler) softmax(n *graph.Node) {
	x := c.in(n.Inputs[0])
	out := c.outInPlace(n, x)
	width := n.Shape[len(n.Shape)-1]
	c.emit("softmax", rowChunks(x.size/width, width, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			src, dst := x.data[r*width:(r+1)*width], out.data[r*width:(r+1)*width]
			kernel.ScaleShift(dst, src, 1, -kernel.Max(src))
			kernel.Exp(dst, dst)
			kernel.ScaleShift(dst, dst, float32(1/kernel.Sum(dst)), 0)
		}
	}))
}

func (c *compiler) softmaxGrad(n *graph.Node) {
	y, dy := c.in(n.Inputs[0]), c.in(n.Inputs[1])
	out := c.out(n)
	if y != dy { // y is read after the first write
		c.inPlace[out] = dy
	}
	width := n.Shape[len(n.Shape)-1]
	c.emit("softmax-grad", rowChunks(y.size/width, width, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			p, g, dst := y.data[r*width:(r+1)*width], dy.data[r*width:(r+1)*width], out.data[r*width:(r+1)*width]
			kernel.ScaleShift(dst, g, 1, -float32(kernel.Dot(p, g)))
			kernel.Mul(dst, dst, p)
		}
	}))
}

// meanRstd is the mean, and 1/sqrt(variance + epsilon), from a sum and a sum of
// squares of count numbers.
func meanRstd(sum, squares, count, epsilon float64) (mean, rstd float64) {
	mean = sum / count
	variance := max(squares/count-mean*mean, 0)
	return mean, 1 / math.Sqrt(variance+epsilon)
}
