package cpu

import (
	"fmt"
	"math"

	"github.com/sr3-go/sr3/internal/cpu/kernel"
	"github.com/sr3-go/sr3/internal/graph"
)

// Attention holds the weights of one block of keys at a time: a worker takes a block
// of queries, and passes over blocks of keys with the running maximum and sum of the
// softmax (FlashAttention: Dao et al., 2022, Algorithm 1, with the loops exchanged).
// Memory grows with P, not with its square. Images take turns, as many at a time as
// threads need.

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
	group         int   // images at a time
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
	a.group = min(a.n, ceilDiv(16, a.queryBlocks)) // sixteen items or more, for threads
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

// fill copies n rows of src, stride apart, to the rows from at on.
func (p pixelPanels) fill(dst, src []float32, stride, at, n int) {
	for r := range n {
		for j := range p.count {
			width := min(p.nr, p.columns-j*p.nr)
			row := dst[(j*p.rows+at+r)*p.nr:][:p.nr]
			copy(row, src[r*stride+j*p.nr:][:width])
			if width < p.nr {
				clear(row[width:])
			}
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
	a.eachTile(t, rows, func(lo int) {
		t.A = &left[(at+lo)*a.nr]
		for j := 0; j < pixels; j += a.nr {
			t.N = min(a.nr, pixels-j)
			t.B, t.C = &right[j/a.nr*a.transposedSize()], &dst[lo*t.LDC+j]
			kernel.GemmTile(t)
		}
	})
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
	a.eachTile(t, rows, func(lo int) {
		t.A = &weights[lo*t.ARS]
		for j := range p.count {
			t.N = min(a.nr, p.columns-j*a.nr)
			t.B, t.C = &right[(j*p.rows+at)*a.nr], &dst[lo*stride+j*a.nr]
			if accumulate {
				t.Res = t.C
			}
			kernel.GemmTile(t)
		}
	})
}

// softmaxState is what the gradient of an attention needs of its softmax. Where one
// block has all keys, these are the weights, at most 256 for each pixel; else they are
// computed again.
type softmaxState struct {
	weights *buffer // [N, P, pitch of scores]
	logSums *buffer // [N, P], log of the sum of e^score
}

// attention lowers [graph.Attention]: keys are packed transposed, values in panels,
// then each block of queries runs by itself.
func (c *compiler) attention(n *graph.Node, op *graph.Attention) {
	qkv := c.in(n.Inputs[0])
	a := newAttention(n.Inputs[0].Shape, op.Scale)
	f := &attentionForward{attention: a, qkv: qkv, values: a.pixelPanels(a.pixels), queries: a.pixelPanels(a.maxRows())}
	f.out = c.out(n)
	f.packedKeys = c.temp(a.group * a.transposedKeys())
	f.packedValues = c.temp(a.group * f.values.size())
	f.scratch = c.temp(len(c.program.tiles) * f.scratchSize())
	for _, user := range c.users[n] {
		if _, ok := user.Op.(*graph.AttentionGrad); ok && f.state == nil {
			f.state = c.softmaxState(a)
			c.softmaxes[n] = f.state
		}
	}
	var phases []phase
	for from := 0; from < a.n; from += a.group {
		phases = append(phases, f.pack(from), f.queryPhase(c.program.tiles, from))
	}
	c.emitWork("attention", a.work(4), phases...)
}

func (c *compiler) softmaxState(a *attention) *softmaxState {
	if a.keyBlocks == 1 {
		return &softmaxState{weights: c.temp(a.n * a.pixels * a.scorePitch())}
	}
	return &softmaxState{logSums: c.temp(a.n * a.pixels)}
}

// work is what a profile says; perWeight is how many operations each channel of each
// weight takes.
func (a *attention) work(perWeight int64) work {
	return work{
		detail: fmt.Sprintf("%d x %d pixels of %d", a.n, a.pixels, a.ch),
		flops:  perWeight * int64(a.n) * int64(a.pixels) * int64(a.pixels) * int64(a.ch),
	}
}

// images is how many images are in the group that begins with one.
func (a *attention) images(from int) int { return min(a.group, a.n-from) }

// transposedKeys is the size of all keys of an image in transposed panels.
func (a *attention) transposedKeys() int { return ceilDiv(a.pixels, a.nr) * a.transposedSize() }

// attentionForward is an attention with its storage.
type attentionForward struct {
	*attention
	qkv, out                 *buffer
	packedKeys, packedValues *buffer // of a group
	values, queries          pixelPanels
	scratch                  *buffer       // for each worker: queries, scores
	state                    *softmaxState // nil if nobody asks
}

func (f *attentionForward) scratchSize() int {
	return f.queries.size() + f.maxRows()*f.scorePitch()
}

// pack is the phase that packs the keys and values of a group, NR pixels an item.
func (f *attentionForward) pack(from int) phase {
	perImage := ceilDiv(f.pixels, f.nr)
	stride := 3 * f.ch
	return phase{n: f.images(from) * perImage, body: func(_, item int) {
		local, at := item/perImage, item%perImage*f.nr
		width, image := min(f.nr, f.pixels-at), from+local
		f.transpose(f.packedKeys.data[item*f.transposedSize():], f.qkv.data[f.third(image, at, 1):], stride, width)
		f.values.fill(f.packedValues.data[local*f.values.size():], f.qkv.data[f.third(image, at, 2):], stride, at, width)
	}}
}

// queryPhase is the phase of all blocks of queries of a group.
func (f *attentionForward) queryPhase(tilesOf []kernel.Tile, from int) phase {
	return phase{n: f.images(from) * f.queryBlocks, body: func(worker, item int) {
		size := f.scratchSize()
		scratch := f.scratch.data[worker*size : (worker+1)*size]
		f.run(&tilesOf[worker], scratch, from, item/f.queryBlocks, item%f.queryBlocks)
	}}
}

// run is one block of queries of image from+local.
func (f *attentionForward) run(t *kernel.Tile, scratch []float32, from, local, block int) {
	lo, hi := f.queryBlock(block)
	rows, first, pitch := hi-lo, (from+local)*f.pixels+lo, f.scorePitch()
	q, s := scratch[:f.queries.size()], scratch[f.queries.size():]
	if f.state != nil && f.state.weights != nil {
		s = f.state.weights.data[first*pitch:]
	}
	f.queries.fill(q, f.qkv.data[f.third(from+local, lo, 0):], 3*f.ch, 0, rows)
	keys, values := f.packedKeys.data[local*f.transposedKeys():], f.packedValues.data[local*f.values.size():]
	out := f.out.data[first*f.ch : (first+rows)*f.ch]
	var sums runningSums
	for b := range f.keyBlocks {
		from, to := f.keyBlock(b)
		f.scores(t, s, q, f.queries, 0, rows, keys[from/f.nr*f.transposedSize():], to-from)
		for i := range rows {
			rescale := sums.add(i, s[i*pitch:][:to-from], f.scale, b == 0)
			if row := out[i*f.ch : (i+1)*f.ch]; b > 0 && rescale != 1 {
				kernel.ScaleShift(row, row, rescale, 0)
			}
		}
		f.mix(t, out, f.ch, s, rows, to-from, values, f.values, from, b > 0)
	}
	f.finish(out, s, &sums, first, rows)
}

// finish divides rows by the sums of their weights and keeps what the gradient needs;
// first is the number of the first query.
func (f *attentionForward) finish(out, weights []float32, sums *runningSums, first, rows int) {
	for i := range rows {
		row, factor := out[i*f.ch:(i+1)*f.ch], float32(1/sums.total[i])
		kernel.ScaleShift(row, row, factor, 0)
		switch {
		case f.state == nil:
		case f.state.weights != nil:
			w := weights[i*f.scorePitch():][:f.pixels]
			kernel.ScaleShift(w, w, factor, 0)
		default:
			f.state.logSums.data[first+i] = float32(float64(sums.top[i]) + math.Log(sums.total[i]))
		}
	}
}

// runningSums is the state of the softmax of each row of a block.
type runningSums struct {
	top   [attentionRows]float32 // largest scaled score so far
	total [attentionRows]float64 // sum of e^(score - top)
}

// add turns the next scores of row i, not yet scaled, into e^(score - top), and
// returns the factor that brings earlier results to the new top.
func (r *runningSums) add(i int, scores []float32, scale float32, first bool) float32 {
	top := kernel.Max(scores) * scale
	if !first {
		top = max(top, r.top[i])
	}
	kernel.ScaleShift(scores, scores, scale, -top)
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
