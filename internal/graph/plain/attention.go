package plain

import (
	"math"

	"github.com/sr3-go/sr3/internal/graph"
)

// heads cuts a joint tensor [N, P, 3C] into the vectors of image n's pixels.
type heads struct {
	x        []float64
	p, width int
}

func headsOf(n *graph.Node, x []float64) heads {
	s := n.Inputs[0].Shape
	return heads{x, s[1], s[2] / 3}
}

// part is the query (0), key (1) or value (2) of a pixel; writing to it writes to
// the tensor.
func (h heads) part(image, pixel, third int) []float64 {
	at := ((image*h.p+pixel)*3 + third) * h.width
	return h.x[at : at+h.width]
}

// pixel is a vector of a tensor [N, P, C].
func (h heads) pixel(x []float64, image, pixel int) []float64 {
	at := (image*h.p + pixel) * h.width
	return x[at : at+h.width]
}

// weights is the softmax of a query's scores.
func (h heads) weights(image, query int, scale float32) []float64 {
	scores, top := make([]float64, h.p), math.Inf(-1)
	for j := range scores {
		scores[j] = float64(scale) * dot(h.part(image, query, 0), h.part(image, j, 1))
		top = max(top, scores[j]) // cancels; keeps e^x finite
	}
	total := 0.0
	for j := range scores {
		scores[j] = math.Exp(scores[j] - top)
		total += scores[j]
	}
	for j := range scores {
		scores[j] /= total
	}
	return scores
}

func dot(a, b []float64) float64 {
	total := 0.0
	for i := range a {
		total += a[i] * b[i]
	}
	return total
}

// addScaled adds f*x to dst.
func addScaled(dst []float64, f float64, x []float64) {
	for i := range dst {
		dst[i] += f * x[i]
	}
}

func attention(o *graph.Attention, n *graph.Node, out, qkv []float64) {
	h := headsOf(n, qkv)
	for image := range n.Shape[0] {
		for i := range h.p {
			for j, a := range h.weights(image, i, o.Scale) {
				addScaled(h.pixel(out, image, i), a, h.part(image, j, 2))
			}
		}
	}
}

func attentionGrad(o *graph.AttentionGrad, n *graph.Node, out, qkv, y, dy []float64) {
	h, d := headsOf(n, qkv), headsOf(n, out)
	scale := float64(o.Scale)
	for image := range n.Shape[0] {
		for i := range h.p {
			g := h.pixel(dy, image, i)
			mean := dot(g, h.pixel(y, image, i))
			for j, a := range h.weights(image, i, o.Scale) {
				ds := a * (dot(g, h.part(image, j, 2)) - mean)
				addScaled(d.part(image, i, 0), scale*ds, h.part(image, j, 1))
				addScaled(d.part(image, j, 1), scale*ds, h.part(image, i, 0))
				addScaled(d.part(image, j, 2), a, g)
			}
		}
	}
}
