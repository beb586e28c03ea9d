package plain

import (
	"math"

	"github.com/sr3-go/sr3/internal/graph"
)

// update applies an Adam node to the stored variables. The gradient and the
// numbers of the step are values of the run; every variable belongs to one
// update at most, so the order of updates does not matter.
func (m *Machine) update(n *graph.Node) {
	o := n.Op.(*graph.Adam)
	stored := func(i int) []float64 { return m.stored[storedLabel(n.Inputs[i])] }
	p, first, second := stored(0), stored(2), stored(3)
	grad, hyper := m.values[n.Inputs[1]], m.values[n.Inputs[4]]
	b1, b2 := float64(o.B1), float64(o.B2)
	for i := range p {
		d := grad[i] * hyper[graph.AdamClip]
		first[i] = b1*first[i] + (1-b1)*d
		second[i] = b2*second[i] + (1-b2)*d*d
		step := first[i] / hyper[graph.AdamC1] / (math.Sqrt(second[i]/hyper[graph.AdamC2]) + float64(o.Epsilon))
		p[i] -= hyper[graph.AdamRate] * step
	}
	if len(n.Inputs) < 6 {
		return
	}
	decay := hyper[graph.AdamDecay]
	for i, ema := 0, stored(5); i < len(ema); i++ {
		ema[i] = decay*ema[i] + (1-decay)*p[i]
	}
}
