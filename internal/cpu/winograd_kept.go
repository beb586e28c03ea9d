package cpu

import "github.com/sr3-go/sr3/internal/cpu/kernel"

// winogradKept is a convolution through transformed filters u that are kept: panels
// with a matrix [in, NR] for each point. Tiles go through it in blocks.
type winogradKept struct {
	winogradConv
	u       panels
	scratch *buffer // for each worker: transformed pixels, products, one square of output
	block   int     // tiles that a worker transforms at a time
}

// A block has blockTiles tiles of the micro-kernel, or one if its transformed pixels
// would be more than scratchFloats: they should stay in the second-level cache
// while all panels pass.
const (
	blockTiles    = 2
	scratchFloats = 200 << 10
)

// keptFilters plans the product and gives it storage; its filters are yet to be packed.
func (c *compiler) keptFilters(p winogradConv) *winogradKept {
	mr := kernel.MR()
	k := &winogradKept{winogradConv: p, u: newPanels(p.points()*p.in, p.out)}
	k.block = min(max(1, min(scratchFloats/(p.points()*pitchFor(p.in)*mr), blockTiles))*mr, p.tiles.count())
	k.scratch = c.temp(len(c.program.tiles) * k.scratchSize())
	return k
}

func (p *winogradKept) scratchSize() int {
	return p.points()*p.block*(pitchFor(p.in)+p.u.nr) + winogradSide*winogradSide*p.u.nr
}

// pack is the phase that transforms filters [3, 3, in, out].
func (p *winogradKept) pack(u panels, w *buffer) phase {
	return phase{n: u.count, body: func(_, j int) {
		dst, width := u.panel(j)
		if width < u.nr {
			clear(dst)
		}
		for i := range p.in {
			p.weights(p.apart(dst[i*u.nr:], p.in*u.nr),
				kernel.Grid{Data: w.data[i*p.out+j*u.nr:], Row: 3 * p.in * p.out, Col: p.in * p.out}, width)
		}
	}}
}

// plan is into how many blocks the tiles are cut, and the panels into groups.
func (p *winogradKept) plan() (blocks, groups int) {
	blocks, groups = (p.tiles.count()+p.block-1)/p.block, 1
	for blocks*groups < 8 && groups < p.u.count {
		groups++
	}
	return blocks, groups
}

// bounds are the tiles of block b.
func (p *winogradKept) bounds(b, blocks int) (lo, hi int) {
	return b * p.tiles.count() / blocks, (b + 1) * p.tiles.count() / blocks
}

// phase hands out blocks of tiles times groups of panels.
func (p *winogradKept) phase(tilesOf []kernel.Tile) phase {
	blocks, groups := p.plan()
	pitch, nr := pitchFor(p.in), p.u.nr
	return phase{n: blocks * groups, body: func(worker, item int) {
		b, group := item/groups, item%groups
		lo, hi := p.bounds(b, blocks)
		size := p.scratchSize()
		scratch := p.scratch.data[worker*size : (worker+1)*size]
		v, m := scratch[:p.points()*p.block*pitch], scratch[p.points()*p.block*pitch:]
		square := m[p.points()*p.block*nr:]
		for tile := lo; tile < hi; tile++ {
			p.prefetchTile(min(tile+1, p.tiles.count()-1))
			p.readTile(p.apart(v[(tile-lo)*pitch:], p.block*pitch), tile, 0, p.in)
		}
		for j := group * p.u.count / groups; j < (group+1)*p.u.count/groups; j++ {
			p.multiply(&tilesOf[worker], v, m, j, hi-lo)
			for tile := lo; tile < hi; tile++ {
				p.writeTile(p.apart(m[(tile-lo)*nr:], p.block*nr), tile, j*nr, min(nr, p.out-j*nr), square)
			}
		}
		p.end.gather(b, p.oh, p.ow)
	}}
}

// multiply makes the products of a block with panel j.
func (p *winogradKept) multiply(t *kernel.Tile, v, m []float32, j, tiles int) {
	u, width := p.u.panel(j)
	pitch, nr, mr := pitchFor(p.in), p.u.nr, kernel.MR()
	*t = kernel.Tile{LDC: nr, ARS: pitch, AKS: 1, BKS: nr, AOff: &zeroOffset[0], BOff: &zeroOffset[0], Segments: 1, K: p.in, N: width}
	parts := (tiles + mr - 1) / mr
	for point := range p.points() {
		t.B = &u[point*p.in*nr]
		for k := range parts {
			lo, hi := k*tiles/parts, (k+1)*tiles/parts
			t.M, t.A, t.C = hi-lo, &v[(point*p.block+lo)*pitch], &m[(point*p.block+lo)*nr]
			kernel.GemmTile(t)
		}
	}
}

// zeroOffset is the one segment of a plain matrix product.
var zeroOffset = [1]int{}

// sumParts are the pixels of the tiles of each block that lie in one row of tiles,
// nil if the channels of a block are shared among items.
func (p *winogradKept) sumParts() [][]sumPart {
	blocks, groups := p.plan()
	if groups > 1 {
		return nil
	}
	const most = blockRows / (winogradSide * winogradSide)
	items := make([][]sumPart, blocks)
	for b := range blocks {
		for lo, hi := p.bounds(b, blocks); lo < hi; {
			n, y, x := p.tiles.locate(lo)
			count := min(hi-lo, p.tiles.cols-x, most)
			items[b] = append(items[b], sumPart{n, y * winogradSide, min((y+1)*winogradSide, p.oh), x * winogradSide, min((x+count)*winogradSide, p.ow)})
			lo += count
		}
	}
	return items
}
