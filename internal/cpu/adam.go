package cpu

import (
	"slices"

	"github.com/sr3-go/sr3/internal/cpu/kernel"
	"github.com/sr3-go/sr3/internal/graph"
)

// What a run computes is from before its updates: each of them waits for all that
// reads its variables (see [compiler.update]).

// updatedBy lists the variables that an Adam node changes: the parameter, its
// moments, and its average if there is one.
func updatedBy(n *graph.Node) []*graph.Node {
	return append([]*graph.Node{n.Inputs[0], n.Inputs[2], n.Inputs[3]}, n.Inputs[5:]...)
}

// readAtEnd lists what is read when all steps have run: outputs, and what updates
// that come last read.
func (c *compiler) readAtEnd(outputs []*graph.Node) []*graph.Node {
	readers := slices.Clone(outputs)
	for _, n := range c.updates {
		readers = append(readers, n.Inputs[1], n.Inputs[4])
	}
	return readers
}

// save copies variables that are changed by updates and are, at the same time,
// outputs, gradients or hyperparameters: all of these are values from before the
// updates of the run. There are none in an ordinary training step.
func (c *compiler) save(outputs []*graph.Node) {
	for _, n := range c.readAtEnd(outputs) {
		if v := sourceVariable(n); v == nil || !c.updated[v] || c.saved[n] != nil {
			continue
		}
		from, to := c.in(n), c.temp(n.Shape.Size())
		c.saved[n] = to
		c.emit("save", chunks(to.size, func(lo, hi int) { copy(to.data[lo:hi], from.data[lo:hi]) }))
	}
}

// before is [compiler.in] for values that a step reads after an update.
func (c *compiler) before(n *graph.Node) *buffer {
	b := c.saved[n]
	if b == nil {
		return c.in(n)
	}
	b.use(c.index())
	return b
}

// adam lowers the update of one parameter.
func (c *compiler) adam(n *graph.Node, op *graph.Adam) {
	p, m, v := c.in(n.Inputs[0]), c.in(n.Inputs[2]), c.in(n.Inputs[3])
	g, h := c.before(n.Inputs[1]), c.before(n.Inputs[4])
	var ema *buffer
	if len(n.Inputs) == 6 {
		ema = c.in(n.Inputs[5])
	}
	c.values[n] = c.keep(1)
	update := chunks(p.size, func(lo, hi int) {
		var average []float32
		if ema != nil {
			average = ema.data[lo:hi]
		}
		kernel.Adam(p.data[lo:hi], g.data[lo:hi], m.data[lo:hi], v.data[lo:hi], average,
			h.data[graph.AdamClip], h.data[graph.AdamRate], op.B1, op.B2, op.Epsilon,
			h.data[graph.AdamC1], h.data[graph.AdamC2], h.data[graph.AdamDecay])
	})
	// The new values must be packed again by every program that reads them.
	vars, changed := c.vars, updatedBy(n)
	touch := phase{n: 1, body: func(_, _ int) {
		for _, v := range changed {
			vars.Touch(v.Op.(*graph.Variable).Label)
		}
	}}
	c.emit("adam", update, touch)
}
