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

// piece is a value, or one of the values that are joined along the channels: its
// channels are at to at+ch of the whole.
type piece struct {
	buf    *buffer
	at, ch int
}

// piecesOf lists the values that make up x: itself, unless it is a join that was
// not written.
func (c *compiler) piecesOf(x *graph.Node) []*graph.Node {
	if c.joined[x] {
		return x.Inputs
	}
	return []*graph.Node{x}
}

// pieces are the buffers of x as inputs of the step being built.
func (c *compiler) pieces(x *graph.Node) []piece {
	var out []piece
	at := 0
	for _, in := range c.piecesOf(x) {
		ch := in.Shape[len(in.Shape)-1]
		out = append(out, piece{c.in(in), at, ch})
		at += ch
	}
	return out
}

// frameOf plans the frame of a node's value and the phase that fills it, none if
// the value can be read where it lies.
func (c *compiler) frameOf(x *graph.Node, top, left, bottom, right int) (*frame, []phase) {
	s := x.Shape
	f := &frame{n: s[0], h: s[1], w: s[2], ch: s[3], top: top, left: left,
		rows: top + s[1] + bottom, cols: left + s[2] + right, pitch: s[3]}
	norm := c.deferred[x]
	if norm == nil && f.bare() && !c.joined[x] {
		f.buf = c.in(x)
		return f, nil
	}
	f.pitch = pitchFor(f.ch)
	f.buf = c.temp(f.n * f.rows * f.cols * f.pitch)
	if norm == nil {
		return f, []phase{f.fill(c.pieces(x), nil)}
	}
	for _, p := range norm.x {
		p.buf.use(c.index())
	}
	norm.coef.buf.use(c.index())
	return f, []phase{f.fill(norm.x, norm)}
}

// fill is the phase that writes a frame, one row an item.
func (f *frame) fill(pieces []piece, norm *normSource) phase {
	return phase{n: f.n * f.rows, body: func(_, item int) {
		n, y := item/f.rows, item%f.rows-f.top
		dst := f.buf.data[item*f.cols*f.pitch : (item+1)*f.cols*f.pitch]
		if y < 0 || y >= f.h {
			clear(dst)
			return
		}
		clear(dst[:f.left*f.pitch])
		clear(dst[(f.left+f.w)*f.pitch:])
		for _, p := range pieces {
			row := f.w * p.ch
			f.fillRow(dst[f.left*f.pitch+p.at:(f.left+f.w)*f.pitch], p, p.buf.data[(n*f.h+y)*row:(n*f.h+y+1)*row], norm, n)
		}
	}}
}

// fillRow writes the channels of a piece to a row of image n.
func (f *frame) fillRow(dst []float32, p piece, src []float32, norm *normSource, n int) {
	switch {
	case norm != nil:
		a, b := norm.coef.rows(n)
		kernel.NormApplyRows(dst, f.pitch, src, p.ch, f.w, a[p.at:p.at+p.ch], b[p.at:p.at+p.ch], norm.silu)
	case p.ch == f.pitch:
		copy(dst, src)
	default:
		for x := range f.w {
			copy(dst[x*f.pitch:][:p.ch], src[x*p.ch:])
		}
	}
}

// product is a convolution-like matrix product from frames to an image: every
// output pixel (y, x) of every image sums, over taps, a frame pixel times a
// matrix of the panels.
type product struct {
	inputs []productInput // more than one for values that are joined
	step   int            // frame pixels from one output pixel to the next, along both sides
	b      panels
	end    *epilogue
	out    *buffer
	oh, ow int // output pixels that this product computes
	// Output pixel (y, x) is stored at pixel (y*outStep+outY, x*outStep+outX) of
	// an image of outW columns and outH rows.
	outStep, outY, outX int
	outH, outW          int
}

// productInput is a frame and, for each tap, where its pixel lies relative to
// (y*step, x*step) and where its rows lie in a panel.
type productInput struct {
	src        *frame
	aoff, boff []int
}

// taskFloats is about how much of a frame one work item covers: with its panel it
// should fit the second-level cache.
const taskFloats = 64 << 10

// productPlan cuts the output into tiles of a row's pixels, and hands out runs of
// tiles times groups of panels. A panel stays in cache while its tiles pass.
type productPlan struct{ perRow, tiles, run, runs, groups int }

func (p *product) plan() productPlan {
	mr := kernel.MR()
	images, pitch := p.inputs[0].src.n, 0
	for _, in := range p.inputs {
		pitch += in.src.pitch
	}
	l := productPlan{perRow: (p.ow + mr - 1) / mr, groups: 1}
	l.tiles = images * p.oh * l.perRow
	tileFloats := p.step * p.step * pitch * (p.ow + l.perRow - 1) / l.perRow
	l.run = min(max(1, taskFloats/tileFloats), l.tiles)
	l.runs = (l.tiles + l.run - 1) / l.run
	for l.runs*l.groups < 16 && l.groups < p.b.count {
		l.groups++
	}
	return l
}

func (p *product) phase(tilesOf []kernel.Tile) phase {
	l := p.plan()
	return phase{n: l.runs * l.groups, body: func(worker, item int) {
		r, group := item/l.groups, item%l.groups
		t := &tilesOf[worker]
		lo, hi := r*l.run, min((r+1)*l.run, l.tiles)
		first := group * p.b.count / l.groups
		for j := first; j < (group+1)*p.b.count/l.groups; j++ {
			p.panelTiles(t, j, lo, hi, l.perRow, j == first)
		}
		p.end.gather(r, 1, p.oh*p.ow)
	}}
}

// sumParts are the pixels of each run, nil unless every run has all channels of
// pixels of one image.
func (p *product) sumParts(images int) [][]sumPart {
	l := p.plan()
	perImage := p.oh * l.perRow
	if l.groups > 1 || p.inputs[0].src.n != images || images > 1 && perImage%l.run != 0 {
		return nil
	}
	items := make([][]sumPart, l.runs)
	pixel := func(tile int) int { return tile/l.perRow*p.ow + tile%l.perRow*p.ow/l.perRow }
	for r := range l.runs {
		lo, hi := r*l.run, min((r+1)*l.run, l.tiles)
		n := lo / perImage
		end := pixel(hi - n*perImage)
		for at := pixel(lo - n*perImage); at < end; at += blockRows {
			items[r] = append(items[r], sumPart{n, 0, 1, at, min(at+blockRows, end)})
		}
	}
	return items
}

// locate is the image and row of a tile, and its columns [x0, x1).
func (p *product) locate(tile, perRow int) (n, y, x0, x1 int) {
	row, k := tile/perRow, tile%perRow
	return row / p.oh, row % p.oh, k * p.ow / perRow, (k + 1) * p.ow / perRow
}

// prefetchTile asks for the pixels of a tile, where each is read once: there is
// little work to wait for them behind.
func (p *product) prefetchTile(tile, perRow int) {
	n, y, x0, x1 := p.locate(tile, perRow)
	for _, in := range p.inputs {
		if len(in.aoff) == 1 && p.step == 1 {
			kernel.Prefetch(in.src.buf.data[in.src.at(n, y, x0):in.src.at(n, y, x1)])
		}
	}
}

// panelTiles computes tiles [lo, hi) of the columns of panel j; first says that their
// pixels are not in cache yet.
func (p *product) panelTiles(t *kernel.Tile, j, lo, hi, perRow int, first bool) {
	data, width := p.b.panel(j)
	cols := p.b.columns
	*t = kernel.Tile{LDC: p.outStep * cols, LDRes: p.outStep * cols, AKS: 1, B: &data[0], BKS: p.b.nr, N: width}
	for tile := lo; tile < hi; tile++ {
		if first && tile+1 < hi {
			p.prefetchTile(tile+1, perRow)
		}
		n, y, x0, x1 := p.locate(tile, perRow)
		at := ((n*p.outH+y*p.outStep+p.outY)*p.outW+x0*p.outStep+p.outX)*cols + j*p.b.nr
		t.M = x1 - x0
		t.C = &p.out.data[at]
		t.Res, t.Bias = nil, nil
		if p.end.rows != nil {
			t.Bias = &p.end.row(n)[j*p.b.nr]
		}
		if p.end.residual != nil {
			t.Res = &p.end.residual.data[at]
		}
		for i, in := range p.inputs {
			if i > 0 {
				t.Bias, t.Res = nil, t.C
			}
			t.Scale = 0
			if i == len(p.inputs)-1 {
				t.Scale = p.end.scale
			}
			t.ARS, t.K, t.Segments = p.step*in.src.pitch, in.src.ch, len(in.aoff)
			t.AOff, t.BOff = &in.aoff[0], &in.boff[0]
			t.A = &in.src.buf.data[in.src.at(n, y*p.step, x0*p.step)]
			kernel.GemmTile(t)
		}
	}
}

// convWay is a way to compute a convolution.
type convWay int

const (
	wayDirect   convWay = iota // a product for every tap
	wayThin                    // one product for all taps, see thin.go
	wayKept                    // F(4x4, 3x3), transformed filters kept, see winograd_kept.go
	wayStreamed                // F(4x4, 3x3), filters transformed as they come, see winograd_stream.go
)

func (w convWay) String() string {
	return [...]string{"direct", "thin", "winograd", "winograd, streamed,"}[w]
}

// chooseWay is a function of shapes alone, so that the same shapes give the same
// bytes: of the filter, and of the image that is made. docs/kernels.md has the times
// that it rests on.
func chooseWay(filter graph.Shape, stride int, out graph.Shape) convWay {
	switch {
	case winogradPays(filter, stride, out) && streamPays(filter, out):
		return wayStreamed
	case winogradPays(filter, stride, out):
		return wayKept
	case thinPays(filter, stride):
		return wayThin
	}
	return wayDirect
}

// conv2D lowers a convolution. This is where the kernel is chosen.
func (c *compiler) conv2D(n *graph.Node, op *graph.Conv2D) {
	if small := c.upsampled(n, op); small != nil {
		c.upConv2D(n, small)
		return
	}
	switch way := c.choose(n.Inputs[1].Shape, op.Stride, n.Shape); way {
	case wayThin:
		c.thinConv2D(n, op)
	case wayKept, wayStreamed:
		c.winogradConv2D(n, op, way)
	default:
		c.directConv2D(n, op)
	}
}

// directConv2D lowers a convolution to a product for every tap.
func (c *compiler) directConv2D(n *graph.Node, op *graph.Conv2D) {
	x, w := n.Inputs[0], n.Inputs[1]
	kh, kw, in, outCh := w.Shape[0], w.Shape[1], w.Shape[2], w.Shape[3]
	p := &product{step: op.Stride, b: newPanels(kh*kw*in, outCh),
		oh: n.Shape[1], ow: n.Shape[2], outStep: 1, outH: n.Shape[1], outW: n.Shape[2]}
	end, phases := c.epilogue(n)
	p.end = end
	var reads []*buffer
	at := 0
	for _, piece := range c.piecesOf(x) {
		f, fill := c.frameOf(piece, op.Pad, op.Pad, op.Pad, op.Pad)
		from := productInput{src: f}
		for i := range kh {
			for j := range kw {
				from.aoff = append(from.aoff, f.at(0, i, j))
				from.boff = append(from.boff, ((i*kw+j)*in+at)*p.b.nr)
			}
		}
		at += f.ch
		reads = append(reads, f.buf)
		if isPointwise(w.Shape, op.Stride) && op.Pad == 0 && end.images == 1 {
			from.src = f.flat()
		}
		p.inputs = append(p.inputs, from)
		phases = append(phases, fill...)
	}
	if f := p.inputs[0].src; f.n*f.h != n.Shape[0]*x.Shape[1] { // it is flat
		p.oh, p.ow, p.outH, p.outW = 1, f.w, 1, f.w
	}
	phases = append(phases, c.weights(w, "rows", false, &p.b, panels.packRows))
	after := c.wantSums(end, p.sumParts(n.Shape[0]))
	p.out = end.out(c, reads...)
	phases = append(append(phases, p.phase(c.program.tiles)), after...)
	c.emitWork("conv2d", convWork(wayDirect.String(), w.Shape, op.Stride, n.Shape), phases...)
}

// isPointwise says whether a convolution is a matrix product on pixels.
func isPointwise(filter graph.Shape, stride int) bool {
	return filter[0] == 1 && filter[1] == 1 && stride == 1
}

// flat takes all pixels of a bare frame as one row.
func (f *frame) flat() *frame {
	g := *f
	g.w, g.h, g.n = f.n*f.h*f.w, 1, 1
	g.rows, g.cols = 1, g.w
	return &g
}

// convWork describes a convolution, or a gradient of it, with output pixels out.
func convWork(way string, filter graph.Shape, stride int, out graph.Shape) work {
	return work{
		detail: fmt.Sprintf("%s %dx%d/%d %d to %d, %dx%dx%d", way, filter[0], filter[1], stride, filter[2], filter[3], out[0], out[1], out[2]),
		flops:  2 * int64(filter.Size()) * int64(out[0]*out[1]*out[2]),
	}
}

// conv2DInputGrad lowers the gradient by the input. Input pixels fall into
// stride x stride classes by their position modulo the stride; each class sees a
// fixed subset of the taps, and is a plain product over dy.
func (c *compiler) conv2DInputGrad(n *graph.Node, op *graph.Conv2DInputGrad) {
	dy, w := n.Inputs[0], n.Inputs[1]
	kh, kw, in, outCh := w.Shape[0], w.Shape[1], w.Shape[2], w.Shape[3]
	s := op.Stride
	if way := c.choose(graph.Shape{kh, kw, outCh, in}, s, n.Shape); op.Pad < kh && (way == wayKept || way == wayStreamed) {
		c.winogradInputGrad(n, op, way)
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
			p := &product{step: 1, b: b, out: out, end: &epilogue{},
				oh: (n.Shape[1] - py + s - 1) / s, ow: (n.Shape[2] - px + s - 1) / s,
				outStep: s, outY: py, outX: px, outH: n.Shape[1], outW: n.Shape[2]}
			from := productInput{src: f}
			for i := range kh {
				for j := range kw {
					if (py+op.Pad-i)%s != 0 || (px+op.Pad-j)%s != 0 {
						continue
					}
					y, x := (py+op.Pad-i)/s+top, (px+op.Pad-j)/s+left
					from.aoff = append(from.aoff, f.at(0, y, x))
					from.boff = append(from.boff, (i*kw+j)*outCh*b.nr)
				}
			}
			p.inputs = []productInput{from}
			if from.aoff == nil { // no tap reaches these pixels: a product over nothing
				phases = append(phases, p.zeros())
				continue
			}
			phases = append(phases, p.phase(c.program.tiles))
		}
	}
	c.emitWork("conv2d-input-grad", convWork(wayDirect.String(), w.Shape, s, dy.Shape), phases...)
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
	return phase{n: p.inputs[0].src.n * p.oh, body: func(_, item int) {
		n, y := item/p.oh, item%p.oh
		for x := range p.ow {
			pixel := (n*p.outH+y*p.outStep+p.outY)*p.outW + x*p.outStep + p.outX
			clear(p.out.data[pixel*cols : (pixel+1)*cols])
		}
	}}
}
