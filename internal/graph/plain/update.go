package plain

import (
	"math"

	"github.com/sr3-go/sr3/internal/graph"
)

// update applies an update to the stored variables. What it computes with are
// values of the run; every variable belongs to one update at most, so the order of
// updates does not matter.
func (m *Machine) update(n *graph.Node) {
	stored := func(i int) []float64 { return m.stored[storedLabel(n.Inputs[i])] }
	hyper := m.values[n.Inputs[4]]
	switch o := n.Op.(type) {
	case *graph.Adam:
		adam(o, stored(0), m.values[n.Inputs[1]], stored(2), stored(3), hyper)
	case *graph.Descent:
		for i, d := range m.values[n.Inputs[1]] {
			stored(0)[i] -= hyper[graph.AdamRate] * d
		}
		copy(stored(2), m.values[n.Inputs[3]])
	default:
		panic("plain: no update " + n.Op.Name())
	}
	if len(n.Inputs) < 6 {
		return
	}
	p, decay := stored(0), hyper[graph.AdamDecay]
	for i, ema := 0, stored(5); i < len(ema); i++ {
		ema[i] = decay*ema[i] + (1-decay)*p[i]
	}
}

func adam(o *graph.Adam, p, grad, first, second, hyper []float64) {
	b1, b2 := float64(o.B1), float64(o.B2)
	for i := range p {
		d := grad[i] * hyper[graph.AdamClip]
		first[i] = b1*first[i] + (1-b1)*d
		second[i] = b2*second[i] + (1-b2)*d*d
		step := first[i] / hyper[graph.AdamC1] / (math.Sqrt(second[i]/hyper[graph.AdamC2]) + float64(o.Epsilon))
		p[i] -= hyper[graph.AdamRate] * step
	}
}
