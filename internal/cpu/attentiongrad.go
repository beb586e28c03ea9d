package cpu

import (
	"fmt"

	"github.com/sr3-go/sr3/internal/cpu/kernel"
	"github.com/sr3-go/sr3/internal/graph"
)

// attentionGradient is the gradient of an attention with its storage. It takes one
// block of keys after another, for all queries of a group of images: first weights
// and their gradients, with dq, by blocks of queries; then dk and dv of the block by
// parts of its keys. So sums have a fixed order, and memory grows with P alone.
type attentionGradient struct {
	*attention
	qkv, y, dy, out *buffer
	state           *softmaxState

	// Of a group of images.
	queries, dys    *buffer // all pixels in panels
	means           *buffer // dy[i].y[i], scaled
	keysT, valuesT  *buffer // transposed panels of the block of keys
	keyPanels       *buffer // the block in panels
	weights, dscore *buffer // [images, P, pitch of scores]; dscore is ds * Scale

	pixel, block pixelPanels
}

// attentionGrad lowers [graph.AttentionGrad].
func (c *compiler) attentionGrad(n *graph.Node, op *graph.AttentionGrad) error {
	y := n.Inputs[1]
	state := c.softmaxes[y]
	if state == nil {
		return fmt.Errorf("the gradient is of %v, which is no attention", y)
	}
	g := &attentionGradient{attention: newAttention(n.Shape, op.Scale), state: state,
		qkv: c.in(n.Inputs[0]), y: c.in(y), dy: c.in(n.Inputs[2]), out: c.out(n)}
	g.pixel, g.block = g.pixelPanels(g.pixels), g.pixelPanels(min(g.keys, g.pixels))
	g.queries, g.dys, g.means = c.temp(g.group*g.pixel.size()), c.temp(g.group*g.pixel.size()), c.temp(g.group*g.pixels)
	g.valuesT, g.keyPanels = c.temp(g.group*g.transposedBlock()), c.temp(g.group*g.block.size())
	g.dscore = c.temp(g.group * g.pixels * g.scorePitch())
	if state.weights != nil {
		state.weights.use(c.index())
	} else {
		state.logSums.use(c.index())
		g.keysT, g.weights = c.temp(g.group*g.transposedBlock()), c.temp(g.dscore.size)
	}
	var phases []phase
	for from := 0; from < g.n; from += g.group {
		phases = append(phases, g.packQueries(from))
		for b := range g.keyBlocks {
			phases = append(phases, g.packKeys(from, b), g.byQueries(c.program.tiles, from, b), g.byKeys(c.program.tiles, from, b))
		}
	}
	c.emitWork("attention-grad", g.work(8), phases...)
	return nil
}

// transposedBlock is the size of a block of keys in transposed panels.
func (g *attentionGradient) transposedBlock() int {
	return ceilDiv(min(g.keys, g.pixels), g.nr) * g.transposedSize()
}

// weightsOf are the weights of image from+local and what follows them.
func (g *attentionGradient) weightsOf(from, local int) []float32 {
	size := g.pixels * g.scorePitch()
	if g.state.weights != nil {
		return g.state.weights.data[(from+local)*size:]
	}
	return g.weights.data[local*size:]
}

// packQueries packs queries and dy, NR pixels an item, and multiplies dy and y.
func (g *attentionGradient) packQueries(from int) phase {
	perImage := ceilDiv(g.pixels, g.nr)
	return phase{n: g.images(from) * perImage, body: func(_, item int) {
		local, at := item/perImage, item%perImage*g.nr
		count, first := min(g.nr, g.pixels-at), (from+local)*g.pixels+at
		g.pixel.fill(g.queries.data[local*g.pixel.size():], g.qkv.data[g.third(from+local, at, 0):], 3*g.ch, at, count)
		g.pixel.fill(g.dys.data[local*g.pixel.size():], g.dy.data[first*g.ch:], g.ch, at, count)
		for i := range count {
			dy, y := g.dy.data[(first+i)*g.ch:][:g.ch], g.y.data[(first+i)*g.ch:][:g.ch]
			g.means.data[local*g.pixels+at+i] = g.scale * float32(kernel.Dot(dy, y))
		}
	}}
}

// packKeys packs the keys and values of a block, NR pixels an item.
func (g *attentionGradient) packKeys(from, b int) phase {
	lo, hi := g.keyBlock(b)
	perImage := ceilDiv(hi-lo, g.nr)
	return phase{n: g.images(from) * perImage, body: func(_, item int) {
		local, at := item/perImage, item%perImage*g.nr
		width, place := min(g.nr, hi-lo-at), local*g.transposedBlock()+item%perImage*g.transposedSize()
		key := g.qkv.data[g.third(from+local, lo+at, 1):]
		g.block.fill(g.keyPanels.data[local*g.block.size():], key, 3*g.ch, at, width)
		g.transpose(g.valuesT.data[place:], g.qkv.data[g.third(from+local, lo+at, 2):], 3*g.ch, width)
		if g.keysT != nil {
			g.transpose(g.keysT.data[place:], key, 3*g.ch, width)
		}
	}}
}

// byQueries computes weights and their gradients for a block of keys, and adds what
// these keys give to dq.
func (g *attentionGradient) byQueries(tilesOf []kernel.Tile, from, b int) phase {
	lo, hi := g.keyBlock(b)
	return phase{n: g.images(from) * g.queryBlocks, body: func(worker, item int) {
		local, block := item/g.queryBlocks, item%g.queryBlocks
		first, end := g.queryBlock(block)
		rows, pitch, t := end-first, g.scorePitch(), &tilesOf[worker]
		weights, ds := g.weightsOf(from, local)[first*pitch:], g.dscore.data[(local*g.pixels+first)*pitch:]
		packed, panels := local*g.pixel.size(), local*g.transposedBlock()
		if g.keysT != nil {
			g.scores(t, weights, g.queries.data[packed:], g.pixel, first, rows, g.keysT.data[panels:], hi-lo)
			logSums := g.state.logSums.data[(from+local)*g.pixels+first:]
			for i := range rows {
				w := weights[i*pitch:][:hi-lo]
				kernel.ScaleShift(w, w, g.scale, -logSums[i])
				kernel.Exp(w, w)
			}
		}
		g.scores(t, ds, g.dys.data[packed:], g.pixel, first, rows, g.valuesT.data[panels:], hi-lo)
		for i := range rows {
			d := ds[i*pitch:][:hi-lo]
			kernel.ScaleShift(d, d, g.scale, -g.means.data[local*g.pixels+first+i])
			kernel.Mul(d, d, weights[i*pitch:][:hi-lo])
		}
		dq := g.out.data[g.third(from+local, first, 0):]
		g.mix(t, dq, 3*g.ch, ds, rows, hi-lo, g.keyPanels.data[local*g.block.size():], g.block, 0, b > 0)
	}}
}

// byKeys sums dk and dv of a block of keys over all queries: an item is one of the
// two for as many keys as a block of queries has.
func (g *attentionGradient) byKeys(tilesOf []kernel.Tile, from, b int) phase {
	lo, hi := g.keyBlock(b)
	parts := ceilDiv(hi-lo, g.maxRows())
	return phase{n: g.images(from) * 2 * parts, body: func(worker, item int) {
		part, which, local := item%parts, item/parts%2, item/parts/2
		weights, right := g.dscore.data[local*g.pixels*g.scorePitch():], g.queries
		if which == 1 {
			weights, right = g.weightsOf(from, local), g.dys
		}
		first, end := part*(hi-lo)/parts, (part+1)*(hi-lo)/parts
		dst := g.out.data[g.third(from+local, lo+first, 1+which):]
		g.sumQueries(&tilesOf[worker], dst, weights[first:], right.data[local*g.pixel.size():], end-first)
	}}
}

// attentionTerms is how many queries are summed at a time: their weights and a panel
// of channels stay in the first-level cache.
const attentionTerms = 128

// sumQueries is dst[j] = sum over i of weights[i][j] right[i].
func (g *attentionGradient) sumQueries(t *kernel.Tile, dst, weights, right []float32, keys int) {
	pitch := g.scorePitch()
	*t = kernel.Tile{LDC: 3 * g.ch, LDRes: 3 * g.ch, ARS: 1, AKS: pitch, BKS: g.nr,
		AOff: &zeroOffset[0], BOff: &zeroOffset[0], Segments: 1}
	for i := 0; i < g.pixels; i += attentionTerms {
		t.K = min(attentionTerms, g.pixels-i)
		for j := range g.panels {
			t.N, t.B = min(g.nr, g.ch-j*g.nr), &right[(j*g.pixels+i)*g.nr]
			g.eachTile(t, keys, func(lo int) {
				t.A, t.C = &weights[i*pitch+lo], &dst[lo*t.LDC+j*g.nr]
				if i > 0 {
					t.Res = t.C
				}
				kernel.GemmTile(t)
			})
		}
	}
}
