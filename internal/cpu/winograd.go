package cpu

import (
	"github.com/sr3-go/sr3/internal/cpu/kernel"
	"github.com/sr3-go/sr3/internal/graph"
)

// Wide 3x3 convolutions of stride 1 run as F(4x4, 3x3) (see package kernel): a
// quarter of the products for three transforms. This file has what all forms
// share; the transformed filters are kept (winograd_kept.go) or made when they are
// needed (winograd_stream.go).

// winogradSide is the side of the squares of output pixels, the tiles.
const winogradSide = 4

// The rule for when it pays, a function of shapes alone: with fewer channels the
// transforms cost more than they save.
const (
	winogradMinChannels = 32
	winogradMinTiles    = 4
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

// winogradPays decides for a convolution that makes the image out.
func winogradPays(filter graph.Shape, stride int, out graph.Shape) bool {
	tiles := tilesFor(out[0], out[1], out[2])
	covered := tiles.rows * tiles.cols * winogradSide * winogradSide
	return filter[0] == 3 && filter[1] == 3 && stride == 1 && min(filter[2], filter[3]) >= winogradMinChannels &&
		tiles.count() >= winogradMinTiles && 2*covered <= 3*out[1]*out[2]
}

// winogradFrame is the frame of an image whose convolution begins top and left
// pixels outside of it: 6x6 pixels can be read for every tile.
func (c *compiler) winogradFrame(x *graph.Node, t winogradTiles, top, left int) (*frame, []phase) {
	rows, cols := t.rows*winogradSide+2, t.cols*winogradSide+2
	return c.frameOf(x, top, left, max(0, rows-top-x.Shape[1]), max(0, cols-left-x.Shape[2]))
}

// winogradKind is one of the fast convolutions: for 3x3 or for 2x2 filters.
type winogradKind struct {
	grid, taps int // sides of the square of products, and of the filter
	input      func(dst, src kernel.Grid, n int)
	weights    func(dst, src kernel.Grid, n int)
	output     func(dst, src kernel.Grid, n int, bias []float32)
	outputAdd  func(dst, src kernel.Grid, n int, bias, res []float32, scale float32)
}

var (
	winograd3 = &winogradKind{6, 3, kernel.WinogradInput, kernel.WinogradWeights, kernel.WinogradOutput, kernel.WinogradOutputAdd}
	winograd2 = &winogradKind{5, 2, kernel.WinogradInput2, kernel.WinogradWeights2, kernel.WinogradOutput2, kernel.WinogradOutputAdd2}
)

// points is the number of products for a tile, each of them a matrix product over
// channels.
func (k *winogradKind) points() int { return k.grid * k.grid }

// apart is the grid of points that lie step floats apart.
func (k *winogradKind) apart(data []float32, step int) kernel.Grid {
	return kernel.Grid{Data: data, Row: k.grid * step, Col: step}
}

// winogradConv is a convolution from a frame to an image.
type winogradConv struct {
	*winogradKind
	src        *frame
	srcY, srcX int // the frame's pixel where the first tile reads
	in, out    int
	tiles      winogradTiles
	oh, ow     int // output pixels of this convolution
	// They are pixels (y*step+dstY, x*step+dstX) of the result.
	step, dstY, dstX int
	end              *epilogue
}

// newWinograd plans a convolution of 3x3 filters with output pixels [n, oh, ow].
func newWinograd(src *frame, in, out, oh, ow int, end *epilogue) winogradConv {
	return winogradConv{winogradKind: winograd3, src: src, in: in, out: out, tiles: tilesFor(src.n, oh, ow), oh: oh, ow: ow, step: 1, end: end}
}

// readTile transforms channels [lo, lo+n) of the pixels of a tile.
func (p *winogradConv) readTile(dst kernel.Grid, tile, lo, n int) {
	image, y, x := p.tiles.locate(tile)
	f := p.src
	at := f.at(image, y*winogradSide+p.srcY, x*winogradSide+p.srcX) + lo
	p.input(dst, kernel.Grid{Data: f.buf.data[at:], Row: f.cols * f.pitch, Col: f.pitch}, n)
}

// prefetchTile asks for the pixels that a tile does not share with the one to its
// left.
func (p *winogradConv) prefetchTile(tile int) {
	image, y, x := p.tiles.locate(tile)
	f, shared := p.src, p.grid-winogradSide
	for row := range p.grid {
		at := f.at(image, y*winogradSide+p.srcY+row, x*winogradSide+p.srcX+shared)
		kernel.Prefetch(f.buf.data[at : at+winogradSide*f.pitch])
	}
}

// writeTile turns the products src of a tile into channels [from, from+n) of output
// pixels. Where the square sticks out of the image it goes by way of square.
func (p *winogradConv) writeTile(src kernel.Grid, tile, from, n int, square []float32) {
	image, y, x := p.tiles.locate(tile)
	y0, x0 := y*winogradSide, x*winogradSide
	e, width := p.end, p.ow*p.step
	at := func(y, x int) int {
		return ((image*p.oh*p.step+y*p.step+p.dstY)*width+x*p.step+p.dstX)*e.ch + from
	}
	row := e.row(image)[from:]
	if y0+winogradSide <= p.oh && x0+winogradSide <= p.ow {
		to := kernel.Grid{Data: e.result.data[at(y0, x0):], Row: width * p.step * e.ch, Col: p.step * e.ch}
		if e.residual == nil {
			p.output(to, src, n, row)
		} else {
			p.outputAdd(to, src, n, row, e.residual.data[at(y0, x0):], e.factor())
		}
		return
	}
	p.output(kernel.Grid{Data: square, Row: winogradSide * n, Col: n}, src, n, row)
	for i := range min(winogradSide, p.oh-y0) {
		for k := range min(winogradSide, p.ow-x0) {
			e.store(at(y0+i, x0+k), square[(i*winogradSide+k)*n:][:n])
		}
	}
}

// winogradConv2D lowers a convolution.
func (c *compiler) winogradConv2D(n *graph.Node, op *graph.Conv2D, way convWay) {
	x, w := n.Inputs[0], n.Inputs[1]
	in, out := w.Shape[2], w.Shape[3]
	f, phases := c.winogradFrame(x, tilesFor(n.Shape[0], n.Shape[1], n.Shape[2]), op.Pad, op.Pad)
	end, more := c.epilogue(n)
	end.needRows(c)
	p := newWinograd(f, in, out, n.Shape[1], n.Shape[2], end)
	phases = append(phases, more...)
	if way == wayStreamed {
		filters := newPanels(9*in, out)
		phases = append(phases, c.weights(w, "rows", true, &filters, panels.packRows))
		after := c.wantSums(end, nil)
		end.out(c) // all pixels are read before any is written
		phases = append(append(phases, c.stream([]winogradConv{p}, filters)...), after...)
		c.emitWork("conv2d", convWork(way.String(), w.Shape, 1, n.Shape), phases...)
		return
	}
	k := c.keptFilters(p)
	phases = append(phases, c.weights(w, "winograd", false, &k.u, k.pack))
	after := c.wantSums(end, k.sumParts())
	end.out(c, f.buf)
	phases = append(append(phases, k.phase(c.program.tiles)), after...)
	c.emitWork("conv2d", convWork(way.String(), w.Shape, 1, n.Shape), phases...)
}
