package diffusion

import (
	"fmt"
	"math"
)

// Norm is the p of the training objective |f - target|_p^p (Algorithm 1, section 2.2 of the paper).
type Norm string

const (
	L1 Norm = "l1" // absolute difference; the better FID in the paper's table 5
	L2 Norm = "l2" // squared difference
)

// Weighting names how the loss of an example depends on its noise level.
type Weighting string

const (
	// WeightUniform is the paper's: every noise level counts alike.
	WeightUniform Weighting = "uniform"
	// WeightSNRTrunc is truncated SNR weighting of Salimans and Ho (arXiv 2202.00512, section 4): a squared error of y0
	// counts max(SNR, 1). It is expressed here as a weight on the error of what is predicted.
	WeightSNRTrunc Weighting = "snr-trunc"
)

// Objective is the training loss: the mean over the elements of |prediction - target|_p^p, times a weight for each
// example. This package's plain loops define it; faster versions are tested against them.
type Objective struct {
	Norm       Norm       `json:"norm" toml:"norm"`
	Weighting  Weighting  `json:"weighting" toml:"weighting"`
	Prediction Prediction `json:"prediction" toml:"prediction"`
}

// Validate says which setting is not known.
func (o Objective) Validate() error {
	if o.Norm != L1 && o.Norm != L2 {
		return fmt.Errorf("loss %q: no such norm; known are %s, %s", string(o.Norm), L1, L2)
	}
	if o.Weighting != WeightUniform && o.Weighting != WeightSNRTrunc {
		return fmt.Errorf("weighting %q: no such kind; known are %s, %s", string(o.Weighting), WeightUniform, WeightSNRTrunc)
	}
	return o.Prediction.Validate()
}

// Weight returns the weight of an example at gamma. The error of eps is sqrt(SNR) times that of y0 and the error of v
// is 1/sqrt(1-gamma) times it, so truncated SNR weighting means, for squared errors,
//
//	x0: max(SNR, 1)    eps: max(1, 1/SNR)    v: max(gamma, 1-gamma)
//
// and the square root of that for L1. It grows without bound towards gamma = 1 for x0 and gamma = 0 for eps.
func (o Objective) Weight(gamma Gamma) float64 {
	if o.Weighting == WeightUniform {
		return 1
	}
	w := o.squaredWeight(gamma)
	if o.Norm == L1 {
		return math.Sqrt(w)
	}
	return w
}

// squaredWeight is the truncated SNR weight for squared errors.
func (o Objective) squaredWeight(gamma Gamma) float64 {
	switch o.Prediction {
	case PredictX0:
		return max(gamma.SNR(), 1)
	case PredictEps:
		return max(1, 1/gamma.SNR())
	case PredictV:
		return max(float64(gamma), 1-float64(gamma))
	}
	panic("diffusion: " + o.Prediction.Validate().Error())
}

// Loss returns the loss of one example: Weight(gamma) times the mean over its elements of |prediction - target| or
// its square, summed in float64. The loss of a batch is the mean of its examples'. Empty slices give 0.
func (o Objective) Loss(prediction, target []float32, gamma Gamma) float64 {
	if len(prediction) == 0 {
		return 0
	}
	target = target[:len(prediction)]
	var sum float64
	for i, p := range prediction {
		d := float64(p) - float64(target[i])
		if o.Norm == L1 {
			sum += math.Abs(d)
		} else {
			sum += d * d
		}
	}
	return o.Weight(gamma) * sum / float64(len(prediction))
}

// Gradient sets dst to the derivative of Loss by each element of prediction: sign(d) or 2d, with d = prediction -
// target, times Weight(gamma)/n. At d = 0 the derivative of L1 is taken as 0. dst may be prediction or target.
func (o Objective) Gradient(dst, prediction, target []float32, gamma Gamma) {
	prediction, target = prediction[:len(dst)], target[:len(dst)]
	scale := float32(o.Weight(gamma) / float64(max(len(dst), 1)))
	for i := range dst {
		d := prediction[i] - target[i]
		switch {
		case o.Norm == L2:
			dst[i] = 2 * scale * d
		case d > 0:
			dst[i] = scale
		case d < 0:
			dst[i] = -scale
		default:
			dst[i] = d // zero, or NaN, which must not be hidden
		}
	}
}
