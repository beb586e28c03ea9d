package resample

import (
	"fmt"
	"math"
)

// maxSide bounds an image side, so that index arithmetic cannot overflow 64 bits.
const maxSide = 1 << 30

// Axis is the resampling of one image axis as a banded matrix of Out rows and
// In columns: output i is the sum over j of Weights[i][j] * source[Start[i]+j].
// Start and Start[i]+len(Weights[i]) never decrease with i.
type Axis struct {
	In, Out int
	Start   []int
	Weights [][]float64
}

// NewAxis returns the axis that takes in samples to out samples with kernel k.
// Weights follow Pillow: the kernel is centred at (i+0.5)*in/out, stretched by
// in/out when that is above 1, cut off at the borders and normalised to sum 1.
func NewAxis(in, out int, k Kernel) (Axis, error) {
	if in < 1 || out < 1 || in > maxSide || out > maxSide {
		return Axis{}, fmt.Errorf("resample: cannot take %d samples to %d: both must be from 1 to %d", in, out, maxSide)
	}
	if int(k) >= len(kernelNames) {
		return Axis{}, fmt.Errorf("resample: unknown kernel %v", k)
	}
	a := Axis{In: in, Out: out, Start: make([]int, out), Weights: make([][]float64, out)}
	if k == Nearest {
		one := []float64{1}
		for i := range out {
			a.Start[i] = (2*i + 1) * in / (2 * out)
			a.Weights[i] = one
		}
		return a, nil
	}
	a.fill(k)
	return a, nil
}

func (a *Axis) fill(k Kernel) {
	scale := float64(a.In) / float64(a.Out)
	stretch := max(scale, 1)
	support := float64(k.support() * stretch)
	inv := 1 / stretch
	taps := min(int(math.Ceil(support))*2+1, a.In)
	backing := make([]float64, 0, taps*a.Out)
	for i := range a.Out {
		center := float64((float64(i) + 0.5) * scale)
		lo := max(int(center-support+0.5), 0)
		hi := min(int(center+support+0.5), a.In)
		first, sum := len(backing), 0.0
		for j := range hi - lo {
			w := k.at(float64((float64(j+lo) - center + 0.5) * inv))
			backing = append(backing, w)
			sum += w
		}
		w := backing[first:len(backing):len(backing)]
		if sum != 0 {
			for j := range w {
				w[j] /= sum
			}
		}
		a.Start[i], a.Weights[i] = lo, w
	}
}

// Transpose returns the transposed matrix as an axis from Out to In samples.
// It is the adjoint, not the inverse: its rows do not sum to 1. Zero weights
// at the ends of its rows are kept.
func (a Axis) Transpose() Axis {
	t := Axis{In: a.Out, Out: a.In, Start: make([]int, a.In), Weights: make([][]float64, a.In)}
	lo, hi := 0, 0 // outputs [lo, hi) touch source sample j
	for j := range a.In {
		for lo < a.Out && a.Start[lo]+len(a.Weights[lo]) <= j {
			lo++
		}
		for hi < a.Out && a.Start[hi] <= j {
			hi++
		}
		t.Start[j] = min(lo, a.Out)
		w := make([]float64, max(hi-lo, 0))
		for i := range w {
			w[i] = a.Weights[lo+i][j-a.Start[lo+i]]
		}
		t.Weights[j] = w
	}
	return t
}

// span returns the source range [lo, hi) that outputs [from, to) read.
func (a Axis) span(from, to int) (lo, hi int) {
	return a.Start[from], a.Start[to-1] + len(a.Weights[to-1])
}
