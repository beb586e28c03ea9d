package graph

import "fmt"

// Update is an operation that changes variables in place. All values computed from
// a variable in the same run see it before the update. Its output is an empty token.
type Update interface {
	Op
	// Changed lists the variables among a node's inputs that it changes, Computed
	// those inputs that are values of the run.
	Changed(n *Node) []*Node
	Computed(n *Node) []*Node
}

// The per-step numbers of an [Update] in the order of its hyper input.
const (
	AdamRate  = iota // learning rate of this step
	AdamC1           // 1 - B1^t for step t = 1, 2, ...
	AdamC2           // 1 - B2^t
	AdamClip         // factor on the gradient (clipping, averaging), 1 for none
	AdamDecay        // decay of the moving average in this step
	AdamHyper        // how many there are
)

// The inputs of every update: hyper is the fifth, and an average, if there is one,
// the sixth.
const (
	inputHyper   = 4
	inputAverage = 5
)

// applyUpdate adds an update; ema may be nil.
func (g *Graph) applyUpdate(op Update, ema *Node, in ...*Node) *Node {
	if ema != nil {
		in = append(in, ema)
	}
	n := g.apply(op, in...)
	for _, v := range op.Changed(n) {
		if _, ok := v.Op.(*Variable); !ok {
			panic("graph: " + op.Name() + " updates variables")
		}
	}
	return n
}

// updateShape checks the inputs of an update: all but hyper have one shape.
func updateShape(in []Shape) (Shape, error) {
	if !in[inputHyper].Equal(Shape{AdamHyper}) {
		return nil, fmt.Errorf("%d numbers of the step are needed", AdamHyper)
	}
	if _, err := sameShapes(append(in[:inputHyper:inputHyper], in[inputAverage:]...)); err != nil {
		return nil, err
	}
	return Shape{1}, nil
}

// Descent moves a parameter along a direction that other operations computed, keeps
// the momentum that they computed, and an exponential moving average of the
// parameter:
//
//	p = p - rate*direction
//	m = momentum
//	ema = decay*ema + (1-decay)*p
//
// Of the numbers of the step it takes [AdamRate] and [AdamDecay].
type Descent struct{ once }

// Descend adds the update of variable p. m and ema are variables of p's shape, ema
// may be nil; direction and momentum have that shape too; hyper is [AdamHyper]
// numbers.
func (g *Graph) Descend(p, direction, m, momentum, hyper, ema *Node) *Node {
	return g.applyUpdate(&Descent{}, ema, p, direction, m, momentum, hyper)
}

// Name implements [Op].
func (o *Descent) Name() string                    { return "descent" }
func (o *Descent) shape(in []Shape) (Shape, error) { return updateShape(in) }

// Changed implements [Update].
func (o *Descent) Changed(n *Node) []*Node {
	return append([]*Node{n.Inputs[0], n.Inputs[2]}, n.Inputs[inputAverage:]...)
}

// Computed implements [Update].
func (o *Descent) Computed(n *Node) []*Node {
	return []*Node{n.Inputs[1], n.Inputs[3], n.Inputs[inputHyper]}
}
