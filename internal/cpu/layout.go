package cpu

import (
	"slices"

	"github.com/sr3-go/sr3/internal/cpu/kernel"
	"github.com/sr3-go/sr3/internal/graph"
)

// split cuts a shape at an axis: outer indices, and the elements that one outer
// index owns.
func split(s graph.Shape, axis int) (outer, block int) {
	return s[:axis].Size(), s[axis:].Size()
}

// concat copies each part's blocks to their place, unless all consumers can read
// the parts where they are.
func (c *compiler) concat(n *graph.Node, op *graph.Concat) {
	if op.Axis == 3 && len(n.Shape) == 4 && c.readInPlace(n) {
		c.joined[n] = true
		return
	}
	outer, width := split(n.Shape, op.Axis)
	parts := make([]*buffer, len(n.Inputs))
	blocks := make([]int, len(n.Inputs))
	for i, in := range n.Inputs {
		parts[i] = c.in(in)
		_, blocks[i] = split(in.Shape, op.Axis)
	}
	out := c.out(n)
	c.emit("concat", rowChunks(outer, width, func(lo, hi int) {
		for o := lo; o < hi; o++ {
			at := o * width
			for i, part := range parts {
				at += copy(out.data[at:], part.data[o*blocks[i]:(o+1)*blocks[i]])
			}
		}
	}))
}

// readInPlace says whether every consumer of a join along the channels reads parts:
// statistics whose sums are known, normalisations that convolutions apply, and 1x1
// convolutions.
func (c *compiler) readInPlace(n *graph.Node) bool {
	for _, in := range n.Inputs {
		if c.values[in] == nil {
			return false
		}
	}
	for _, user := range c.readers(n) {
		ok, from := false, c.copies[user.Inputs[0]]
		isJoin := len(from) > 0 && from[0] == c.copies[n][0]
		switch op := user.Op.(type) {
		case *graph.GroupStats:
			ok = !slices.ContainsFunc(n.Inputs, func(in *graph.Node) bool { return c.sums[in] == nil })
		case *graph.GroupNorm:
			ok = isJoin && c.absorbed(user)
		case *graph.Conv2D:
			ok = isJoin && user.Inputs[1] != user.Inputs[0] && isPointwise(user.Inputs[1].Shape, op.Stride)
		}
		if !ok {
			return false
		}
	}
	return !slices.ContainsFunc(c.copies[n], func(m *graph.Node) bool { return c.kept[m] })
}

func (c *compiler) slice(n *graph.Node, op *graph.Slice) {
	x := c.in(n.Inputs[0])
	outer, from := split(n.Inputs[0].Shape, op.Axis)
	_, width := split(n.Shape, op.Axis)
	skip := op.Start * n.Shape[op.Axis+1:].Size()
	out := c.out(n)
	c.emit("slice", rowChunks(outer, width, func(lo, hi int) {
		for o := lo; o < hi; o++ {
			copy(out.data[o*width:(o+1)*width], x.data[o*from+skip:])
		}
	}))
}

func (c *compiler) pad(n *graph.Node, op *graph.Pad) {
	x := c.in(n.Inputs[0])
	outer, from := split(n.Inputs[0].Shape, op.Axis)
	_, width := split(n.Shape, op.Axis)
	skip := op.Before * n.Shape[op.Axis+1:].Size()
	out := c.out(n)
	c.emit("pad", rowChunks(outer, width, func(lo, hi int) {
		for o := lo; o < hi; o++ {
			dst := out.data[o*width : (o+1)*width]
			clear(dst[:skip])
			copy(dst[skip:skip+from], x.data[o*from:(o+1)*from])
			clear(dst[skip+from:])
		}
	}))
}

// spaceToDepth moves pixels between the large image [N, H, W, C] and the folded
// one [N, H/f, W/f, f*f*C]; a run of f pixels of a large row is contiguous in
// both.
func (c *compiler) spaceToDepth(n *graph.Node, f int, large, folded graph.Shape, unfold bool) {
	x := c.in(n.Inputs[0])
	out := c.out(n)
	run := f * large[3]
	width, deep := large[2]*large[3], folded[3]
	name := n.Op.Name()
	c.emit(name, rowChunks(large[0]*large[1], width, func(lo, hi int) {
		for row := lo; row < hi; row++ {
			// Large row f*y+i becomes runs number i of folded row y.
			base := row/f*folded[2]*deep + row%f*run
			for k := range folded[2] {
				big, small := row*width+k*run, base+k*deep
				if unfold {
					copy(out.data[big:big+run], x.data[small:])
				} else {
					copy(out.data[small:small+run], x.data[big:])
				}
			}
		}
	}))
}

func (c *compiler) upsample(n *graph.Node, op *graph.Upsample) {
	if user := c.onlyReader(n); user != nil {
		if conv, ok := user.Op.(*graph.Conv2D); ok && c.upsampled(user, conv) != nil {
			return // the convolution reads the small image
		}
	}
	x := c.in(n.Inputs[0])
	out := c.out(n)
	ch, f := n.Shape[3], op.Factor
	from, width := n.Inputs[0].Shape[2]*ch, n.Shape[2]*ch
	c.emit("upsample", rowChunks(n.Shape[0]*n.Shape[1], width, func(lo, hi int) {
		for row := lo; row < hi; row++ {
			src, dst := x.data[row/f*from:(row/f+1)*from], out.data[row*width:(row+1)*width]
			for k := 0; k < width; k += ch {
				copy(dst[k:k+ch], src[k/ch/f*ch:])
			}
		}
	}))
}

func (c *compiler) avgPool(n *graph.Node, op *graph.AvgPool) {
	x := c.in(n.Inputs[0])
	out := c.out(n)
	ch, f := n.Shape[3], op.Factor
	from, width := n.Inputs[0].Shape[2]*ch, n.Shape[2]*ch
	scale := 1 / float32(f*f)
	c.emit("avgpool", rowChunks(n.Shape[0]*n.Shape[1], width*f, func(lo, hi int) {
		for row := lo; row < hi; row++ {
			dst := out.data[row*width : (row+1)*width]
			clear(dst)
			for i := range f {
				src := x.data[(row*f+i)*from : (row*f+i+1)*from]
				for k := 0; k < from; k += ch {
					d := dst[k/ch/f*ch:][:ch]
					kernel.Add(d, d, src[k:k+ch])
				}
			}
			kernel.ScaleShift(dst, dst, scale, 0)
		}
	}))
}
