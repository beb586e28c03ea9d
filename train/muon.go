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

// buildMuon adds the update of parameter w by gradient d, which is clipped already, and the momentum m.
func buildMuon(g *graph.Graph, beta float32, p unet.Param, w, d, m, hyper, ema *graph.Node) *graph.Node {
	rows, columns, _ := muonSize(p)
	momentum := g.Add(g.Scale(m, beta), g.Scale(d, 1-beta))
	ahead := g.Add(g.Scale(momentum, beta), g.Scale(d, 1-beta)) // Nesterov's
	step := orthogonalize(g, g.Reshape(ahead, 1, rows, columns))
	length := muonRMS * float32(math.Sqrt(float64(max(rows, columns))))
	return g.Descend(w, g.Reshape(g.Scale(step, length), p.Shape...), m, momentum, hyper, ema)
}

// orthogonalize adds the matrix x [1, rows, columns] with its singular values brought near 1: Newton and Schulz's
// iteration X' = X P(A) with A = X^T X and P(A) = a + b A + c A^2 (on the shorter side). All P(A) commute, so the product of
// them is made from A alone, A' = P A P, and X is multiplied but twice.
func orthogonalize(g *graph.Graph, x *graph.Node) *graph.Node {
	rows, columns := x.Shape[1], x.Shape[2]
	norm := g.Sqrt(g.Sum(g.Square(x)))
	x = g.Mul(x, g.Reshape(g.Div(g.Fill(1, 1), g.Affine(g.Reshape(norm, 1), 1, 1e-20)), 1, 1, 1))
	tall := rows >= columns
	a := g.MatMul(x, x, tall, !tall)
	times := func(a, b *graph.Node) *graph.Node { return g.MatMul(a, b, false, false) }
	product := identity(g, min(rows, columns))
	for k := range muonSteps {
		p := g.Add(g.Scale(a, muonB), g.Scale(times(a, a), muonC)) // and muonA times the identity
		product = g.Add(g.Scale(product, muonA), times(product, p))
		if k < muonSteps-1 {
			ap := g.Add(g.Scale(a, muonA), times(a, p))
			a = g.Add(g.Scale(ap, muonA), times(ap, p))
		}
	}
	if tall {
		return times(x, product)
	}
	return times(product, x)
}

// identity adds the matrix [1, n, n].
func identity(g *graph.Graph, n int) *graph.Node {
	values := make([]float32, n*n)
	for i := range n {
		values[i*n+i] = 1
	}
	return g.Constant(values, 1, n, n)
}
