package cpu

import (
	"math"
	"slices"

	"github.com/sr3-go/sr3/internal/cpu/kernel"
	"github.com/sr3-go/sr3/internal/graph"
)

// epilogue is what a convolution does to its results while it holds them: the
// sums and the scale that follow it in the graph cost no pass of their own then.
//
//	(result + bias + shift + residual) * scale
type epilogue struct {
	node     *graph.Node // whose value is written: the last one taken in
	rows     *buffer     // bias + shift, nil for neither: for one image or each
	images   int         // images that rows tells apart
	ch       int
	residual *buffer      // laid out as the result, nil for none
	scale    float32      // 0 for none
	sums     *channelSums // that the work items gather
	result   *buffer
}

// epilogue takes in what follows a convolution as far as nobody else needs the
// values between. The phases prepare it.
func (c *compiler) epilogue(n *graph.Node) (*epilogue, []phase) {
	e := &epilogue{node: n, ch: n.Shape[3], images: 1}
	if len(n.Inputs) == 3 {
		e.rows = c.in(n.Inputs[2])
	}
	var shift *buffer
	first := c.copies[n][0]
	limit := math.MaxInt
	if first != n {
		limit = c.taken[first] // all copies round alike
	}
	for next := c.onlyReader(e.node); next != nil && c.taken[n] < limit; next = c.onlyReader(e.node) {
		switch op := next.Op.(type) {
		case *graph.Binary:
			other := next.Inputs[0]
			if other == e.node {
				other = next.Inputs[1]
			}
			// A value that comes later, or that is nowhere in memory, cannot be added.
			if op.Kind != graph.AddKind || e.scale != 0 || c.values[other] == nil || !next.Shape.Equal(n.Shape) {
				return e, c.shiftRows(e, shift)
			}
			switch s := other.Shape; {
			case s.Equal(n.Shape) && e.residual == nil:
				e.residual = c.in(other)
			case s[1] == 1 && s[2] == 1 && s[3] == e.ch && shift == nil:
				shift, e.images = c.in(other), s[0]
			default:
				return e, c.shiftRows(e, shift)
			}
		case *graph.Affine:
			// A scale comes after a residual in every family; alone it is not worth a kernel.
			if op.Shift != 0 || op.Scale == 0 || e.scale != 0 || e.residual == nil {
				return e, c.shiftRows(e, shift)
			}
			e.scale = op.Scale
		default:
			return e, c.shiftRows(e, shift)
		}
		e.node = next
		c.takenIn[next] = true
		c.taken[n]++
	}
	return e, c.shiftRows(e, shift)
}

// shiftRows adds the shift to the bias once, not for every pixel.
func (c *compiler) shiftRows(e *epilogue, shift *buffer) []phase {
	switch bias := e.rows; {
	case shift == nil:
		return nil
	case bias == nil:
		e.rows = shift
		return nil
	default:
		rows := c.temp(e.images * e.ch)
		e.rows = rows
		return []phase{{n: e.images, body: func(_, n int) {
			kernel.Add(rows.data[n*e.ch:(n+1)*e.ch], shift.data[n*e.ch:(n+1)*e.ch], bias.data)
		}}}
	}
}

// needRows gives kernels that always add a row zeros to add.
func (e *epilogue) needRows(c *compiler) {
	if e.rows == nil {
		e.rows = c.keep(e.ch)
	}
}

// row is what is added to every pixel of image n.
func (e *epilogue) row(n int) []float32 {
	n %= e.images
	return e.rows.data[n*e.ch : (n+1)*e.ch]
}

// factor is the scale, 1 for none.
func (e *epilogue) factor() float32 {
	if e.scale == 0 {
		return 1
	}
	return e.scale
}

// store writes channels that have their row added already to element at of the
// result.
func (e *epilogue) store(at int, x []float32) {
	to := e.result.data[at : at+len(x)]
	if e.residual != nil {
		kernel.Add(to, x, e.residual.data[at:at+len(x)])
		x = to
	}
	if e.scale != 0 {
		kernel.ScaleShift(to, x, e.scale, 0)
		return
	}
	copy(to, x)
}

// out makes the buffer of the result. It may be the residual's, which each pixel
// reads before it is written, unless the convolution still reads from that.
func (e *epilogue) out(c *compiler, reads ...*buffer) *buffer {
	if e.residual == nil || slices.Contains(reads, e.residual) {
		e.result = c.out(e.node)
	} else {
		e.result = c.outInPlace(e.node, e.residual)
	}
	return e.result
}

// channelSums are the sums of every channel of a value and of its square, in parts
// whose pixels were summed in float32 while they were in cache.
type channelSums struct {
	buf     *buffer // for each part, sums and squares: [parts, 2, ch]
	parts   []sumPart
	ofImage []int // the parts of image n are ofImage[n] to ofImage[n+1]
	ofItem  []int // and those of a work item
	ch      int
}

// sumPart is a rectangle of at most blockRows pixels of an image: rows [y0, y1),
// columns [x0, x1).
type sumPart struct{ n, y0, y1, x0, x1 int }

// wantSums plans the sums of a value if a normalisation is going to ask for them:
// of the value, or of what it is joined to. items are the parts that each work item
// of the convolution completes, in the order of pixels. If it completes none, since
// the channels of a pixel are shared among items, the phase that is returned sums
// them afterwards.
func (c *compiler) wantSums(e *epilogue, items [][]sumPart) []phase {
	if !c.normalised(e.node) {
		return nil
	}
	shape := e.node.Shape
	after := items == nil
	if after {
		items = pixelParts(shape)
	}
	s := &channelSums{ch: e.ch, ofImage: make([]int, shape[0]+1), ofItem: make([]int, len(items)+1)}
	for i, parts := range items {
		s.parts = append(s.parts, parts...)
		s.ofItem[i+1] = len(s.parts)
	}
	for i, part := range s.parts {
		s.ofImage[part.n+1] = i + 1
	}
	s.buf = c.temp(len(s.parts) * 2 * s.ch)
	c.sums[e.node] = s
	if !after {
		e.sums = s
		return nil
	}
	return []phase{{n: len(items), body: func(_, item int) { s.gather(item, e.result.data, 1, shape[1]*shape[2]) }}}
}

// pixelParts are blocks of neighbouring pixels, one an item.
func pixelParts(shape graph.Shape) [][]sumPart {
	var items [][]sumPart
	pixels := shape[1] * shape[2]
	for n := range shape[0] {
		for at := 0; at < pixels; at += blockRows {
			items = append(items, []sumPart{{n, 0, 1, at, min(at+blockRows, pixels)}})
		}
	}
	return items
}

// normalised says whether group statistics are taken of a value, alone or joined
// to others.
func (c *compiler) normalised(n *graph.Node) bool {
	for _, user := range c.users[n] {
		switch op := user.Op.(type) {
		case *graph.GroupStats:
			return true
		case *graph.Concat:
			if op.Axis == 3 && c.normalised(user) {
				return true
			}
		}
	}
	return false
}

// gather sums what a work item has completed of images of w columns and h rows.
func (e *epilogue) gather(item, h, w int) {
	if e.sums != nil {
		e.sums.gather(item, e.result.data, h, w)
	}
}

func (s *channelSums) gather(item int, x []float32, h, w int) {
	for i := s.ofItem[item]; i < s.ofItem[item+1]; i++ {
		part := s.parts[i]
		sums := s.buf.data[2*i*s.ch : (2*i+1)*s.ch]
		squares := s.buf.data[(2*i+1)*s.ch : (2*i+2)*s.ch]
		clear(sums)
		clear(squares)
		for y := part.y0; y < part.y1; y++ {
			row := (part.n*h + y) * w
			kernel.Moments(sums, squares, x[(row+part.x0)*s.ch:(row+part.x1)*s.ch])
		}
	}
}

// total adds the parts of channel k of image n.
func (s *channelSums) total(n, k int) (sum, square float64) {
	for i := s.ofImage[n]; i < s.ofImage[n+1]; i++ {
		sum += float64(s.buf.data[2*i*s.ch+k])
		square += float64(s.buf.data[(2*i+1)*s.ch+k])
	}
	return sum, square
}

// sumsOf are the sums of a value, or of the values it joins, nil if some are not
// known.
func (c *compiler) sumsOf(x *graph.Node) []*channelSums {
	var out []*channelSums
	for _, in := range c.piecesOf(x) {
		s := c.sums[in]
		if s == nil {
			return nil
		}
		out = append(out, s)
	}
	return out
}
