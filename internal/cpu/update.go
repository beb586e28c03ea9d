package cpu

import (
	"slices"

	"github.com/sr3-go/sr3/internal/cpu/kernel"
	"github.com/sr3-go/sr3/internal/graph"
)

// What a run computes is from before its updates: each of them waits for all that
// reads its variables (see [compiler.update]).

// readAtEnd lists what is read when all steps have run: outputs, and what updates
// that come last read.
func (c *compiler) readAtEnd(outputs []*graph.Node) []*graph.Node {
	readers := slices.Clone(outputs)
	for _, n := range c.updates {
		readers = append(readers, n.Op.(graph.Update).Computed(n)...)
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

// lowerUpdates lowers updates, each of one parameter.
func (c *compiler) lowerUpdates(updates []*graph.Node) {
	for _, n := range updates {
		var ema *buffer
		if len(n.Inputs) == 6 {
			ema = c.in(n.Inputs[5])
		}
		var body func(lo, hi int, average []float32)
		switch op := n.Op.(type) {
		case *graph.Adam:
			body = c.adam(n, op)
		case *graph.Descent:
			body = c.descent(n)
		default:
			panic("cpu: no update " + op.Name())
		}
		c.values[n] = c.keep(1)
		update := chunks(n.Inputs[0].Shape.Size(), func(lo, hi int) {
			var average []float32
			if ema != nil {
				average = ema.data[lo:hi]
			}
			body(lo, hi, average)
		})
		c.emit(n.Op.Name(), update, c.touch(n.Op.(graph.Update).Changed(n)))
	}
}

// touch tells all programs to pack the new values of variables again.
func (c *compiler) touch(changed []*graph.Node) phase {
	vars := c.vars
	return phase{n: 1, body: func(_, _ int) {
		for _, v := range changed {
			vars.Touch(v.Op.(*graph.Variable).Label)
		}
	}}
}

// adam is what an Adam node does to the elements from lo on below hi, and to their averages, if there are any.
func (c *compiler) adam(n *graph.Node, op *graph.Adam) func(lo, hi int, average []float32) {
	p, m, v := c.in(n.Inputs[0]), c.in(n.Inputs[2]), c.in(n.Inputs[3])
	g, h := c.before(n.Inputs[1]), c.before(n.Inputs[4])
	return func(lo, hi int, average []float32) {
		kernel.Adam(p.data[lo:hi], g.data[lo:hi], m.data[lo:hi], v.data[lo:hi], average,
			h.data[graph.AdamClip], h.data[graph.AdamRate], op.B1, op.B2, op.Epsilon,
			h.data[graph.AdamC1], h.data[graph.AdamC2], h.data[graph.AdamDecay])
	}
}

// descent is [compiler.adam] for a direction that is there.
func (c *compiler) descent(n *graph.Node) func(lo, hi int, average []float32) {
	p, m := c.in(n.Inputs[0]), c.in(n.Inputs[2])
	direction, momentum, h := c.before(n.Inputs[1]), c.before(n.Inputs[3]), c.before(n.Inputs[4])
	return func(lo, hi int, average []float32) {
		copy(m.data[lo:hi], momentum.data[lo:hi])
		kernel.Descend(p.data[lo:hi], direction.data[lo:hi], average, h.data[graph.AdamRate], h.data[graph.AdamDecay])
	}
}
