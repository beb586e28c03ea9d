package cpu

import (
	"github.com/sr3-go/sr3/internal/graph"
)

// maxPool lowers the largest value of windows, an output row at a time.
func (c *compiler) maxPool(n *graph.Node, op *graph.MaxPool) {
	x := c.in(n.Inputs[0])
	out := c.out(n)
	s, ch := n.Inputs[0].Shape, n.Shape[3]
	from, width := s[2]*ch, n.Shape[2]*ch
	c.emit("maxpool", rowChunks(n.Shape[0]*n.Shape[1], width*op.Kernel*op.Kernel, func(lo, hi int) {
		for row := lo; row < hi; row++ {
			image, y := row/n.Shape[1], row%n.Shape[1]
			src := x.data[(image*s[1]+y*op.Stride)*from:]
			maxPoolRow(out.data[row*width:(row+1)*width], src, op, from, ch)
		}
	}))
}

// maxPoolRow fills one output row; src begins at the first of the input rows
// under it, which are pitch floats apart.
func maxPoolRow(dst, src []float32, op *graph.MaxPool, pitch, ch int) {
	for k := 0; k*ch < len(dst); k++ {
		d, at := dst[k*ch:(k+1)*ch], k*op.Stride*ch
		copy(d, src[at:])
		for i := range op.Kernel {
			for j := range op.Kernel {
				larger(d, src[at+i*pitch+j*ch:][:ch])
			}
		}
	}
}

// larger is dst = max(dst, x) elementwise; NaN stays visible.
func larger(dst, x []float32) {
	x = x[:len(dst)]
	for i, v := range x {
		dst[i] = max(dst[i], v)
	}
}

// poolChannels is how many channels one work item of a gradient has: windows
// overlap, so the split is one that keeps all windows of an element together.
const poolChannels = 16

// maxPoolGrad lowers the gradient of maxPool.
func (c *compiler) maxPoolGrad(n *graph.Node, op *graph.MaxPoolGrad) {
	x, dy := c.in(n.Inputs[0]), c.in(n.Inputs[1])
	out := c.out(n)
	s, small := n.Shape, n.Inputs[1].Shape
	ch := s[3]
	blocks := (ch + poolChannels - 1) / poolChannels
	size := s[1] * s[2] * ch
	c.emit("maxpool-grad", chunks(out.size, func(lo, hi int) { clear(out.data[lo:hi]) }),
		phase{n: s[0] * blocks, body: func(_, item int) {
			image, lo := item/blocks, item%blocks*poolChannels
			in, dx := x.data[image*size:(image+1)*size], out.data[image*size:(image+1)*size]
			for y := range small[1] {
				for k := range small[2] {
					d := dy.data[((image*small[1]+y)*small[2]+k)*ch:]
					at := (y*s[2] + k) * op.Stride * ch
					for j := lo; j < min(lo+poolChannels, ch); j++ {
						dx[firstLargest(in, at+j, op.Kernel, s[2]*ch, ch)] += d[j]
					}
				}
			}
		}})
}

// firstLargest is where the largest element of one channel's window lies, the
// first in row-major order; the window begins at at.
func firstLargest(x []float32, at, kernel, pitch, ch int) int {
	best := at
	for i := range kernel {
		for j := range kernel {
			if k := at + i*pitch + j*ch; x[k] > x[best] {
				best = k
			}
		}
	}
	return best
}
