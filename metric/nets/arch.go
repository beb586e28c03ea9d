package nets

import (
	"fmt"

	"github.com/sr3-go/sr3/internal/graph"
)

// architecture is a network at a fraction of its width. Full size is divisor 1;
// tests run the same code at other sizes.
type architecture struct {
	kind    Kind
	divisor int // of every number of channels but the image's
	hidden  int // channels of the hidden linear layers of VGG16 and AlexNet
	classes int
}

// fullSize is the network as its weights are published.
func fullSize(kind Kind) architecture {
	return architecture{kind: kind, divisor: 1, hidden: 4096, classes: kind.Classes()}
}

func (a architecture) side() int { return a.kind.Side() }

// outputs are the values of a network that metrics use.
type outputs struct {
	stages           []*graph.Node // those of LPIPS, for networks that it knows
	features, logits *graph.Node   // [N, features], [N, classes]; nil without the head
}

// build adds the network to b for images x [N, H, W, 3] that are scaled already. The
// head, all behind the convolutions, needs the network's own size of images.
func (a architecture) build(b *builder, x *graph.Node, head bool) outputs {
	switch a.kind {
	case InceptionFID, InceptionV3:
		return inception(b, x)
	case ResNet50:
		return resNet50(b, x)
	case VGG16:
		return vgg16(b, x, head)
	case AlexNet:
		return alexNet(b, x, head)
	case MobileNetV2:
		return mobileNetV2(b, x)
	}
	panic("nets: no such network: " + string(a.kind))
}

// layers lists the layers that have weights, in the order of computation.
func (a architecture) layers(head bool) []layer {
	b := &builder{g: graph.New(), arch: a}
	a.build(b, b.g.Input(inputLabel, 1, a.side(), a.side(), 3), head)
	return b.layers
}

// inputLabel is the graph's input: images in [0, 1].
const inputLabel = "images"

// scaling is what is done to the samples of an image first: x*factor + shift for
// each channel.
type scaling struct{ factor, shift [3]float32 }

// centred takes [0, 1] to [-1, 1].
func centred() scaling {
	return scaling{[3]float32{2, 2, 2}, [3]float32{-1, -1, -1}}
}

// standardised subtracts a mean and divides by a deviation.
func standardised(mean, deviation [3]float64) scaling {
	var s scaling
	for c := range mean {
		s.factor[c], s.shift[c] = float32(1/deviation[c]), float32(-mean[c]/deviation[c])
	}
	return s
}

// caffeScaling gives samples of 0 to 255 less the mean of the training images. The
// order B, G, R of such networks is that of their first layer's weights.
func caffeScaling() scaling {
	return scaling{[3]float32{255, 255, 255}, [3]float32{-123.68, -116.779, -103.939}}
}

// scaling is what torchvision's weights, and those for FID, were trained with. That
// of torchvision's Inception-v3 undoes the standardisation of its other networks,
// which leaves [-1, 1].
func (a architecture) scaling() scaling {
	if a.kind == InceptionFID || a.kind == InceptionV3 {
		return centred()
	}
	return standardised([3]float64{0.485, 0.456, 0.406}, [3]float64{0.229, 0.224, 0.225})
}

// form is how a layer's weights lie in a file.
type form int

const (
	convolution form = iota // [out, in, kh, kw]
	depthwise               // [out, 1, kh, kw]
	linear                  // [out, in*kh*kw]
)

// layer is a layer with weights.
type layer struct {
	name            string  // its tensors are name.weight and, perhaps, name.bias
	norm            string  // the batch normalisation behind it, "" for none
	epsilon         float64 // of norm
	form            form
	kh, kw, in, out int
}

func (l layer) weightLabel() string { return l.name + ".weight" }
func (l layer) biasLabel() string   { return l.name + ".bias" }

// fileShape is the shape of the weights in a file.
func (l layer) fileShape() []int {
	if l.form == linear {
		return []int{l.out, l.in * l.kh * l.kw}
	}
	return []int{l.out, l.in, l.kh, l.kw}
}

// parameters is how many numbers training adjusts.
func (l layer) parameters() int {
	n := l.out*l.in*l.kh*l.kw + l.out // the bias, or the normalisation's shift
	if l.norm != "" {
		n += l.out
	}
	return n
}

// builder adds layers to a graph and notes what weights they need.
type builder struct {
	g      *graph.Graph
	arch   architecture
	layers []layer
	counts map[string]*graph.Node // see averagePool
}

// width is a number of channels at the builder's size.
func (b *builder) width(channels int) int { return max(1, channels/b.arch.divisor) }

// input adds images [N, H, W, 3] and their scaling.
func (b *builder) input(s scaling, n, h, w int) *graph.Node {
	x := b.g.Input(inputLabel, n, h, w, 3)
	x = b.g.Mul(x, b.g.Constant(s.factor[:], 1, 1, 1, 3))
	return b.g.Add(x, b.g.Constant(s.shift[:], 1, 1, 1, 3))
}

// window is the geometry of a convolution.
type window struct{ kh, kw, stride, padY, padX int }

func square(kernel, stride, pad int) window { return window{kernel, kernel, stride, pad, pad} }

// conv adds a convolution to out channels, with a batch normalisation called norm
// and this epsilon unless norm is empty.
func (b *builder) conv(x *graph.Node, name, norm string, epsilon float64, out int, w window) *graph.Node {
	l := layer{name: name, norm: norm, epsilon: epsilon, kh: w.kh, kw: w.kw, in: x.Shape[3], out: out}
	b.layers = append(b.layers, l)
	weight, bias := b.g.Variable(l.weightLabel(), l.kh, l.kw, l.in, l.out), b.g.Variable(l.biasLabel(), l.out)
	pad := w.padX
	if w.padY != w.padX {
		x, pad = b.g.Pad(b.g.Pad(x, 1, w.padY, w.padY), 2, w.padX, w.padX), 0
	}
	return b.g.Conv2D(x, weight, bias, w.stride, pad)
}

// linear adds a linear layer to out outputs on all values of x [N, H, W, C], which
// files count channel by channel.
func (b *builder) linear(x *graph.Node, name string, out int) *graph.Node {
	s := x.Shape
	l := layer{name: name, form: linear, kh: s[1], kw: s[2], in: s[3], out: out}
	b.layers = append(b.layers, l)
	size := s[1] * s[2] * s[3]
	w, bias := b.g.Variable(l.weightLabel(), size, out), b.g.Variable(l.biasLabel(), out)
	return b.g.Linear(b.g.Reshape(x, s[0], size), w, bias)
}

// average is the mean over all positions: [N, 1, 1, C].
func (b *builder) average(x *graph.Node) *graph.Node {
	return b.g.Scale(b.g.Sum(x, 1, 2), 1/float32(x.Shape[1]*x.Shape[2]))
}

// classify adds the last layer to features [N, 1, 1, C].
func (b *builder) classify(features *graph.Node, name string) outputs {
	flat := b.g.Reshape(features, features.Shape[0], features.Shape[3])
	return outputs{features: flat, logits: b.linear(features, name, b.arch.classes)}
}

// maxPool pools windows of 3x3 pixels over an image padded by one pixel. Values
// must not be negative, as after a ReLU: then padding with zeros changes no
// maximum.
func (b *builder) maxPool(x *graph.Node, stride int) *graph.Node {
	return b.g.MaxPool(b.g.Pad(b.g.Pad(x, 1, 1, 1), 2, 1, 1), 3, stride)
}

// averagePool is the mean of the 3x3 pixels around each. Beyond the border lie
// zeros, which are counted or left out.
func (b *builder) averagePool(x *graph.Node, countPadding bool) *graph.Node {
	sum := b.neighbours(b.neighbours(x, 1), 2)
	if countPadding {
		return b.g.Scale(sum, 1.0/9)
	}
	return b.g.Mul(sum, b.reciprocals(x.Shape[1], x.Shape[2], x.Shape[3]))
}

// neighbours adds to each element those before and behind it along an axis.
func (b *builder) neighbours(x *graph.Node, axis int) *graph.Node {
	n := x.Shape[axis]
	padded := b.g.Pad(x, axis, 1, 1)
	sum := b.g.Add(b.g.Slice(padded, axis, 0, n), x)
	return b.g.Add(sum, b.g.Slice(padded, axis, 2, n+2))
}

// reciprocals is one over the number of pixels of the image around each pixel, for
// every channel: rows of channels are what the executor multiplies fast.
func (b *builder) reciprocals(h, w, c int) *graph.Node {
	key := fmt.Sprint(h, w, c)
	if n := b.counts[key]; n != nil {
		return n
	}
	around := func(i, n int) int { return min(i+2, n) - max(i-1, 0) }
	values := make([]float32, 0, h*w*c)
	for y := range h {
		for x := range w {
			for range c {
				values = append(values, 1/float32(around(y, h)*around(x, w)))
			}
		}
	}
	if b.counts == nil {
		b.counts = map[string]*graph.Node{}
	}
	b.counts[key] = b.g.Constant(values, 1, h, w, c)
	return b.counts[key]
}
