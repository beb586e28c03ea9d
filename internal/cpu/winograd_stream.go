package cpu

import (
	"github.com/sr3-go/sr3/internal/cpu/kernel"
	"github.com/sr3-go/sr3/internal/graph"
)

// Where few tiles meet many channels, the transformed filters, four times the
// size of the filters, are what a convolution has to fetch from memory: 38 MB for
// 512 to 512 channels, to be used for the 16 tiles of 16x16 pixels. So the filters
// stay as they are, each block of them is transformed when its turn comes, in the
// second-level cache, and is used there for all tiles.

// streamMaxTiles bounds the products of a panel, and streamMinWeights are the
// channels in times out below which kept transformed filters stay cached anyway.
const (
	streamMaxTiles   = 128
	streamMinWeights = 192 * 192
	streamDepth      = 64 // channels whose filters are transformed at a time
)

// streamPays decides between kept and streamed filters, where winogradPays.
func streamPays(in, out int, tiles winogradTiles) bool {
	return in*out >= streamMinWeights && tiles.count() <= streamMaxTiles
}

// streamProduct is a convolution from a frame to an image with streamed filters.
type streamProduct struct {
	src     *frame
	in, out int
	end     *epilogue
	dst     *buffer
	oh, ow  int
	tiles   winogradTiles
	v       *buffer // transformed pixels, for each streamDepth of channels [36, tiles, streamDepth]
	scratch *buffer // for each worker: filters, the same transformed, products, one square of output
	filters panels  // [9, in] rows
}

// uPitch is the distance of matrices of transformed filters; the odd line keeps
// them out of the same set of the first-level cache.
func (p *streamProduct) uPitch() int { return streamDepth*kernel.NR() + 16 }

func (p *streamProduct) scratchSize() int {
	nr := kernel.NR()
	return 9*streamDepth*nr + 36*p.uPitch() + 36*p.tiles.count()*nr + winogradSide*winogradSide*nr
}

// transformFilters sets u to the transformed filters of in channels [lo, hi) and
// the columns of panel j. The filters are copied first: that walks through memory
// several times faster than the transform does, which is busy with its stores.
func (p *streamProduct) transformFilters(u, stage []float32, j, lo, hi int) {
	nr, k, pitch := p.filters.nr, hi-lo, p.uPitch()
	for tap := range 9 {
		p.filters.rows(stage[tap*k*nr:], j, tap*p.in+lo, tap*p.in+hi)
	}
	for i := range k {
		kernel.WinogradWeights(kernel.Grid{Data: u[i*nr:], Row: 6 * pitch, Col: pitch},
			kernel.Grid{Data: stage[i*nr:], Row: 3 * k * nr, Col: k * nr}, nr)
	}
}

// phases are the transform of all tiles and the products, a panel an item.
func (p *streamProduct) phases(tilesOf []kernel.Tile) []phase {
	nr := kernel.NR()
	count := p.tiles.count()
	transform := phase{n: count, body: func(_, tile int) {
		n, y, x := p.tiles.locate(tile)
		f := p.src
		for lo := 0; lo < p.in; lo += streamDepth {
			kernel.WinogradInput(kernel.Grid{Data: p.v.data[p.vAt(lo, 0, tile):], Row: 6 * count * streamDepth, Col: count * streamDepth},
				kernel.Grid{Data: f.buf.data[f.at(n, y*winogradSide, x*winogradSide)+lo:], Row: f.cols * f.pitch, Col: f.pitch}, min(streamDepth, p.in-lo))
		}
	}}
	multiply := phase{n: (p.out + nr - 1) / nr, body: func(worker, j int) {
		size := p.scratchSize()
		scratch := p.scratch.data[worker*size : (worker+1)*size]
		stage, u, m := scratch[:9*streamDepth*nr], scratch[9*streamDepth*nr:], scratch[9*streamDepth*nr+36*p.uPitch():]
		for lo := 0; lo < p.in; lo += streamDepth {
			hi := min(lo+streamDepth, p.in)
			p.transformFilters(u, stage, j, lo, hi)
			p.accumulate(&tilesOf[worker], u, m, j, lo, hi)
		}
		for tile := range count {
			p.finish(m, j, tile)
		}
	}}
	return []phase{transform, multiply}
}

// vAt is where the transformed pixels of a tile at a position lie for the block of
// channels that begins with lo. What one product reads is contiguous, so that it is
// fetched ahead of its use.
func (p *streamProduct) vAt(lo, pos, tile int) int {
	return (lo/streamDepth*36*p.tiles.count() + pos*p.tiles.count() + tile) * streamDepth
}

// accumulate adds the products of in channels [lo, hi) to those of panel j.
func (p *streamProduct) accumulate(t *kernel.Tile, u, m []float32, j, lo, hi int) {
	nr, mr := kernel.NR(), kernel.MR()
	count := p.tiles.count()
	*t = kernel.Tile{LDC: nr, LDRes: nr, ARS: streamDepth, AKS: 1, BKS: nr, AOff: &zeroOffset[0], BOff: &zeroOffset[0],
		Segments: 1, K: hi - lo, N: min(nr, p.out-j*nr)}
	parts := (count + mr - 1) / mr
	for pos := range 36 {
		t.B = &u[pos*p.uPitch()]
		for k := range parts {
			from, to := k*count/parts, (k+1)*count/parts
			t.M, t.A, t.C = to-from, &p.v.data[p.vAt(lo, pos, from)], &m[(pos*count+from)*nr]
			t.Res = nil
			if lo > 0 {
				t.Res = t.C
			}
			kernel.GemmTile(t)
		}
	}
}

// finish writes the output pixels of a tile in the columns of panel j.
func (p *streamProduct) finish(m []float32, j, tile int) {
	nr, count := kernel.NR(), p.tiles.count()
	src := kernel.Grid{Data: m[tile*nr:], Row: 6 * count * nr, Col: count * nr}
	p.end.writeSquare(p.dst, p.tiles, tile, p.oh, p.ow, j*nr, min(nr, p.out-j*nr), src, m[36*count*nr:])
}

// streamConv2D lowers a convolution.
func (c *compiler) streamConv2D(n *graph.Node, op *graph.Conv2D) {
	x, w := n.Inputs[0], n.Inputs[1]
	tiles := tilesFor(n.Shape[0], n.Shape[1], n.Shape[2])
	f, phases := c.winogradFrame(x, tiles, op.Pad, op.Pad)
	end, more := c.epilogue(n)
	end.needRows(c)
	phases = append(phases, more...)
	p := &streamProduct{src: f, end: end, in: w.Shape[2], out: w.Shape[3], tiles: tiles, oh: n.Shape[1], ow: n.Shape[2]}
	p.filters = newPanels(9*p.in, p.out)
	phases = append(phases, c.weights(w, "rows", true, &p.filters, panels.packRows))
	p.v = c.temp(36 * tiles.count() * ((p.in + streamDepth - 1) / streamDepth * streamDepth))
	p.scratch = c.temp(len(c.program.tiles) * p.scratchSize())
	after := c.wantSums(end, nil)
	p.dst = end.out(c)
	phases = append(append(phases, p.phases(c.program.tiles)...), after...)
	c.emitWork("conv2d", convWork("winograd, streamed,", w.Shape, 1, n.Shape), phases...)
}
