package cpu

import (
	"github.com/sr3-go/sr3/internal/cpu/kernel"
	"github.com/sr3-go/sr3/internal/graph"
)

// Wide 3x3 convolutions of stride 1 run as F(4x4, 3x3) (see package kernel): a
// quarter of the products for three transforms.

// winogradSide is the side of the squares of output pixels.
const winogradSide = 4

// The rule for when it pays, a function of shapes alone. Below minChannels the
// transforms cost more than they save; beyond maxWeights the transformed
// filters, four times the size of the filters, come from memory too slowly for
// the few tiles such layers have; maxTransformed bounds the memory of a weight
// gradient, in floats.
const (
	winogradMinChannels    = 32
	winogradMaxWeights     = 4096 * 4096
	winogradMinTiles       = 4
	winogradMaxTransformed = 32 << 20
)

// winogradTiles is how the output of a convolution is covered with squares.
type winogradTiles struct{ n, rows, cols int }

func tilesFor(n, h, w int) winogradTiles {
	return winogradTiles{n, (h + winogradSide - 1) / winogradSide, (w + winogradSide - 1) / winogradSide}
}

func (t winogradTiles) count() int { return t.n * t.rows * t.cols }

// locate is the image, row and column of a tile.
func (t winogradTiles) locate(tile int) (n, y, x int) {
	return tile / (t.rows * t.cols), tile / t.cols % t.rows, tile % t.cols
}

// winogradPays decides for a convolution with output pixels [n, h, w].
func winogradPays(filter graph.Shape, stride, n, h, w int) bool {
	in, out := filter[2], filter[3]
	tiles := tilesFor(n, h, w)
	covered := tiles.rows * tiles.cols * winogradSide * winogradSide
	return filter[0] == 3 && filter[1] == 3 && stride == 1 && min(in, out) >= winogradMinChannels &&
		in*out <= winogradMaxWeights && tiles.count() >= winogradMinTiles && 2*covered <= 3*h*w
}

// winogradFrame is the frame of an image whose convolution begins top and left
// pixels outside of it: 6x6 pixels can be read for every tile.
func (c *compiler) winogradFrame(x *graph.Node, t winogradTiles, top, left int) (*frame, []phase) {
	rows, cols := t.rows*winogradSide+2, t.cols*winogradSide+2
	return c.frameOf(x, top, left, max(0, rows-top-x.Shape[1]), max(0, cols-left-x.Shape[2]))
}

// winogradProduct is a convolution from a frame to an image through transformed
// filters u: panels with 36 matrices [in, NR] each.
type winogradProduct struct {
	src     *frame
	u       panels
	in      int
	end     *epilogue
	out     *buffer
	oh, ow  int
	tiles   winogradTiles
	scratch *buffer // for each worker: transformed pixels, products, one square of output
	block   int     // tiles that a worker transforms at a time
}

// scratchFloats bounds the transformed pixels of a block, which should stay in the
// second-level cache while all panels pass.
const scratchFloats = 200 << 10

// winograd plans a product and gives it storage; its filters are yet to be packed.
func (c *compiler) winograd(f *frame, in, outCh int, end *epilogue, tiles winogradTiles, oh, ow int) *winogradProduct {
	mr := kernel.MR()
	p := &winogradProduct{src: f, in: in, u: newPanels(36*in, outCh), end: end, oh: oh, ow: ow, tiles: tiles}
	end.needRows(c)
	p.block = min(max(1, min(scratchFloats/(36*pitchFor(in)*mr), 2))*mr, tiles.count())
	p.scratch = c.temp(len(c.program.tiles) * p.scratchSize())
	return p
}

func (p *winogradProduct) scratchSize() int {
	return 36*p.block*(pitchFor(p.in)+p.u.nr) + winogradSide*winogradSide*p.u.nr
}

// pack is the phase that transforms filters [3, 3, in, out].
func (p *winogradProduct) pack(u panels, w *buffer) phase {
	in, out := p.in, u.columns
	return phase{n: u.count, body: func(_, j int) {
		dst, width := u.panel(j)
		if width < u.nr {
			clear(dst)
		}
		for i := range in {
			kernel.WinogradWeights(kernel.Grid{Data: dst[i*u.nr:], Row: 6 * in * u.nr, Col: in * u.nr},
				kernel.Grid{Data: w.data[i*out+j*u.nr:], Row: 3 * in * out, Col: in * out}, width)
		}
	}}
}

// packGrad gives the phases that transform the filters of the input gradient:
// [3, 3, out, in] turned around and transposed, by way of ordinary panels.
func (c *compiler) packGrad(p *winogradProduct, w *buffer) []phase {
	turned := newPanels(9*p.in, p.u.columns)
	turned.buf = c.temp(turned.size())
	p.u.buf = c.temp(p.u.size())
	u, in := p.u, p.in
	return []phase{turned.packTransposed(w, 9, true), {n: u.count, body: func(_, j int) {
		dst, _ := u.panel(j)
		src, _ := turned.panel(j)
		for i := range in {
			kernel.WinogradWeights(kernel.Grid{Data: dst[i*u.nr:], Row: 6 * in * u.nr, Col: in * u.nr},
				kernel.Grid{Data: src[i*u.nr:], Row: 3 * in * u.nr, Col: in * u.nr}, u.nr)
		}
	}}}
}

// plan is into how many blocks the tiles are cut, and the panels into groups.
func (p *winogradProduct) plan() (blocks, groups int) {
	blocks, groups = (p.tiles.count()+p.block-1)/p.block, 1
	for blocks*groups < 8 && groups < p.u.count {
		groups++
	}
	return blocks, groups
}

// bounds are the tiles of block b.
func (p *winogradProduct) bounds(b, blocks int) (lo, hi int) {
	return b * p.tiles.count() / blocks, (b + 1) * p.tiles.count() / blocks
}

// phase hands out blocks of tiles times groups of panels.
func (p *winogradProduct) phase(tilesOf []kernel.Tile) phase {
	blocks, groups := p.plan()
	return phase{n: blocks * groups, body: func(worker, item int) {
		b, group := item/groups, item%groups
		lo, hi := p.bounds(b, blocks)
		size := p.scratchSize()
		scratch := p.scratch.data[worker*size : (worker+1)*size]
		v, m := scratch[:36*p.block*pitchFor(p.in)], scratch[36*p.block*pitchFor(p.in):]
		for tile := lo; tile < hi; tile++ {
			p.transform(v, tile, tile-lo)
		}
		for j := group * p.u.count / groups; j < (group+1)*p.u.count/groups; j++ {
			p.multiply(&tilesOf[worker], v, m, j, hi-lo)
			for tile := lo; tile < hi; tile++ {
				p.finish(m, j, tile, tile-lo)
			}
		}
		p.end.gather(b, p.out.data, p.oh, p.ow)
	}}
}

// sumParts are the pixels of the tiles of each block that lie in one row of tiles,
// nil if the channels of a block are shared among items.
func (p *winogradProduct) sumParts() [][]sumPart {
	blocks, groups := p.plan()
	if groups > 1 {
		return nil
	}
	const most = blockRows / (winogradSide * winogradSide)
	items := make([][]sumPart, blocks)
	for b := range blocks {
		for lo, hi := p.bounds(b, blocks); lo < hi; {
			n, y, x := p.tiles.locate(lo)
			count := min(hi-lo, p.tiles.cols-x, most)
			items[b] = append(items[b], sumPart{n, y * winogradSide, min((y+1)*winogradSide, p.oh), x * winogradSide, min((x+count)*winogradSide, p.ow)})
			lo += count
		}
	}
	return items
}

// transform writes the 36 vectors of a tile's pixels to place at of the block.
func (p *winogradProduct) transform(v []float32, tile, at int) {
	n, y, x := p.tiles.locate(tile)
	f, pitch := p.src, pitchFor(p.in)
	kernel.WinogradInput(kernel.Grid{Data: v[at*pitch:], Row: 6 * p.block * pitch, Col: p.block * pitch},
		kernel.Grid{Data: f.buf.data[f.at(n, y*winogradSide, x*winogradSide):], Row: f.cols * f.pitch, Col: f.pitch}, p.in)
}

// multiply makes the 36 products of a block with panel j.
func (p *winogradProduct) multiply(t *kernel.Tile, v, m []float32, j, tiles int) {
	u, width := p.u.panel(j)
	pitch, nr, mr := pitchFor(p.in), p.u.nr, kernel.MR()
	*t = kernel.Tile{LDC: nr, ARS: pitch, AKS: 1, BKS: nr, AOff: &zeroOffset[0], BOff: &zeroOffset[0], Segments: 1, K: p.in, N: width}
	parts := (tiles + mr - 1) / mr
	for pos := range 36 {
		t.B = &u[pos*p.in*nr]
		for k := range parts {
			lo, hi := k*tiles/parts, (k+1)*tiles/parts
			t.M, t.A, t.C = hi-lo, &v[(pos*p.block+lo)*pitch], &m[(pos*p.block+lo)*nr]
			kernel.GemmTile(t)
		}
	}
}

// zeroOffset is the one segment of a plain matrix product.
var zeroOffset = [1]int{}

// finish writes the output pixels of a tile in the columns of panel j.
func (p *winogradProduct) finish(m []float32, j, tile, at int) {
	nr, cols := p.u.nr, p.u.columns
	src := kernel.Grid{Data: m[at*nr:], Row: 6 * p.block * nr, Col: p.block * nr}
	p.end.writeSquare(p.out, p.tiles, tile, p.oh, p.ow, j*nr, min(nr, cols-j*nr), src, m[36*p.block*nr:])
}

// writeSquare turns the products src of a tile into channels [from, from+width) of
// output pixels of an image of oh x ow pixels. Where the square sticks out of the
// image it goes by way of a square of its own.
func (e *epilogue) writeSquare(dst *buffer, tiles winogradTiles, tile, oh, ow, from, width int, src kernel.Grid, square []float32) {
	n, y, x := tiles.locate(tile)
	y0, x0 := y*winogradSide, x*winogradSide
	at := ((n*oh+y0)*ow+x0)*e.ch + from
	row := e.row(n)[from:]
	if y0+winogradSide <= oh && x0+winogradSide <= ow {
		to := kernel.Grid{Data: dst.data[at:], Row: ow * e.ch, Col: e.ch}
		if e.residual == nil {
			kernel.WinogradOutput(to, src, width, row)
		} else {
			kernel.WinogradOutputAdd(to, src, width, row, e.residual.data[at:], e.factor())
		}
		return
	}
	kernel.WinogradOutput(kernel.Grid{Data: square, Row: winogradSide * width, Col: width}, src, width, row)
	for i := range min(winogradSide, oh-y0) {
		for k := range min(winogradSide, ow-x0) {
			e.store(dst.data, at+(i*ow+k)*e.ch, square[(i*winogradSide+k)*width:][:width])
		}
	}
}

// winogradConv2D lowers a convolution.
func (c *compiler) winogradConv2D(n *graph.Node, op *graph.Conv2D) {
	x, w := n.Inputs[0], n.Inputs[1]
	tiles := tilesFor(n.Shape[0], n.Shape[1], n.Shape[2])
	if streamPays(w.Shape[2], w.Shape[3], tiles) {
		c.streamConv2D(n, op)
		return
	}
	f, phases := c.winogradFrame(x, tiles, op.Pad, op.Pad)
	end, more := c.epilogue(n)
	p := c.winograd(f, w.Shape[2], w.Shape[3], end, tiles, n.Shape[1], n.Shape[2])
	phases = append(append(phases, more...), c.weights(w, "winograd", false, &p.u, p.pack))
	after := c.wantSums(end, p.sumParts())
	p.out = end.out(c)
	phases = append(append(phases, p.phase(c.program.tiles)), after...)
	c.emitWork("conv2d", convWork("winograd", w.Shape, 1, n.Shape), phases...)
}

// winogradInputGrad lowers the gradient by the input: a convolution of dy with the
// filters turned around.
func (c *compiler) winogradInputGrad(n *graph.Node, op *graph.Conv2DInputGrad) {
	dy, w := n.Inputs[0], n.Inputs[1]
	tiles := tilesFor(n.Shape[0], n.Shape[1], n.Shape[2])
	f, phases := c.winogradFrame(dy, tiles, 2-op.Pad, 2-op.Pad)
	p := c.winograd(f, w.Shape[3], w.Shape[2], &epilogue{ch: w.Shape[2], images: 1}, tiles, n.Shape[1], n.Shape[2])
	phases = append(phases, c.packGrad(p, c.in(w))...)
	p.out = c.out(n)
	c.emitWork("conv2d-input-grad", convWork("winograd", w.Shape, 1, dy.Shape), append(phases, p.phase(c.program.tiles))...)
}

// winogradWeightGrad lowers the gradient by the filter: the transformed pixels and
// the transformed gradients of all tiles, 36 products over the tiles, and the
// transform back.
func (c *compiler) winogradWeightGrad(n *graph.Node, op *graph.Conv2DWeightGrad) {
	x, dy := n.Inputs[0], n.Inputs[1]
	in, out := n.Shape[2], n.Shape[3]
	tiles := tilesFor(dy.Shape[0], dy.Shape[1], dy.Shape[2])
	count := tiles.count()
	f, phases := c.winogradFrame(x, tiles, op.Pad, op.Pad)
	g, more := c.frameOf(dy, 0, 0, tiles.rows*winogradSide-dy.Shape[1], tiles.cols*winogradSide-dy.Shape[2])
	v, d, products := c.temp(36*count*in), c.temp(36*count*out), c.temp(36*in*out)
	dw := c.out(n)
	transform := phase{n: count, body: func(_, tile int) {
		n, y, x := tiles.locate(tile)
		kernel.WinogradInput(kernel.Grid{Data: v.data[tile*in:], Row: 6 * count * in, Col: count * in},
			kernel.Grid{Data: f.buf.data[f.at(n, y*winogradSide, x*winogradSide):], Row: f.cols * f.pitch, Col: f.pitch}, in)
		kernel.WinogradGrad(kernel.Grid{Data: d.data[tile*out:], Row: 6 * count * out, Col: count * out},
			kernel.Grid{Data: g.buf.data[g.at(n, y*winogradSide, x*winogradSide):], Row: g.cols * g.pitch, Col: g.pitch}, out)
	}}
	back := rowChunks(in, 9*out, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			kernel.WinogradWeightsGrad(kernel.Grid{Data: dw.data[i*out:], Row: 3 * in * out, Col: in * out},
				kernel.Grid{Data: products.data[i*out:], Row: 6 * in * out, Col: in * out}, out)
		}
	})
	phases = append(append(phases, more...), transform, winogradWeightProducts(c.program.tiles, products, v, d, count, in, out), back)
	c.emitWork("conv2d-weight-grad", convWork("winograd", n.Shape, 1, dy.Shape), phases...)
}

// winogradWeightProducts is products[pos] = v[pos]' d[pos] for the 36 positions:
// [count, in]' [count, out].
func winogradWeightProducts(tilesOf []kernel.Tile, products, v, d *buffer, count, in, out int) phase {
	nr, mr := kernel.NR(), kernel.MR()
	cols := (out + nr - 1) / nr
	parts := (in + mr - 1) / mr
	return phase{n: 36 * cols, body: func(worker, item int) {
		pos, j := item/cols, item%cols
		t := &tilesOf[worker]
		*t = kernel.Tile{LDC: out, ARS: 1, AKS: in, B: &d.data[pos*count*out+j*nr], BKS: out,
			AOff: &zeroOffset[0], BOff: &zeroOffset[0], Segments: 1, K: count, N: min(nr, out-j*nr)}
		for k := range parts {
			lo, hi := k*in/parts, (k+1)*in/parts
			t.M, t.A, t.C = hi-lo, &v.data[pos*count*in+lo], &products.data[(pos*in+lo)*out+j*nr]
			kernel.GemmTile(t)
		}
	}}
}
