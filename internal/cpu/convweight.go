package cpu

import (
	"github.com/sr3-go/sr3/internal/cpu/kernel"
	"github.com/sr3-go/sr3/internal/graph"
)

// weightProduct is the gradient of a convolution by its weights: for each tap the
// matrix product of the frame's pixels, transposed, with dy. The inner dimension
// is all output pixels, one segment an image row, taken in runs of rows that stay
// in cache while all tiles of an item pass over them.
type weightProduct struct {
	src        *frame
	dy, out    *buffer
	step       int
	kh, kw     int
	in, outCh  int
	oh, ow     int
	aoff, boff []int // for every row of every image
	run        int   // rows in a run
	parts      int   // into how many parts the in channels are cut
}

// conv2DWeightGrad lowers the gradient by the weights.
func (c *compiler) conv2DWeightGrad(n *graph.Node, op *graph.Conv2DWeightGrad) {
	x, dy := n.Inputs[0], n.Inputs[1]
	if winogradWeightGradPays(n.Shape, op.Stride, dy.Shape) {
		c.winogradWeightGrad(n, op)
		return
	}
	f, phases := c.frameOf(x, op.Pad, op.Pad, op.Pad, op.Pad)
	p := &weightProduct{src: f, dy: c.in(dy), step: op.Stride,
		kh: n.Shape[0], kw: n.Shape[1], in: n.Shape[2], outCh: n.Shape[3], oh: dy.Shape[1], ow: dy.Shape[2]}
	p.out = c.out(n)
	for image := range f.n {
		for y := range p.oh {
			p.aoff = append(p.aoff, f.at(image, y*p.step, 0))
			p.boff = append(p.boff, (image*p.oh+y)*p.ow*p.outCh)
		}
	}
	rowFloats := p.ow * (p.step*p.step*f.pitch + kernel.NR())
	p.run = max(1, taskFloats/rowFloats)
	c.emitWork("conv2d-weight-grad", convWork("direct", n.Shape, op.Stride, dy.Shape), append(phases, p.phase(c.program.tiles))...)
}

// phase hands out taps times panels of columns times parts of the rows.
func (p *weightProduct) phase(tilesOf []kernel.Tile) phase {
	nr := kernel.NR()
	panels := (p.outCh + nr - 1) / nr
	taps := p.kh * p.kw
	p.parts = 1
	for taps*panels*p.parts < 16 && p.parts*kernel.MR() < p.in {
		p.parts++
	}
	return phase{n: taps * panels * p.parts, body: func(worker, item int) {
		part, rest := item%p.parts, item/p.parts
		p.tapPanel(&tilesOf[worker], rest/panels, rest%panels, part*p.in/p.parts, (part+1)*p.in/p.parts)
	}}
}

// tapPanel computes rows [lo, hi) of one tap's matrix in the columns of a panel.
func (p *weightProduct) tapPanel(t *kernel.Tile, tap, panel, lo, hi int) {
	nr := kernel.NR()
	mr := kernel.MR()
	tiles := (hi - lo + mr - 1) / mr
	*t = kernel.Tile{LDC: p.outCh, ARS: 1, AKS: p.step * p.src.pitch, BKS: p.outCh, LDRes: p.outCh,
		B: &p.dy.data[panel*nr], K: p.ow, N: min(nr, p.outCh-panel*nr)}
	shift := p.src.at(0, tap/p.kw, tap%p.kw)
	for from := 0; from < len(p.aoff); from += p.run {
		t.AOff, t.BOff = &p.aoff[from], &p.boff[from]
		t.Segments = min(p.run, len(p.aoff)-from)
		for k := range tiles {
			row, end := lo+k*(hi-lo)/tiles, lo+(k+1)*(hi-lo)/tiles
			t.M = end - row
			t.A = &p.src.buf.data[shift+row]
			t.C = &p.out.data[(tap*p.in+row)*p.outCh+panel*nr]
			t.Res = nil
			if from > 0 {
				t.Res = t.C
			}
			kernel.GemmTile(t)
		}
	}
}
