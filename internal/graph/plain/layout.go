package plain

import (
	"slices"

	"github.com/sr3-go/sr3/internal/graph"
)

func sum(n *graph.Node, out, x []float64) {
	each(n.Inputs[0].Shape, func(i int, index []int) { out[at(n.Shape, index...)] += x[i] })
}

func stretch(n *graph.Node, out, x []float64) {
	each(n.Shape, func(i int, index []int) { out[i] = x[at(n.Inputs[0].Shape, index...)] })
}

// place copies x, of shape s, into out, of shape n.Shape, moved by offset along
// one axis.
func place(n *graph.Node, out, x []float64, s graph.Shape, axis, offset int) {
	each(s, func(i int, index []int) {
		to := slices.Clone(index)
		to[axis] += offset
		out[at(n.Shape, to...)] = x[i]
	})
}

func concat(o *graph.Concat, n *graph.Node, out []float64, in [][]float64) {
	offset := 0
	for i, part := range n.Inputs {
		place(n, out, in[i], part.Shape, o.Axis, offset)
		offset += part.Shape[o.Axis]
	}
}

func pad(o *graph.Pad, n *graph.Node, out, x []float64) {
	place(n, out, x, n.Inputs[0].Shape, o.Axis, o.Before)
}

func slice(o *graph.Slice, n *graph.Node, out, x []float64) {
	each(n.Shape, func(i int, index []int) {
		from := slices.Clone(index)
		from[o.Axis] += o.Start
		out[i] = x[at(n.Inputs[0].Shape, from...)]
	})
}

// folded gives the position in folded channels of the pixel and channel
// (y, x, c) of an image with the given number of channels.
func folded(factor, channels, y, x, c int) (fy, fx, fc int) {
	return y / factor, x / factor, (y%factor*factor+x%factor)*channels + c
}

func spaceToDepth(o *graph.SpaceToDepth, node *graph.Node, out, in []float64) {
	s := node.Inputs[0].Shape
	pixels(s, func(n, y, x, c int) {
		fy, fx, fc := folded(o.Factor, s[3], y, x, c)
		out[nhwc(node.Shape, n, fy, fx, fc)] = in[nhwc(s, n, y, x, c)]
	})
}

func depthToSpace(o *graph.DepthToSpace, node *graph.Node, out, in []float64) {
	s := node.Shape
	pixels(s, func(n, y, x, c int) {
		fy, fx, fc := folded(o.Factor, s[3], y, x, c)
		out[nhwc(s, n, y, x, c)] = in[nhwc(node.Inputs[0].Shape, n, fy, fx, fc)]
	})
}

func upsample(o *graph.Upsample, node *graph.Node, out, in []float64) {
	pixels(node.Shape, func(n, y, x, c int) {
		from := nhwc(node.Inputs[0].Shape, n, y/o.Factor, x/o.Factor, c)
		out[nhwc(node.Shape, n, y, x, c)] = in[from]
	})
}

func avgPool(o *graph.AvgPool, node *graph.Node, out, in []float64) {
	area := float64(o.Factor * o.Factor)
	pixels(node.Inputs[0].Shape, func(n, y, x, c int) {
		to := nhwc(node.Shape, n, y/o.Factor, x/o.Factor, c)
		out[to] += in[nhwc(node.Inputs[0].Shape, n, y, x, c)] / area
	})
}
