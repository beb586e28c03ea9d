package graph

import (
	"fmt"
	"slices"
)

// Conv2D is the cross-correlation of x [N, H, W, I] with weights [KH, KW, I, O]
// and an optional bias [O], zero-padded by Pad on every side:
//
//	out[n, y, x, o] = bias[o] + sum over i, j, c of
//	    x[n, y*Stride+i-Pad, x*Stride+j-Pad, c] * w[i, j, c, o]
type Conv2D struct{ Stride, Pad int }

// Conv2D convolves x [N, H, W, I] with w [KH, KW, I, O]; b [O] may be nil.
func (g *Graph) Conv2D(x, w, b *Node, stride, pad int) *Node {
	if b == nil {
		return g.apply(&Conv2D{stride, pad}, x, w)
	}
	return g.apply(&Conv2D{stride, pad}, x, w, b)
}

// Name implements [Op].
func (o *Conv2D) Name() string { return "conv2d" }
func (o *Conv2D) shape(in []Shape) (Shape, error) {
	x, w := in[0], in[1]
	if len(x) != 4 || len(w) != 4 || x[3] != w[2] || o.Stride < 1 || o.Pad < 0 {
		return nil, fmt.Errorf("stride %d, padding %d", o.Stride, o.Pad)
	}
	if len(in) == 3 && !in[2].Equal(Shape{w[3]}) {
		return nil, fmt.Errorf("the bias has shape %v", in[2])
	}
	if x[1]+2*o.Pad < w[0] || x[2]+2*o.Pad < w[1] {
		return nil, fmt.Errorf("the kernel is larger than the image padded by %d", o.Pad)
	}
	oh, ow := (x[1]+2*o.Pad-w[0])/o.Stride+1, (x[2]+2*o.Pad-w[1])/o.Stride+1
	return checkDims(Shape{x[0], oh, ow, w[3]})
}

func (o *Conv2D) grad(g *Graph, n, dy *Node) []*Node {
	x, w := n.Inputs[0], n.Inputs[1]
	byInput := func() *Node {
		return g.apply(&Conv2DInputGrad{Stride: o.Stride, Pad: o.Pad, Dims: x.Shape}, dy, w)
	}
	byWeights := func() *Node {
		return g.apply(&Conv2DWeightGrad{Stride: o.Stride, Pad: o.Pad, Dims: w.Shape}, x, dy)
	}
	// Both take much room to compute: the larger one should not lie there while the
	// other one is computed.
	grads := make([]*Node, 2)
	if x.Shape.Size() < w.Shape.Size() {
		grads[0] = byInput()
		grads[1] = byWeights()
	} else {
		grads[1] = byWeights()
		grads[0] = byInput()
	}
	if len(n.Inputs) == 3 {
		grads = append(grads, g.Reshape(g.Sum(dy, 0, 1, 2), w.Shape[3]))
	}
	return grads
}

// Conv2DInputGrad is the gradient of [Conv2D] by its input, of shape Dims, from
// dy and the weights.
type Conv2DInputGrad struct {
	once
	Stride, Pad int
	Dims        Shape
}

// Name implements [Op].
func (o *Conv2DInputGrad) Name() string                 { return "conv2d-input-grad" }
func (o *Conv2DInputGrad) shape([]Shape) (Shape, error) { return slices.Clone(o.Dims), nil }

// Conv2DWeightGrad is the gradient of [Conv2D] by its weights, of shape Dims,
// from x and dy.
type Conv2DWeightGrad struct {
	once
	Stride, Pad int
	Dims        Shape
}

// Name implements [Op].
func (o *Conv2DWeightGrad) Name() string                 { return "conv2d-weight-grad" }
func (o *Conv2DWeightGrad) shape([]Shape) (Shape, error) { return slices.Clone(o.Dims), nil }
