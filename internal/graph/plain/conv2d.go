package plain

import "github.com/sr3-go/sr3/internal/graph"

// taps visits every product of a convolution: positions in x, in the weights
// and in the output. x, w and out are the three shapes.
func taps(x, w, out graph.Shape, stride, padding int, visit func(xi, wi, oi int)) {
	pixels(out, func(n, oy, ox, o int) {
		oi := nhwc(out, n, oy, ox, o)
		for i := range w[0] {
			for j := range w[1] {
				y, z := oy*stride+i-padding, ox*stride+j-padding
				if y < 0 || y >= x[1] || z < 0 || z >= x[2] {
					continue
				}
				for c := range w[2] {
					visit(nhwc(x, n, y, z, c), nhwc(w, i, j, c, o), oi)
				}
			}
		}
	})
}

func conv2d(o *graph.Conv2D, n *graph.Node, out []float64, in [][]float64) {
	x, w := in[0], in[1]
	if len(in) == 3 {
		for i := range out {
			out[i] = in[2][i%len(in[2])]
		}
	}
	taps(n.Inputs[0].Shape, n.Inputs[1].Shape, n.Shape, o.Stride, o.Pad, func(xi, wi, oi int) {
		out[oi] += x[xi] * w[wi]
	})
}

func conv2dInputGrad(o *graph.Conv2DInputGrad, n *graph.Node, dx, dy, w []float64) {
	taps(n.Shape, n.Inputs[1].Shape, n.Inputs[0].Shape, o.Stride, o.Pad, func(xi, wi, oi int) {
		dx[xi] += dy[oi] * w[wi]
	})
}

func conv2dWeightGrad(o *graph.Conv2DWeightGrad, n *graph.Node, dw, x, dy []float64) {
	taps(n.Inputs[0].Shape, n.Shape, n.Inputs[1].Shape, o.Stride, o.Pad, func(xi, wi, oi int) {
		dw[wi] += x[xi] * dy[oi]
	})
}
