package cpu

import (
	"fmt"

	"github.com/sr3-go/sr3/internal/cpu/kernel"
	"github.com/sr3-go/sr3/internal/graph"
)

// matMul multiplies batches of matrices: B is packed into panels, A is read where
// it lies, transposed by its strides.
func (c *compiler) matMul(n *graph.Node, op *graph.MatMul) {
	an, bn := n.Inputs[0], n.Inputs[1]
	a := c.in(an)
	out := c.out(n)
	batch, m, cols := n.Shape[0], n.Shape[1], n.Shape[2]
	k, ars, aks := an.Shape[2], an.Shape[2], 1
	if op.TransA {
		k, ars, aks = an.Shape[1], 1, m
	}
	p := newPanels(k, cols)
	pack := c.packBatch(bn, &p, batch, op.TransB)
	mr, tilesOf := kernel.MR(), c.program.tiles
	tiles := (m + mr - 1) / mr
	multiply := phase{n: batch * tiles, body: func(worker, item int) {
		i, tile := item/tiles, item%tiles
		lo, hi := tile*m/tiles, (tile+1)*m/tiles
		t := &tilesOf[worker]
		*t = kernel.Tile{LDC: cols, A: &a.data[i*m*k+lo*ars], ARS: ars, AKS: aks, BKS: p.nr,
			AOff: &zeroOffset[0], BOff: &zeroOffset[0], Segments: 1, K: k, M: hi - lo}
		for j := range p.count {
			data := p.buf.data[(i*p.count+j)*k*p.nr:]
			t.N = min(p.nr, cols-j*p.nr)
			t.B, t.C = &data[0], &out.data[(i*m+lo)*cols+j*p.nr]
			kernel.GemmTile(t)
		}
	}}
	c.emitWork("matmul", work{
		detail: fmt.Sprintf("%d x %dx%d by %dx%d", batch, m, k, k, cols),
		flops:  2 * int64(batch) * int64(m) * int64(k) * int64(cols),
	}, append(pack, multiply)...)
}

// packBatch packs every B of a batch. A single one that is a variable is packed
// once.
func (c *compiler) packBatch(bn *graph.Node, p *panels, batch int, transposed bool) []phase {
	if batch == 1 && transposed {
		return []phase{c.weights(bn, "transposed", false, p, func(p panels, src *buffer) phase { return p.packTransposed(src, 1, false) })}
	}
	if batch == 1 {
		return []phase{c.weights(bn, "rows", false, p, panels.packRows)}
	}
	b := c.in(bn)
	p.buf = c.temp(batch * p.size())
	size := p.depth * p.columns
	return []phase{{n: batch * p.count, body: func(_, item int) {
		i, j := item/p.count, item%p.count
		src := b.data[i*size : (i+1)*size]
		dst := p.buf.data[item*p.depth*p.nr : (item+1)*p.depth*p.nr]
		if transposed {
			width := min(p.nr, p.columns-j*p.nr)
			transposeInto(dst, src[j*p.nr*p.depth:][:width*p.depth], p.depth, p.depth, width, p.nr)
			return
		}
		p.copyRows(dst, src, j, 0, p.depth)
	}}}
}
