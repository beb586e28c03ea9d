package graph

import "fmt"

// Attention is dot-product attention with one head over the pixels of an image
// (Vaswani et al., 2017, equation 1), for q, k and v [N, P, C] side by side in one
// tensor qkv [N, P, 3C]:
//
//	out[i] = sum over j of a[i][j] v[j],  a[i] = softmax over j of Scale * q[i].k[j]
//
// Scale is positive. It is one operation so that executors need not hold the P x P weights a.
type Attention struct{ Scale float32 }

// Attention mixes the last C channels of qkv [N, P, 3C] over its P pixels, with
// weights from the first C (queries) and the second C (keys): [N, P, C]. The scale
// is 1/sqrt(C) nearly everywhere.
func (g *Graph) Attention(qkv *Node, scale float32) *Node {
	return g.apply(&Attention{scale}, qkv)
}

// Name implements [Op].
func (o *Attention) Name() string { return "attention" }
func (o *Attention) shape(in []Shape) (Shape, error) {
	if len(in[0]) != 3 || in[0][2]%3 != 0 {
		return nil, fmt.Errorf("queries, keys and values must be thirds of [images, pixels, channels]")
	}
	if !(o.Scale > 0) {
		return nil, fmt.Errorf("a scale of %v", o.Scale)
	}
	return Shape{in[0][0], in[0][1], in[0][2] / 3}, nil
}
func (o *Attention) grad(g *Graph, n, dy *Node) []*Node {
	qkv := n.Inputs[0]
	return []*Node{g.apply(&AttentionGrad{Scale: o.Scale}, qkv, n, dy)}
}

// AttentionGrad is the gradient of [Attention] by qkv, [N, P, 3C], from qkv, from
// out = attention(qkv) and from the gradient dy by it, both [N, P, C]. With the
// weights a, computed again,
//
//	ds[i][j] = a[i][j] (dy[i].v[j] - dy[i].out[i])
//	dq[i] = Scale * sum over j of ds[i][j] k[j]
//	dk[j] = Scale * sum over i of ds[i][j] q[i]
//	dv[j] = sum over i of a[i][j] dy[i]
type AttentionGrad struct {
	once
	Scale float32
}

// Name implements [Op].
func (o *AttentionGrad) Name() string                    { return "attention-grad" }
func (o *AttentionGrad) shape(in []Shape) (Shape, error) { return sameShapes(in[:1]) }
