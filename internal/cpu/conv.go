package cpu

import (
	"fmt"

	"github.com/sr3-go/sr3/internal/cpu/kernel"
	"github.com/sr3-go/sr3/internal/graph"
)

// Convolutions and both their gradients are implicit matrix products. The image
// operand is copied once into a frame, a zero-padded image (applying a preceding
// normalisation on the way); then every tap of the filter is the same matrix
// product on shifted rows of that frame, so the micro-kernel gets one segment a
// tap and nothing is unrolled in memory.

// frame is an image [N, H, W, C] inside zeros: [N, rows, cols, pitch].
type frame struct {
	n, h, w, ch int // the image
	top, left   int // where it lies in the frame
	rows, cols  int
	pitch       int // floats a pixel, at least ch
	buf         *buffer
}

// at is the index of pixel (y, x) of the frame of image n.
func (f *frame) at(n, y, x int) int { return ((n*f.rows+y)*f.cols + x) * f.pitch }

// bare reports whether the frame is the image itself.
func (f *frame) bare() bool { return f.rows == f.h && f.cols == f.w && f.pitch == f.ch }

// pitchFor keeps neighbouring pixels out of the same set of the first-level
// cache, where multiples of 2 KiB would all fall.
func pitchFor(ch int) int {
	if ch%512 == 0 {
		return ch + 16
	}
	return ch
}

// frameOf plans the frame of a node's value and the phase that fills it, none if
// the value can be read where it lies.
func (c *compiler) frameOf(x *graph.Node, top, left, bottom, right int) (*frame, []phase) {
	s := x.Shape
	f := &frame{n: s[0], h: s[1], w: s[2], ch: s[3], top: top, left: left,
		rows: top + s[1] + bottom, cols: left + s[2] + right, pitch: s[3]}
	norm := c.deferred[x]
	if norm == nil && f.bare() {
		f.buf = c.in(x)
		return f, nil
	}
	f.pitch = pitchFor(f.ch)
	f.buf = c.temp(f.n * f.rows * f.cols * f.pitch)
	if norm != nil {
		norm.x.use(c.index())
		norm.coef.buf.use(c.index())
		return f, []phase{f.fill(norm.x, norm)}
	}
	return f, []phase{f.fill(c.in(x), nil)}
}

// fill is the phase that writes a frame, one row an item.
func (f *frame) fill(x *buffer, norm *normSource) phase {
	row := f.w * f.ch
	return phase{n: f.n * f.rows, body: func(_, item int) {
		n, y := item/f.rows, item%f.rows-f.top
		dst := f.buf.data[item*f.cols*f.pitch : (item+1)*f.cols*f.pitch]
		if y < 0 || y >= f.h {
			clear(dst)
			return
		}
		clear(dst[:f.left*f.pitch])
		clear(dst[(f.left+f.w)*f.pitch:])
		dst = dst[f.left*f.pitch : (f.left+f.w)*f.pitch]
		src := x.data[(n*f.h+y)*row : (n*f.h+y+1)*row]
		switch {
		case f.pitch != f.ch:
			f.fillPitched(dst, src, norm, n)
		case norm != nil:
			a, b := norm.coef.rows(n)
			kernel.NormApply(dst, src, a, b, norm.silu)
		default:
			copy(dst, src)
		}
	}}
}

// fillPitched writes a row pixel by pixel where the frame's pixels are wider.
func (f *frame) fillPitched(dst, src []float32, norm *normSource, n int) {
	for x := range f.w {
		d, s := dst[x*f.pitch:x*f.pitch+f.ch], src[x*f.ch:(x+1)*f.ch]
		if norm == nil {
			copy(d, s)
			continue
		}
		a, b := norm.coef.rows(n)
		kernel.NormApply(d, s, a, b, norm.silu)
	}
}

// product is a convolution-like matrix product from a frame to an image: every
// output pixel (y, x) of every image sums, over taps, a frame pixel times a
// matrix of the panels.
type product struct {
	src    *frame
	step   int   // frame pixels from one output pixel to the next, along both sides
	aoff   []int // for each tap, where its pixel lies relative to (y*step, x*step)
	boff   []int // for each tap, where its rows lie in a panel
	b      panels
	bias   *buffer // one number a column, nil for none
	out    *buffer
	oh, ow int // output pixels that this product computes
	// Output pixel (y, x) is stored at pixel (y*outStep+outY, x*outStep+outX) of
	// an image of outW columns and outH rows.
	outStep, outY, outX int
	outH, outW          int
}

// taskFloats is about how much of a frame one work item covers: with its panel it
// should fit the second-level cache.
const taskFloats = 64 << 10

// phase cuts the output into tiles of a row's pixels and hands out runs of tiles
// times groups of panels. A panel stays in cache while its tiles pass.
func (p *product) phase(tilesOf []kernel.Tile) phase {
	mr := kernel.MR()
	perRow := (p.ow + mr - 1) / mr
	tiles := p.src.n * p.oh * perRow
	tileFloats := p.step * p.step * p.src.pitch * (p.ow + perRow - 1) / perRow
	run := min(max(1, taskFloats/tileFloats), tiles)
	runs := (tiles + run - 1) / run
	groups := 1
	for runs*groups < 16 && groups < p.b.count {
		groups++
	}
	return phase{n: runs * groups, body: func(worker, item int) {
		r, group := item/groups, item%groups
		t := &tilesOf[worker]
		for j := group * p.b.count / groups; j < (group+1)*p.b.count/groups; j++ {
			p.panelTiles(t, j, r*run, min((r+1)*run, tiles), perRow)
		}
	}}
}

// panelTiles computes tiles [lo, hi) of the columns of panel j.
func (p *product) panelTiles(t *kernel.Tile, j, lo, hi, perRow int) {
	data, width := p.b.panel(j)
	cols := p.b.columns
	*t = kernel.Tile{LDC: p.outStep * cols, ARS: p.step * p.src.pitch, AKS: 1, B: &data[0], BKS: p.b.nr,
		AOff: &p.aoff[0], BOff: &p.boff[0], Segments: len(p.aoff), K: p.src.ch, N: width}
	if p.bias != nil {
		t.Bias = &p.bias.data[j*p.b.nr]
	}
	for tile := lo; tile < hi; tile++ {
		row, k := tile/perRow, tile%perRow
		n, y := row/p.oh, row%p.oh
		x0, x1 := k*p.ow/perRow, (k+1)*p.ow/perRow
		pixel := (n*p.outH+y*p.outStep+p.outY)*p.outW + x0*p.outStep + p.outX
		t.M = x1 - x0
		t.C = &p.out.data[pixel*cols+j*p.b.nr]
		t.A = &p.src.buf.data[p.src.at(n, y*p.step, x0*p.step)]
		kernel.GemmTile(t)
	}
}

// conv2D lowers a convolution. This is where the kernel is chosen.
func (c *compiler) conv2D(n *graph.Node, op *graph.Conv2D) {
	x, w := n.Inputs[0], n.Inputs[1]
	if winogradPays(w.Shape, op.Stride, n.Shape[0], n.Shape[1], n.Shape[2]) {
		c.winogradConv2D(n, op)
		return
	}
	kh, kw, in, outCh := w.Shape[0], w.Shape[1], w.Shape[2], w.Shape[3]
	f, phases := c.frameOf(x, op.Pad, op.Pad, op.Pad, op.Pad)
	p := &product{src: f, step: op.Stride, b: newPanels(kh*kw*in, outCh),
		oh: n.Shape[1], ow: n.Shape[2], outStep: 1, outH: n.Shape[1], outW: n.Shape[2]}
	if len(n.Inputs) == 3 {
		p.bias = c.in(n.Inputs[2])
	}
	for i := range kh {
		for j := range kw {
			p.aoff = append(p.aoff, f.at(0, i, j))
			p.boff = append(p.boff, (i*kw+j)*in*p.b.nr)
		}
	}
	if len(phases) == 0 && kh*kw == 1 && op.Stride == 1 {
		p.flatten()
	}
	phases = append(phases, c.weights(w, "rows", false, &p.b, panels.packRows))
	p.out = c.out(n)
	c.emitWork("conv2d", convWork("direct", w.Shape, op.Stride, n.Shape), append(phases, p.phase(c.program.tiles))...)
}

// convWork describes a convolution, or a gradient of it, with output pixels out.
func convWork(way string, filter graph.Shape, stride int, out graph.Shape) work {
	return work{
		detail: fmt.Sprintf("%s %dx%d/%d %d to %d, %dx%dx%d", way, filter[0], filter[1], stride, filter[2], filter[3], out[0], out[1], out[2]),
		flops:  2 * int64(filter.Size()) * int64(out[0]*out[1]*out[2]),
	}
}

// flatten takes all pixels of a bare frame as one row: for 1x1 convolutions.
func (p *product) flatten() {
	f := *p.src
	f.w, f.h, f.n = f.n*f.h*f.w, 1, 1
	f.rows, f.cols = 1, f.w
	p.src = &f
	p.oh, p.ow, p.outH, p.outW = 1, f.w, 1, f.w
}

// conv2DInputGrad lowers the gradient by the input. Input pixels fall into
// stride x stride classes by their position modulo the stride; each class sees a
// fixed subset of the taps, and is a plain product over dy.
func (c *compiler) conv2DInputGrad(n *graph.Node, op *graph.Conv2DInputGrad) {
	dy, w := n.Inputs[0], n.Inputs[1]
	kh, kw, in, outCh := w.Shape[0], w.Shape[1], w.Shape[2], w.Shape[3]
	s := op.Stride
	if op.Pad < kh && winogradPays(graph.Shape{kh, kw, outCh, in}, s, n.Shape[0], n.Shape[1], n.Shape[2]) {
		c.winogradInputGrad(n, op)
		return
	}
	top, bottom := gradMargins(n.Shape[1], dy.Shape[1], kh, s, op.Pad)
	left, right := gradMargins(n.Shape[2], dy.Shape[2], kw, s, op.Pad)
	f, phases := c.frameOf(dy, top, left, bottom, right)
	b := newPanels(kh*kw*outCh, in)
	phases = append(phases, c.weights(w, "transposed", false, &b, func(q panels, src *buffer) phase { return q.packTransposed(src, kh*kw, false) }))
	out := c.out(n)
	for py := range min(s, n.Shape[1]) {
		for px := range min(s, n.Shape[2]) {
			p := &product{src: f, step: 1, b: b, out: out,
				oh: (n.Shape[1] - py + s - 1) / s, ow: (n.Shape[2] - px + s - 1) / s,
				outStep: s, outY: py, outX: px, outH: n.Shape[1], outW: n.Shape[2]}
			for i := range kh {
				for j := range kw {
					if (py+op.Pad-i)%s != 0 || (px+op.Pad-j)%s != 0 {
						continue
					}
					y, x := (py+op.Pad-i)/s+top, (px+op.Pad-j)/s+left
					p.aoff = append(p.aoff, f.at(0, y, x))
					p.boff = append(p.boff, (i*kw+j)*outCh*b.nr)
				}
			}
			if p.aoff == nil { // no tap reaches these pixels: a product over nothing
				phases = append(phases, p.zeros())
				continue
			}
			phases = append(phases, p.phase(c.program.tiles))
		}
	}
	c.emitWork("conv2d-input-grad", convWork("direct", w.Shape, s, dy.Shape), phases...)
}

// gradMargins is how far before and behind dy the input gradient reaches along
// one side.
func gradMargins(in, out, k, stride, pad int) (before, behind int) {
	for at := range in {
		for i := range k {
			if d := at + pad - i; d%stride == 0 {
				before = max(before, -d/stride)
				behind = max(behind, d/stride-out+1)
			}
		}
	}
	return before, behind
}

// zeros is the phase that clears the product's output pixels.
func (p *product) zeros() phase {
	cols := p.b.columns
	return phase{n: p.src.n * p.oh, body: func(_, item int) {
		n, y := item/p.oh, item%p.oh
		for x := range p.ow {
			pixel := (n*p.outH+y*p.outStep+p.outY)*p.outW + x*p.outStep + p.outX
			clear(p.out.data[pixel*cols : (pixel+1)*cols])
		}
	}}
}
