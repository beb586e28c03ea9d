package diffusion

import (
	"fmt"
	"math"
)

// GammaDraw names p(gamma), the distribution of noise levels in training (section 2.4 of the paper).
type GammaDraw string

const (
	// DrawSchedule is the paper's p(gamma) = sum_t 1/T U(gamma_{t-1}, gamma_t): t uniform in 1..T, then gamma uniform
	// between its two noise levels. (The paper prints t from 0; gamma_{-1} does not exist.)
	DrawSchedule GammaDraw = "schedule"
	// DrawSqrt draws t alike, then sqrt(gamma) uniformly between the square roots of the two noise levels, as WaveGrad
	// (arXiv 2009.00713) and the widely used PyTorch implementation of SR3 do.
	DrawSqrt GammaDraw = "sqrt"
	// DrawCosine draws gamma = cos^2(pi/2 u) with u uniform: the continuous cosine schedule of Salimans and Ho (arXiv
	// 2202.00512). It does not look at the noise schedule.
	DrawCosine GammaDraw = "cosine"
)

// Validate says whether the name is known.
func (d GammaDraw) Validate() error {
	switch d {
	case DrawSchedule, DrawSqrt, DrawCosine:
		return nil
	}
	return fmt.Errorf("gamma draw %q: no such kind; known are %s, %s, %s", string(d), DrawSchedule, DrawSqrt, DrawCosine)
}

// Draw maps two uniform numbers in [0, 1) to a noise level (line 3 of Algorithm 1). u chooses the place in the
// schedule, v the level within its step; for stratified draws of a batch of n give example i the u (i+w)/n. The
// result lies in (0, 1], or reaches 0 where the schedule does. s must have steps, except for DrawCosine, which
// ignores s and v. It panics when d is not valid.
func (d GammaDraw) Draw(s NoiseSchedule, u, v float64) Gamma {
	if d == DrawCosine {
		return GammaFromAlpha(math.Cos(math.Pi / 2 * u))
	}
	t := min(1+int(u*float64(s.Steps())), s.Steps())
	high, low := s.Gamma(t-1), s.Gamma(t)
	switch d {
	case DrawSchedule:
		return high + Gamma(v)*(low-high)
	case DrawSqrt:
		return GammaFromAlpha(high.Alpha() + v*(low.Alpha()-high.Alpha()))
	}
	panic("diffusion: " + d.Validate().Error())
}
