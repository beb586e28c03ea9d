package graph

import (
	"fmt"
	"slices"
)

// Reshape gives the same elements in the same order other axes.
type Reshape struct{ Dims Shape }

// Reshape changes the axes, not the elements' order.
func (g *Graph) Reshape(x *Node, dims ...int) *Node {
	return g.apply(&Reshape{slices.Clone(dims)}, x)
}

// Name implements [Op].
func (o *Reshape) Name() string { return "reshape" }
func (o *Reshape) shape(in []Shape) (Shape, error) {
	if in[0].Size() != o.Dims.Size() {
		return nil, fmt.Errorf("to %v", o.Dims)
	}
	return checkDims(o.Dims)
}
func (o *Reshape) grad(g *Graph, n, dy *Node) []*Node {
	return []*Node{g.Reshape(dy, n.Inputs[0].Shape...)}
}

// Concat joins its inputs along one axis.
type Concat struct{ Axis int }

// Concat joins tensors that agree on all other axes.
func (g *Graph) Concat(axis int, parts ...*Node) *Node {
	return g.apply(&Concat{axis}, parts...)
}

// Name implements [Op].
func (o *Concat) Name() string { return "concat" }
func (o *Concat) shape(in []Shape) (Shape, error) {
	if len(in) == 0 || o.Axis < 0 || o.Axis >= len(in[0]) {
		return nil, fmt.Errorf("along axis %d", o.Axis)
	}
	out := slices.Clone(in[0])
	for _, s := range in[1:] {
		if len(s) != len(out) {
			return nil, fmt.Errorf("numbers of axes differ")
		}
		for i := range s {
			if i != o.Axis && s[i] != out[i] {
				return nil, fmt.Errorf("axis %d differs", i)
			}
		}
		out[o.Axis] += s[o.Axis]
	}
	return out, nil
}
func (o *Concat) grad(g *Graph, n, dy *Node) []*Node {
	out := make([]*Node, len(n.Inputs))
	at := 0
	for i, in := range n.Inputs {
		out[i] = g.Slice(dy, o.Axis, at, at+in.Shape[o.Axis])
		at += in.Shape[o.Axis]
	}
	return out
}

// Slice takes the elements Start <= i < End along one axis.
type Slice struct{ Axis, Start, End int }

// Slice takes the elements start <= i < end along one axis.
func (g *Graph) Slice(x *Node, axis, start, end int) *Node {
	return g.apply(&Slice{axis, start, end}, x)
}

// Name implements [Op].
func (o *Slice) Name() string { return "slice" }
func (o *Slice) shape(in []Shape) (Shape, error) {
	if o.Axis < 0 || o.Axis >= len(in[0]) || o.Start < 0 || o.Start >= o.End || o.End > in[0][o.Axis] {
		return nil, fmt.Errorf("axis %d from %d to %d", o.Axis, o.Start, o.End)
	}
	out := slices.Clone(in[0])
	out[o.Axis] = o.End - o.Start
	return out, nil
}
func (o *Slice) grad(g *Graph, n, dy *Node) []*Node {
	x := n.Inputs[0].Shape
	return []*Node{g.Pad(dy, o.Axis, o.Start, x[o.Axis]-o.End)}
}

// Pad puts zeros before and after along one axis.
type Pad struct{ Axis, Before, After int }

// Pad puts zeros before and after along one axis.
func (g *Graph) Pad(x *Node, axis, before, after int) *Node {
	return g.apply(&Pad{axis, before, after}, x)
}

// Name implements [Op].
func (o *Pad) Name() string { return "pad" }
func (o *Pad) shape(in []Shape) (Shape, error) {
	if o.Axis < 0 || o.Axis >= len(in[0]) || o.Before < 0 || o.After < 0 {
		return nil, fmt.Errorf("axis %d by %d and %d", o.Axis, o.Before, o.After)
	}
	out := slices.Clone(in[0])
	out[o.Axis] += o.Before + o.After
	return out, nil
}
func (o *Pad) grad(g *Graph, n, dy *Node) []*Node {
	return []*Node{g.Slice(dy, o.Axis, o.Before, o.Before+n.Inputs[0].Shape[o.Axis])}
}

// SpaceToDepth folds squares of Factor x Factor pixels into channels: out has
// element (y, x, (i*Factor+j)*C + c) = in (y*Factor+i, x*Factor+j, c).
type SpaceToDepth struct{ Factor int }

// SpaceToDepth folds factor x factor pixels of NHWC into channels.
func (g *Graph) SpaceToDepth(x *Node, factor int) *Node {
	return g.apply(&SpaceToDepth{factor}, x)
}

// Name implements [Op].
func (o *SpaceToDepth) Name() string { return "space-to-depth" }
func (o *SpaceToDepth) shape(in []Shape) (Shape, error) {
	s, f := in[0], o.Factor
	if len(s) != 4 || f < 1 || s[1]%f != 0 || s[2]%f != 0 {
		return nil, fmt.Errorf("by %d", f)
	}
	return Shape{s[0], s[1] / f, s[2] / f, s[3] * f * f}, nil
}
func (o *SpaceToDepth) grad(g *Graph, _, dy *Node) []*Node {
	return []*Node{g.DepthToSpace(dy, o.Factor)}
}

// DepthToSpace is the inverse of [SpaceToDepth].
type DepthToSpace struct{ Factor int }

// DepthToSpace unfolds channels into factor x factor pixels of NHWC.
func (g *Graph) DepthToSpace(x *Node, factor int) *Node {
	return g.apply(&DepthToSpace{factor}, x)
}

// Name implements [Op].
func (o *DepthToSpace) Name() string { return "depth-to-space" }
func (o *DepthToSpace) shape(in []Shape) (Shape, error) {
	s, f := in[0], o.Factor
	if len(s) != 4 || f < 1 || s[3]%(f*f) != 0 {
		return nil, fmt.Errorf("by %d", f)
	}
	return Shape{s[0], s[1] * f, s[2] * f, s[3] / (f * f)}, nil
}
func (o *DepthToSpace) grad(g *Graph, _, dy *Node) []*Node {
	return []*Node{g.SpaceToDepth(dy, o.Factor)}
}
