package resample

import (
	"fmt"

	"github.com/sr3-go/sr3/internal/parallel"
)

// RightInverse is A^+ = A^T (A A^T)^-1 of a reduction A: among all images that A
// takes to a given one, A^+ gives the one of least norm. With it an image is
// projected onto those that A takes to low:
//
//	u + A^+ (low - A u)
//
// which changes the range of A^T alone and leaves the null space of A, the detail
// that the reduction does not see, as it is (range/null space decomposition; Wang,
// Yu and Zhang, "Zero-Shot Image Restoration Using Denoising Diffusion Null-Space
// Model", 2023). A is separable, so A A^T is the Kronecker product of two small
// banded matrices, which are factored once. A RightInverse is immutable and may be
// used by several goroutines.
type RightInverse struct {
	a, t Operator
	y, x gram
}

// RightInverse factors the operator, which must not enlarge. It fails where the
// rows of an axis are not independent. Those of the bicubic reduction are: at
// scales of 1.25 and more no eigenvalue of an axis' A A^T is below 0.48 / scale;
// the worst sizes differ by one pixel (0.03 at 128 from 129), where outputs midway
// between two samples see little of the highest frequencies.
func (o Operator) RightInverse() (*RightInverse, error) {
	if o.Y.Out > o.Y.In || o.X.Out > o.X.In {
		return nil, fmt.Errorf("resample: right inverse: %dx%d to %dx%d pixels (width x height) is no reduction", o.X.In, o.Y.In, o.X.Out, o.Y.Out)
	}
	r := &RightInverse{a: o, t: o.Transpose()}
	var err error
	if r.y, err = newGram(o.Y); err != nil {
		return nil, fmt.Errorf("resample: right inverse: rows: %w", err)
	}
	if r.x, err = newGram(o.X); err != nil {
		return nil, fmt.Errorf("resample: right inverse: columns: %w", err)
	}
	return r, nil
}

// Operator is A.
func (r *RightInverse) Operator() Operator { return r.a }

// Project changes u, an image of A's source size, to the nearest one that A takes
// to low. scratch must be as long as low. Channels, threads and errors are as for
// [Operator.Apply].
func (r *RightInverse) Project(u, low, scratch []float32, c, threads int) error {
	if len(scratch) != len(low) {
		return fmt.Errorf("resample: project: scratch of %d values, want %d", len(scratch), len(low))
	}
	if err := r.a.Apply(scratch, u, c, threads); err != nil {
		return err
	}
	for i, v := range low {
		scratch[i] = v - scratch[i]
	}
	return r.Add(u, scratch, c, threads)
}

// Add adds A^+ v to u. Systems are solved in float64 and their solutions rounded
// to float32. Channels, threads and errors are as for [Operator.Apply].
func (r *RightInverse) Add(u, v []float32, c, threads int) error {
	h, w := r.a.Y.Out, r.a.X.Out
	if err := checkSizes(len(u), len(v), r.a.Y.In, r.a.X.In, h, w, c, maxSide); err != nil {
		return err
	}
	z := make([]float64, len(v))
	rounded := make([]float32, len(v))
	parallel.Chunks(threads, h, bandRows, func(lo, hi int) {
		for i := lo * w * c; i < hi*w*c; i++ {
			z[i] = float64(v[i])
		}
		for i := lo; i < hi; i++ {
			r.x.solve(z[i*w*c:][:w*c], c, 0, c)
		}
	})
	parallel.Chunks(threads, w*c, solveColumns, func(lo, hi int) {
		r.y.solve(z, w*c, lo, hi)
		for i := range h {
			for k := i*w*c + lo; k < i*w*c+hi; k++ {
				rounded[k] = float32(z[k])
			}
		}
	})
	r.t.apply(u, rounded, c, threads, addRow)
	return nil
}

// solveColumns is the number of columns solved together: enough for long inner
// loops, few enough that a band of rows stays in the cache.
const solveColumns = 256
