package plain

import (
	"math"

	"github.com/sr3-go/sr3/internal/graph"
)

// groupSums adds up f over the pixels and channels of every group: [n][group].
// The second result is how many elements a group has.
func groupSums(x graph.Shape, groups int, f func(i, n, group, c int) float64) ([][]float64, float64) {
	width := x[3] / groups
	sums := make([][]float64, x[0])
	for n := range sums {
		sums[n] = make([]float64, groups)
	}
	pixels(x, func(n, y, z, c int) {
		sums[n][c/width] += f(nhwc(x, n, y, z, c), n, c/width, c)
	})
	return sums, float64(x[1] * x[2] * width)
}

func groupStats(o *graph.GroupStats, node *graph.Node, out, x []float64) {
	s := node.Inputs[0].Shape
	sums, count := groupSums(s, o.Groups, func(i, _, _, _ int) float64 { return x[i] })
	squares, _ := groupSums(s, o.Groups, func(i, n, group, _ int) float64 {
		d := x[i] - sums[n][group]/count
		return d * d
	})
	for n := range s[0] {
		for group := range o.Groups {
			at := (n*o.Groups + group) * 2
			out[at] = sums[n][group] / count
			out[at+1] = 1 / math.Sqrt(squares[n][group]/count+float64(o.Epsilon))
		}
	}
}

// normalised holds the inputs that the application of group normalisation and
// its gradients begin with.
type normalised struct {
	shape                  graph.Shape // of x
	groups                 int
	x, stats, scale, shift []float64
}

func normalisedInputs(node *graph.Node, in [][]float64) normalised {
	return normalised{node.Inputs[0].Shape, node.Inputs[1].Shape[1], in[0], in[1], in[2], in[3]}
}

// group is the group of channel c.
func (g normalised) group(c int) int { return c / (g.shape[3] / g.groups) }

// rstd is the reciprocal standard deviation of image n and channel c.
func (g normalised) rstd(n, c int) float64 { return g.stats[(n*g.groups+g.group(c))*2+1] }

// xhat is (x - mean) * rstd of element i, which is in image n and channel c.
func (g normalised) xhat(i, n, c int) float64 {
	return (g.x[i] - g.stats[(n*g.groups+g.group(c))*2]) * g.rstd(n, c)
}

// z is the value before the activation.
func (g normalised) z(i, n, c int) float64 { return g.xhat(i, n, c)*g.scale[c] + g.shift[c] }

// dz takes the gradient dy of element i back through the activation.
func (g normalised) dz(silu bool, dy []float64, i, n, c int) float64 {
	if silu {
		return dy[i] * siluSlope(g.z(i, n, c))
	}
	return dy[i]
}

func groupNorm(o *graph.GroupNorm, node *graph.Node, out []float64, in [][]float64) {
	g := normalisedInputs(node, in)
	pixels(g.shape, func(n, y, x, c int) {
		i := nhwc(g.shape, n, y, x, c)
		out[i] = g.z(i, n, c)
		if o.SiLU {
			out[i] *= sigmoid(out[i])
		}
	})
}

func groupNormGradSums(o *graph.GroupNormGradSums, node *graph.Node, out []float64, in [][]float64) {
	g, dy := normalisedInputs(node, in), in[4]
	channels := g.shape[3]
	pixels(g.shape, func(n, y, x, c int) {
		i := nhwc(g.shape, n, y, x, c)
		dz := g.dz(o.SiLU, dy, i, n, c)
		out[(n*2+0)*channels+c] += dz
		out[(n*2+1)*channels+c] += dz * g.xhat(i, n, c)
	})
}

// groupNormInputGrad does not read the sums that are its last input: they are
// there to save executors the work, and the specification needs no savings.
func groupNormInputGrad(o *graph.GroupNormInputGrad, node *graph.Node, out []float64, in [][]float64) {
	g, dy := normalisedInputs(node, in), in[4]
	scaled := func(i, n, c int) float64 { return g.dz(o.SiLU, dy, i, n, c) * g.scale[c] }
	sums, count := groupSums(g.shape, g.groups, func(i, n, _, c int) float64 { return scaled(i, n, c) })
	hat, _ := groupSums(g.shape, g.groups, func(i, n, _, c int) float64 {
		return scaled(i, n, c) * g.xhat(i, n, c)
	})
	pixels(g.shape, func(n, y, x, c int) {
		i, k := nhwc(g.shape, n, y, x, c), g.group(c)
		out[i] = g.rstd(n, c) * (scaled(i, n, c) - sums[n][k]/count - g.xhat(i, n, c)*hat[n][k]/count)
	})
}
