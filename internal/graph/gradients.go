package graph

// Gradients extends the graph by the gradients of the scalar loss by each node
// of wrt (reverse-mode differentiation). A node that the loss does not depend on
// gets a constant zero.
func (g *Graph) Gradients(loss *Node, wrt []*Node) []*Node {
	return g.GradientsFrom(loss, g.unit(loss), wrt)
}

// GradientsFrom is [Graph.Gradients] of a loss whose gradient by y is dy, by nodes
// that the loss depends on through y alone (a vector-Jacobian product). dy may be
// any tensor of y's shape: nothing is differentiated that it was computed from.
func (g *Graph) GradientsFrom(y, dy *Node, wrt []*Node) []*Node {
	return g.backward(y, dy, wrt, func(n *Node) *Node { return n })
}

// unit is the gradient of a scalar by itself.
func (g *Graph) unit(loss *Node) *Node {
	if loss.Shape.Size() != 1 {
		panic("graph: the gradient is taken of a scalar")
	}
	return g.Fill(1, loss.Shape...)
}

// backward walks from y, whose gradient is dy, to the first node. of gives, for a node whose
// gradient is due, the node whose value and inputs the gradient reads: itself, or
// one that computes the same again.
func (g *Graph) backward(y, dy *Node, wrt []*Node, of func(*Node) *Node) []*Node {
	if !y.Shape.Equal(dy.Shape) {
		panic("graph: a gradient of another shape")
	}
	needed := g.dependents(wrt, y.ID)
	grads := map[*Node]*Node{y: dy}
	for id := y.ID; id >= 0; id-- {
		n := g.nodes[id]
		dy := grads[n]
		if dy == nil || !needed[id] || len(n.Inputs) == 0 {
			continue
		}
		for i, dx := range n.Op.grad(g, of(n), dy) {
			in := n.Inputs[i]
			if dx == nil || !needed[in.ID] {
				continue
			}
			if sum := grads[in]; sum != nil {
				dx = g.Add(sum, dx)
			}
			grads[in] = dx
		}
	}
	out := make([]*Node, len(wrt))
	for i, n := range wrt {
		if out[i] = grads[n]; out[i] == nil {
			out[i] = g.Fill(0, n.Shape...)
		}
	}
	return out
}

// dependents marks, up to node last, every node that depends on one of from.
func (g *Graph) dependents(from []*Node, last int) []bool {
	marked := make([]bool, last+1)
	for _, n := range from {
		if n.ID <= last {
			marked[n.ID] = true
		}
	}
	for id, n := range g.nodes[:last+1] {
		for _, in := range n.Inputs {
			marked[id] = marked[id] || marked[in.ID]
		}
	}
	return marked
}
