package cpu

import (
	"fmt"
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
		op, ok := n.Op.(graph.Update)
		if !ok {
			c.order = append(c.order, n)
			continue
		}
		c.updates = append(c.updates, n)
		for _, v := range op.Changed(n) {
			c.updated[v] = true
		}
	}
	// Variables, inputs and constants are there before any step.
	sources := slices.DeleteFunc(slices.Clone(nodes), func(n *graph.Node) bool { return !needed[n] || len(n.Inputs) > 0 })
	c.order = append(sources, c.sumsEarly()...)
	c.findCopies()
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

// update lowers the updates, each behind the last step that reads its variables or
// makes its gradient; behind all steps, and [compiler.save], if their order among
// themselves matters.
func (c *compiler) update(outputs []*graph.Node) {
	steps := c.program.steps
	due := make([][]*graph.Node, len(steps)+1)
	if c.entangled(outputs) || len(steps) == 0 {
		c.save(outputs)
		c.lowerUpdates(c.updates)
		return
	}
	for _, n := range c.updates {
		op, last := n.Op.(graph.Update), 0
		for _, v := range op.Computed(n) {
			last = max(last, c.values[v].first)
		}
		for _, v := range op.Changed(n) {
			last = max(last, c.values[v].last)
		}
		due[last] = append(due[last], n)
	}
	c.makeRoom(due)
	c.program.steps = make([]*step, 0, len(steps)+len(c.updates))
	for i, s := range steps {
		c.program.steps = append(c.program.steps, s)
		c.lowerUpdates(due[i])
	}
}

// makeRoom moves all lifetimes to where the steps will be.
func (c *compiler) makeRoom(due [][]*graph.Node) {
	at := make([]int, len(due))
	for i := range due[1:] {
		at[i+1] = at[i] + 1 + len(due[i])
	}
	for _, b := range c.buffers {
		b.first, b.last = at[b.first], at[b.last]
	}
}

// entangled reports whether an update changes what another one or an output
// reads, or what another one changes.
func (c *compiler) entangled(outputs []*graph.Node) bool {
	changed := 0
	for _, n := range c.updates {
		changed += len(n.Op.(graph.Update).Changed(n))
	}
	return changed > len(c.updated) || slices.ContainsFunc(c.readAtEnd(outputs), func(n *graph.Node) bool {
		return c.updated[sourceVariable(n)]
	})
}

// findCopies finds nodes that compute the same value: activation recomputation makes
// them of one operation ([graph.Graph.RecomputedGradients]). Where fusion rounds
// otherwise than separate steps, all copies must be fused or none, or gradients
// would depend on whether they are computed with copies.
func (c *compiler) findCopies() {
	type value struct {
		op     graph.Op
		inputs string
	}
	first := map[value]*graph.Node{}
	c.copies = map[*graph.Node][]*graph.Node{}
	all := map[*graph.Node][]*graph.Node{} // by the first copy
	of := map[*graph.Node]*graph.Node{}
	for _, n := range c.order {
		v := value{op: n.Op}
		for _, in := range n.Inputs {
			v.inputs += fmt.Sprint(of[in].ID, ",")
		}
		if first[v] == nil {
			first[v] = n
		}
		of[n] = first[v]
		all[of[n]] = append(all[of[n]], n)
	}
	for n, f := range of {
		c.copies[n] = all[f]
	}
}

// readers lists what reads a node or a copy of it.
func (c *compiler) readers(n *graph.Node) []*graph.Node {
	var out []*graph.Node
	for _, m := range c.copies[n] {
		out = append(out, c.users[m]...)
	}
	return out
}

// onlyReader is the one node that reads n, nil if there are others, if n or a copy
// of it is an output, or if something else than a copy of that node reads a copy of n.
func (c *compiler) onlyReader(n *graph.Node) *graph.Node {
	if len(c.users[n]) != 1 {
		return nil
	}
	reader := c.users[n][0]
	isCopy := func(m *graph.Node) bool { return c.copies[m] != nil && c.copies[m][0] == c.copies[reader][0] }
	for _, m := range c.copies[n] {
		if c.kept[m] || len(c.users[m]) > 1 || len(c.users[m]) == 1 && !isCopy(c.users[m][0]) {
			return nil
		}
	}
	return reader
}
