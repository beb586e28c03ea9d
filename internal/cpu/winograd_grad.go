package cpu

import (
	"github.com/sr3-go/sr3/internal/cpu/kernel"
	"github.com/sr3-go/sr3/internal/graph"
)

// winogradInputGrad lowers the gradient by the input: a convolution of dy with the
// filters turned around and transposed.
func (c *compiler) winogradInputGrad(n *graph.Node, op *graph.Conv2DInputGrad, way convWay) {
	dy, w := n.Inputs[0], n.Inputs[1]
	f, phases := c.winogradFrame(dy, tilesFor(n.Shape[0], n.Shape[1], n.Shape[2]), 2-op.Pad, 2-op.Pad)
	end := &epilogue{node: n, ch: w.Shape[2], images: 1}
	end.needRows(c)
	p := newWinograd(f, w.Shape[3], w.Shape[2], n.Shape[1], n.Shape[2], end)
	turned := newPanels(9*p.in, p.out)
	turned.buf = c.temp(turned.size())
	phases = append(phases, turned.packTransposed(c.in(w), 9, true))
	if way == wayStreamed {
		phases = append(phases, c.stream([]winogradConv{p}, turned)...)
	} else {
		k := c.keptFilters(p)
		k.u.buf = c.temp(k.u.size())
		phases = append(phases, k.packPanels(turned), k.phase(c.program.tiles))
	}
	end.out(c)
	c.emitWork("conv2d-input-grad", convWork(way.String(), w.Shape, 1, dy.Shape), phases...)
}

// packPanels is the phase that transforms filters that are panels already.
func (p *winogradKept) packPanels(filters panels) phase {
	u := p.u
	return phase{n: u.count, body: func(_, j int) {
		dst, _ := u.panel(j)
		src, _ := filters.panel(j)
		for i := range p.in {
			p.weights(p.apart(dst[i*u.nr:], p.in*u.nr), kernel.Grid{Data: src[i*u.nr:], Row: 3 * p.in * u.nr, Col: p.in * u.nr}, u.nr)
		}
	}}
}

// winogradMaxTransformed bounds the transformed pixels and gradients of a weight
// gradient, in floats.
const winogradMaxTransformed = 32 << 20

// winogradWeightGradPays decides for the gradient of filters from gradients dy.
func winogradWeightGradPays(filter graph.Shape, stride int, dy graph.Shape) bool {
	return winogradPays(filter, stride, dy) &&
		36*tilesFor(dy[0], dy[1], dy[2]).count()*(filter[2]+filter[3]) <= winogradMaxTransformed
}

// weightGrad is the gradient of filters [3, 3, in, out] from the transformed pixels v
// [36, tiles, in] and the transformed gradients d [36, tiles, out]: 36 products over
// the tiles, and the transform back.
type weightGrad struct {
	v, d, dw       *buffer
	count, in, out int
}

// winogradWeightGrad lowers the gradient by the filter.
func (c *compiler) winogradWeightGrad(n *graph.Node, op *graph.Conv2DWeightGrad) {
	x, dy := n.Inputs[0], n.Inputs[1]
	tiles := tilesFor(dy.Shape[0], dy.Shape[1], dy.Shape[2])
	p := &weightGrad{count: tiles.count(), in: n.Shape[2], out: n.Shape[3]}
	f, phases := c.winogradFrame(x, tiles, op.Pad, op.Pad)
	g, more := c.frameOf(dy, 0, 0, tiles.rows*winogradSide-dy.Shape[1], tiles.cols*winogradSide-dy.Shape[2])
	p.v, p.d = c.temp(36*p.count*p.in), c.temp(36*p.count*p.out)
	p.dw = c.out(n)
	transform := phase{n: p.count, body: func(_, tile int) {
		n, y, x := tiles.locate(tile)
		kernel.WinogradInput(winograd3.apart(p.v.data[tile*p.in:], p.count*p.in),
			kernel.Grid{Data: f.buf.data[f.at(n, y*winogradSide, x*winogradSide):], Row: f.cols * f.pitch, Col: f.pitch}, p.in)
		kernel.WinogradGrad(winograd3.apart(p.d.data[tile*p.out:], p.count*p.out),
			kernel.Grid{Data: g.buf.data[g.at(n, y*winogradSide, x*winogradSide):], Row: g.cols * g.pitch, Col: g.pitch}, p.out)
	}}
	phases = append(append(phases, more...), transform)
	if p.in*p.out >= streamMinWeights {
		phases = append(phases, p.blocks(c))
	} else {
		phases = append(phases, p.whole(c)...)
	}
	c.emitWork("conv2d-weight-grad", convWork("winograd", n.Shape, 1, dy.Shape), phases...)
}

// multiply sets the rows of in channels [lo, hi) of products, ldc floats apart, to
// those of a point in the columns of panel j.
func (p *weightGrad) multiply(t *kernel.Tile, products []float32, ldc, point, j, lo, hi int) {
	nr, mr := kernel.NR(), kernel.MR()
	*t = kernel.Tile{LDC: ldc, ARS: 1, AKS: p.in, B: &p.d.data[point*p.count*p.out+j*nr], BKS: p.out,
		AOff: &zeroOffset[0], BOff: &zeroOffset[0], Segments: 1, K: p.count, N: min(nr, p.out-j*nr)}
	parts := (hi - lo + mr - 1) / mr
	for k := range parts {
		from, to := k*(hi-lo)/parts, (k+1)*(hi-lo)/parts
		t.M, t.A, t.C = to-from, &p.v.data[point*p.count*p.in+lo+from], &products[from*ldc]
		kernel.GemmTile(t)
	}
}

// whole is for few channels: all products, then all filters.
func (p *weightGrad) whole(c *compiler) []phase {
	nr, tilesOf := kernel.NR(), c.program.tiles
	products := c.temp(36 * p.in * p.out)
	cols := (p.out + nr - 1) / nr
	multiply := phase{n: 36 * cols, body: func(worker, item int) {
		point, j := item/cols, item%cols
		p.multiply(&tilesOf[worker], products.data[point*p.in*p.out+j*nr:], p.out, point, j, 0, p.in)
	}}
	return []phase{multiply, rowChunks(p.in, 9*p.out, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			kernel.WinogradWeightsGrad(kernel.Grid{Data: p.dw.data[i*p.out:], Row: 3 * p.in * p.out, Col: p.in * p.out},
				winograd3.apart(products.data[i*p.out:], p.in*p.out), p.out)
		}
	})}
}

// blocks is for many channels, whose products, four times the size of the gradient,
// would go through memory: a block of them is transformed back in the second-level
// cache.
func (p *weightGrad) blocks(c *compiler) phase {
	nr, tilesOf := kernel.NR(), c.program.tiles
	pitch := streamDepth*nr + 16
	scratch := c.temp(len(tilesOf) * 36 * pitch)
	rows, cols := (p.in+streamDepth-1)/streamDepth, (p.out+nr-1)/nr
	return phase{n: rows * cols, body: func(worker, item int) {
		j, lo := item%cols, item/cols*streamDepth
		hi := min(lo+streamDepth, p.in)
		products := scratch.data[worker*36*pitch : (worker+1)*36*pitch]
		for point := range 36 {
			p.multiply(&tilesOf[worker], products[point*pitch:], nr, point, j, lo, hi)
		}
		for i := lo; i < hi; i++ {
			kernel.WinogradWeightsGrad(kernel.Grid{Data: p.dw.data[i*p.out+j*nr:], Row: 3 * p.in * p.out, Col: p.in * p.out},
				winograd3.apart(products[(i-lo)*nr:], pitch), min(nr, p.out-j*nr))
		}
	}}
}
