package refine

import (
	"errors"
	"fmt"

	"github.com/sr3-go/sr3/diffusion"
)

// Kinds of inference noise schedule, for Schedule.Kind. The denoiser takes any gamma, so the schedule and the number
// of steps are free after training (section 2.4 of the paper).
const (
	// SchedulePaper has linear betas from BetaStart to the beta_N that makes gamma_N equal GammaMin. The paper searched
	// for its inference schedules and published none; this family starts where the training schedule starts and ends
	// where it ends at every number of steps.
	SchedulePaper = "paper"
	// ScheduleTraining has the levels of Training: all of them, or every T/Steps-th.
	ScheduleTraining = "training"
	// ScheduleLogSNR has levels evenly spaced in log-SNR from GammaMax to GammaMin. The solvers of higher order do best
	// on it.
	ScheduleLogSNR = "logsnr"
	// ScheduleExplicit has the levels listed in Gammas. For another number of steps they are resampled: log-SNR is
	// interpolated over the index, the noisiest and the cleanest level stay.
	ScheduleExplicit = "explicit"
)

// Defaults of a Schedule's numbers.
const (
	DefaultBetaStart = 1e-6     // beta_1 of the default training schedule
	DefaultGammaMin  = 4.386e-5 // gamma_T of the default training schedule
	DefaultGammaMax  = 0.9999   // noise of 1.3 grey levels of 255, which the last step takes away
)

// Schedule describes an inference noise schedule but for the number of steps. The zero value is the paper's family.
type Schedule struct {
	// Kind is "paper", "training", "logsnr" or "explicit"; "" means "paper".
	Kind string `json:"kind" toml:"kind"`
	// Training is the schedule that "training" takes its levels from; the zero value means diffusion.TrainingSchedule.
	Training diffusion.ScheduleConfig `json:"training,omitzero" toml:"training,omitempty"`
	// BetaStart is beta_1 of "paper"; 0 means DefaultBetaStart.
	BetaStart float64 `json:"beta_start,omitempty" toml:"beta_start,omitempty"`
	// GammaMin is the noisiest level of "paper" and "logsnr"; 0 means DefaultGammaMin.
	GammaMin float64 `json:"gamma_min,omitempty" toml:"gamma_min,omitempty"`
	// GammaMax is the cleanest level of "logsnr" before 1; 0 means DefaultGammaMax.
	GammaMax float64 `json:"gamma_max,omitempty" toml:"gamma_max,omitempty"`
	// Gammas are the levels gamma_1 > gamma_2 > ... > gamma_N of "explicit", without the leading 1.
	Gammas []float64 `json:"gammas,omitempty" toml:"gammas,omitempty"`
}

// Build returns the noise schedule with the given number of steps. 0 steps means all levels of "training" and
// "explicit" and is an error otherwise.
func (c Schedule) Build(steps int) (diffusion.NoiseSchedule, error) {
	if c.Kind == "" {
		c.Kind = SchedulePaper
	}
	s, err := c.build(steps)
	if err != nil {
		return diffusion.NoiseSchedule{}, fmt.Errorf("inference schedule %q: %w", c.Kind, err)
	}
	return s, nil
}

func (c Schedule) build(steps int) (diffusion.NoiseSchedule, error) {
	gammaMin := diffusion.Gamma(or(c.GammaMin, DefaultGammaMin))
	switch c.Kind {
	case SchedulePaper:
		return diffusion.LinearScheduleTo(steps, or(c.BetaStart, DefaultBetaStart), gammaMin)
	case ScheduleLogSNR:
		return diffusion.LogSNRSchedule(steps, diffusion.Gamma(or(c.GammaMax, DefaultGammaMax)), gammaMin)
	case ScheduleTraining:
		return c.strided(steps)
	case ScheduleExplicit:
		return c.explicit(steps)
	}
	return diffusion.NoiseSchedule{}, fmt.Errorf("no such kind; known are %s, %s, %s, %s", SchedulePaper, ScheduleTraining,
		ScheduleLogSNR, ScheduleExplicit)
}

// strided takes the training schedule's levels.
func (c Schedule) strided(steps int) (diffusion.NoiseSchedule, error) {
	if c.Training == (diffusion.ScheduleConfig{}) {
		c.Training = diffusion.TrainingSchedule()
	}
	s, err := c.Training.Build()
	if err != nil || steps == 0 {
		return s, err
	}
	return s.Strided(steps)
}

// explicit takes the listed levels.
func (c Schedule) explicit(steps int) (diffusion.NoiseSchedule, error) {
	if len(c.Gammas) == 0 {
		return diffusion.NoiseSchedule{}, errors.New("no gammas are listed")
	}
	gammas := make([]diffusion.Gamma, len(c.Gammas))
	for i, g := range c.Gammas {
		gammas[i] = diffusion.Gamma(g)
	}
	s, err := diffusion.NewNoiseScheduleFromGammas(gammas)
	if err != nil || steps == 0 || steps == len(gammas) {
		return s, err
	}
	return resampled(s, steps)
}

// or returns v, or the default when v is 0.
func or(v, def float64) float64 {
	if v == 0 {
		return def
	}
	return v
}
