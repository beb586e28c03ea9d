package nets

import (
	"fmt"

	"github.com/sr3-go/sr3/internal/graph"
)

// mobileNetV2 is table 2 of Sandler et al. 2018.
func mobileNetV2(b *builder, x *graph.Node) outputs {
	x = b.relu6(b.conv(x, "features.0.0", "features.0.1", normEpsilon, b.width(32), square(3, 2, 1)))
	index := 1
	for _, s := range []struct{ expansion, out, blocks, stride int }{
		{1, 16, 1, 1}, {6, 24, 2, 2}, {6, 32, 3, 2}, {6, 64, 4, 2}, {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1},
	} {
		for i := range s.blocks {
			stride := 1
			if i == 0 {
				stride = s.stride
			}
			x = invertedResidual(b, x, fmt.Sprintf("features.%d.conv.", index), s.expansion, b.width(s.out), stride)
			index++
		}
	}
	name := fmt.Sprintf("features.%d.", index)
	x = b.relu6(b.conv(x, name+"0", name+"1", normEpsilon, b.width(1280), square(1, 1, 0)))
	return b.classify(b.average(x), "classifier.1")
}

// invertedResidual expands the channels, filters each by itself and reduces them
// again; a residual goes around it where the shapes allow.
func invertedResidual(b *builder, x *graph.Node, name string, expansion, out, stride int) *graph.Node {
	h, k := x, 0
	if expansion != 1 {
		h = b.relu6(b.conv(h, name+"0.0", name+"0.1", normEpsilon, expansion*x.Shape[3], square(1, 1, 0)))
		k = 1
	}
	h = b.relu6(b.depthwise(h, fmt.Sprintf("%s%d.0", name, k), fmt.Sprintf("%s%d.1", name, k), stride))
	h = b.conv(h, fmt.Sprintf("%s%d", name, k+1), fmt.Sprintf("%s%d", name, k+2), normEpsilon, out, square(1, 1, 0))
	if stride == 1 && out == x.Shape[3] {
		return b.g.Add(h, x)
	}
	return h
}

// relu6 is min(max(x, 0), 6); below 6 it is exact.
func (b *builder) relu6(x *graph.Node) *graph.Node {
	return b.g.Sub(b.g.ReLU(x), b.g.ReLU(b.g.Affine(x, 1, -6)))
}

// depthwise filters every channel by its own 3x3 filter, with stride 1 or 2 over an
// image padded by one pixel: nine multiplications of the whole image. With stride 2
// the image is first cut into its even and odd rows and columns.
func (b *builder) depthwise(x *graph.Node, name, norm string, stride int) *graph.Node {
	s := x.Shape
	l := layer{name: name, norm: norm, epsilon: normEpsilon, form: depthwise, kh: 3, kw: 3, in: 1, out: s[3]}
	b.layers = append(b.layers, l)
	weight := b.g.Variable(l.weightLabel(), 9, 1, 1, l.out)
	oh, ow := (s[1]-1)/stride+1, (s[2]-1)/stride+1
	// Rows 0 to stride*(oh-1)+2 of the padded image are read.
	rows, columns := stride*(oh+2/stride), stride*(ow+2/stride)
	x = b.g.Pad(b.g.Pad(x, 1, 1, rows-s[1]-1), 2, 1, columns-s[2]-1)
	if stride > 1 {
		x = b.g.SpaceToDepth(x, stride)
	}
	sum := b.g.Reshape(b.g.Variable(l.biasLabel(), l.out), 1, 1, 1, l.out)
	for i := range 3 {
		row := b.g.Slice(x, 1, i/stride, i/stride+oh)
		for j := range 3 {
			tap := b.g.Slice(row, 2, j/stride, j/stride+ow)
			if stride > 1 {
				phase := (i%stride*stride + j%stride) * l.out
				tap = b.g.Slice(tap, 3, phase, phase+l.out)
			}
			sum = b.g.Add(b.g.Mul(tap, b.g.Slice(weight, 0, 3*i+j, 3*i+j+1)), sum)
		}
	}
	return sum
}
