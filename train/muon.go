package train

import (
	"math"

	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/unet"
)

// The values that train.optimizer may have.
const (
	// OptimizerAdam is Adam (Kingma and Ba, 2015), as the paper has it.
	OptimizerAdam = "adam"
	// OptimizerMuon steps along the momentum of a matrix with all its singular values made about 1 (Jordan et al.,
	// 2024), as long as a step of Adam (Liu et al., 2025, section 2.2). Convolutions are matrices of a row for each
	// kernel position and input channel, and a column for each output channel. What is no matrix has Adam.
	OptimizerMuon = "muon"
)

// Optimizers are the names that train.optimizer may have.
func Optimizers() []string { return []string{OptimizerAdam, OptimizerMuon} }

const (
	muonLeast = 16  // rows and columns below which a parameter has Adam
	muonRMS   = 0.2 // of the elements of a step, as Adam's are in practice
	// muonSteps iterations of the quintic a x + b x^3 + c x^5 bring singular values between 0.01 and 1 to between
	// 0.7 and 1.2 (Jordan et al., 2024).
	muonSteps = 5
	muonA     = 3.4445
	muonB     = -4.7750
	muonC     = 2.0315
)

// muonSize is the size of the matrix that a parameter is for Muon; false if it has Adam.
func muonSize(p unet.Param) (rows, columns int, ok bool) {
	if len(p.Shape) < 2 {
		return 0, 0, false
	}
	columns = p.Shape[len(p.Shape)-1]
	rows = p.Len() / columns
	return rows, columns, min(rows, columns) >= muonLeast
}

// matrix is a parameter that Muon updates.
type matrix struct {
	unet.Param
	w, d, m, ema *graph.Node // d is the gradient, clipped already
}

// buildMuon adds the updates of matrices.
func buildMuon(g *graph.Graph, beta float32, matrices []matrix, hyper *graph.Node) []*graph.Node {
	var ahead, momenta, updates []*graph.Node
	for _, p := range matrices {
		momentum := g.Add(g.Scale(p.m, beta), g.Scale(p.d, 1-beta))
		rows, columns, _ := muonSize(p.Param)
		nesterov := g.Add(g.Scale(momentum, beta), g.Scale(p.d, 1-beta))
		momenta, ahead = append(momenta, momentum), append(ahead, g.Reshape(nesterov, 1, rows, columns))
	}
	for i, step := range orthogonalize(g, ahead) {
		p := matrices[i]
		length := muonRMS * float32(math.Sqrt(float64(max(step.Shape[1], step.Shape[2]))))
		updates = append(updates, g.Descend(p.w, g.Reshape(g.Scale(step, length), p.Shape...), p.m, momenta[i], hyper, p.ema))
	}
	return updates
}

// orthogonalize adds the matrices xs, each [1, rows, columns], with their singular values brought near 1: Newton and
// Schulz's iteration X' = X P(A) with A = X^T X and P(A) = a + b A + c A^2 (on the shorter side). All P(A) commute, so
// the product of them is made from A alone, A' = P A P, and X is multiplied but twice. What has A of one size goes
// through the iteration together, since single matrices are too small to keep several threads busy.
func orthogonalize(g *graph.Graph, xs []*graph.Node) []*graph.Node {
	bySize := map[int][]int{}
	var sizes []int
	normed, grams, out := make([]*graph.Node, len(xs)), make([]*graph.Node, len(xs)), make([]*graph.Node, len(xs))
	for i, x := range xs {
		norm := g.Reshape(g.Sqrt(g.Sum(g.Square(x))), 1)
		normed[i] = g.Mul(x, g.Reshape(g.Div(g.Fill(1, 1), g.Affine(norm, 1, 1e-20)), 1, 1, 1))
		grams[i] = g.MatMul(normed[i], normed[i], tall(x), !tall(x))
		n := grams[i].Shape[1]
		if bySize[n] == nil {
			sizes = append(sizes, n)
		}
		bySize[n] = append(bySize[n], i)
	}
	for _, n := range sizes {
		var together []*graph.Node
		for _, i := range bySize[n] {
			together = append(together, grams[i])
		}
		factors := newtonSchulz(g, g.Concat(0, together...))
		for k, i := range bySize[n] {
			factor := g.Slice(factors, 0, k, k+1)
			if tall(xs[i]) {
				out[i] = g.MatMul(normed[i], factor, false, false)
			} else {
				out[i] = g.MatMul(factor, normed[i], false, false)
			}
		}
	}
	return out
}

func tall(x *graph.Node) bool { return x.Shape[1] >= x.Shape[2] }

// newtonSchulz adds the product of all P(A) for the matrices a [count, n, n].
func newtonSchulz(g *graph.Graph, a *graph.Node) *graph.Node {
	times := func(a, b *graph.Node) *graph.Node { return g.MatMul(a, b, false, false) }
	var product *graph.Node
	for k := range muonSteps {
		p := g.Add(g.Scale(a, muonB), g.Scale(times(a, a), muonC)) // and muonA times the identity
		if k == 0 {
			product = g.Add(p, g.Scale(identity(g, a.Shape[1]), muonA))
		} else {
			product = g.Add(g.Scale(product, muonA), times(product, p))
		}
		if k < muonSteps-1 {
			ap := g.Add(g.Scale(a, muonA), times(a, p))
			a = g.Add(g.Scale(ap, muonA), times(ap, p))
		}
	}
	return product
}

// identity adds the matrix [1, n, n].
func identity(g *graph.Graph, n int) *graph.Node {
	values := make([]float32, n*n)
	for i := range n {
		values[i*n+i] = 1
	}
	return g.Constant(values, 1, n, n)
}
