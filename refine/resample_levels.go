package refine

import (
	"fmt"
	"math"

	"github.com/sr3-go/sr3/diffusion"
)

// resampled returns a schedule of another number of steps that runs through the levels of s: log-SNR as a function of
// the index is interpolated by a monotone cubic (Fritsch and Carlson, "Monotone Piecewise Cubic Interpolation", 1980),
// so that the spacing that was chosen for the listed levels carries over. The noisiest and the cleanest level stay; one
// step goes from the noisiest.
func resampled(s diffusion.NoiseSchedule, steps int) (diffusion.NoiseSchedule, error) {
	if steps < 1 || steps > diffusion.MaxSteps {
		return diffusion.NoiseSchedule{}, fmt.Errorf("%d steps were asked for; want 1 to %d", steps, diffusion.MaxSteps)
	}
	listed := s.Steps()
	if steps == 1 {
		return diffusion.NewNoiseScheduleFromGammas([]diffusion.Gamma{s.Gamma(listed)})
	}
	if listed == 1 {
		return diffusion.NoiseSchedule{}, fmt.Errorf("%d steps were asked for and one gamma is listed; levels between one and "+
			"itself do not exist", steps)
	}
	levels := logSNRs(s)
	slopes := monotoneSlopes(levels)
	gammas := make([]diffusion.Gamma, steps)
	for i := range gammas {
		at := float64(i) * float64(listed-1) / float64(steps-1)
		gammas[i] = diffusion.GammaFromLogSNR(cubicAt(levels, slopes, at))
	}
	gammas[0], gammas[steps-1] = s.Gamma(1), s.Gamma(listed)
	return diffusion.NewNoiseScheduleFromGammas(gammas)
}

// logSNRs returns the log-SNR of levels 1 to N. For a last level of gamma 0, where it is -Inf, it goes on as the levels
// before do; a level that has none before it is the noisiest of a search.
func logSNRs(s diffusion.NoiseSchedule) []float64 {
	levels := make([]float64, s.Steps())
	for i := range levels {
		levels[i] = s.Gamma(i + 1).LogSNR()
	}
	n := len(levels)
	if !math.IsInf(levels[n-1], -1) {
		return levels
	}
	if n == 1 {
		levels[0] = searchNoisiest
		return levels
	}
	gap := 2.0
	if n > 2 {
		gap = levels[n-3] - levels[n-2]
	}
	levels[n-1] = levels[n-2] - gap
	return levels
}

// monotoneSlopes returns the derivatives at 0, 1, ... of an interpolant of x that is as monotone as x: at inner points
// the harmonic mean of the differences to both sides (0 where they differ in sign), at the ends that of the parabola
// through three points.
func monotoneSlopes(x []float64) []float64 {
	n := len(x)
	slopes := make([]float64, n)
	if n == 2 {
		slopes[0], slopes[1] = x[1]-x[0], x[1]-x[0]
		return slopes
	}
	slopes[0] = endSlope(x[1]-x[0], x[2]-x[1])
	slopes[n-1] = endSlope(x[n-1]-x[n-2], x[n-2]-x[n-3])
	for i := 1; i < n-1; i++ {
		if left, right := x[i]-x[i-1], x[i+1]-x[i]; left*right > 0 {
			slopes[i] = 2 * left * right / (left + right)
		}
	}
	return slopes
}

// endSlope is the derivative at the end of a parabola with these differences, the outer one first, as far as it keeps
// the interpolant monotone.
func endSlope(outer, inner float64) float64 {
	slope := (3*outer - inner) / 2
	if slope*outer <= 0 {
		return 0
	}
	return slope
}

// cubicAt evaluates the cubic Hermite interpolant at a place in 0..len(x)-1.
func cubicAt(x, slopes []float64, at float64) float64 {
	i := min(int(at), len(x)-2)
	t := at - float64(i)
	u := 1 - t
	return (1+2*t)*u*u*x[i] + t*u*u*slopes[i] + t*t*(3-2*t)*x[i+1] - t*t*u*slopes[i+1]
}
