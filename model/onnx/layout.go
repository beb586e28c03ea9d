package onnx

import (
	"fmt"
	"slices"

	"github.com/sr3-go/sr3/internal/graph"
)

// full returns a node's value with all its axes.
func (t *translator) full(n *graph.Node) value {
	v := t.values[n]
	if v.squeezed {
		v.squeezed = false
		if v.data == nil {
			v.name = t.emit("Reshape", nil, v.name, t.integers(v.dims()...))
		}
	}
	return v
}

// swapped exchanges the last two axes in the file.
func (t *translator) swapped(v value) value {
	if v.data == nil {
		v.name = t.emit("Transpose", []attribute{{"perm", []int64{0, 2, 1}}}, v.name)
	}
	v.first = !v.first
	return v
}

// reshape translates what changes the axes of x to dims.
func (t *translator) reshape(x *graph.Node, dims graph.Shape) (value, error) {
	v := t.values[x]
	from := x.Shape
	v.shape = dims
	switch {
	case v.data != nil: // a reshaped constant is a constant; nothing is computed
		v.squeezed = len(dims) == 3 && dims[0] == 1
		return v, nil
	case len(from) == 4 && len(dims) == 3 && from[0] == dims[0] && from[3] == dims[2], // pixels in a row
		len(from) == 3 && len(dims) == 4 && v.first && from[0] == dims[0] && from[2] == dims[3], // and back
		len(from) == 2 && len(dims) == 4 && from[0] == dims[0] && from[1] == dims[3]:            // one pixel
		v.first = true
	case len(from) == 4 || len(dims) == 4 || v.first:
		return value{}, fmt.Errorf("this change of axes has no translation to ONNX with channels first")
	case len(from) == 2 && len(dims) == 3 && dims[0] == 1 && dims[1] == from[0]:
		v.squeezed = true
		return v, nil
	case slices.Equal(x.Shape, dims), v.squeezed && slices.Equal(from[1:], dims):
		v.squeezed = false
		return v, nil
	}
	v.squeezed = false
	v.name = t.emit("Reshape", nil, v.name, t.integers(v.dims()...))
	return v, nil
}

// concat joins parts along an axis.
func (t *translator) concat(n *graph.Node, op *graph.Concat) (value, error) {
	first := t.full(n.Inputs[0])
	names := make([]string, len(n.Inputs))
	for i, in := range n.Inputs {
		part := t.full(in)
		if len(n.Shape) == 3 && part.first != first.first {
			part = t.swapped(part)
		}
		names[i] = t.use(part)
	}
	return t.like(first, "Concat", []attribute{{"axis", first.axis(op.Axis)}}, names...), nil
}

func (t *translator) slice(n *graph.Node, op *graph.Slice) (value, error) {
	x := t.full(n.Inputs[0])
	return t.like(x, "Slice", nil, t.use(x), t.integers(op.Start), t.integers(op.End), t.integers(x.axis(op.Axis))), nil
}

// matmul multiplies matrices. The product of two matrices alone, as in linear
// layers, has no batch axis in the file, which is what runtimes are fastest at.
func (t *translator) matmul(n *graph.Node, op *graph.MatMul) (value, error) {
	a, b := t.values[n.Inputs[0]], t.values[n.Inputs[1]]
	if a.squeezed && b.squeezed && !op.TransA && !op.TransB {
		return value{name: t.emit("MatMul", nil, t.use(a), t.use(b)), squeezed: true}, nil
	}
	a, b = t.full(n.Inputs[0]), t.full(n.Inputs[1])
	if t.becomesImage(n) { // the product transposed: (A B)^T = B^T A^T
		y := t.emit("MatMul", nil, t.operand(b, !op.TransB), t.operand(a, !op.TransA))
		return value{name: y, first: true}, nil
	}
	return value{name: t.emit("MatMul", nil, t.operand(a, op.TransA), t.operand(b, op.TransB))}, nil
}

// operand returns a matrix, transposed if asked for.
func (t *translator) operand(v value, transposed bool) string {
	if v.first != transposed {
		v = t.swapped(v)
	}
	return t.use(v)
}

// becomesImage reports whether a value [N, P, C] is wanted with channels first.
func (t *translator) becomesImage(n *graph.Node) bool {
	for _, u := range t.users[n] {
		if op, is := u.Op.(*graph.Reshape); !is || len(op.Dims) != 4 {
			return false
		}
	}
	return true
}
