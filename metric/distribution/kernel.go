package distribution

import (
	"fmt"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
)

// kernelBlock is how many vectors of a set are compared at a time with as many of
// the other: 17 MB of the 2048 features of Inception-v3.
const kernelBlock = 1024

// KernelDistance is the unbiased estimate of the squared maximum mean discrepancy
// of two sets (Gretton et al. 2012) under the kernel k(x, y) = (x.y/d + 1)^3
// (Binkowski et al. 2018, section 4), over all pairs of vectors:
//
//	mean k(x, x') over x != x'  +  mean k(y, y') over y != y'  -  2 mean k(x, y)
//
// Its expectation does not depend on the number of vectors, so for equal
// distributions it is as often below 0 as above; for two copies of one set it is
// below. It is not multiplied by 1000. Others average it over random subsets,
// which changes its scatter and not its expectation. The time grows with the
// square of the vectors. Errors are as of [FrechetDistance].
func KernelDistance(a, b Samples) (float64, error) {
	if err := checkPair(a, b); err != nil {
		return 0, fmt.Errorf("distribution: kernel distance: %w", err)
	}
	n, _ := a.shape()
	m, _ := b.shape()
	within := withinSum(a)/(float64(n)*float64(n-1)) + withinSum(b)/(float64(m)*float64(m-1))
	return within - 2*betweenSum(a, b)/(float64(n)*float64(m)), nil
}

// withinSum is the sum of the kernel over all ordered pairs of different vectors.
func withinSum(x Samples) (sum float64) {
	n, _ := x.shape()
	for from := 0; from < n; from += kernelBlock {
		p := block(x, from)
		k := newGram(p, p)
		for i := range k.rows {
			sum += 2 * k.rowSum(i, i+1)
		}
		for other := from + kernelBlock; other < n; other += kernelBlock {
			sum += 2 * newGram(p, block(x, other)).sum()
		}
	}
	return sum
}

// betweenSum is the sum of the kernel over all pairs of two sets.
func betweenSum(x, y Samples) (sum float64) {
	n, _ := x.shape()
	m, _ := y.shape()
	for i := 0; i < n; i += kernelBlock {
		p := block(x, i)
		for j := 0; j < m; j += kernelBlock {
			sum += newGram(p, block(y, j)).sum()
		}
	}
	return sum
}

// block returns up to kernelBlock vectors.
func block(x Samples, from int) blas64.General {
	n, d := x.shape()
	g := blas64.General{Rows: min(kernelBlock, n-from), Cols: d, Stride: d}
	g.Data = make([]float64, g.Rows*d)
	for i := range g.Rows {
		x.row(g.Data[i*d:(i+1)*d], from+i)
	}
	return g
}

// gram holds the inner products of two blocks, divided by d.
type gram struct {
	rows, cols int
	products   []float64
}

func newGram(x, y blas64.General) gram {
	g := gram{x.Rows, y.Rows, make([]float64, x.Rows*y.Rows)}
	c := blas64.General{Rows: g.rows, Cols: g.cols, Stride: g.cols, Data: g.products}
	blas64.Gemm(blas.NoTrans, blas.Trans, 1/float64(x.Cols), x, y, 0, c)
	return g
}

// rowSum is the sum of the kernel of row i from a column on.
func (g gram) rowSum(i, from int) (sum float64) {
	for _, v := range g.products[i*g.cols+from : (i+1)*g.cols] {
		v++
		sum += v * v * v
	}
	return sum
}

func (g gram) sum() (sum float64) {
	for i := range g.rows {
		sum += g.rowSum(i, 0)
	}
	return sum
}
