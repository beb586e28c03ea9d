package cpu

import (
	"github.com/sr3-go/sr3/internal/cpu/kernel"
	"github.com/sr3-go/sr3/internal/graph"
)

// Where few tiles meet many channels, the transformed filters, four times the
// size of the filters, are what a convolution has to fetch from memory: 38 MB for
// 512 to 512 channels, to be used for the 16 tiles of 16x16 pixels. So the filters
// stay as they are, each block of them is transformed when its turn comes, in the
// second-level cache, and is used there for all tiles.

// streamMaxTiles bounds the products of a panel, and streamMinWeights are the
// channels in times out below which kept transformed filters stay cached anyway.
const (
	streamMaxTiles   = 128
	streamMinWeights = 192 * 192
	streamDepth      = 64 // channels whose filters are transformed at a time
)

// streamPays decides between kept and streamed filters, where winogradPays.
func streamPays(filter, out graph.Shape) bool {
	return filter[2]*filter[3] >= streamMinWeights && tilesFor(out[0], out[1], out[2]).count() <= streamMaxTiles
}

// streamProduct is one convolution with streamed filters, or several, of the same
// tiles, whose filters are made from the same ones.
type streamProduct struct {
	convs   []winogradConv
	filters panels  // [9, in] rows
	v       *buffer // for each convolution transformed pixels, for each streamDepth of channels [points, tiles, streamDepth]
	scratch *buffer // for each worker, see streamScratch
}

// streamScratch is a worker's memory.
type streamScratch struct {
	taps   []float32 // filters of streamDepth channels: [9, streamDepth, NR]
	sums   []float32 // sums of them, see upFilters; none for one convolution
	u      []float32 // the same, transformed
	m      []float32 // products, for each convolution [points, tiles, NR]
	square []float32 // one square of output
}

func (p *streamProduct) scratchSizes() [5]int {
	nr, first := kernel.NR(), &p.convs[0]
	sums := 0
	if len(p.convs) > 1 {
		sums = upSums * streamDepth * nr
	}
	return [5]int{9 * streamDepth * nr, sums, first.points() * p.uPitch(), len(p.convs) * p.mSize(), winogradSide * winogradSide * nr}
}

// uPitch is the distance of matrices of transformed filters; the odd line keeps
// them out of the same set of the first-level cache.
func (p *streamProduct) uPitch() int { return streamDepth*kernel.NR() + 16 }

// mSize is the size of the products of one convolution.
func (p *streamProduct) mSize() int {
	return p.convs[0].points() * p.convs[0].tiles.count() * kernel.NR()
}

// vSize is the size of the transformed pixels of one convolution.
func (p *streamProduct) vSize() int {
	first := &p.convs[0]
	return first.points() * first.tiles.count() * ((first.in + streamDepth - 1) / streamDepth * streamDepth)
}

// vAt is where the transformed pixels of a tile at a point lie for the block of
// channels that begins with lo. What one product reads is contiguous, so that it is
// fetched ahead of its use.
func (p *streamProduct) vAt(conv, lo, point, tile int) int {
	first := &p.convs[0]
	count := first.tiles.count()
	return conv*p.vSize() + ((lo/streamDepth*first.points()+point)*count+tile)*streamDepth
}

// scratchOf cuts a worker's memory.
func (p *streamProduct) scratchOf(worker int) streamScratch {
	var s streamScratch
	sizes := p.scratchSizes()
	total := 0
	for _, n := range sizes {
		total += n
	}
	at := worker * total
	for i, part := range []*[]float32{&s.taps, &s.sums, &s.u, &s.m, &s.square} {
		*part = p.scratch.data[at : at+sizes[i]]
		at += sizes[i]
	}
	return s
}

// stream gives the phases of convolutions with filters [9, in] by out: the
// transform of all tiles and the products, a panel an item.
func (c *compiler) stream(convs []winogradConv, filters panels) []phase {
	p := &streamProduct{convs: convs, filters: filters}
	first, nr := &convs[0], kernel.NR()
	size := 0
	for _, n := range p.scratchSizes() {
		size += n
	}
	p.v = c.temp(len(convs) * p.vSize())
	p.scratch = c.temp(len(c.program.tiles) * size)
	count, tilesOf := first.tiles.count(), c.program.tiles
	transform := phase{n: len(convs) * count, body: func(_, item int) {
		i, tile := item/count, item%count
		conv := &convs[i]
		for lo := 0; lo < conv.in; lo += streamDepth {
			conv.readTile(conv.apart(p.v.data[p.vAt(i, lo, 0, tile):], count*streamDepth), tile, lo, min(streamDepth, conv.in-lo))
		}
	}}
	multiply := phase{n: filters.count, body: func(worker, j int) {
		s := p.scratchOf(worker)
		for lo := 0; lo < first.in; lo += streamDepth {
			p.block(&tilesOf[worker], s, j, lo, min(lo+streamDepth, first.in))
		}
		for i := range convs {
			m := s.m[i*p.mSize():]
			for tile := range count {
				convs[i].writeTile(first.apart(m[tile*nr:], count*nr), tile, j*nr, min(nr, first.out-j*nr), s.square)
			}
		}
	}}
	return []phase{transform, multiply}
}

// block adds the products of in channels [lo, hi) to those of panel j. The filters
// are copied first: that walks through memory several times faster than the
// transform does, which is busy with its stores.
func (p *streamProduct) block(t *kernel.Tile, s streamScratch, j, lo, hi int) {
	nr, k := kernel.NR(), hi-lo
	for tap := range 9 {
		p.filters.rows(s.taps[tap*k*nr:], j, tap*p.convs[0].in+lo, tap*p.convs[0].in+hi)
	}
	if len(p.convs) > 1 {
		upFilters(s.sums, s.taps, k*nr)
	}
	for i := range p.convs {
		conv := &p.convs[i]
		taps, rowStep := s.taps, 3
		if len(p.convs) > 1 {
			taps, rowStep = s.sums[upSum(conv.dstY, conv.dstX)*k*nr:], upRow
		}
		for r := range k {
			conv.weights(conv.apart(s.u[r*nr:], p.uPitch()), kernel.Grid{Data: taps[r*nr:], Row: rowStep * k * nr, Col: k * nr}, nr)
		}
		p.accumulate(t, s, i, j, lo, hi)
	}
}

// accumulate adds the products of convolution i.
func (p *streamProduct) accumulate(t *kernel.Tile, s streamScratch, i, j, lo, hi int) {
	nr, mr := kernel.NR(), kernel.MR()
	conv, m := &p.convs[i], s.m[i*p.mSize():]
	count := conv.tiles.count()
	*t = kernel.Tile{LDC: nr, LDRes: nr, ARS: streamDepth, AKS: 1, BKS: nr, AOff: &zeroOffset[0], BOff: &zeroOffset[0],
		Segments: 1, K: hi - lo, N: min(nr, conv.out-j*nr)}
	parts := (count + mr - 1) / mr
	for point := range conv.points() {
		t.B = &s.u[point*p.uPitch()]
		p.prefetch(j, hi, i*conv.points()+point)
		for part := range parts {
			from, to := part*count/parts, (part+1)*count/parts
			t.M, t.A, t.C = to-from, &p.v.data[p.vAt(i, lo, point, from)], &m[(point*count+from)*nr]
			t.Res = nil
			if lo > 0 {
				t.Res = t.C
			}
			kernel.GemmTile(t)
		}
	}
}

// prefetch asks for the filters of the block of channels from lo on, a part at a
// time, while the products of the block before are made.
func (p *streamProduct) prefetch(j, lo, part int) {
	first := &p.convs[0]
	hi, parts := min(lo+streamDepth, first.in), len(p.convs)*first.points()
	if lo >= hi {
		return
	}
	per := (parts + 8) / 9 // pieces of each tap
	for piece := part * 9 * per / parts; piece < (part+1)*9*per/parts; piece++ {
		tap := piece / per
		p.filters.prefetch(j, tap*first.in+lo, tap*first.in+hi, piece%per, per)
	}
}
