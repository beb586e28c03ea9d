package graph

import "fmt"

// Upsample repeats every pixel of NHWC Factor times along both sides (nearest
// neighbour).
type Upsample struct{ Factor int }

// Upsample enlarges NHWC images by repeating pixels.
func (g *Graph) Upsample(x *Node, factor int) *Node { return g.apply(&Upsample{factor}, x) }

// Name implements [Op].
func (o *Upsample) Name() string { return "upsample" }
func (o *Upsample) shape(in []Shape) (Shape, error) {
	s := in[0]
	if len(s) != 4 || o.Factor < 1 {
		return nil, fmt.Errorf("by %d", o.Factor)
	}
	return Shape{s[0], s[1] * o.Factor, s[2] * o.Factor, s[3]}, nil
}
func (o *Upsample) grad(g *Graph, _, dy *Node) []*Node {
	return []*Node{g.Scale(g.AvgPool(dy, o.Factor), float32(o.Factor*o.Factor))}
}

// AvgPool averages squares of Factor x Factor pixels of NHWC.
type AvgPool struct{ Factor int }

// AvgPool reduces NHWC images by averaging squares of pixels.
func (g *Graph) AvgPool(x *Node, factor int) *Node { return g.apply(&AvgPool{factor}, x) }

// Name implements [Op].
func (o *AvgPool) Name() string { return "avgpool" }
func (o *AvgPool) shape(in []Shape) (Shape, error) {
	s, f := in[0], o.Factor
	if len(s) != 4 || f < 1 || s[1]%f != 0 || s[2]%f != 0 {
		return nil, fmt.Errorf("by %d", f)
	}
	return Shape{s[0], s[1] / f, s[2] / f, s[3]}, nil
}
func (o *AvgPool) grad(g *Graph, _, dy *Node) []*Node {
	return []*Node{g.Scale(g.Upsample(dy, o.Factor), 1/float32(o.Factor*o.Factor))}
}
