package cpu

import (
	"github.com/sr3-go/sr3/internal/cpu/kernel"
	"github.com/sr3-go/sr3/internal/graph"
)

// blockRows is over how many pixels sums are kept in float32 before they are
// added up in float64.
const blockRows = 256

// pixelBlocks cuts the pixels of every image into blocks of blockRows.
type pixelBlocks struct{ n, pixels, channels, blocks int }

func blocksOf(x graph.Shape) pixelBlocks {
	pixels := x[1] * x[2]
	return pixelBlocks{x[0], pixels, x[3], (pixels + blockRows - 1) / blockRows}
}

// phase runs body for image n and elements [lo, hi) of each block.
func (p pixelBlocks) phase(body func(n, block, lo, hi int)) phase {
	return phase{n: p.n * p.blocks, body: func(_, item int) {
		n, block := item/p.blocks, item%p.blocks
		lo, hi := block*blockRows, min((block+1)*blockRows, p.pixels)
		body(n, block, (n*p.pixels+lo)*p.channels, (n*p.pixels+hi)*p.channels)
	}}
}

// groupStats gathers per-channel moments of blocks, unless whoever made the value
// has done so, then each image's groups.
func (c *compiler) groupStats(n *graph.Node, op *graph.GroupStats) {
	if sums := c.sumsOf(n.Inputs[0]); sums != nil {
		c.groupStatsOf(n, op, sums)
		return
	}
	x := c.in(n.Inputs[0])
	pb := blocksOf(n.Inputs[0].Shape)
	out, parts := c.out(n), c.temp(pb.n*pb.blocks*2*pb.channels)
	ch, per := pb.channels, pb.channels/op.Groups
	gather := pb.phase(func(n, block, lo, hi int) {
		at := (n*pb.blocks + block) * 2 * ch
		sums, squares := parts.data[at:at+ch], parts.data[at+ch:at+2*ch]
		clear(sums)
		clear(squares)
		kernel.Moments(sums, squares, x.data[lo:hi])
	})
	combine := phase{n: pb.n * op.Groups, body: func(_, item int) {
		n, group := item/op.Groups, item%op.Groups
		var sum, squares float64
		for block := range pb.blocks {
			at := (n*pb.blocks+block)*2*ch + group*per
			for k := at; k < at+per; k++ {
				sum += float64(parts.data[k])
				squares += float64(parts.data[k+ch])
			}
		}
		mean, rstd := meanRstd(sum, squares, float64(per*pb.pixels), float64(op.Epsilon))
		out.data[2*item], out.data[2*item+1] = float32(mean), float32(rstd)
	}}
	c.emit("group-stats", gather, combine)
}

// groupStatsOf makes statistics of sums that are known.
func (c *compiler) groupStatsOf(n *graph.Node, op *graph.GroupStats, of []*channelSums) {
	x := n.Inputs[0].Shape
	out, per := c.out(n), x[3]/op.Groups
	for _, s := range of {
		s.buf.use(c.index())
	}
	c.emit("group-stats", phase{n: x[0] * op.Groups, body: func(_, item int) {
		n, group := item/op.Groups, item%op.Groups
		var sum, squares float64
		for k := group * per; k < (group+1)*per; k++ {
			s, at := of[0], k
			for i := 1; at >= s.ch; i++ {
				s, at = of[i], at-s.ch
			}
			a, b := s.total(n, at)
			sum, squares = sum+a, squares+b
		}
		mean, rstd := meanRstd(sum, squares, float64(per*x[1]*x[2]), float64(op.Epsilon))
		out.data[2*item], out.data[2*item+1] = float32(mean), float32(rstd)
	}})
}

// normCoefficients holds, for every image and channel, a and b of z = x*a + b:
// for each image one row of a, one of b.
type normCoefficients struct {
	buf *buffer
	ch  int
}

func (c *compiler) normCoefficients(images, ch int) normCoefficients {
	return normCoefficients{c.temp(images * 2 * ch), ch}
}

// rows are the coefficients of image n.
func (c normCoefficients) rows(n int) (a, b []float32) {
	return c.buf.data[2*n*c.ch : (2*n+1)*c.ch], c.buf.data[(2*n+1)*c.ch : (2*n+2)*c.ch]
}

// compute is the phase that fills them in.
func (c normCoefficients) compute(stats, scale, shift *buffer, images, groups int) phase {
	per := c.ch / groups
	return phase{n: images, body: func(_, n int) {
		a, b := c.rows(n)
		for k := range a {
			s := stats.data[2*(n*groups+k/per):]
			mean, rstd := s[0], s[1]
			a[k] = rstd * scale.data[k]
			b[k] = shift.data[k] - mean*a[k]
		}
	}}
}

// groupNorm applies statistics. If only convolutions read the result, it is not
// written at all: they apply the coefficients while they pack their input.
func (c *compiler) groupNorm(n *graph.Node, op *graph.GroupNorm) {
	stats, scale, shift := c.in(n.Inputs[1]), c.in(n.Inputs[2]), c.in(n.Inputs[3])
	pb := blocksOf(n.Shape)
	coef := c.normCoefficients(pb.n, pb.channels)
	coefficients := coef.compute(stats, scale, shift, pb.n, n.Inputs[1].Shape[1])
	if c.absorbed(n) {
		c.deferred[n] = &normSource{x: c.pieces(n.Inputs[0]), coef: coef, silu: op.SiLU}
		c.emit("group-norm", coefficients)
		return
	}
	x := c.in(n.Inputs[0])
	out := c.outInPlace(n, x)
	apply := pb.phase(func(n, _, lo, hi int) {
		a, b := coef.rows(n)
		kernel.NormApply(out.data[lo:hi], x.data[lo:hi], a, b, op.SiLU)
	})
	c.emit("group-norm", coefficients, apply)
}

// normSource is a normalisation that its consumers apply themselves.
type normSource struct {
	x    []piece
	coef normCoefficients
	silu bool
}

// absorbed says whether every consumer of a normalisation is a convolution that
// can apply it while packing.
func (c *compiler) absorbed(n *graph.Node) bool {
	if c.kept[n] {
		return false
	}
	for _, user := range c.users[n] {
		switch user.Op.(type) {
		case *graph.Conv2D, *graph.Conv2DWeightGrad:
			if user.Inputs[0] != n || user.Inputs[1] == n {
				return false
			}
		default:
			return false
		}
	}
	return true
}

func (c *compiler) groupNormGradSums(n *graph.Node, op *graph.GroupNormGradSums) {
	x, stats, scale, shift, dy := c.in(n.Inputs[0]), c.in(n.Inputs[1]), c.in(n.Inputs[2]), c.in(n.Inputs[3]), c.in(n.Inputs[4])
	pb := blocksOf(n.Inputs[0].Shape)
	ch, groups := pb.channels, n.Inputs[1].Shape[1]
	per := ch / groups
	out, coef := c.out(n), c.normCoefficients(pb.n, ch)
	parts := c.temp(pb.n * pb.blocks * 2 * ch)
	coefficients := coef.compute(stats, scale, shift, pb.n, groups)
	gather := pb.phase(func(n, block, lo, hi int) {
		at := (n*pb.blocks + block) * 2 * ch
		sums, products := parts.data[at:at+ch], parts.data[at+ch:at+2*ch]
		clear(sums)
		clear(products)
		a, b := coef.rows(n)
		kernel.NormGradSums(sums, products, x.data[lo:hi], dy.data[lo:hi], a, b, op.SiLU)
	})
	// sum dz*xhat = rstd * (sum dz*x - mean * sum dz)
	combine := phase{n: pb.n, body: func(_, n int) {
		for k := range ch {
			var sum, product float64
			for block := range pb.blocks {
				at := (n*pb.blocks+block)*2*ch + k
				sum += float64(parts.data[at])
				product += float64(parts.data[at+ch])
			}
			s := stats.data[2*(n*groups+k/per):]
			mean, rstd := float64(s[0]), float64(s[1])
			out.data[2*n*ch+k] = float32(sum)
			out.data[(2*n+1)*ch+k] = float32(rstd * (product - mean*sum))
		}
	}}
	c.emit("group-norm-grad", coefficients, gather, combine)
}

// groupNormInputGrad writes dx = dz*p + x*q + r with per-channel p, q, r that
// follow from the sums (see [graph.GroupNormInputGrad]).
func (c *compiler) groupNormInputGrad(n *graph.Node, op *graph.GroupNormInputGrad) {
	x, stats, scale, shift, dy, sums := c.in(n.Inputs[0]), c.in(n.Inputs[1]), c.in(n.Inputs[2]),
		c.in(n.Inputs[3]), c.in(n.Inputs[4]), c.in(n.Inputs[5])
	pb := blocksOf(n.Shape)
	ch, groups := pb.channels, n.Inputs[1].Shape[1]
	coef, pqr := c.normCoefficients(pb.n, ch), c.temp(pb.n*3*ch)
	out := c.outInPlace(n, dy)
	coefficients := coef.compute(stats, scale, shift, pb.n, groups)
	rows := phase{n: pb.n * groups, body: func(_, item int) {
		n, group := item/groups, item%groups
		gradRows(pqr.data[n*3*ch:(n+1)*3*ch], sums.data[n*2*ch:(n+1)*2*ch], scale.data,
			stats.data[2*item], stats.data[2*item+1], group*ch/groups, (group+1)*ch/groups, pb.pixels)
	}}
	apply := pb.phase(func(n, _, lo, hi int) {
		a, b := coef.rows(n)
		w := pqr.data[n*3*ch : (n+1)*3*ch]
		kernel.NormGradInput(out.data[lo:hi], x.data[lo:hi], dy.data[lo:hi], a, b, w[:ch], w[ch:2*ch], w[2*ch:], op.SiLU)
	})
	c.emit("group-norm-grad", coefficients, rows, apply)
}

// gradRows computes p, q and r for channels [from, to), which are one group:
// with the group's means m1 of dz*scale and m2 of dz*scale*xhat,
// p = rstd*scale, q = -rstd^2*m2, r = -rstd*m1 + rstd^2*m2*mean.
func gradRows(pqr, sums, scale []float32, mean, rstd float32, from, to, pixels int) {
	ch := len(scale)
	var m1, m2 float64
	for k := from; k < to; k++ {
		m1 += float64(scale[k]) * float64(sums[k])
		m2 += float64(scale[k]) * float64(sums[ch+k])
	}
	count := float64((to - from) * pixels)
	s := float64(rstd)
	q := -s * s * m2 / count
	r := -s*m1/count - q*float64(mean)
	for k := from; k < to; k++ {
		pqr[k] = rstd * scale[k]
		pqr[ch+k] = float32(q)
		pqr[2*ch+k] = float32(r)
	}
}
