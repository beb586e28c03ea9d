package distribution

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/lapack/lapack64"
	"gonum.org/v1/gonum/mat"
)

// FrechetDistance is the squared Frechet distance of the Gaussians that have the
// means and covariances (divisor n-1) of two sets (Heusel et al. 2017, eq. 6):
//
//	|m1 - m2|^2 + tr(C1) + tr(C2) - 2 tr((C1 C2)^(1/2))
//
// The last trace is the sum of the singular values of A B^T / sqrt((n1-1)(n2-1)),
// A and B being the vectors of the sets minus their means. No covariance is
// formed and no root of a singular matrix is taken, so fewer vectors than
// features do no harm to the arithmetic. The estimate itself is too large for few
// vectors: report their number beside it. It is symmetric, and 0 for equal sets but
// for rounding. Sets with fewer than 2 vectors, with vectors of different lengths
// or with values that are not finite are errors.
func FrechetDistance(a, b Samples) (float64, error) {
	if err := checkPair(a, b); err != nil {
		return 0, fmt.Errorf("distribution: frechet distance: %w", err)
	}
	var first, second Gaussian
	if err := errors.Join(first.Add(a), second.Add(b)); err != nil {
		return 0, err
	}
	return first.FrechetDistance(&second)
}

// Gaussian gathers the mean and covariance of vectors that come a few at a time.
// However many of d numbers there are, it needs memory for about 3 d^2 and, at
// times, as many again. The zero value is empty and ready. It is not for use by
// several goroutines.
type Gaussian struct {
	dims    int
	count   int       // vectors in mean and factor
	mean    []float64 // of them
	factor  []float64 // rows r of dims numbers; the scatter is the sum of r^T r
	pending []float64 // vectors to come
}

// Add takes in vectors, which must all have one length. After an error the
// Gaussian is as before.
func (g *Gaussian) Add(x Samples) error {
	if err := x.check(); err != nil {
		return fmt.Errorf("distribution: gaussian: %w", err)
	}
	n, d := x.shape()
	if g.dims != 0 && g.dims != d {
		return fmt.Errorf("distribution: gaussian: vectors of %d numbers after vectors of %d: all must come from one network", d, g.dims)
	}
	g.dims = d
	for i := range n {
		end := len(g.pending)
		g.pending = append(g.pending, make([]float64, d)...)
		x.row(g.pending[end:], i)
		if len(g.pending) >= 2*d*d {
			g.fold()
		}
	}
	return nil
}

// Count is the number of vectors that were added.
func (g *Gaussian) Count() int {
	if g.dims == 0 {
		return 0
	}
	return g.count + len(g.pending)/g.dims
}

// FrechetDistance is the function [FrechetDistance] of what was added to g and
// to other.
func (g *Gaussian) FrechetDistance(other *Gaussian) (float64, error) {
	if g.Count() < 2 || other.Count() < 2 {
		return 0, fmt.Errorf("distribution: frechet distance: sets of %d and %d vectors: each needs at least 2", g.Count(), other.Count())
	}
	if g.dims != other.dims {
		return 0, fmt.Errorf("distribution: frechet distance: vectors of %d and of %d numbers: both sets must come from one network", g.dims, other.dims)
	}
	g.fold()
	other.fold()
	common, err := singularSum(g.factor, other.factor, g.dims)
	if err != nil {
		return 0, fmt.Errorf("distribution: frechet distance: %w", err)
	}
	n, m := float64(g.count-1), float64(other.count-1)
	spread := squares(g.factor)/n + squares(other.factor)/m - 2*common/math.Sqrt(n*m)
	means := 0.0
	for i, v := range g.mean {
		means += (v - other.mean[i]) * (v - other.mean[i])
	}
	return means + max(spread, 0), nil // below 0 it is by rounding alone
}

// fold takes the pending vectors into mean and factor. The scatter of all is that
// of the old, that of the new, and one row for the distance of their means (Chan,
// Golub and LeVeque 1979). More rows than dims are replaced by the triangle of
// their QR decomposition, which has the same scatter: squaring, which would lose
// the small singular values, happens nowhere.
func (g *Gaussian) fold() {
	d, n := g.dims, len(g.pending)/g.dims
	if n == 0 {
		return
	}
	mean := centre(g.pending, d)
	rows := append(g.factor, g.pending...)
	if g.count == 0 {
		g.mean = make([]float64, d)
	} else {
		weight := math.Sqrt(float64(g.count) * float64(n) / float64(g.count+n))
		for i, v := range mean {
			rows = append(rows, weight*(v-g.mean[i]))
		}
	}
	if len(rows) > d*d {
		rows = triangle(rows, d)
	}
	g.count += n
	for i, v := range mean {
		g.mean[i] += (v - g.mean[i]) * float64(n) / float64(g.count)
	}
	g.factor, g.pending = rows, g.pending[:0]
}

// centre subtracts the mean of rows of d numbers from each and returns it.
func centre(rows []float64, d int) []float64 {
	mean := make([]float64, d)
	n := float64(len(rows) / d)
	for i, v := range rows {
		mean[i%d] += v / n
	}
	for i := range rows {
		rows[i] -= mean[i%d]
	}
	return mean
}

// triangle returns R of the QR decomposition of more than d rows, and overwrites
// them.
func triangle(rows []float64, d int) []float64 {
	a := blas64.General{Rows: len(rows) / d, Cols: d, Stride: d, Data: rows}
	tau, size := make([]float64, d), make([]float64, 1)
	lapack64.Geqrf(a, tau, size, -1)
	work := make([]float64, int(size[0]))
	lapack64.Geqrf(a, tau, work, len(work))
	r := append([]float64(nil), rows[:d*d]...)
	for i := range d {
		clear(r[i*d : i*d+i])
	}
	return r
}

// singularSum is the sum of the singular values of A B^T, for rows of d numbers.
func singularSum(a, b []float64, d int) (float64, error) {
	var product mat.Dense
	product.Mul(mat.NewDense(len(a)/d, d, a), mat.NewDense(len(b)/d, d, b).T())
	var svd mat.SVD
	if !svd.Factorize(&product, mat.SVDNone) {
		return 0, errors.New("the singular values did not converge; are the features numbers of a network?")
	}
	sum := 0.0
	for _, v := range svd.Values(nil) {
		sum += v
	}
	return sum, nil
}

func squares(a []float64) (sum float64) {
	for _, v := range a {
		sum += v * v
	}
	return sum
}
