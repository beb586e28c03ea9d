package graph

import (
	"fmt"
	"slices"
)

// MaxPool takes, for each channel of x [N, H, W, C], the largest value of every
// window of Kernel x Kernel pixels, windows being Stride pixels apart. It pads
// nothing: windows lie wholly inside, and rows and columns that no window
// reaches are left out.
//
//	out[n, y, x, c] = max over i, j < Kernel of in[n, y*Stride+i, x*Stride+j, c]
type MaxPool struct{ Kernel, Stride int }

// MaxPool takes the largest value of every kernel x kernel window of NHWC.
func (g *Graph) MaxPool(x *Node, kernel, stride int) *Node {
	return g.apply(&MaxPool{kernel, stride}, x)
}

// Name implements [Op].
func (o *MaxPool) Name() string { return "maxpool" }
func (o *MaxPool) shape(in []Shape) (Shape, error) {
	s := in[0]
	if len(s) != 4 || o.Kernel < 1 || o.Stride < 1 {
		return nil, fmt.Errorf("kernel %d, stride %d", o.Kernel, o.Stride)
	}
	if s[1] < o.Kernel || s[2] < o.Kernel {
		return nil, fmt.Errorf("the %dx%d window is larger than the image", o.Kernel, o.Kernel)
	}
	return Shape{s[0], (s[1]-o.Kernel)/o.Stride + 1, (s[2]-o.Kernel)/o.Stride + 1, s[3]}, nil
}
func (o *MaxPool) grad(g *Graph, n, dy *Node) []*Node {
	return []*Node{g.apply(&MaxPoolGrad{Kernel: o.Kernel, Stride: o.Stride}, n.Inputs[0], dy)}
}

// MaxPoolGrad is the gradient of [MaxPool] by its input, from x and dy: each
// window hands its dy to its largest element, to the first one in row-major
// order if there are several. Elements of several windows get the sum.
type MaxPoolGrad struct {
	once
	Kernel, Stride int
}

// Name implements [Op].
func (o *MaxPoolGrad) Name() string                    { return "maxpool-grad" }
func (o *MaxPoolGrad) shape(in []Shape) (Shape, error) { return slices.Clone(in[0]), nil }
