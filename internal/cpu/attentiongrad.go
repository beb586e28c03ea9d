package cpu

import (
	"fmt"

	"github.com/sr3-go/sr3/internal/cpu/kernel"
	"github.com/sr3-go/sr3/internal/graph"
)

// attentionGradient is the gradient of an attention with its storage. Weights are
// computed again from the log of their sums, one block of keys after another for
// all queries: first weights and their gradients, with dq, by blocks of queries;
// then dk and dv of the block by panels of channels. So sums have a fixed order, and
// memory grows with P alone.
type attentionGradient struct {
	*attention
	qkv, y, dy, logSums, out *buffer

	queries, dys    *buffer // all pixels in panels, queries scaled
	means           *buffer // dy[i].y[i]
	keysT, valuesT  *buffer // transposed panels of the block
	keyPanels       *buffer // the block in panels, scaled
	weights, dscore *buffer // [N, P, block of keys]

	pixel, block pixelPanels
}

// attentionGrad lowers [graph.AttentionGrad].
func (c *compiler) attentionGrad(n *graph.Node, op *graph.AttentionGrad) error {
	y := n.Inputs[1]
	if c.logSums[y] == nil {
		return fmt.Errorf("the gradient is of %v, which is no attention", y)
	}
	g := &attentionGradient{attention: newAttention(n.Shape, op.Scale),
		qkv: c.in(n.Inputs[0]), y: c.in(y), dy: c.in(n.Inputs[2]), logSums: c.logSums[y], out: c.out(n)}
	g.logSums.use(c.index())
	g.pixel, g.block = g.pixelPanels(g.pixels), g.pixelPanels(g.keysPerBlock())
	g.queries, g.dys, g.means = c.temp(g.n*g.pixel.size()), c.temp(g.n*g.pixel.size()), c.temp(g.n*g.pixels)
	g.keysT, g.valuesT = c.temp(g.n*g.transposedBlock()), c.temp(g.n*g.transposedBlock())
	g.keyPanels = c.temp(g.n * g.block.size())
	g.weights, g.dscore = c.temp(g.n*g.pixels*g.scorePitch()), c.temp(g.n*g.pixels*g.scorePitch())
	phases := []phase{g.packQueries()}
	for b := range g.keyBlocks {
		lo, hi := g.keyBlock(b)
		phases = append(phases, g.packKeys(lo, hi), g.byQueries(c.program.tiles, lo, hi), g.byKeys(c.program.tiles, lo, hi))
	}
	c.emitWork("attention-grad", g.work(8), phases...)
	return nil
}

func (g *attentionGradient) keysPerBlock() int { return min(g.keys, g.pixels) }

// transposedBlock is the size of a block of keys in transposed panels.
func (g *attentionGradient) transposedBlock() int {
	return ceilDiv(g.keysPerBlock(), g.nr) * g.transposedSize()
}

// packQueries packs queries and dy, NR pixels an item, and multiplies dy and y.
func (g *attentionGradient) packQueries() phase {
	perImage := ceilDiv(g.pixels, g.nr)
	return phase{n: g.n * perImage, body: func(_, item int) {
		image, at := item/perImage, item%perImage*g.nr
		count, first := min(g.nr, g.pixels-at), image*g.pixels+at
		g.pixel.fill(g.queries.data[image*g.pixel.size():], g.qkv.data[g.third(image, at, 0):], 3*g.ch, at, count, g.scale)
		g.pixel.fill(g.dys.data[image*g.pixel.size():], g.dy.data[first*g.ch:], g.ch, at, count, 1)
		for i := first; i < first+count; i++ {
			g.means.data[i] = float32(kernel.Dot(g.dy.data[i*g.ch:(i+1)*g.ch], g.y.data[i*g.ch:(i+1)*g.ch]))
		}
	}}
}

// packKeys packs the keys and values [lo, hi), NR pixels an item.
func (g *attentionGradient) packKeys(lo, hi int) phase {
	perImage := ceilDiv(hi-lo, g.nr)
	return phase{n: g.n * perImage, body: func(_, item int) {
		image, at := item/perImage, item%perImage*g.nr
		width, place := min(g.nr, hi-lo-at), image*g.transposedBlock()+at*g.panels*g.nr
		key := g.qkv.data[g.third(image, lo+at, 1):]
		g.transpose(g.keysT.data[place:], key, 3*g.ch, width)
		g.transpose(g.valuesT.data[place:], g.qkv.data[g.third(image, lo+at, 2):], 3*g.ch, width)
		g.block.fill(g.keyPanels.data[image*g.block.size():], key, 3*g.ch, at, width, g.scale)
	}}
}

// byQueries computes weights and their gradients of the keys [lo, hi), and adds what
// these keys give to dq.
func (g *attentionGradient) byQueries(tilesOf []kernel.Tile, lo, hi int) phase {
	return phase{n: g.n * g.queryBlocks, body: func(worker, item int) {
		image, block := item/g.queryBlocks, item%g.queryBlocks
		from, to := g.queryBlock(block)
		first, pitch, t := image*g.pixels+from, g.scorePitch(), &tilesOf[worker]
		w, ds := g.weights.data[first*pitch:], g.dscore.data[first*pitch:]
		packed, panels := image*g.pixel.size(), image*g.transposedBlock()
		g.scores(t, w, g.queries.data[packed:], g.pixel, from, to-from, g.keysT.data[panels:], hi-lo)
		g.scores(t, ds, g.dys.data[packed:], g.pixel, from, to-from, g.valuesT.data[panels:], hi-lo)
		for i := range to - from {
			w, ds := w[i*pitch:][:hi-lo], ds[i*pitch:][:hi-lo]
			kernel.ScaleShift(w, w, 1, -g.logSums.data[first+i])
			kernel.Exp(w, w)
			kernel.ScaleShift(ds, ds, 1, -g.means.data[first+i])
			kernel.Mul(ds, ds, w)
		}
		g.mix(t, g.out.data[g.third(image, from, 0):], 3*g.ch, ds, to-from, hi-lo, g.keyPanels.data[image*g.block.size():], g.block, 0, lo > 0)
	}}
}

// byKeys sums dk and dv of the keys [lo, hi) over all queries: an item is one of the
// two, a panel of channels, and a part of the keys.
func (g *attentionGradient) byKeys(tilesOf []kernel.Tile, lo, hi int) phase {
	tiles := ceilDiv(hi-lo, g.mr)
	parts := min(tiles, ceilDiv(16, 2*g.n*g.panels)) // sixteen items or more, for threads
	return phase{n: g.n * 2 * g.panels * parts, body: func(worker, item int) {
		part, rest := item%parts, item/parts
		panel, which, image := rest%g.panels, rest/g.panels%2, rest/g.panels/2
		weights, right := g.dscore, g.queries
		if which == 1 {
			weights, right = g.weights, g.dys
		}
		from, to := part*(hi-lo)/parts, (part+1)*(hi-lo)/parts
		dst := g.out.data[g.third(image, lo+from, 1+which)+panel*g.nr:]
		src := weights.data[image*g.pixels*g.scorePitch()+from:]
		g.sumQueries(&tilesOf[worker], dst, src, right.data[image*g.pixel.size()+panel*g.pixels*g.nr:], panel, to-from)
	}}
}

// sumQueries is dst[j] = sum over i of weights[i][j] right[i] for one panel of
// channels, in blocks of queries that stay in the second-level cache.
func (g *attentionGradient) sumQueries(t *kernel.Tile, dst, weights, right []float32, panel, keys int) {
	pitch := g.scorePitch()
	*t = kernel.Tile{LDC: 3 * g.ch, LDRes: 3 * g.ch, ARS: 1, AKS: pitch, BKS: g.nr, N: min(g.nr, g.ch-panel*g.nr),
		AOff: &zeroOffset[0], BOff: &zeroOffset[0], Segments: 1}
	for i := 0; i < g.pixels; i += attentionKeys {
		t.K, t.B = min(attentionKeys, g.pixels-i), &right[i*g.nr]
		g.eachTile(t, keys, func(lo int) {
			t.A, t.C = &weights[i*pitch+lo], &dst[lo*t.LDC]
			if i > 0 {
				t.Res = t.C
			}
			kernel.GemmTile(t)
		})
	}
}
