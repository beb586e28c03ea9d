package graph

import "slices"

// Activation recomputation ("Training Deep Nets with Sublinear Memory Cost", Chen
// et al., 2016): the backward pass of a network reads nearly every value of the
// forward pass, so all of them must stay in memory until it arrives. Instead only
// marked values stay, and what lies between them is computed a second time when
// the backward pass gets there. It is a matter of the graph alone: the second
// computation is more nodes, which executors need not tell from others.

// Keep marks a value that [Graph.RecomputedGradients] takes from the forward pass
// instead of computing it again, and returns it: the inputs of residual blocks,
// and values that are too small to be worth it. It means nothing to executors.
func (g *Graph) Keep(n *Node) *Node {
	g.kept[n] = true
	return n
}

// RecomputedGradients is [Graph.Gradients] with fewer values of the forward pass
// alive at once and more to compute: gradients read inputs, variables, constants,
// values marked by [Graph.Keep], and copies of all other nodes that start from
// these. A copy is added to the graph where the first gradient reads it, so an
// executor that goes by the order of nodes has the copies of one stretch between
// marks alive at a time. Copies that nobody reads, such as that of a block's last
// convolution, are left to the executor to leave out.
//
// A copy shares its original's operation, by which an executor can tell that both
// must come out the same; dropout draws the same mask again. So the results are
// those of Gradients to the last bit, in internal/cpu if the loss is computed too
// and nothing is marked between a convolution and the sums that follow it.
func (g *Graph) RecomputedGradients(loss *Node, wrt []*Node) []*Node {
	return g.RecomputedGradientsFrom(loss, g.unit(loss), wrt)
}

// RecomputedGradientsFrom is [Graph.GradientsFrom] in the way of
// [Graph.RecomputedGradients].
func (g *Graph) RecomputedGradientsFrom(y, dy *Node, wrt []*Node) []*Node {
	r := recomputation{g, map[*Node]*Node{}}
	return g.backward(y, dy, wrt, r.reader)
}

// recomputation holds the copies made so far.
type recomputation struct {
	g      *Graph
	copies map[*Node]*Node
}

// value is a node with the value of n that is at hand in the backward pass. Copies
// are added in the order of their originals.
func (r recomputation) value(n *Node) *Node {
	var missing []*Node
	seen := map[*Node]bool{}
	var look func(n *Node)
	look = func(n *Node) {
		if r.atHand(n) != nil || seen[n] {
			return
		}
		seen[n] = true
		missing = append(missing, n)
		for _, in := range n.Inputs {
			look(in)
		}
	}
	look(n)
	slices.SortFunc(missing, func(a, b *Node) int { return a.ID - b.ID })
	for _, m := range missing {
		r.copies[m] = r.again(m)
	}
	return r.atHand(n)
}

// atHand is the node that has n's value in the backward pass, nil if there is none yet.
func (r recomputation) atHand(n *Node) *Node {
	if len(n.Inputs) == 0 || r.g.kept[n] {
		return n
	}
	return r.copies[n]
}

// again copies a node, with inputs that are at hand.
func (r recomputation) again(n *Node) *Node {
	inputs := make([]*Node, len(n.Inputs))
	for i, in := range n.Inputs {
		inputs[i] = r.value(in)
	}
	return r.g.apply(n.Op, inputs...)
}

// reader is a node of n's value all of whose inputs are at hand, for gradients may
// read either. That of a kept node is a copy too; few gradients read its value.
func (r recomputation) reader(n *Node) *Node {
	if !r.g.kept[n] {
		return r.value(n)
	}
	for _, in := range n.Inputs {
		if r.value(in) != in {
			return r.again(n)
		}
	}
	return n
}
