package plain

import (
	"slices"

	"github.com/sr3-go/sr3/internal/graph"
)

// each visits every position of a tensor in row-major order. index is reused
// between calls of visit.
func each(s graph.Shape, visit func(flat int, index []int)) {
	index := make([]int, len(s))
	for flat := range s.Size() {
		rest := flat
		for axis, extent := range slices.Backward(s) {
			index[axis] = rest % extent
			rest /= extent
		}
		visit(flat, index)
	}
}

// at is the row-major position of an index in a tensor of shape s, in which
// axes of one element are stretched: their index counts as zero.
func at(s graph.Shape, index ...int) int {
	flat := 0
	for axis, extent := range s {
		i := index[axis]
		if extent == 1 {
			i = 0
		}
		flat = flat*extent + i
	}
	return flat
}

// pixels visits every element of an NHWC tensor in row-major order.
func pixels(s graph.Shape, visit func(n, y, x, c int)) {
	for n := range s[0] {
		for y := range s[1] {
			for x := range s[2] {
				for c := range s[3] {
					visit(n, y, x, c)
				}
			}
		}
	}
}

// nhwc is the row-major position of an element of an NHWC tensor.
func nhwc(s graph.Shape, n, y, x, c int) int { return ((n*s[1]+y)*s[2]+x)*s[3] + c }
