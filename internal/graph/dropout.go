package graph

import "fmt"

// Dropout zeroes elements with probability Rate and scales the others by
// 1/(1-Rate). Which ones is a function of the seed input, Site and the element's
// index alone (see [Graph.Dropout]), so the gradient draws the same mask again
// instead of storing it.
type Dropout struct {
	Rate float32
	Site uint64
}

// Dropout drops elements of x at the given rate in [0, 1). seed is a tensor [2]
// of whole numbers below 2^24, the low and the high half of a 48-bit seed; site
// tells the dropouts of one network apart. Element i is dropped when word i%4 of
// block i/4 of stream number site under the seed (see internal/philox), divided
// by 2^32, is less than rate.
func (g *Graph) Dropout(x, seed *Node, rate float32, site uint64) *Node {
	return g.apply(&Dropout{rate, site}, x, seed)
}

// Name implements [Op].
func (o *Dropout) Name() string { return "dropout" }
func (o *Dropout) shape(in []Shape) (Shape, error) {
	if o.Rate < 0 || o.Rate >= 1 || !in[1].Equal(Shape{2}) {
		return nil, fmt.Errorf("rate %v", o.Rate)
	}
	return sameShapes(in[:1])
}
func (o *Dropout) grad(g *Graph, n, dy *Node) []*Node {
	return []*Node{g.Dropout(dy, n.Inputs[1], o.Rate, o.Site), nil}
}
