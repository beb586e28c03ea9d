// Package distribution compares sets of images by the numbers that a network
// finds in them: the Frechet distance of Gaussians, the kernel distance and the
// Inception score.
//
// It holds the arithmetic alone. With the 2048 features of the last pooling of
// the Inception-v3 network that Heusel et al. (2017) used, [FrechetDistance] is
// the FID and [KernelDistance] the KID; with its class probabilities
// [InceptionScore] is the IS. With another network, or another resizing before
// it, the numbers are comparable only with themselves and need a name of their
// own.
//
// Sums are in float64, whatever the features are in. The functions use all
// processors; results do not depend on their number.
package distribution

import (
	"fmt"
	"math"
)

// largest bounds the features, so that no product of them overflows.
const largest = 1e40

// Samples are the vectors of a set of images: a [Matrix] of float32 or float64.
type Samples interface {
	shape() (n, d int)
	// check verifies that there are n*d finite numbers.
	check() error
	// row writes vector i to dst, which has d elements.
	row(dst []float64, i int)
}

// Matrix holds N vectors of D numbers, one after the other in Values.
type Matrix[T float32 | float64] struct {
	N, D   int
	Values []T
}

func (m Matrix[T]) shape() (n, d int) { return m.N, m.D }

func (m Matrix[T]) check() error {
	if m.N < 1 || m.D < 1 || m.N > math.MaxInt/m.D || len(m.Values) != m.N*m.D {
		return fmt.Errorf("a matrix of %d vectors of %d numbers has %d values; it must have %d times %d, both at least 1",
			m.N, m.D, len(m.Values), m.N, m.D)
	}
	for i, v := range m.Values {
		if !(math.Abs(float64(v)) <= largest) {
			return fmt.Errorf("vector %d has the value %g at %d; all must be finite and at most %g", i/m.D, v, i%m.D, largest)
		}
	}
	return nil
}

func (m Matrix[T]) row(dst []float64, i int) {
	for k, v := range m.Values[i*m.D : (i+1)*m.D] {
		dst[k] = float64(v)
	}
}

// checkPair verifies that both sets are valid, of one kind of vectors, and have
// the two vectors that a variance needs.
func checkPair(a, b Samples) error {
	for i, m := range []Samples{a, b} {
		if err := m.check(); err != nil {
			return fmt.Errorf("set %d: %w", i+1, err)
		}
		if n, _ := m.shape(); n < 2 {
			return fmt.Errorf("set %d has one vector, at least 2 are needed", i+1)
		}
	}
	_, da := a.shape()
	_, db := b.shape()
	if da != db {
		return fmt.Errorf("vectors of %d and of %d numbers: both sets must come from one network", da, db)
	}
	return nil
}
