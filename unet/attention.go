package unet

import (
	"math"

	"github.com/sr3-go/sr3/internal/graph"
)

// attention is self-attention with one head over all pixels of x [N, H, W, C],
// normalised first, with a residual sum:
//
//	x + out(softmax(q k^T / sqrt(C)) v),  q, k, v = thirds of qkv(norm(x)).
//
// The classic families have no bias in qkv.
func (b *builder) attention(name string, x *graph.Node) *graph.Node {
	g := b.g
	n, h, w, c := x.Shape[0], x.Shape[1], x.Shape[2], x.Shape[3]
	qkv := b.convWith(b.weightInit, !b.isClassic(), name+".qkv", b.norm(name+".norm", x, false), 3*c, 1, 1)
	y := g.Attention(g.Reshape(qkv, n, h*w, 3*c), float32(1/math.Sqrt(float64(c))))
	return b.residual(x, b.lastConv(name+".out", g.Reshape(y, n, h, w, c), c, 1))
}
