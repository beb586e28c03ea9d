package cpu

import (
	"fmt"

	"github.com/sr3-go/sr3/internal/cpu/kernel"
	"github.com/sr3-go/sr3/internal/graph"
)

// panels is a matrix [depth, columns] cut into panels of NR columns, each stored
// row after row and filled up with zeros: what the micro-kernel calls B.
type panels struct {
	buf            *buffer
	depth, columns int
	count, nr      int
}

func newPanels(depth, columns int) panels {
	nr := kernel.NR()
	return panels{depth: depth, columns: columns, count: (columns + nr - 1) / nr, nr: nr}
}

func (p panels) size() int { return p.count * p.depth * p.nr }

// rows copies rows [lo, hi) of a panel to dst, expanding halves.
func (p panels) rows(dst []float32, i, lo, hi int) {
	at := i*p.depth*p.nr + lo*p.nr
	if size := (hi - lo) * p.nr; p.buf.half != nil {
		kernel.Float16Decode(dst[:size], p.buf.half[at:at+size])
	} else {
		copy(dst[:size], p.buf.data[at:])
	}
}

// prefetch asks for part number part, of parts, of rows [lo, hi) of a panel.
func (p panels) prefetch(i, lo, hi, part, parts int) {
	at, size := (i*p.depth+lo)*p.nr, (hi-lo)*p.nr
	from, to := at+part*size/parts, at+(part+1)*size/parts
	if p.buf.half != nil {
		kernel.Prefetch(p.buf.half[from:to])
	} else {
		kernel.Prefetch(p.buf.data[from:to])
	}
}

// panel is one panel's storage; width is how many of its columns are real.
func (p panels) panel(i int) (data []float32, width int) {
	return p.buf.data[i*p.depth*p.nr : (i+1)*p.depth*p.nr], min(p.nr, p.columns-i*p.nr)
}

// packRows is a phase that fills panels from a row-major [depth, columns] matrix.
// Work items are a panel times a block of rows.
func (p panels) packRows(src *buffer) phase {
	blocks := (p.depth + 511) / 512
	return phase{n: p.count * blocks, body: func(_, item int) {
		i, block := item/blocks, item%blocks
		lo, hi := block*512, min((block+1)*512, p.depth)
		if p.buf.half != nil {
			p.encodeRows(src.data, i, lo, hi)
			return
		}
		dst, _ := p.panel(i)
		p.copyRows(dst, src.data, i, lo, hi)
	}}
}

// encodeRows is copyRows to float16 numbers.
func (p panels) encodeRows(src []float32, i, lo, hi int) {
	width := min(p.nr, p.columns-i*p.nr)
	dst := p.buf.half[i*p.depth*p.nr:]
	for r := lo; r < hi; r++ {
		row := dst[r*p.nr : (r+1)*p.nr]
		kernel.Float16Encode(row[:width], src[r*p.columns+i*p.nr:][:width])
		clear(row[width:])
	}
}

// copyRows fills rows [lo, hi) of panel i, stored in dst, from the matrix src.
func (p panels) copyRows(dst, src []float32, i, lo, hi int) {
	width := min(p.nr, p.columns-i*p.nr)
	for r := lo; r < hi; r++ {
		row := dst[r*p.nr : (r+1)*p.nr]
		copy(row, src[r*p.columns+i*p.nr:][:width])
		clear(row[width:])
	}
}

// packTransposed is a phase that fills panels from taps matrices [columns, rows],
// row-major one after another: panel rows are all rows of the first tap, then of
// the second. depth = taps*rows. turned reverses the order of the taps.
func (p panels) packTransposed(src *buffer, taps int, turned bool) phase {
	rows := p.depth / taps
	return phase{n: p.count * taps, body: func(_, item int) {
		i, tap := item/taps, item%taps
		dst, width := p.panel(i)
		place := tap
		if turned {
			place = taps - 1 - tap
		}
		dst = dst[place*rows*p.nr : (place+1)*rows*p.nr]
		from := src.data[(tap*p.columns+i*p.nr)*rows:][:width*rows]
		transposeInto(dst, from, rows, rows, width, p.nr)
	}}
}

// transposeInto writes dst[r*pitch+k] = src[k*from+r] for r < rows and k < width,
// zeros up to pitch, in blocks that stay cached.
func transposeInto(dst, src []float32, from, rows, width, pitch int) {
	const block = 64
	for r0 := 0; r0 < rows; r0 += block {
		kernel.Transpose(dst[r0*pitch:], pitch, src[r0:], from, width, min(block, rows-r0))
	}
	for r := 0; r < rows && width < pitch; r++ {
		clear(dst[r*pitch+width : (r+1)*pitch])
	}
}

// weights gives panels the storage that suits their source, and the phase that
// fills them from it by pack: once, and again only when the variable changes, if
// the program itself does not change it; on every run otherwise. key and the shape
// that the variable is read in name the form, which programs share; mayHalf says that
// the kernel expands float16 numbers as it goes.
func (c *compiler) weights(src *graph.Node, key string, mayHalf bool, p *panels, pack func(p panels, src *buffer) phase) phase {
	v := sourceVariable(src)
	if v == nil || c.updated[v] {
		p.buf = c.temp(p.size())
		return pack(*p, c.in(src))
	}
	vars, from := c.vars, &buffer{size: v.Shape.Size(), fixed: true}
	x, f := vars.form(v.Op.(*graph.Variable).Label, from.size, fmt.Sprint(key, src.Shape), p.size(), mayHalf)
	to := &buffer{size: p.size(), fixed: true}
	p.buf = to
	ph := pack(*p, from)
	ph.skip = func() bool {
		var stale bool
		from.data, stale = vars.beginPacking(x, f)
		to.data, to.half = f.data, f.half
		return !stale
	}
	ph.done = func(whole bool) { vars.endPacking(f, whole) }
	return ph
}

// sourceVariable is the variable behind reshapes, nil if the value is computed.
func sourceVariable(n *graph.Node) *graph.Node {
	for {
		switch n.Op.(type) {
		case *graph.Variable:
			return n
		case *graph.Reshape:
			n = n.Inputs[0]
		default:
			return nil
		}
	}
}
