package resample

import (
	"fmt"
	"math"
)

// gram is the Cholesky factor of an axis' Gram matrix A A^T, which is banded:
// outputs far from each other read no common sample. Row i of the factor L is
// at l[i*(band+1):], entry (i, i-band+j) at place j; the diagonal comes last and
// holds its reciprocal.
type gram struct {
	n, band int
	l       []float64
}

// leastPivot, relative to the diagonal, tells rounding errors from independent
// rows. Those of bicubic reductions have pivots near 0.5 and more.
const leastPivot = 1e-9

// newGram factors A A^T. It fails where A's rows are not independent.
func newGram(a Axis) (gram, error) {
	g := gram{n: a.Out, band: a.overlap()}
	w := g.band + 1
	g.l = make([]float64, g.n*w)
	for i := range g.n {
		row := g.l[i*w:][:w]
		for j := max(0, g.band-i); j < w; j++ {
			k := i - g.band + j
			sum := a.dot(i, k)
			least := leastPivot * sum
			other := g.l[k*w:][:w]
			// Both rows' entries of column m < k, for the columns both have.
			for m := max(0, i-g.band); m < k; m++ {
				sum -= float64(row[m-i+g.band] * other[m-k+g.band])
			}
			if i != k {
				row[j] = float64(sum * other[g.band])
				continue
			}
			if !(sum > least) {
				return gram{}, fmt.Errorf("the matrix of %d to %d samples is singular", a.In, a.Out)
			}
			row[j] = 1 / math.Sqrt(sum)
		}
	}
	return g, nil
}

// overlap is the largest distance of two outputs that read a common sample.
func (a Axis) overlap() int {
	band, k := 0, 0
	for i := range a.Out {
		for k < i && a.Start[k]+len(a.Weights[k]) <= a.Start[i] {
			k++
		}
		band = max(band, i-k)
	}
	return band
}

// dot is the inner product of rows i and k <= i of the axis' matrix.
func (a Axis) dot(i, k int) float64 {
	from := a.Start[i]
	to := min(from+len(a.Weights[i]), a.Start[k]+len(a.Weights[k]))
	sum := 0.0
	for s := from; s < to; s++ {
		sum += float64(a.Weights[i][s-from] * a.Weights[k][s-a.Start[k]])
	}
	return sum
}

// solve replaces v, n rows of which [lo, hi) of stride values are looked at, by
// (A A^T)^-1 v.
func (g gram) solve(v []float64, stride, lo, hi int) {
	w := g.band + 1
	for i := range g.n { // L u = v
		l := g.l[i*w:][:w]
		to := v[i*stride+lo : i*stride+hi]
		for j := max(0, g.band-i); j < g.band; j++ {
			subtract(to, v[(i-g.band+j)*stride+lo:], l[j])
		}
		scale(to, l[g.band])
	}
	for i := g.n - 1; i >= 0; i-- { // L^T x = u
		l := g.l[i*w:][:w]
		from := v[i*stride+lo : i*stride+hi]
		scale(from, l[g.band])
		for j := max(0, g.band-i); j < g.band; j++ {
			subtract(v[(i-g.band+j)*stride+lo:][:hi-lo], from, l[j])
		}
	}
}

// subtract takes factor times from off to.
func subtract(to, from []float64, factor float64) {
	from = from[:len(to)]
	for i, v := range from {
		to[i] -= float64(v * factor)
	}
}

func scale(values []float64, factor float64) {
	for i := range values {
		values[i] *= factor
	}
}
