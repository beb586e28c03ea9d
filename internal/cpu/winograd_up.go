package cpu

import (
	"github.com/sr3-go/sr3/internal/cpu/kernel"
	"github.com/sr3-go/sr3/internal/graph"
)

// A 3x3 convolution of an image enlarged by repeating pixels sees every small pixel
// several times. Output pixels of one phase (y mod 2, x mod 2) are a 2x2 convolution
// of the small image, with sums of the taps: of rows {0} and {1, 2} for phase 0, and
// {0, 1} and {2} for phase 1; the same goes for columns. Four convolutions
// F(4x4, 2x2) of the small image take 25 products a tile, against 36 of F(4x4, 3x3)
// on the large image, which is never written.

// The sums of taps lie as planes [row sums][column sums]: row sums 0 and 1 are those of
// phase 0, 2 and 3 those of phase 1, and so for columns. Three planes more are
// for a row on its way.
const (
	upRow  = 4 // planes from one row sum to the next
	upSums = 4*upRow + 3
)

// upSum is the first of the four planes of a phase.
func upSum(phaseY, phaseX int) int { return 2*phaseY*upRow + 2*phaseX }

// upFilters sets the planes of sums, of n floats each, from the 9 planes of taps.
func upFilters(sums, taps []float32, n int) {
	plane := func(x []float32, i int) []float32 { return x[i*n : (i+1)*n] }
	for row, of := range [4][]int{{0}, {1, 2}, {0, 1}, {2}} {
		var c [3][]float32
		for j := range c {
			c[j] = plane(taps, of[0]*3+j)
			if len(of) == 2 {
				c[j] = plane(sums, 4*upRow+j)
				kernel.Add(c[j], plane(taps, of[0]*3+j), plane(taps, of[1]*3+j))
			}
		}
		copy(plane(sums, row*upRow), c[0])
		kernel.Add(plane(sums, row*upRow+1), c[1], c[2])
		kernel.Add(plane(sums, row*upRow+2), c[0], c[1])
		copy(plane(sums, row*upRow+3), c[2])
	}
}

// upMinTiles are the tiles of the small image below which it does not pay: there
// are four times as many filters to transform.
const upMinTiles = 16

// upsampled is the small image, if a convolution reads one enlarged by two that
// nobody else does, and it pays to read the small one; nil otherwise.
func (c *compiler) upsampled(n *graph.Node, op *graph.Conv2D) *graph.Node {
	x, w := n.Inputs[0], n.Inputs[1]
	up, ok := x.Op.(*graph.Upsample)
	if !ok || up.Factor != 2 || c.onlyReader(x) == nil || op.Pad != 1 || op.Stride != 1 {
		return nil
	}
	small := x.Inputs[0]
	if way := c.choose(w.Shape, 1, small.Shape); way != wayKept && way != wayStreamed ||
		tilesFor(small.Shape[0], small.Shape[1], small.Shape[2]).count() < upMinTiles {
		return nil
	}
	return small
}

// upConv2D lowers a convolution of an enlarged image, given the small one.
func (c *compiler) upConv2D(n, small *graph.Node) {
	w := n.Inputs[1]
	in, out, s := w.Shape[2], w.Shape[3], small.Shape
	f, phases := c.winogradFrame(small, tilesFor(s[0], s[1], s[2]), 1, 1)
	end, more := c.epilogue(n)
	end.needRows(c)
	phases = append(phases, more...)
	var convs []winogradConv
	for i := range 4 {
		p := newWinograd(f, in, out, s[1], s[2], end)
		p.winogradKind, p.step = winograd2, 2
		p.dstY, p.dstX = i/2, i%2
		p.srcY, p.srcX = p.dstY, p.dstX // phase 0 begins a small pixel before the image, where the frame does
		convs = append(convs, p)
	}
	after := c.wantSums(end, nil)
	way := "2x2 winograd, streamed,"
	if c.choose(w.Shape, 1, s) == wayStreamed {
		filters := newPanels(9*in, out)
		phases = append(phases, c.weights(w, "rows", true, &filters, panels.packRows))
		phases = append(phases, c.stream(convs, filters)...)
	} else {
		way = "2x2 winograd"
		sums := c.temp(len(c.program.tiles) * packUpSize())
		for i, p := range convs {
			k := c.keptFilters(p)
			phases = append(phases, c.weights(w, [4]string{"up 0", "up 1", "up 2", "up 3"}[i], false, &k.u, k.packUp(sums)), k.phase(c.program.tiles))
		}
	}
	end.out(c)
	c.emitWork("conv2d", convWork(way, w.Shape, 1, n.Shape), append(phases, after...)...)
}

// packUpSize is what a worker needs to pack: taps of one in channel, and sums of them.
func packUpSize() int { return (9 + upSums) * kernel.NR() }

// packUp makes the phase that sums and transforms filters [3, 3, in, out] for the
// phase that the convolution is for. scratch has packUpSize floats for each worker.
func (p *winogradKept) packUp(scratch *buffer) func(u panels, w *buffer) phase {
	return func(u panels, w *buffer) phase {
		return phase{n: u.count, body: func(worker, j int) {
			size := packUpSize()
			taps, sums := scratch.data[worker*size:][:9*u.nr], scratch.data[worker*size+9*u.nr:][:upSums*u.nr]
			p.packUpPanel(u, w, j, taps, sums)
		}}
	}
}

// packUpPanel fills panel j.
func (p *winogradKept) packUpPanel(u panels, w *buffer, j int, taps, sums []float32) {
	dst, width := u.panel(j)
	clear(taps)
	for i := range p.in {
		for tap := range 9 {
			copy(taps[tap*u.nr:][:width], w.data[(tap*p.in+i)*p.out+j*u.nr:])
		}
		upFilters(sums, taps, u.nr)
		p.weights(p.apart(dst[i*u.nr:], p.in*u.nr),
			kernel.Grid{Data: sums[upSum(p.dstY, p.dstX)*u.nr:], Row: upRow * u.nr, Col: u.nr}, u.nr)
	}
}
