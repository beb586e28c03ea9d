package graphtest

import "github.com/sr3-go/sr3/internal/graph"

// channels are numbers of channels below, at and beyond the widths of SIMD
// registers and of register blocks.
var channels = [...]int{1, 3, 5, 6, 16, 17, 32, 33, 48, 64, 100}

// conv describes a convolution.
type conv struct {
	n, h, w, in, out, kh, kw, stride, pad int
	noBias                                bool
}

func (c conv) build() Case {
	bias := "bias"
	if c.noBias {
		bias = "nobias"
	}
	return one(func(b *Builder) *graph.Node {
		x := b.Normal(c.n, c.h, c.w, c.in)
		w := b.Weight(c.kh, c.kw, c.in, c.out)
		if c.noBias {
			return b.Conv2D(x, w, nil, c.stride, c.pad)
		}
		return b.Conv2D(x, w, b.Bias(0, c.out), c.stride, c.pad)
	}, "conv2d/%dx%dx%dx%d_to_%d/kernel_%dx%d_stride_%d_pad_%d/%s",
		c.n, c.h, c.w, c.in, c.out, c.kh, c.kw, c.stride, c.pad, bias)
}

func convCases() []Case {
	var list []conv
	list = append(list, convWidths()...)
	list = append(list, convChannels()...)
	list = append(list, convStrides()...)
	list = append(list, convOthers()...)
	cases := make([]Case, len(list))
	for i, c := range list {
		cases[i] = c.build()
	}
	return cases
}

// convWidths has every width from 1 to 20 with 3x3 and 1x1 kernels, heights,
// batches and channels going round at other periods.
func convWidths() []conv {
	var list []conv
	for w := 1; w <= 20; w++ {
		in, out := channels[w*3%7], channels[w*5%7]
		c := conv{n: 1 + w%3, h: 1 + w*7%9, w: w, in: in, out: out, kh: 3, kw: 3, stride: 1, pad: 1, noBias: w%4 == 3}
		list = append(list, c)
		c.kh, c.kw, c.pad = 1, 1, 0
		c.in, c.out = channels[w*5%9], channels[w*3%9]
		list = append(list, c)
		if w >= 3 {
			list = append(list, conv{n: 1, h: 3 + w%4, w: w, in: out, out: in, kh: 3, kw: 3, stride: 1})
		}
	}
	return list
}

// convChannels has every number of channels on both sides.
func convChannels() []conv {
	var list []conv
	for i, c := range channels {
		for _, other := range [...]int{3, 16, 33} {
			list = append(list,
				conv{n: 1 + i%2, h: 4, w: 6, in: c, out: other, kh: 3, kw: 3, stride: 1, pad: 1},
				conv{n: 1 + i%3, h: 5, w: 3, in: other, out: c, kh: 3, kw: 3, stride: 1, pad: 1},
				conv{n: 1, h: 3, w: 5, in: c, out: other, kh: 1, kw: 1, stride: 1},
				conv{n: 2, h: 2, w: 7, in: other, out: c, kh: 1, kw: 1, stride: 1},
			)
		}
	}
	return list
}

// convStrides has stride 2 at even and odd sizes.
func convStrides() []conv {
	var list []conv
	for w := 3; w <= 14; w++ {
		in, out := channels[w%8], channels[(w+3)%8]
		list = append(list,
			conv{n: 1 + w%2, h: 2 + w*5%7, w: w, in: in, out: out, kh: 3, kw: 3, stride: 2, pad: 1},
			conv{n: 1, h: 4, w: w + 1, in: out, out: in, kh: 4, kw: 4, stride: 2, pad: 1},
			conv{n: 2, h: w, w: w, in: in, out: out, kh: 1, kw: 1, stride: 2},
			conv{n: 1, h: w, w: 5, in: in, out: out, kh: 3, kw: 3, stride: 2},
		)
	}
	return list
}

// convOthers has unusual kernels, and images large enough for tiled and
// transformed kernels, in multiples of their tiles and not.
func convOthers() []conv {
	same := func(n, h, w, in, out int) conv {
		return conv{n: n, h: h, w: w, in: in, out: out, kh: 3, kw: 3, stride: 1, pad: 1}
	}
	return []conv{
		{n: 2, h: 5, w: 6, in: 5, out: 6, kh: 1, kw: 3, stride: 1, pad: 0},
		{n: 2, h: 5, w: 6, in: 6, out: 5, kh: 3, kw: 1, stride: 1, pad: 1},
		{n: 1, h: 6, w: 7, in: 3, out: 17, kh: 5, kw: 5, stride: 1, pad: 2},
		{n: 1, h: 8, w: 8, in: 17, out: 16, kh: 2, kw: 2, stride: 2, pad: 0},
		{n: 1, h: 9, w: 11, in: 16, out: 3, kh: 3, kw: 3, stride: 3, pad: 1},
		{n: 1, h: 3, w: 4, in: 6, out: 16, kh: 3, kw: 3, stride: 1, pad: 2},
		{n: 1, h: 3, w: 4, in: 16, out: 16, kh: 1, kw: 1, stride: 1, pad: 1},
		{n: 3, h: 4, w: 4, in: 16, out: 16, kh: 4, kw: 4, stride: 1, pad: 0},
		{n: 1, h: 5, w: 5, in: 16, out: 32, kh: 4, kw: 4, stride: 1, pad: 1},
		same(1, 16, 16, 6, 32), same(1, 16, 16, 32, 3), same(2, 8, 8, 48, 32), same(1, 12, 20, 16, 32),
		same(1, 15, 17, 33, 17), same(1, 32, 32, 16, 16), same(1, 8, 8, 64, 64), same(1, 7, 9, 64, 48),
		same(3, 4, 4, 64, 32), same(1, 31, 29, 16, 16), same(1, 4, 4, 100, 100), same(2, 6, 5, 100, 64),
	}
}
