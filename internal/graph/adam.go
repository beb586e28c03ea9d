package graph

// Adam updates a parameter and its state in place (Kingma and Ba, 2015,
// Algorithm 1) and keeps an exponential moving average of the parameter:
//
//	d = grad * clip
//	m = B1*m + (1-B1)*d            v = B2*v + (1-B2)*d^2
//	p = p - rate * (m/c1) / (sqrt(v/c2) + Epsilon)
//	ema = decay*ema + (1-decay)*p
//
// It is an [Update].
type Adam struct {
	once
	B1, B2, Epsilon float32
}

// Adam adds the update of variable p by gradient grad. m, v and ema are
// variables of p's shape, ema may be nil; hyper is [AdamHyper] numbers.
func (g *Graph) Adam(op Adam, p, grad, m, v, hyper, ema *Node) *Node {
	return g.applyUpdate(&op, ema, p, grad, m, v, hyper)
}

// Name implements [Op].
func (o *Adam) Name() string                    { return "adam" }
func (o *Adam) shape(in []Shape) (Shape, error) { return updateShape(in) }

// Changed implements [Update].
func (o *Adam) Changed(n *Node) []*Node {
	return append([]*Node{n.Inputs[0], n.Inputs[2], n.Inputs[3]}, n.Inputs[inputAverage:]...)
}

// Computed implements [Update].
func (o *Adam) Computed(n *Node) []*Node { return []*Node{n.Inputs[1], n.Inputs[inputHyper]} }
