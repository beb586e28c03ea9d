package nets

import (
	"fmt"

	"github.com/sr3-go/sr3/internal/graph"
)

// normEpsilon is that of the batch normalisations of ResNet-50 and MobileNetV2.
const normEpsilon = 1e-5

// resNet50 is table 1 of He et al. 2015, 50 layers.
func resNet50(b *builder, x *graph.Node) outputs {
	x = b.g.ReLU(b.conv(x, "conv1", "bn1", normEpsilon, b.width(64), square(7, 2, 3)))
	x = b.maxPool(x, 2)
	for i, blocks := range []int{3, 4, 6, 3} {
		for j := range blocks {
			stride := 1
			if i > 0 && j == 0 {
				stride = 2
			}
			x = bottleneck(b, x, fmt.Sprintf("layer%d.%d.", i+1, j), 64<<i, stride)
		}
	}
	return b.classify(b.average(x), "fc")
}

// bottleneck is a residual block of three convolutions. Where it changes the size
// of the image or the number of channels, a convolution adapts the shortcut.
func bottleneck(b *builder, x *graph.Node, name string, inner, stride int) *graph.Node {
	conv := func(x *graph.Node, k string, out int, w window) *graph.Node {
		return b.conv(x, name+"conv"+k, name+"bn"+k, normEpsilon, b.width(out), w)
	}
	h := b.g.ReLU(conv(x, "1", inner, square(1, 1, 0)))
	h = b.g.ReLU(conv(h, "2", inner, square(3, stride, 1)))
	shortcut := x
	if out := b.width(4 * inner); stride != 1 || x.Shape[3] != out {
		shortcut = b.conv(x, name+"downsample.0", name+"downsample.1", normEpsilon, out, square(1, stride, 0))
	}
	return b.g.ReLU(b.g.Add(conv(h, "3", 4*inner, square(1, 1, 0)), shortcut))
}

// vgg16 is configuration D. Its stages are the outputs before each pooling.
func vgg16(b *builder, x *graph.Node, head bool) outputs {
	var stages []*graph.Node
	index := 0 // of the layer in torchvision's list, which counts ReLUs and poolings
	for i, convs := range []int{2, 2, 3, 3, 3} {
		if i > 0 {
			x = b.g.MaxPool(x, 2, 2)
			index++
		}
		for range convs {
			x = b.g.ReLU(b.conv(x, fmt.Sprintf("features.%d", index), "", 0, b.width(min(64<<i, 512)), square(3, 1, 1)))
			index += 2
		}
		stages = append(stages, x)
	}
	if !head {
		return outputs{stages: stages}
	}
	return hiddenLayers(b, b.g.MaxPool(x, 2, 2), stages, "classifier.0", "classifier.3", "classifier.6")
}

// hiddenLayers adds the three linear layers of VGG16 and AlexNet.
func hiddenLayers(b *builder, x *graph.Node, stages []*graph.Node, first, second, last string) outputs {
	for _, name := range []string{first, second} {
		h := b.g.ReLU(b.linear(x, name, b.arch.hidden))
		x = b.g.Reshape(h, h.Shape[0], 1, 1, h.Shape[1])
	}
	out := b.classify(x, last)
	out.stages = stages
	return out
}

// alexNet is AlexNet on one device. Its stages are the outputs of the ReLUs.
func alexNet(b *builder, x *graph.Node, head bool) outputs {
	var stages []*graph.Node
	for _, c := range []struct {
		index, out int
		window     window
		pooled     bool // before the convolution
	}{
		{0, 64, square(11, 4, 2), false},
		{3, 192, square(5, 1, 2), true},
		{6, 384, square(3, 1, 1), true},
		{8, 256, square(3, 1, 1), false},
		{10, 256, square(3, 1, 1), false},
	} {
		if c.pooled {
			x = b.g.MaxPool(x, 3, 2)
		}
		x = b.g.ReLU(b.conv(x, fmt.Sprintf("features.%d", c.index), "", 0, b.width(c.out), c.window))
		stages = append(stages, x)
	}
	if !head {
		return outputs{stages: stages}
	}
	return hiddenLayers(b, b.g.MaxPool(x, 3, 2), stages, "classifier.1", "classifier.4", "classifier.6")
}
