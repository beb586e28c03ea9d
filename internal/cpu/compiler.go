package cpu

import (
	"fmt"

	"github.com/sr3-go/sr3/internal/cpu/kernel"
	"github.com/sr3-go/sr3/internal/graph"
)

// compiler holds what is known while a graph is lowered, node by node.
type compiler struct {
	program *Program
	vars    *Variables
	order   []*graph.Node // the needed nodes but for updates
	updates []*graph.Node // these come after everything that reads their variables
	users   map[*graph.Node][]*graph.Node
	updated map[*graph.Node]bool          // variables that the program itself changes
	kept    map[*graph.Node]bool          // outputs: they must be materialised
	copies  map[*graph.Node][]*graph.Node // nodes that compute the same, each itself among them

	values    map[*graph.Node]*buffer
	saved     map[*graph.Node]*buffer // values of updated variables before the updates
	buffers   []*buffer
	inPlace   map[*buffer]*buffer
	deferred  map[*graph.Node]*normSource   // normalisations that their consumers apply
	takenIn   map[*graph.Node]bool          // nodes that a convolution before them does
	sums      map[*graph.Node]*channelSums  // sums that the producer of a value gathers
	joined    map[*graph.Node]bool          // joins whose consumers read the parts
	softmaxes map[*graph.Node]*softmaxState // what attention leaves to its gradient
	taken     map[*graph.Node]int           // how many nodes a convolution does, by the first of its copies
	choose    func(filter graph.Shape, stride int, out graph.Shape) convWay
	fixed     int64 // floats in fixed buffers other than variables
}

// newCompiler begins a program for a number of threads.
func newCompiler(vars *Variables, threads int) *compiler {
	return &compiler{
		program: &Program{inputs: map[string]*buffer{}, tiles: make([]kernel.Tile, threads)},
		vars:    vars, choose: chooseWay, values: map[*graph.Node]*buffer{}, saved: map[*graph.Node]*buffer{},
		inPlace: map[*buffer]*buffer{}, deferred: map[*graph.Node]*normSource{},
		takenIn: map[*graph.Node]bool{}, sums: map[*graph.Node]*channelSums{}, joined: map[*graph.Node]bool{},
		softmaxes: map[*graph.Node]*softmaxState{}, taken: map[*graph.Node]int{},
	}
}

// compile makes the program but for its goroutines.
func (c *compiler) compile(g *graph.Graph, outputs []*graph.Node) error {
	c.analyse(g, outputs)
	for _, n := range c.order {
		if err := c.lower(n); err != nil {
			return fmt.Errorf("%v: %w", n, err)
		}
	}
	c.update(outputs)
	for _, n := range outputs {
		if c.values[n] == nil {
			return fmt.Errorf("%v belongs to another graph", n)
		}
		c.program.outputs = append(c.program.outputs, c.before(n))
	}
	c.place()
	return nil
}

// index is the number of the step being built.
func (c *compiler) index() int { return len(c.program.steps) }

// temp makes a buffer in the arena that is written by the step being built.
func (c *compiler) temp(size int) *buffer {
	b := &buffer{size: size, first: c.index(), last: c.index()}
	c.buffers = append(c.buffers, b)
	return b
}

// keep makes a buffer with storage of its own.
func (c *compiler) keep(size int) *buffer {
	b := &buffer{size: size, fixed: true, data: alloc(size)}
	c.fixed += int64(size)
	return b
}

// in is the value of an input of the step being built.
func (c *compiler) in(n *graph.Node) *buffer {
	b := c.values[n]
	if b == nil {
		panic(fmt.Sprintf("cpu: %v has no value", n))
	}
	if b.load != nil {
		b.data, b.load = b.load(), nil
	}
	b.use(c.index())
	return b
}

// out makes the buffer of a node's value.
func (c *compiler) out(n *graph.Node) *buffer {
	b := c.temp(n.Shape.Size())
	c.values[n] = b
	return b
}

// outInPlace is out for elementwise operations, which may write over from.
func (c *compiler) outInPlace(n *graph.Node, from *buffer) *buffer {
	b := c.out(n)
	c.inPlace[b] = from
	return b
}

// emit ends the step being built.
func (c *compiler) emit(name string, phases ...phase) { c.emitWork(name, work{}, phases...) }

// emitWork is emit with what a profile should say of the step.
func (c *compiler) emitWork(name string, w work, phases ...phase) {
	c.program.steps = append(c.program.steps, &step{name: name, work: w, phases: phases})
}

// variable makes the buffer of a variable. Its values are fetched when something
// reads them as they are, which packed weights never do.
func (c *compiler) variable(n *graph.Node, op *graph.Variable) {
	vars, size := c.vars, n.Shape.Size()
	vars.declare(op.Label, size) // a wrong size is found here
	c.values[n] = &buffer{size: size, fixed: true, load: func() []float32 { return vars.Ensure(op.Label, size) }}
}

// place lays out the arena and hands every buffer its storage.
func (c *compiler) place() {
	size := planArena(c.buffers, c.inPlace)
	arena := alloc(size)
	for _, b := range c.buffers {
		if !b.fixed {
			b.data = arena[b.offset : b.offset+b.size : b.offset+padded(b.size)]
		}
	}
	c.program.memory = 4 * (c.fixed + int64(size))
}

// lower turns one node into a step.
func (c *compiler) lower(n *graph.Node) error {
	if c.takenIn[n] {
		return nil
	}
	switch op := n.Op.(type) {
	case *graph.Input:
		b := c.keep(n.Shape.Size())
		c.values[n], c.program.inputs[op.Label] = b, b
	case *graph.Variable:
		c.variable(n, op)
	case *graph.Constant:
		b := c.keep(n.Shape.Size())
		copy(b.data, op.Values)
		c.values[n] = b
	case *graph.Fill:
		b := c.keep(n.Shape.Size())
		for i := range b.data {
			b.data[i] = op.Value
		}
		c.values[n] = b
	case *graph.Reshape:
		c.values[n] = c.values[n.Inputs[0]] // read by nobody yet
	case *graph.Binary:
		c.binary(n, op)
	case *graph.Unary:
		c.unary(n, op)
	case *graph.SiLUGrad:
		c.siluGrad(n)
	case *graph.Affine:
		c.affine(n, op)
	case *graph.Sum:
		c.sum(n)
	case *graph.Stretch:
		c.stretch(n)
	case *graph.Concat:
		c.concat(n, op)
	case *graph.Slice:
		c.slice(n, op)
	case *graph.Pad:
		c.pad(n, op)
	case *graph.SpaceToDepth:
		c.spaceToDepth(n, op.Factor, n.Inputs[0].Shape, n.Shape, false)
	case *graph.DepthToSpace:
		c.spaceToDepth(n, op.Factor, n.Shape, n.Inputs[0].Shape, true)
	case *graph.Upsample:
		c.upsample(n, op)
	case *graph.AvgPool:
		c.avgPool(n, op)
	case *graph.MaxPool:
		c.maxPool(n, op)
	case *graph.MaxPoolGrad:
		c.maxPoolGrad(n, op)
	case *graph.MatMul:
		c.matMul(n, op)
	case *graph.Softmax:
		c.softmax(n)
	case *graph.SoftmaxGrad:
		c.softmaxGrad(n)
	case *graph.Attention:
		c.attention(n, op)
	case *graph.AttentionGrad:
		return c.attentionGrad(n, op)
	case *graph.Conv2D:
		c.conv2D(n, op)
	case *graph.Conv2DInputGrad:
		c.conv2DInputGrad(n, op)
	case *graph.Conv2DWeightGrad:
		c.conv2DWeightGrad(n, op)
	case *graph.GroupStats:
		c.groupStats(n, op)
	case *graph.GroupNorm:
		c.groupNorm(n, op)
	case *graph.GroupNormGradSums:
		c.groupNormGradSums(n, op)
	case *graph.GroupNormInputGrad:
		c.groupNormInputGrad(n, op)
	case *graph.Dropout:
		c.dropout(n, op)
	default:
		return fmt.Errorf("the executor does not know this operation")
	}
	return nil
}
