package squeezenet

import (
	"fmt"

	"github.com/sr3-go/sr3/internal/graph"
)

// convolution is a layer with its ReLU: kernel and stride along both sides, zero
// padding all around, channels.
type convolution struct {
	label                   string
	kernel, stride, pad     int
	inChannels, outChannels int
}

// fire is a module: a 1x1 convolution to few channels, from which a 1x1 and a 3x3
// convolution expand side by side. Their outputs are joined in this order.
type fire struct {
	pooled                      bool // max pooling comes first
	squeeze, expand1x1, expand3 convolution
}

// Every pooling takes 3x3 pixels, two apart.
const (
	poolKernel = 3
	poolStride = 2
)

// stem is the first layer.
func stem() convolution { return convolution{"conv1", 3, 2, 0, 3, 64} }

// classifier is the last layer, whose outputs are averaged over positions.
func classifier() convolution { return convolution{"conv10", 1, 1, 0, 512, Classes} }

// fires lists the eight modules of version 1.1.
func fires() []fire {
	in := stem().outChannels
	var list []fire
	for i, squeezed := range []int{16, 16, 32, 32, 48, 48, 64, 64} {
		label, half := fmt.Sprintf("fire%d.", i+2), 4*squeezed
		list = append(list, fire{
			pooled:    i == 0 || i == 2 || i == 4,
			squeeze:   convolution{label + "squeeze", 1, 1, 0, in, squeezed},
			expand1x1: convolution{label + "expand1x1", 1, 1, 0, squeezed, half},
			expand3:   convolution{label + "expand3x3", 3, 1, 1, squeezed, half},
		})
		in = 2 * half
	}
	return list
}

// features adds the network up to its last fire module to g, for images x
// [N, H, W, 3], and returns its nine stages.
func features(g *graph.Graph, x *graph.Node) []*graph.Node {
	h := stem().apply(g, x)
	stages := []*graph.Node{h}
	for _, f := range fires() {
		if f.pooled {
			h = g.MaxPool(h, poolKernel, poolStride)
		}
		h = f.squeeze.apply(g, h)
		h = g.Concat(3, f.expand1x1.apply(g, h), f.expand3.apply(g, h))
		stages = append(stages, h)
	}
	return stages
}

// probabilities adds the whole network for square images x [N, 224, 224, 3]; the
// result is [N, 1000].
func probabilities(g *graph.Graph, x *graph.Node) *graph.Node {
	stages := features(g, x)
	h := classifier().apply(g, stages[len(stages)-1])
	h = g.AvgPool(h, h.Shape[1])
	return g.Softmax(g.Reshape(h, h.Shape[0], Classes))
}

// apply adds the layer and its ReLU to g.
func (c convolution) apply(g *graph.Graph, x *graph.Node) *graph.Node {
	w := g.Variable(c.weight(), c.kernel, c.kernel, c.inChannels, c.outChannels)
	return g.ReLU(g.Conv2D(x, w, g.Variable(c.bias(), c.outChannels), c.stride, c.pad))
}

func (c convolution) weight() string { return c.label + ".weight" }
func (c convolution) bias() string   { return c.label + ".bias" }
