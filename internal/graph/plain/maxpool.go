package plain

import (
	"math"

	"github.com/sr3-go/sr3/internal/graph"
)

// window visits the positions in s of the elements of one window, row-major.
func window(s graph.Shape, kernel, n, top, left, c int, visit func(i int)) {
	for y := range kernel {
		for x := range kernel {
			visit(nhwc(s, n, top+y, left+x, c))
		}
	}
}

func maxPool(o *graph.MaxPool, node *graph.Node, out, in []float64) {
	pixels(node.Shape, func(n, y, x, c int) {
		best := math.Inf(-1)
		window(node.Inputs[0].Shape, o.Kernel, n, y*o.Stride, x*o.Stride, c, func(i int) { best = max(best, in[i]) })
		out[nhwc(node.Shape, n, y, x, c)] = best
	})
}

func maxPoolGrad(o *graph.MaxPoolGrad, node *graph.Node, dx, in, dy []float64) {
	s := node.Inputs[1].Shape
	pixels(s, func(n, y, x, c int) {
		first := nhwc(node.Shape, n, y*o.Stride, x*o.Stride, c)
		window(node.Shape, o.Kernel, n, y*o.Stride, x*o.Stride, c, func(i int) {
			if in[i] > in[first] {
				first = i
			}
		})
		dx[first] += dy[nhwc(s, n, y, x, c)]
	})
}
