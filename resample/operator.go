package resample

import (
	"fmt"

	"github.com/sr3-go/sr3/internal/parallel"
)

// bandRows is the number of output rows a work item makes. It is fixed: the
// split must not depend on the number of threads.
const bandRows = 32

// Operator is a separable linear map from images of X.In columns and Y.In rows
// to images of X.Out columns and Y.Out rows. It is immutable and may be used by
// several goroutines.
type Operator struct {
	Y, X Axis
}

// NewOperator returns the operator that resamples sh x sw images to dh x dw.
func NewOperator(dh, dw, sh, sw int, k Kernel) (Operator, error) {
	y, err := NewAxis(sh, dh, k)
	if err != nil {
		return Operator{}, fmt.Errorf("rows: %w", err)
	}
	x, err := NewAxis(sw, dw, k)
	if err != nil {
		return Operator{}, fmt.Errorf("columns: %w", err)
	}
	return Operator{Y: y, X: x}, nil
}

// Transpose returns the adjoint operator: <A u, v> = <u, A^T v>.
func (o Operator) Transpose() Operator {
	return Operator{Y: o.Y.Transpose(), X: o.X.Transpose()}
}

// Apply computes dst = A src for c channels, c >= 1; sums are in float64 and
// rounded to float32 once. threads below 1 means one. src and dst
// must not overlap. It fails when a slice has another length than the
// operator's sizes give.
func (o Operator) Apply(dst, src []float32, c, threads int) error {
	dh, dw, sh, sw := o.Y.Out, o.X.Out, o.Y.In, o.X.In
	if err := checkSizes(len(dst), len(src), dh, dw, sh, sw, c, maxSide); err != nil {
		return err
	}
	o.apply(dst, src, c, threads, setRow)
	return nil
}

// apply hands every row of A src to put, which rounds it into dst's.
func (o Operator) apply(dst, src []float32, c, threads int, put func(dst []float32, row []float64)) {
	dh, dw, sw := o.Y.Out, o.X.Out, o.X.In
	bands := (dh + bandRows - 1) / bandRows
	parallel.For(threads, bands, func(b int) {
		from, to := b*bandRows, min((b+1)*bandRows, dh)
		lo, hi := o.Y.span(from, to)
		rows := make([]float64, (hi-lo)*dw*c)
		for r := lo; r < hi; r++ {
			rowFloat(rows[(r-lo)*dw*c:][:dw*c], src[r*sw*c:][:sw*c], o.X, c)
		}
		acc := make([]float64, dw*c)
		for i := from; i < to; i++ {
			columnFloat(acc, rows[(o.Y.Start[i]-lo)*dw*c:], o.Y.Weights[i])
			put(dst[i*dw*c:][:dw*c], acc)
		}
	})
}

// rowFloat resamples one row horizontally.
func rowFloat(dst []float64, src []float32, x Axis, c int) {
	if c == 3 {
		for i, w := range x.Weights {
			s := src[x.Start[i]*3:]
			var r, g, b float64
			for j, v := range w {
				p := s[j*3 : j*3+3 : j*3+3]
				r += float64(v * float64(p[0]))
				g += float64(v * float64(p[1]))
				b += float64(v * float64(p[2]))
			}
			d := dst[i*3 : i*3+3 : i*3+3]
			d[0], d[1], d[2] = r, g, b
		}
		return
	}
	for i, w := range x.Weights {
		s := src[x.Start[i]*c:]
		for ch := range c {
			var acc float64
			for j, v := range w {
				acc += float64(v * float64(s[j*c+ch]))
			}
			dst[i*c+ch] = acc
		}
	}
}

// columnFloat combines consecutive rows (of len(acc) samples each) into one.
func columnFloat(acc, rows, w []float64) {
	clear(acc)
	n := len(acc)
	for j, v := range w {
		row := rows[j*n:][:n]
		for i, s := range row {
			acc[i] += float64(v * s)
		}
	}
}

// setRow rounds a row into dst.
func setRow(dst []float32, row []float64) {
	for i, v := range row {
		dst[i] = float32(v)
	}
}

// addRow adds a row to dst.
func addRow(dst []float32, row []float64) {
	for i, v := range row {
		dst[i] = float32(float64(dst[i]) + v)
	}
}

// Resize resamples src (sh x sw x c) into dst (dh x dw x c) with float64 weights
// and sums. Values are not clamped: bicubic and Lanczos overshoot at edges. For repeated use with the same sizes make an
// [Operator]. threads, slices and errors are as for [Operator.Apply].
func Resize(dst, src []float32, dh, dw, sh, sw, c int, k Kernel, threads int) error {
	if err := checkSizes(len(dst), len(src), dh, dw, sh, sw, c, maxSide); err != nil {
		return err // before weights are made for such sizes
	}
	o, err := NewOperator(dh, dw, sh, sw, k)
	if err != nil {
		return err
	}
	return o.Apply(dst, src, c, threads)
}

// Downsample is the degradation of SR3: the antialiased bicubic reduction of an
// sh x sw image by an integer factor. The factor must divide both sides.
func Downsample(dst, src []float32, sh, sw, c, factor, threads int) error {
	if factor < 1 || sh%factor != 0 || sw%factor != 0 {
		return fmt.Errorf("resample: cannot reduce %dx%d (width x height) by %d: the factor must be positive and divide both sides; crop first", sw, sh, factor)
	}
	return Resize(dst, src, sh/factor, sw/factor, sh, sw, c, Bicubic, threads)
}

// Upsample is the conditioning of SR3: the bicubic enlargement of an sh x sw
// image by an integer factor.
func Upsample(dst, src []float32, sh, sw, c, factor, threads int) error {
	if factor < 1 || factor > maxSide/max(sh, sw, 1) {
		return fmt.Errorf("resample: cannot enlarge %dx%d (width x height) by %d", sw, sh, factor)
	}
	return Resize(dst, src, sh*factor, sw*factor, sh, sw, c, Bicubic, threads)
}

// checkSizes verifies both slices against their sizes without overflow.
func checkSizes(dst, src, dh, dw, sh, sw, c, maxChannels int) error {
	if c < 1 || c > maxChannels {
		return fmt.Errorf("resample: %d channels; must be from 1 to %d", c, maxChannels)
	}
	if err := checkSlice("source", src, sh, sw, c); err != nil {
		return err
	}
	return checkSlice("destination", dst, dh, dw, c)
}

func checkSlice(what string, n, h, w, c int) error {
	if h < 1 || w < 1 || h > maxSide || w > maxSide {
		return fmt.Errorf("resample: %s of %dx%d (width x height) pixels; sides must be from 1 to %d", what, w, h, maxSide)
	}
	// h*w fits in 60 bits; the division avoids overflow in the last product.
	if n%c != 0 || n/c != h*w {
		return fmt.Errorf("resample: %s has %d samples, but %dx%d pixels (width x height) of %d channels need another number", what, n, w, h, c)
	}
	return nil
}
