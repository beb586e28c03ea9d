package diffusion

import "fmt"

// Prediction names what a denoiser predicts. The three carry the same information: with a = sqrt(gamma) and
// s = sqrt(1-gamma), y = a y0 + s eps and v = a eps - s y0.
type Prediction string

const (
	// PredictEps is the noise, the paper's choice. It leaves y0 undefined at gamma = 0.
	PredictEps Prediction = "eps"
	// PredictX0 is the clean image, y0. It leaves the noise undefined at gamma = 1.
	PredictX0 Prediction = "x0"
	// PredictV is the velocity v of Salimans and Ho (arXiv 2202.00512, section 4), well defined at both ends.
	PredictV Prediction = "v"
)

// Validate says whether the name is known.
func (p Prediction) Validate() error {
	switch p {
	case PredictEps, PredictX0, PredictV:
		return nil
	}
	return fmt.Errorf("prediction %q: no such kind; known are %s, %s, %s", string(p), PredictEps, PredictX0, PredictV)
}

// Mix is a linear mixture of a prediction and the noisy image it was made for: OnPrediction * prediction + OnY * y.
type Mix struct{ OnPrediction, OnY float64 }

// Apply sets dst to the mixture. The slices have one length; dst may be either of the others.
func (m Mix) Apply(dst, prediction, y []float32) {
	a, b := float32(m.OnPrediction), float32(m.OnY)
	prediction, y = prediction[:len(dst)], y[:len(dst)]
	for i := range dst {
		dst[i] = a*prediction[i] + b*y[i]
	}
}

// ToY0 returns how the clean image follows from a prediction at gamma. For PredictEps gamma must not be 0. It panics,
// as ToEps, ToV and Target do, when p is not valid.
func (p Prediction) ToY0(gamma Gamma) Mix {
	a, s := gamma.Alpha(), gamma.Sigma()
	switch p {
	case PredictEps:
		return Mix{-s / a, 1 / a}
	case PredictX0:
		return Mix{1, 0}
	case PredictV:
		return Mix{-s, a}
	}
	panic("diffusion: " + p.Validate().Error())
}

// ToEps returns how the noise follows from a prediction at gamma. For PredictX0 gamma must not be 1.
func (p Prediction) ToEps(gamma Gamma) Mix {
	a, s := gamma.Alpha(), gamma.Sigma()
	switch p {
	case PredictEps:
		return Mix{1, 0}
	case PredictX0:
		return Mix{-a / s, 1 / s}
	case PredictV:
		return Mix{a, s}
	}
	panic("diffusion: " + p.Validate().Error())
}

// ToV returns how the velocity follows from a prediction at gamma. For PredictEps gamma must not be 0, for PredictX0
// not 1.
func (p Prediction) ToV(gamma Gamma) Mix {
	a, s := gamma.Alpha(), gamma.Sigma()
	switch p {
	case PredictEps:
		return Mix{1 / a, -s / a}
	case PredictX0:
		return Mix{-1 / s, a / s}
	case PredictV:
		return Mix{1, 0}
	}
	panic("diffusion: " + p.Validate().Error())
}

// Target sets dst to what a denoiser should predict for Diffuse(y0, eps, gamma): eps, y0 or v. The slices have one
// length; dst may be y0 or eps.
func (p Prediction) Target(dst, y0, eps []float32, gamma Gamma) {
	a, s := float32(gamma.Alpha()), float32(gamma.Sigma())
	y0, eps = y0[:len(dst)], eps[:len(dst)]
	switch p {
	case PredictEps:
		copy(dst, eps)
	case PredictX0:
		copy(dst, y0)
	case PredictV:
		for i := range dst {
			dst[i] = a*eps[i] - s*y0[i]
		}
	default:
		panic("diffusion: " + p.Validate().Error())
	}
}
