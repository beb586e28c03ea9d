package graph

import "fmt"

// Adam updates a parameter and its state in place (Kingma and Ba, 2015,
// Algorithm 1) and keeps an exponential moving average of the parameter:
//
//	d = grad * clip
//	m = B1*m + (1-B1)*d            v = B2*v + (1-B2)*d^2
//	p = p - rate * (m/c1) / (sqrt(v/c2) + Epsilon)
//	ema = decay*ema + (1-decay)*p
//
// Its output is an empty token: what it does is done to the variables. All
// values computed from a variable in the same run see it before the update.
type Adam struct {
	once
	B1, B2, Epsilon float32
}

// The per-step numbers of [Adam] in the order of its hyper input.
const (
	AdamRate  = iota // learning rate of this step
	AdamC1           // 1 - B1^t for step t = 1, 2, ...
	AdamC2           // 1 - B2^t
	AdamClip         // factor on the gradient (clipping, averaging), 1 for none
	AdamDecay        // decay of the moving average in this step
	AdamHyper        // how many there are
)

// Adam adds the update of variable p by gradient grad. m, v and ema are
// variables of p's shape, ema may be nil; hyper is [AdamHyper] numbers.
func (g *Graph) Adam(op Adam, p, grad, m, v, hyper, ema *Node) *Node {
	in := []*Node{p, grad, m, v, hyper}
	if ema != nil {
		in = append(in, ema)
	}
	for i, n := range in {
		computed := i == 1 || i == 4 // grad and hyper
		if _, ok := n.Op.(*Variable); !ok && !computed {
			panic("graph: adam updates variables")
		}
	}
	return g.apply(&op, in...)
}

// Name implements [Op].
func (o *Adam) Name() string { return "adam" }
func (o *Adam) shape(in []Shape) (Shape, error) {
	if !in[4].Equal(Shape{AdamHyper}) {
		return nil, fmt.Errorf("%d numbers of the step are needed", AdamHyper)
	}
	like := append([]Shape{}, in[:4]...)
	if len(in) == 6 {
		like = append(like, in[5])
	}
	if _, err := sameShapes(like); err != nil {
		return nil, err
	}
	return Shape{1}, nil
}
