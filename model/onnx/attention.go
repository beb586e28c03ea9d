package onnx

import "github.com/sr3-go/sr3/internal/graph"

// attention translates the matrix products that an attention stands for, as a graph
// of its own.
func (t *translator) attention(n *graph.Node, op *graph.Attention) (value, error) {
	g := graph.New()
	qkv := g.Input("qkv", n.Inputs[0].Shape...)
	t.values[qkv] = t.values[n.Inputs[0]]
	c := n.Shape[2]
	q := g.Scale(g.Slice(qkv, 2, 0, c), op.Scale)
	k, v := g.Slice(qkv, 2, c, 2*c), g.Slice(qkv, 2, 2*c, 3*c)
	y := g.MatMul(g.Softmax(g.MatMul(q, k, false, true)), v, false, false)
	t.users[y] = t.users[n]
	if err := t.translate(g, y); err != nil {
		return value{}, err
	}
	return t.values[y], nil
}
