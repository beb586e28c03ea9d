package unet

import (
	"fmt"
	"math"

	"github.com/sr3-go/sr3/internal/graph"
)

// builder makes the layers that the families share and keeps the books: every
// parameter is declared where it is used, so the network is defined once and
// [Parameters], [FLOPs] and [Build] cannot disagree.
type builder struct {
	g      *graph.Graph
	cfg    Config // resolved
	in     Inputs
	params []Param
	macs   int64  // multiply-adds of convolutions and linear layers
	sites  uint64 // dropouts so far
	err    error  // the first thing that does not fit
}

// param declares a parameter and returns its variable.
func (b *builder) param(name string, init Init, shape ...int) *graph.Node {
	b.params = append(b.params, Param{Name: name, Shape: shape, Init: init})
	return b.g.Variable(b.in.Prefix+name, shape...)
}

// weightInit returns the distribution of a layer's weights for the products of
// the kernel's area with its input and its output channels (see [Init]).
func (b *builder) weightInit(fanIn, fanOut, out int) Init {
	if b.isClassic() {
		return Init{Kind: InitNormal, Std: 1 / math.Sqrt(float64(max(out, fanIn)))}
	}
	return Init{Kind: InitNormal, Std: math.Sqrt(2 / float64(fanIn+fanOut))}
}

// lastInit is the distribution of the last layer of a residual branch and of the
// network: zero, so that training starts at the identity, but for the classic
// families.
func (b *builder) lastInit(fanIn, fanOut, out int) Init {
	if b.isClassic() {
		return b.weightInit(fanIn, fanOut, out)
	}
	return Init{Kind: InitZeros}
}

func (b *builder) isClassic() bool {
	return b.cfg.Family == FamilyClassic || b.cfg.Family == FamilyDDPM
}

// initRule is weightInit or lastInit.
type initRule func(fanIn, fanOut, out int) Init

// convWith convolves x [N, H, W, I] to out channels with an odd kernel, padded so
// that stride 1 keeps the size.
func (b *builder) convWith(rule initRule, bias bool, name string, x *graph.Node, out, kernel, stride int) *graph.Node {
	in, area := x.Shape[3], kernel*kernel
	w := b.param(name+".weight", rule(area*in, area*out, out), kernel, kernel, in, out)
	var shift *graph.Node
	if bias {
		shift = b.param(name+".bias", Init{Kind: InitZeros}, out)
	}
	y := b.g.Conv2D(x, w, shift, stride, kernel/2)
	b.macs += int64(area*in) * int64(y.Shape.Size())
	return y
}

// conv is a convolution with bias.
func (b *builder) conv(name string, x *graph.Node, out, kernel int) *graph.Node {
	return b.convWith(b.weightInit, true, name, x, out, kernel, 1)
}

// lastConv is a convolution that ends a residual branch or the network.
func (b *builder) lastConv(name string, x *graph.Node, out, kernel int) *graph.Node {
	return b.convWith(b.lastInit, true, name, x, out, kernel, 1)
}

// linear maps x [M, I] to [M, out].
func (b *builder) linear(name string, x *graph.Node, out int) *graph.Node {
	return b.linearWith(b.weightInit, name, x, out)
}

// linearWith is linear with weights that start by a rule.
func (b *builder) linearWith(rule initRule, name string, x *graph.Node, out int) *graph.Node {
	in := x.Shape[1]
	w := b.param(name+".weight", rule(in, out, out), in, out)
	shift := b.param(name+".bias", Init{Kind: InitZeros}, out)
	y := b.g.Linear(x, w, shift)
	b.macs += int64(in) * int64(y.Shape.Size())
	return b.g.Keep(y) // without pixels, it takes no room
}

// norm is group normalisation with a learned scale and shift, then SiLU if asked
// for.
func (b *builder) norm(name string, x *graph.Node, silu bool) *graph.Node {
	scale, shift := b.affine(name, x.Shape[3])
	return b.g.GroupNormWith(x, b.stats(name, x), scale, shift, silu)
}

// affine declares the learned scale and shift of a normalisation.
func (b *builder) affine(name string, channels int) (scale, shift *graph.Node) {
	scale = b.param(name+".weight", Init{Kind: InitOnes}, channels)
	shift = b.param(name+".bias", Init{Kind: InitZeros}, channels)
	return scale, shift
}

// stats returns the group statistics of x: its own, or the caller's.
func (b *builder) stats(name string, x *graph.Node) *graph.Node {
	groups, epsilon := b.groups(name, x.Shape[3])
	if b.in.Stats != nil {
		return b.in.Stats(name, x, groups, epsilon)
	}
	return b.g.Keep(b.g.GroupStats(x, groups, epsilon))
}

// groups returns how many groups a normalisation has, and its epsilon. The large
// families keep at least four channels in a group, as Song et al. (2021) do.
func (b *builder) groups(name string, channels int) (int, float32) {
	groups, epsilon := b.cfg.Groups, float32(1e-5)
	if !b.isClassic() {
		groups, epsilon = max(min(groups, channels/4), 1), 1e-6
	}
	if channels%groups != 0 {
		if b.err == nil {
			b.err = fmt.Errorf("groups = %d: %s normalises %d channels, which %d groups do not divide; want a divisor, or other channels",
				b.cfg.Groups, name, channels, groups)
		}
		return 1, epsilon // go on, to find whatever else is wrong
	}
	return groups, epsilon
}

// dropout drops elements while training and does nothing at inference.
func (b *builder) dropout(x *graph.Node) *graph.Node {
	if b.in.Seed == nil || b.cfg.Dropout == 0 {
		return x
	}
	b.sites++
	return b.g.Dropout(x, b.in.Seed, float32(b.cfg.Dropout), b.sites)
}

// residual is the sum at the end of a residual branch. Activation recomputation
// starts from it (see [graph.Graph.Keep]), as from all that lies between blocks.
func (b *builder) residual(x, branch *graph.Node) *graph.Node {
	sum := b.g.Add(x, branch)
	if b.cfg.SkipScale == SkipScaleResidual {
		sum = b.g.Scale(sum, math.Sqrt2/2)
	}
	return b.g.Keep(sum)
}

// join gives the decoder's features x the encoder's: channels of both, x first.
func (b *builder) join(x, skip *graph.Node) *graph.Node {
	if b.cfg.SkipScale == SkipScaleConcat {
		skip = b.g.Scale(skip, math.Sqrt2/2)
	}
	return b.g.Concat(3, x, skip)
}

// perChannel makes [M, C] from the embedding fit features [N, H, W, C].
func (b *builder) perChannel(x *graph.Node) *graph.Node {
	return b.g.Reshape(x, x.Shape[0], 1, 1, x.Shape[1])
}

// attends reports whether blocks of a level are followed by attention.
func (b *builder) attends(level int) bool {
	resolution := b.cfg.Resolutions()[level]
	for _, a := range b.cfg.Attention {
		if a == resolution {
			return true
		}
	}
	return false
}

// width is the number of channels of a level.
func (b *builder) width(level int) int { return b.cfg.Channels * b.cfg.Multipliers[level] }
