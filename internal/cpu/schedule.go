package cpu

import (
	"slices"

	"github.com/sr3-go/sr3/internal/graph"
)

// The order of steps is that of the graph, but for what makes memory free sooner:
// a gradient dies when it has been added up for the norm of all gradients, and
// its parameter has been updated. The gradients of all parameters together are as
// large as the parameters.

// analyse finds the needed nodes and who uses them.
func (c *compiler) analyse(g *graph.Graph, outputs []*graph.Node) {
	needed := map[*graph.Node]bool{}
	c.users = map[*graph.Node][]*graph.Node{}
	c.updated = map[*graph.Node]bool{}
	c.kept = map[*graph.Node]bool{}
	for _, n := range outputs {
		needed[n], c.kept[n] = true, true
	}
	nodes := g.Nodes()
	for id := len(nodes) - 1; id >= 0; id-- {
		n := nodes[id]
		if !needed[n] {
			continue
		}
		for _, in := range n.Inputs {
			needed[in] = true
			c.users[in] = append(c.users[in], n)
		}
	}
	for _, n := range nodes {
		if !needed[n] || len(n.Inputs) == 0 {
			continue
		}
		if _, ok := n.Op.(*graph.Adam); !ok {
			c.order = append(c.order, n)
			continue
		}
		c.updates = append(c.updates, n)
		for _, v := range updatedBy(n) {
			c.updated[v] = true
		}
	}
	// Variables, inputs and constants take no step. They come first, so that an
	// update does not wait for its moments to appear.
	sources := slices.DeleteFunc(slices.Clone(nodes), func(n *graph.Node) bool { return !needed[n] || len(n.Inputs) > 0 })
	c.order = append(sources, c.sumsEarly()...)
}

// sumsEarly is the order with sums, and sums of an elementwise function, right
// behind what they add up.
func (c *compiler) sumsEarly() []*graph.Node {
	behind := map[*graph.Node][]*graph.Node{} // what is moved there
	moved := map[*graph.Node]bool{}
	for _, n := range c.order {
		if _, ok := n.Op.(*graph.Sum); !ok {
			continue
		}
		chain := []*graph.Node{n}
		from := n.Inputs[0]
		if _, ok := from.Op.(*graph.Unary); ok && len(c.users[from]) == 1 && !c.kept[from] {
			chain = []*graph.Node{from, n}
			from = from.Inputs[0]
		}
		if len(from.Inputs) == 0 || moved[from] {
			continue
		}
		behind[from] = append(behind[from], chain...)
		for _, m := range chain {
			moved[m] = true
		}
	}
	var order []*graph.Node
	for _, n := range c.order {
		if !moved[n] {
			order = append(append(order, n), behind[n]...)
		}
	}
	return order
}

// schedule says when updates run: due[i] come after node i of the order, those of
// due[len(order)] after all steps and after [compiler.save]. All of them come last
// if their order among themselves matters.
func (c *compiler) schedule(outputs []*graph.Node) (due [][]*graph.Node) {
	due = make([][]*graph.Node, len(c.order)+1)
	if c.entangled(outputs) {
		due[len(c.order)] = c.updates
		return due
	}
	at := make(map[*graph.Node]int, len(c.order))
	for i, n := range c.order {
		at[n] = i
	}
	for _, n := range c.updates {
		last := max(at[n.Inputs[1]], at[n.Inputs[4]])
		for _, v := range updatedBy(n) {
			last = max(last, c.lastRead(v, at))
		}
		due[last] = append(due[last], n)
	}
	return due
}

// entangled reports whether an update changes what another one or an output
// reads, or what another one changes.
func (c *compiler) entangled(outputs []*graph.Node) bool {
	changed := 0
	for _, n := range c.updates {
		changed += len(updatedBy(n))
	}
	return changed > len(c.updated) || slices.ContainsFunc(c.readAtEnd(outputs), func(n *graph.Node) bool {
		return c.updated[sourceVariable(n)]
	})
}

// lastRead is the place in the order of the last node that reads n; what reads a
// reshaped value, or a normalisation that its consumers apply, reads n itself.
func (c *compiler) lastRead(n *graph.Node, at map[*graph.Node]int) int {
	last := at[n]
	for _, user := range c.users[n] {
		last = max(last, at[user]) // 0 for updates
		switch user.Op.(type) {
		case *graph.Reshape, *graph.GroupNorm:
			last = max(last, c.lastRead(user, at))
		}
	}
	return last
}
