package diffusion

import (
	"fmt"
	"math"
)

// MaxSteps bounds the length of a schedule, so that a hostile configuration cannot ask for all memory.
const MaxSteps = 1 << 20

// NoiseSchedule is a sequence of noise levels 1 = gamma_0 > gamma_1 > ... > gamma_T >= 0 (section 2.1 of the paper),
// in float64. It is immutable; the zero value has no steps.
type NoiseSchedule struct {
	gamma []float64 // [T+1]
	beta  []float64 // [T+1], beta[0] unused
}

// NewNoiseSchedule returns the schedule with the given beta_1 ... beta_T, the variances that the forward process adds
// at each step. They must lie in (0, 1); the last may be 1, which ends at gamma_T = 0.
func NewNoiseSchedule(betas []float64) (NoiseSchedule, error) {
	if err := checkSteps(len(betas)); err != nil {
		return NoiseSchedule{}, err
	}
	s := newSchedule(len(betas))
	for i, beta := range betas {
		t := i + 1
		if !(beta > 0 && beta <= 1) {
			return NoiseSchedule{}, fmt.Errorf("noise schedule: beta_%d = %g is not in (0, 1]", t, beta)
		}
		s.beta[t] = beta
		s.gamma[t] = s.gamma[t-1] * (1 - beta)
	}
	return s, s.checkDecreasing()
}

// NewNoiseScheduleFromGammas returns the schedule with the given gamma_1 > ... > gamma_T, all in [0, 1).
func NewNoiseScheduleFromGammas(gammas []Gamma) (NoiseSchedule, error) {
	if err := checkSteps(len(gammas)); err != nil {
		return NoiseSchedule{}, err
	}
	s := newSchedule(len(gammas))
	for i, g := range gammas {
		s.gamma[i+1] = float64(g)
		s.beta[i+1] = 1 - float64(g)/s.gamma[i]
	}
	return s, s.checkDecreasing()
}

func newSchedule(steps int) NoiseSchedule {
	s := NoiseSchedule{gamma: make([]float64, steps+1), beta: make([]float64, steps+1)}
	s.gamma[0] = 1
	return s
}

// checkDecreasing catches steps too small for float64 and products that have run down to zero.
func (s NoiseSchedule) checkDecreasing() error {
	for t := 1; t < len(s.gamma); t++ {
		if !(s.gamma[t] < s.gamma[t-1] && s.gamma[t] >= 0) {
			return fmt.Errorf("noise schedule: gamma must fall from 1 towards 0 at every step, "+
				"but gamma_%d = %g follows gamma_%d = %g", t, s.gamma[t], t-1, s.gamma[t-1])
		}
	}
	return nil
}

func checkSteps(steps int) error {
	if steps < 1 || steps > MaxSteps {
		return fmt.Errorf("noise schedule: steps must lie in 1..%d, got %d", MaxSteps, steps)
	}
	return nil
}

// Steps returns T.
func (s NoiseSchedule) Steps() int { return max(len(s.gamma)-1, 0) }

// Gamma returns gamma_t for t in 0..T; gamma_0 is 1. It panics for another t.
func (s NoiseSchedule) Gamma(t int) Gamma { return Gamma(s.gamma[t]) }

// Beta returns beta_t = 1 - alpha_t, the variance that step t of the forward process adds, for t in 1..T.
func (s NoiseSchedule) Beta(t int) float64 { return s.beta[t] }

// Alpha returns alpha_t = gamma_t/gamma_{t-1} for t in 1..T. It is not Gamma.Alpha.
func (s NoiseSchedule) Alpha(t int) float64 { return 1 - s.beta[t] }

// Gammas returns a copy of gamma_0 ... gamma_T.
func (s NoiseSchedule) Gammas() []Gamma {
	gammas := make([]Gamma, len(s.gamma))
	for t, g := range s.gamma {
		gammas[t] = Gamma(g)
	}
	return gammas
}

// Nearest returns the t in 1..T whose gamma_t is nearest to gamma in log-SNR: the timestep to give to a denoiser that
// is conditioned on t. The schedule must have steps.
func (s NoiseSchedule) Nearest(gamma Gamma) int {
	lo, hi := 1, s.Steps() // gamma falls with t: find the first t at or below gamma
	for lo < hi {
		mid := (lo + hi) / 2
		if Gamma(s.gamma[mid]) <= gamma {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	if lo == 1 || Gamma(s.gamma[lo]) == gamma {
		return lo
	}
	want := gamma.LogSNR()
	if s.Gamma(lo-1).LogSNR()-want <= want-s.Gamma(lo).LogSNR() {
		return lo - 1
	}
	return lo
}

// Strided returns the schedule of the given number of steps that visits every T/steps-th noise level of s, always
// ending at gamma_T: the usual way to refine in fewer steps with a training schedule.
func (s NoiseSchedule) Strided(steps int) (NoiseSchedule, error) {
	if steps < 1 || steps > s.Steps() {
		return NoiseSchedule{}, fmt.Errorf("noise schedule: cannot take %d of %d steps", steps, s.Steps())
	}
	if steps == s.Steps() {
		return s, nil
	}
	gammas := make([]Gamma, steps)
	for i := range gammas {
		gammas[i] = s.Gamma((i + 1) * s.Steps() / steps)
	}
	return NewNoiseScheduleFromGammas(gammas)
}

// LinearSchedule has betas evenly spaced from start to end. The paper leaves its training schedule open; with start
// 1e-6, end 1e-2 and 2000 steps, as in the same authors' Palette (arXiv 2111.05826, appendix B), it is this
// project's default. A schedule of one step has beta start.
func LinearSchedule(steps int, start, end float64) (NoiseSchedule, error) {
	return scheduleOf(steps, func() []float64 { return linspace(start, end, steps) })
}

// QuadSchedule has betas whose square roots are evenly spaced from sqrt(start) to sqrt(end). This one, the warm-up and
// the constant schedule are those of the code published with DDPM (arXiv 2006.11239).
func QuadSchedule(steps int, start, end float64) (NoiseSchedule, error) {
	return scheduleOf(steps, func() []float64 {
		betas := linspace(math.Sqrt(start), math.Sqrt(end), steps)
		for i, b := range betas {
			betas[i] = b * b
		}
		return betas
	})
}

// WarmupSchedule has betas that rise linearly from start to end over the first share of the steps, rounded down, and
// stay at end.
func WarmupSchedule(steps int, start, end, share float64) (NoiseSchedule, error) {
	if !(share >= 0 && share <= 1) {
		return NoiseSchedule{}, fmt.Errorf("noise schedule: warm-up share %g is not in [0, 1]", share)
	}
	return scheduleOf(steps, func() []float64 {
		betas := constant(end, steps)
		copy(betas, linspace(start, end, int(float64(steps)*share)))
		return betas
	})
}

// ConstSchedule adds the same variance beta at every step.
func ConstSchedule(steps int, beta float64) (NoiseSchedule, error) {
	return scheduleOf(steps, func() []float64 { return constant(beta, steps) })
}

// JSDSchedule has betas 1/T, 1/(T-1), ..., 1 (Sohl-Dickstein et al., arXiv 1503.03585, section 2.4.1): gamma falls
// linearly and gamma_T is 0, so a denoiser that predicts eps cannot start from it.
func JSDSchedule(steps int) (NoiseSchedule, error) {
	return scheduleOf(steps, func() []float64 {
		betas := make([]float64, steps)
		for i := range betas {
			betas[i] = 1 / float64(steps-i)
		}
		return betas
	})
}

// CosineSchedule has gamma_t proportional to cos^2((t/T+s)/(1+s) pi/2) with s = 0.008 and betas capped at 0.999
// (Nichol and Dhariwal, arXiv 2102.09672, equation 17).
func CosineSchedule(steps int) (NoiseSchedule, error) {
	const offset, maxBeta = 0.008, 0.999
	signal := func(t int) float64 {
		c := math.Cos((float64(t)/float64(steps) + offset) / (1 + offset) * math.Pi / 2)
		return c * c
	}
	return scheduleOf(steps, func() []float64 {
		betas := make([]float64, steps)
		for i := range betas {
			betas[i] = min(1-signal(i+1)/signal(i), maxBeta)
		}
		return betas
	})
}

// LogSNRSchedule has noise levels evenly spaced in log-SNR from gamma_1 = gammaMax to gamma_T = gammaMin, with
// 0 < gammaMin < gammaMax < 1. A single step goes to gammaMin.
func LogSNRSchedule(steps int, gammaMax, gammaMin Gamma) (NoiseSchedule, error) {
	if err := checkSteps(steps); err != nil {
		return NoiseSchedule{}, err
	}
	if !(gammaMin > 0 && gammaMin < gammaMax && gammaMax < 1) {
		return NoiseSchedule{}, fmt.Errorf("noise schedule: log-SNR needs 0 < lowest gamma < highest gamma < 1, got %g and %g",
			float64(gammaMin), float64(gammaMax))
	}
	gammas := make([]Gamma, steps)
	for i, l := range linspace(gammaMax.LogSNR(), gammaMin.LogSNR(), steps) {
		gammas[i] = GammaFromLogSNR(l)
	}
	gammas[0], gammas[steps-1] = gammaMax, gammaMin
	return NewNoiseScheduleFromGammas(gammas)
}

// LinearScheduleTo has betas evenly spaced from start to the beta_T for which the schedule ends at gammaEnd, found by
// bisection. It is the family that inference schedules are taken from (section 2.4 of the paper searches for them; the
// family is our choice). A single step goes to gammaEnd.
func LinearScheduleTo(steps int, start float64, gammaEnd Gamma) (NoiseSchedule, error) {
	if err := checkSteps(steps); err != nil {
		return NoiseSchedule{}, err
	}
	if !(gammaEnd > 0 && gammaEnd < 1) {
		return NoiseSchedule{}, fmt.Errorf("noise schedule: last gamma %g is not in (0, 1)", float64(gammaEnd))
	}
	if steps == 1 {
		return NewNoiseScheduleFromGammas([]Gamma{gammaEnd})
	}
	if !(start > 0 && start < 1) || lastLogGamma(steps, start, start) < math.Log(float64(gammaEnd)) {
		return NoiseSchedule{}, fmt.Errorf("noise schedule: no rising linear schedule of %d steps from beta %g "+
			"ends at gamma %g; lower the first beta or the number of steps", steps, start, float64(gammaEnd))
	}
	lo, hi := start, 1.0
	for range 200 { // to the last bit: the interval halves each time
		mid := lo + (hi-lo)/2
		if mid == lo || mid == hi {
			break
		}
		if lastLogGamma(steps, start, mid) > math.Log(float64(gammaEnd)) {
			lo = mid
		} else {
			hi = mid
		}
	}
	return LinearSchedule(steps, start, lo)
}

// lastLogGamma returns ln gamma_T of a linear schedule; the logarithm cannot underflow.
func lastLogGamma(steps int, start, end float64) float64 {
	var sum float64
	step := (end - start) / float64(steps-1)
	for i := range steps {
		sum += math.Log1p(-(start + float64(i)*step))
	}
	return sum
}

// scheduleOf checks the number of steps before betas allocates.
func scheduleOf(steps int, betas func() []float64) (NoiseSchedule, error) {
	if err := checkSteps(steps); err != nil {
		return NoiseSchedule{}, err
	}
	return NewNoiseSchedule(betas())
}

// linspace returns n numbers from start to end rounded as numpy.linspace does, since the published schedules are its.
func linspace(start, end float64, n int) []float64 {
	x := make([]float64, n)
	step := (end - start) / float64(max(n-1, 1))
	for i := range x {
		x[i] = float64(float64(i)*step) + start // the conversion keeps the product from being fused
	}
	if n > 1 {
		x[n-1] = end
	}
	return x
}

func constant(v float64, n int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = v
	}
	return x
}
