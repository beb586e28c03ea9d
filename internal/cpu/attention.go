package cpu

import (
	"fmt"
	"math"

	"github.com/sr3-go/sr3/internal/cpu/kernel"
	"github.com/sr3-go/sr3/internal/graph"
)

// Attention never holds all P x P weights: a worker takes a block of queries, and
// passes over blocks of keys with the running maximum and sum of the softmax
// (FlashAttention: Dao et al., 2022, Algorithm 1, with the loops exchanged). Memory
// grows with P alone.

const (
	// attentionKeys is how many keys are in a block: a multiple of every tier's NR.
	attentionKeys = 256
	// attentionRows bounds the queries of a block, whose rows pass over each panel of
	// keys while that is in the second-level cache.
	attentionRows = 56
)

// attention is how one attention or its gradient is cut into blocks, by shape alone.
type attention struct {
	n, pixels, ch int
	scale         float32
	mr, nr        int
	panels        int // of channels
	keys          int // of a block but the last: whole panels
	keyBlocks     int
	queryBlocks   int
	keySegments   []int // where each panel of channels begins in a transposed panel
}

// newAttention plans for qkv [n, pixels, 3*ch].
func newAttention(qkv graph.Shape, scale float32) *attention {
	a := &attention{n: qkv[0], pixels: qkv[1], ch: qkv[2] / 3, scale: scale, mr: kernel.MR(), nr: kernel.NR()}
	a.panels = ceilDiv(a.ch, a.nr)
	a.keyBlocks = ceilDiv(a.pixels, attentionKeys)
	a.keys = ceilDiv(ceilDiv(a.pixels, a.keyBlocks), a.nr) * a.nr
	a.keyBlocks = ceilDiv(a.pixels, a.keys)
	tiles := max(1, min(a.pixels/(8*a.mr), attentionRows/a.mr)) // eight blocks or more, for threads
	a.queryBlocks = ceilDiv(a.pixels, tiles*a.mr)
	a.keySegments = segments(a.panels, a.nr*a.nr)
	return a
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// segments are the offsets of count parts.
func segments(count, size int) []int {
	s := make([]int, count)
	for i := range s {
		s[i] = i * size
	}
	return s
}

// third is where the queries (0), keys (1) or values (2) of a pixel begin in qkv;
// pixels are 3*ch apart.
func (a *attention) third(image, pixel, k int) int { return ((image*a.pixels+pixel)*3 + k) * a.ch }

// queryBlock is which queries [lo, hi) a block has.
func (a *attention) queryBlock(i int) (lo, hi int) {
	return i * a.pixels / a.queryBlocks, (i + 1) * a.pixels / a.queryBlocks
}

// maxRows bounds the queries of a block.
func (a *attention) maxRows() int { return ceilDiv(a.pixels, a.queryBlocks) }

// keyBlock is which keys [lo, hi) a block has; lo is a whole number of panels.
func (a *attention) keyBlock(i int) (lo, hi int) { return i * a.keys, min((i+1)*a.keys, a.pixels) }

// scorePitch is the distance of rows of scores; not a power of two, which would
// thrash the first-level cache.
func (a *attention) scorePitch() int { return a.keys + 16 }

// pixelPanels is a matrix [rows, channels] cut into panels of NR channels, each
// stored row after row and filled up with zeros. As the micro-kernel's B its rows
// are the terms of a sum, as its A they are rows and each panel is a segment.
type pixelPanels struct {
	rows, columns, count, nr int
	segments                 []int
}

func (a *attention) pixelPanels(rows int) pixelPanels {
	return pixelPanels{rows, a.ch, a.panels, a.nr, segments(a.panels, rows*a.nr)}
}

func (p pixelPanels) size() int { return p.count * p.rows * p.nr }

// fill copies n rows of src, times scale, to the rows from at on.
func (p pixelPanels) fill(dst, src []float32, stride, at, n int, scale float32) {
	for j := range p.count {
		width := min(p.nr, p.columns-j*p.nr)
		for r := range n {
			row := dst[(j*p.rows+at+r)*p.nr:][:p.nr]
			kernel.ScaleShift(row[:width], src[r*stride+j*p.nr:][:width], scale, 0)
			clear(row[width:])
		}
	}
}

// transposedSize is the size of a transposed panel: NR pixels side by side, all
// channels of whole panels below each other.
func (a *attention) transposedSize() int { return a.panels * a.nr * a.nr }

// transpose fills a transposed panel with width pixels of src.
func (a *attention) transpose(dst, src []float32, stride, width int) {
	transposeInto(dst, src, stride, a.ch, width, a.nr)
	clear(dst[a.ch*a.nr : a.transposedSize()])
}

// scores is dst[i][j] = left[i].right[j] over channels, for rows of left from the
// row at on, and pixels of transposed panels.
func (a *attention) scores(t *kernel.Tile, dst []float32, left []float32, p pixelPanels, at, rows int, right []float32, pixels int) {
	*t = kernel.Tile{LDC: a.scorePitch(), ARS: a.nr, AKS: 1, BKS: a.nr,
		AOff: &p.segments[0], BOff: &a.keySegments[0], Segments: a.panels, K: a.nr}
	for j := 0; j < pixels; j += a.nr {
		t.N = min(a.nr, pixels-j)
		t.B = &right[j/a.nr*a.transposedSize()]
		a.eachTile(t, rows, func(lo int) {
			t.A, t.C = &left[(at+lo)*a.nr], &dst[lo*t.LDC+j]
			kernel.GemmTile(t)
		})
	}
}

// eachTile cuts rows into even tiles, sets M and calls f with their first rows.
func (a *attention) eachTile(t *kernel.Tile, rows int, f func(lo int)) {
	tiles := ceilDiv(rows, a.mr)
	for k := range tiles {
		lo, hi := k*rows/tiles, (k+1)*rows/tiles
		t.M = hi - lo
		f(lo)
	}
}

// mix is dst[i] (+)= sum over j of weights[i][j] right[j], for rows of weights and
// terms of right from the row at on; rows of dst are stride apart.
func (a *attention) mix(t *kernel.Tile, dst []float32, stride int, weights []float32, rows, terms int,
	right []float32, p pixelPanels, at int, accumulate bool) {
	*t = kernel.Tile{LDC: stride, LDRes: stride, ARS: a.scorePitch(), AKS: 1, BKS: a.nr,
		AOff: &zeroOffset[0], BOff: &zeroOffset[0], Segments: 1, K: terms}
	for j := range p.count {
		t.N = min(a.nr, p.columns-j*a.nr)
		t.B = &right[(j*p.rows+at)*a.nr]
		a.eachTile(t, rows, func(lo int) {
			t.A, t.C = &weights[lo*t.ARS], &dst[lo*stride+j*a.nr]
			if accumulate {
				t.Res = t.C
			}
			kernel.GemmTile(t)
		})
	}
}

// attention lowers [graph.Attention]: keys are packed transposed, values in panels,
// then each block of queries runs by itself.
func (c *compiler) attention(n *graph.Node, op *graph.Attention) {
	qkv := c.in(n.Inputs[0])
	a := newAttention(n.Inputs[0].Shape, op.Scale)
	f := &attentionForward{attention: a, qkv: qkv, values: a.pixelPanels(a.pixels), queries: a.pixelPanels(a.maxRows())}
	f.out = c.out(n)
	f.packedKeys = c.temp(a.n * ceilDiv(a.pixels, a.nr) * a.transposedSize())
	f.packedValues = c.temp(a.n * f.values.size())
	f.scratch = c.temp(len(c.program.tiles) * f.scratchSize())
	for _, user := range c.users[n] {
		if _, ok := user.Op.(*graph.AttentionGrad); ok && f.logSums == nil {
			f.logSums = c.temp(a.n * a.pixels)
			c.logSums[n] = f.logSums
		}
	}
	tilesOf := c.program.tiles
	c.emitWork("attention", a.work(4), f.pack(), phase{n: a.n * a.queryBlocks, body: func(worker, item int) {
		f.run(&tilesOf[worker], worker, item/a.queryBlocks, item%a.queryBlocks)
	}})
}

// work is what a profile says; perWeight is how many operations each channel of each
// weight takes.
func (a *attention) work(perWeight int64) work {
	return work{
		detail: fmt.Sprintf("%d x %d pixels of %d", a.n, a.pixels, a.ch),
		flops:  perWeight * int64(a.n) * int64(a.pixels) * int64(a.pixels) * int64(a.ch),
	}
}

// attentionForward is an attention with its storage.
type attentionForward struct {
	*attention
	qkv, out                 *buffer
	packedKeys, packedValues *buffer
	values, queries          pixelPanels
	scratch                  *buffer // for each worker: queries, scores
	logSums                  *buffer // of e^score for each query; nil if nobody asks
}

func (f *attentionForward) scratchSize() int {
	return f.queries.size() + f.maxRows()*f.scorePitch()
}

// pack is the phase that packs keys and values, NR pixels an item.
func (f *attentionForward) pack() phase {
	perImage := ceilDiv(f.pixels, f.nr)
	stride := 3 * f.ch
	return phase{n: f.n * perImage, body: func(_, item int) {
		image, at := item/perImage, item%perImage*f.nr
		width := min(f.nr, f.pixels-at)
		f.transpose(f.packedKeys.data[item*f.transposedSize():], f.qkv.data[f.third(image, at, 1):], stride, width)
		f.values.fill(f.packedValues.data[image*f.values.size():], f.qkv.data[f.third(image, at, 2):], stride, at, width, 1)
	}}
}

// run is one block of queries.
func (f *attentionForward) run(t *kernel.Tile, worker, image, block int) {
	lo, hi := f.queryBlock(block)
	rows, size := hi-lo, f.scratchSize()
	scratch := f.scratch.data[worker*size : (worker+1)*size]
	q, s := scratch[:f.queries.size()], scratch[f.queries.size():]
	f.queries.fill(q, f.qkv.data[f.third(image, lo, 0):], 3*f.ch, 0, rows, f.scale)
	keys := f.packedKeys.data[image*ceilDiv(f.pixels, f.nr)*f.transposedSize():]
	values := f.packedValues.data[image*f.values.size():]
	out := f.out.data[(image*f.pixels+lo)*f.ch : (image*f.pixels+hi)*f.ch]
	var sums runningSums
	for b := range f.keyBlocks {
		from, to := f.keyBlock(b)
		f.scores(t, s, q, f.queries, 0, rows, keys[from/f.nr*f.transposedSize():], to-from)
		for i := range rows {
			rescale := sums.add(i, s[i*f.scorePitch():][:to-from], b == 0)
			if row := out[i*f.ch : (i+1)*f.ch]; b > 0 && rescale != 1 {
				kernel.ScaleShift(row, row, rescale, 0)
			}
		}
		f.mix(t, out, f.ch, s, rows, to-from, values, f.values, from, b > 0)
	}
	for i := range rows {
		row := out[i*f.ch : (i+1)*f.ch]
		kernel.ScaleShift(row, row, float32(1/sums.total[i]), 0)
		if f.logSums != nil {
			f.logSums.data[image*f.pixels+lo+i] = float32(float64(sums.top[i]) + math.Log(sums.total[i]))
		}
	}
}

// runningSums is the state of the softmax of each row of a block.
type runningSums struct {
	top   [attentionRows]float32 // largest score so far
	total [attentionRows]float64 // sum of e^(score - top)
}

// add turns the next scores of row i into e^(score - top), and returns the factor
// that brings earlier results to the new top.
func (r *runningSums) add(i int, scores []float32, first bool) float32 {
	top := kernel.Max(scores)
	if !first {
		top = max(top, r.top[i])
	}
	kernel.ScaleShift(scores, scores, 1, -top)
	kernel.Exp(scores, scores)
	sum := kernel.Sum(scores)
	if first {
		r.top[i], r.total[i] = top, sum
		return 1
	}
	factor := float32(math.Exp(float64(r.top[i]) - float64(top)))
	r.top[i], r.total[i] = top, r.total[i]*float64(factor)+sum
	return factor
}
