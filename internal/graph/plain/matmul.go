package plain

import (
	"math"
	"slices"

	"github.com/sr3-go/sr3/internal/graph"
)

func matmul(o *graph.MatMul, n *graph.Node, out, a, b []float64) {
	sa, sb := n.Inputs[0].Shape, n.Inputs[1].Shape
	inner := sa[2]
	if o.TransA {
		inner = sa[1]
	}
	each(n.Shape, func(i int, index []int) {
		batch, row, column := index[0], index[1], index[2]
		for k := range inner {
			u, v := [2]int{row, k}, [2]int{k, column}
			if o.TransA {
				u = [2]int{k, row}
			}
			if o.TransB {
				v = [2]int{column, k}
			}
			out[i] += a[at(sa, batch, u[0], u[1])] * b[at(sb, batch, v[0], v[1])]
		}
	})
}

// rows cuts tensors of one shape into slices along the last axis.
func rows(s graph.Shape, visit func(start, end int)) {
	width := s[len(s)-1]
	for start := 0; start < s.Size(); start += width {
		visit(start, start+width)
	}
}

func softmax(n *graph.Node, out, x []float64) {
	rows(n.Shape, func(start, end int) {
		top := slices.Max(x[start:end]) // cancels; keeps e^x finite
		total := 0.0
		for i := start; i < end; i++ {
			out[i] = math.Exp(x[i] - top)
			total += out[i]
		}
		for i := start; i < end; i++ {
			out[i] /= total
		}
	})
}

func softmaxGrad(n *graph.Node, out, y, dy []float64) {
	rows(n.Shape, func(start, end int) {
		total := 0.0
		for i := start; i < end; i++ {
			total += dy[i] * y[i]
		}
		for i := start; i < end; i++ {
			out[i] = y[i] * (dy[i] - total)
		}
	})
}
