package refine

import (
	"fmt"
	"math"

	"github.com/sr3-go/sr3/diffusion"
)

// Candidate is one way to refine: what a Search tries.
type Candidate struct {
	// Sampler is one of Samplers.
	Sampler string `json:"sampler"`
	// Gammas are the levels of an explicit schedule, see Schedule.Gammas.
	Gammas []float64 `json:"gammas"`
	// Eta and Temperature are those of Options.
	Eta         float64 `json:"eta"`
	Temperature float64 `json:"temperature"`
}

// CandidateOf returns what options amount to, with the levels written out.
func CandidateOf(o Options) (Candidate, error) {
	grid, err := o.Schedule.Build(o.Steps)
	if err != nil {
		return Candidate{}, err
	}
	c := Candidate{Sampler: o.Sampler, Eta: o.Eta, Temperature: or(o.Temperature, 1)}
	if c.Sampler == "" {
		c.Sampler = SamplerAncestral
	}
	if !UsesEta(c.Sampler) {
		c.Eta = 0
	}
	for _, g := range grid.Gammas()[1:] {
		c.Gammas = append(c.Gammas, float64(g))
	}
	return c, nil
}

// Schedule returns the candidate's levels as an explicit schedule.
func (c Candidate) Schedule() Schedule { return Schedule{Kind: ScheduleExplicit, Gammas: c.Gammas} }

// Calls returns how often a denoiser is asked.
func (c Candidate) Calls() int { return DenoiserCalls(c.Sampler, len(c.Gammas)) }

// Apply returns options with the candidate's sampler, schedule, eta and temperature.
func (c Candidate) Apply(o Options) Options {
	o.Sampler, o.Schedule, o.Steps, o.Eta, o.Temperature = c.Sampler, c.Schedule(), len(c.Gammas), c.Eta, c.Temperature
	return o
}

// StepsFor returns the largest number of steps in which a sampler asks a denoiser no more than calls times.
func StepsFor(sampler string, calls int) int {
	if sampler == SamplerHeun {
		return (calls + 1) / 2
	}
	return calls
}

// UsesEta tells the samplers that look at Options.Eta.
func UsesEta(sampler string) bool { return sampler == SamplerDDIM || sampler == SamplerDPMPP2M }

// RhoLevels returns the levels of the schedule of Karras et al., "Elucidating the Design Space of Diffusion-Based
// Generative Models" (arXiv 2206.00364), equation 5, in log-SNR and cleanest first: with sigma = s/a = e^{-logSNR/2} the
// power sigma^(1/rho) is evenly spaced. curvature is 1/rho, of either sign: 1/7 is theirs, 0 the even log-SNR spacing
// that is the limit, above 0 there are more levels in noise, below 0 more near the clean image. A single level is the
// noisiest.
func RhoLevels(steps int, cleanest, noisiest, curvature float64) []float64 {
	levels := make([]float64, steps)
	for i := range levels {
		u := 1.0
		if steps > 1 {
			u = float64(i) / float64(steps-1)
		}
		levels[i] = rhoLevel(u, cleanest, noisiest, curvature)
	}
	return levels
}

// rhoLevel is the level at u from 0 (cleanest) to 1 (noisiest). Scaled to sigma = 1 at the noisiest level, which the
// family does not notice, the powers cannot overflow.
func rhoLevel(u, cleanest, noisiest, curvature float64) float64 {
	power := curvature / 2 * (noisiest - cleanest) // of sigma at the cleanest level
	if math.Abs(power) < 1e-6 {
		return cleanest + u*(noisiest-cleanest)
	}
	low := math.Exp(power)
	return noisiest - 2/curvature*math.Log(low+u*(1-low))
}

// gammasOf turns levels in log-SNR into gammas.
func gammasOf(levels []float64) []float64 {
	gammas := make([]float64, len(levels))
	for i, l := range levels {
		gammas[i] = float64(diffusion.GammaFromLogSNR(l))
	}
	return gammas
}

// valid tells a candidate whose levels fall, far enough apart for all arithmetic.
func (c Candidate) valid() bool {
	for i := 1; i < len(c.Gammas); i++ {
		if !(diffusion.Gamma(c.Gammas[i-1]).LogSNR()-diffusion.Gamma(c.Gammas[i]).LogSNR() >= searchApart) {
			return false
		}
	}
	return true
}

// String describes the candidate in one line.
func (c Candidate) String() string {
	text := fmt.Sprintf("%s, %d steps", c.Sampler, len(c.Gammas))
	if n := len(c.Gammas); n > 0 {
		text += fmt.Sprintf(", log-SNR %.2f to %.2f", diffusion.Gamma(c.Gammas[0]).LogSNR(), diffusion.Gamma(c.Gammas[n-1]).LogSNR())
	}
	if UsesEta(c.Sampler) {
		text += fmt.Sprintf(", eta %.2f", c.Eta)
	}
	return text + fmt.Sprintf(", temperature %.2f", c.Temperature)
}
