package cpu

import (
	"github.com/sr3-go/sr3/internal/cpu/kernel"
	"github.com/sr3-go/sr3/internal/graph"
)

// A convolution to the three channels of an image would use three columns of the
// micro-kernel's 32. Instead every pixel is multiplied with all taps at once, a matrix of
// 27 columns, and each output pixel adds up what its neighbours have for it.

const (
	thinMostChannels = 4  // taps times channels should fit few panels
	thinMinInputs    = 16 // below, the sums cost as much as the products
	thinRows         = 8  // output rows of a work item
)

// thinPays decides for a convolution.
func thinPays(filter graph.Shape, stride int) bool {
	return filter[3] <= thinMostChannels && filter[2] >= thinMinInputs && filter[0] > 1 && filter[0] == filter[1] && stride == 1
}

// thinProduct is a convolution [k, k, in, out] from a frame to an image.
type thinProduct struct {
	src     *frame
	k, out  int
	b       panels // [in, taps times out]
	end     *epilogue
	oh, ow  int
	scratch *buffer // for each worker: products of the frame's pixels of an item
}

// pack is the phase that puts the taps side by side.
func (p *thinProduct) pack(b panels, w *buffer) phase {
	in, taps := b.depth, p.k*p.k
	return phase{n: b.count, body: func(_, j int) {
		dst, width := b.panel(j)
		clear(dst)
		for i := range in {
			for col := range width {
				tap, ch := (j*b.nr+col)/p.out, (j*b.nr+col)%p.out
				if tap < taps {
					dst[i*b.nr+col] = w.data[(tap*in+i)*p.out+ch]
				}
			}
		}
	}}
}

func (p *thinProduct) columns() int { return p.k * p.k * p.out }

func (p *thinProduct) scratchSize() int { return (thinRows + p.k - 1) * p.src.cols * p.columns() }

// phase hands out bands of output rows.
func (p *thinProduct) phase(tilesOf []kernel.Tile) phase {
	bands := (p.oh + thinRows - 1) / thinRows
	return phase{n: p.src.n * bands, body: func(worker, item int) {
		n, y0 := item/bands, item%bands*thinRows
		y1 := min(y0+thinRows, p.oh)
		size := p.scratchSize()
		products := p.scratch.data[worker*size : (worker+1)*size]
		p.multiply(&tilesOf[worker], products, n, y0, y1+p.k-1)
		for y := y0; y < y1; y++ {
			p.sum(products[(y-y0)*p.src.cols*p.columns():], n, y)
		}
	}}
}

// multiply makes the products of the frame's rows [lo, hi).
func (p *thinProduct) multiply(t *kernel.Tile, products []float32, n, lo, hi int) {
	mr, cols := kernel.MR(), p.columns()
	pixels := (hi - lo) * p.src.cols
	*t = kernel.Tile{LDC: cols, ARS: p.src.pitch, AKS: 1, BKS: p.b.nr, AOff: &zeroOffset[0], BOff: &zeroOffset[0], Segments: 1, K: p.src.ch}
	parts := (pixels + mr - 1) / mr
	for j := range p.b.count {
		data, width := p.b.panel(j)
		t.B, t.N = &data[0], width
		for k := range parts {
			from, to := k*pixels/parts, (k+1)*pixels/parts
			t.M, t.A, t.C = to-from, &p.src.buf.data[p.src.at(n, lo, 0)+from*p.src.pitch], &products[from*cols+j*p.b.nr]
			kernel.GemmTile(t)
		}
	}
}

// sum adds up output row y from the products of the frame's rows y to y+k-1.
func (p *thinProduct) sum(products []float32, n, y int) {
	cols, row := p.columns(), p.end.row(n)
	var pixel [thinMostChannels]float32
	for x := range p.ow {
		copy(pixel[:p.out], row)
		for i := range p.k {
			at := (i*p.src.cols+x)*cols + i*p.k*p.out
			for range p.k {
				for c, v := range products[at : at+p.out] {
					pixel[c] += v
				}
				at += cols + p.out
			}
		}
		p.end.store(((n*p.oh+y)*p.ow+x)*p.out, pixel[:p.out])
	}
}

// thinConv2D lowers a convolution to few channels.
func (c *compiler) thinConv2D(n *graph.Node, op *graph.Conv2D) {
	x, w := n.Inputs[0], n.Inputs[1]
	f, phases := c.frameOf(x, op.Pad, op.Pad, op.Pad, op.Pad)
	end, more := c.epilogue(n)
	end.needRows(c)
	p := &thinProduct{src: f, k: w.Shape[0], out: w.Shape[3], end: end, oh: n.Shape[1], ow: n.Shape[2]}
	p.b = newPanels(w.Shape[2], p.columns())
	phases = append(append(phases, more...), c.weights(w, "thin", false, &p.b, p.pack))
	p.scratch = c.temp(len(c.program.tiles) * p.scratchSize())
	after := c.wantSums(end, nil)
	end.out(c, f.buf)
	phases = append(append(phases, p.phase(c.program.tiles)), after...)
	c.emitWork("conv2d", convWork("thin", w.Shape, 1, n.Shape), phases...)
}
