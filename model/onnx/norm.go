package onnx

import (
	"fmt"

	"github.com/sr3-go/sr3/internal/graph"
)

// groupNorm translates group normalisation. ONNX has it as an operation of
// operator set 21, which ONNX Runtime computes by many small ones on CPUs. Layer
// normalisation of the groups, with a scale of ones, is one pass that runs on all
// threads; it was a little faster there than instance normalisation on one thread
// (what PyTorch exports) and than sums put together by hand.
func (t *translator) groupNorm(n *graph.Node, op *graph.GroupNorm) (value, error) {
	stats, ok := n.Inputs[1].Op.(*graph.GroupStats)
	if !ok || n.Inputs[1].Inputs[0] != n.Inputs[0] {
		return value{}, fmt.Errorf("a normalisation with the statistics of something else has no translation to ONNX")
	}
	x := t.values[n.Inputs[0]]
	d := x.dims()
	size := d[1] / stats.Groups * d[2] * d[3]
	y := t.emit("Reshape", nil, t.use(x), t.integers(d[0], stats.Groups, size))
	y = t.emit("LayerNormalization", []attribute{{"axis", -1}, {"epsilon", stats.Epsilon}}, y, t.ones(size))
	y = t.emit("Reshape", nil, y, t.integers(d...))
	y = t.emit("Mul", nil, y, t.perChannel(n.Inputs[2]))
	y = t.emit("Add", nil, y, t.perChannel(n.Inputs[3]))
	if op.SiLU {
		y = t.emit("Mul", nil, y, t.emit("Sigmoid", nil, y))
	}
	return value{name: y, first: true}, nil
}

// perChannel returns a vector of one element a channel as [1, C, 1, 1].
func (t *translator) perChannel(n *graph.Node) string {
	c := n.Shape[0]
	v := t.values[n]
	if v.data != nil {
		return t.store(v.name, []int{1, c, 1, 1}, func() []float32 { return v.data })
	}
	return t.emit("Reshape", nil, v.name, t.integers(1, c, 1, 1))
}

// ones stores a vector of ones.
func (t *translator) ones(n int) string {
	return t.store(fmt.Sprintf("ones.%d", n), []int{n}, func() []float32 {
		out := make([]float32, n)
		for i := range out {
			out[i] = 1
		}
		return out
	})
}
