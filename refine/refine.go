package refine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/sr3-go/sr3/diffusion"
)

// Names of the samplers, for Options.Sampler.
const (
	SamplerAncestral = "ancestral" // Algorithm 2 of the paper
	SamplerDDIM      = "ddim"      // deterministic at Eta 0, equal to ancestral with posterior variance at Eta 1
	SamplerDPMPP2M   = "dpmpp-2m"  // DPM-Solver++(2M): second order, one call a step; deterministic at Eta 0
	SamplerHeun      = "heun"      // deterministic, second order, two calls a step
	SamplerUniPC     = "unipc"     // deterministic, second order with a corrector, one call a step
)

// samplers returns the function for each name, in the order that Samplers reports.
func samplers() []sampler {
	return []sampler{
		{SamplerAncestral, ancestral}, {SamplerDDIM, ddim}, {SamplerDPMPP2M, dpmpp2m}, {SamplerHeun, heun},
		{SamplerUniPC, unipc},
	}
}

type sampler struct {
	name string
	run  func(*refinement) error
}

// Samplers returns the names of the samplers, the paper's first.
func Samplers() []string {
	var names []string
	for _, s := range samplers() {
		names = append(names, s.name)
	}
	return names
}

// DenoiserCalls returns how many times a sampler asks the denoiser in the given number of steps. Heun asks once less
// where the schedule begins at gamma 0.
func DenoiserCalls(sampler string, steps int) int {
	if sampler == SamplerHeun {
		return max(2*steps-1, 0) // the last step has no corrector
	}
	return steps
}

// Variance of the noise that the ancestral sampler adds, for Options.Variance.
const (
	VarianceBeta      = "beta"      // 1-alpha_t, the paper's choice
	VariancePosterior = "posterior" // that of q(y_{t-1} | y_t, y_0): smaller, as widely used code has it
)

// MaxTemperature bounds Options.Temperature.
const MaxTemperature = 2

// Options says how to refine. The zero value with Steps set is the paper's Algorithm 2, but for estimates being clamped
// to the range of images; NoClip takes that away.
type Options struct {
	// Sampler is one of Samplers; "" means "ancestral".
	Sampler string
	// Steps is the number of refinement steps, from 1 up. It may be 0 for the schedules "training" (all its steps) and
	// "explicit" (as many as there are levels). See DenoiserCalls for the cost.
	Steps int
	// Schedule is the inference noise schedule.
	Schedule Schedule
	// Variance is "beta" or "posterior", for the ancestral sampler alone; "" means "beta".
	Variance string
	// Eta in [0, 1] is the share of ancestral noise in DDIM and DPM-Solver++(2M); no other sampler looks at it.
	Eta float64
	// Temperature scales all noise, the start and what steps add; 0 means 1, where the result is a draw from the
	// model's distribution. Below 1 draws lie closer to their mean: less grain where the network leaves some, but also
	// less of the detail that the input does not determine, and they say less about what is uncertain. It is a
	// remedy for networks that were trained too little, in (0, 2]. It does not change an image given by FromY.
	Temperature float64
	// Prediction is what the denoiser predicts; "" means "eps".
	Prediction diffusion.Prediction
	// Noise is where randomness comes from; nil means NewNoise(0).
	Noise NoiseSource
	// FromY starts from the image that y holds, taken to be at the schedule's noisiest level, and not from noise.
	FromY bool
	// ConstrainY0, when not nil, changes each estimate of the clean image in place before it is used: a clip, a
	// projection. When nil, estimates are clamped to [-1, 1]. Clamp is there for hooks that want both.
	ConstrainY0 func(y0 []float32)
	// NoClip leaves estimates as they are when ConstrainY0 is nil, which the paper's Algorithm 2 does.
	NoClip bool
	// OnStep, when not nil, is called after every step.
	OnStep func(Step)
	// Threads bounds the goroutines used for the arithmetic around the denoiser; below 2 there is none but the caller's.
	Threads int
}

// Step is the state after one refinement step. The slices are valid, and must not be changed, during the call alone.
type Step struct {
	Index int             // 0 for the first step, Steps-1 for the last
	Steps int             // the number of steps of the run
	Gamma diffusion.Gamma // the noise level that Y is at now; 1 after the last step
	Y     []float32       // the image, still noisy unless Gamma is 1
	Y0    []float32       // the constrained estimate of the clean image that the step went towards
}

// ErrNotFinite is wrapped by the error of a run whose result holds NaN or infinity.
var ErrNotFinite = errors.New("the refined image holds values that are not finite")

// Run refines: it fills y with standard normal noise (or takes y as it is, see Options.FromY), asks the denoiser for
// as many steps as the options say and leaves the image in y, in [-1, 1] unless a constraint says otherwise. y is a
// flat image or batch of any layout; its positions index the noise. On an error, which may be ctx's or the
// denoiser's, what y holds is of no use.
//
// Memory besides y: one buffer of its size for ancestral and DDIM, two for DPM-Solver++, three for Heun, four for
// UniPC, and one more for noise sources that are not a PositionalNoise.
func Run(ctx context.Context, options Options, denoiser diffusion.Denoiser, y []float32) error {
	r, run, err := prepare(ctx, options, denoiser, y)
	if err != nil {
		return fmt.Errorf("refine: %w", err)
	}
	if !options.FromY {
		r.fillNoise(y, InitialNoise)
		r.scale(y, r.Temperature)
	}
	if err := run(r); err != nil {
		return fmt.Errorf("refine: %w", err)
	}
	return checkFinite(y)
}

// Validate says which option is wrong, as Run would, without running.
func (o Options) Validate() error {
	if _, _, err := prepare(context.Background(), o, nil, nil); err != nil {
		return fmt.Errorf("refine: %w", err)
	}
	return nil
}

// prepare fills in the defaults and checks everything that can be checked before the first step.
func prepare(ctx context.Context, o Options, denoiser diffusion.Denoiser, y []float32) (
	*refinement, func(*refinement) error, error,
) {
	if o.Sampler == "" {
		o.Sampler = SamplerAncestral
	}
	if o.Prediction == "" {
		o.Prediction = diffusion.PredictEps
	}
	if o.Noise == nil {
		o.Noise = NewNoise(0)
	}
	if o.Variance == "" {
		o.Variance = VarianceBeta
	}
	if o.Temperature == 0 {
		o.Temperature = 1
	}
	run, err := find(o.Sampler)
	if err != nil {
		return nil, nil, err
	}
	if err := o.Prediction.Validate(); err != nil {
		return nil, nil, err
	}
	if o.Variance != VarianceBeta && o.Variance != VariancePosterior {
		return nil, nil, fmt.Errorf("variance %q: no such kind; known are %s, %s", o.Variance, VarianceBeta,
			VariancePosterior)
	}
	if !(o.Eta >= 0 && o.Eta <= 1) {
		return nil, nil, fmt.Errorf("eta %g is not in [0, 1]", o.Eta)
	}
	if !(o.Temperature > 0 && o.Temperature <= MaxTemperature) {
		return nil, nil, fmt.Errorf("temperature %g is not in (0, %d]", o.Temperature, MaxTemperature)
	}
	grid, err := o.Schedule.Build(o.Steps)
	if err != nil {
		return nil, nil, err
	}
	if o.Prediction == diffusion.PredictEps && grid.Gamma(grid.Steps()) == 0 {
		return nil, nil, errors.New("the noise schedule ends at gamma 0, where predicted noise says nothing about the image; " +
			"choose another schedule")
	}
	return &refinement{ctx: ctx, Options: o, denoiser: denoiser, grid: grid, steps: grid.Steps(), y: y}, run, nil
}

func find(name string) (func(*refinement) error, error) {
	for _, s := range samplers() {
		if s.name == name {
			return s.run, nil
		}
	}
	return nil, fmt.Errorf("sampler %q: no such sampler; known are %s", name, strings.Join(Samplers(), ", "))
}

// checkFinite reports the first value of y that is NaN or infinite.
func checkFinite(y []float32) error {
	for i, v := range y {
		if v-v != 0 { // NaN for both, and cheaper than two tests
			return fmt.Errorf("refine: %w: element %d is %g; the denoiser's weights or its input are broken", ErrNotFinite, i, v)
		}
	}
	return nil
}

// refinement is one run: what the samplers share.
type refinement struct {
	Options
	ctx      context.Context
	denoiser diffusion.Denoiser
	grid     diffusion.NoiseSchedule
	steps    int
	y        []float32
	noise    []float32 // whole-image noise, for sources that cannot do less
}

// buffer returns scratch space of the image's size.
func (r *refinement) buffer() []float32 { return make([]float32, len(r.y)) }

// levels returns the noise levels that step k (from 0) comes from and goes to.
func (r *refinement) levels(k int) (q, p diffusion.Gamma) {
	t := r.steps - k
	return r.grid.Gamma(t), r.grid.Gamma(t - 1)
}

// last reports whether step k ends at the clean image.
func (r *refinement) last(k int) bool { return k == r.steps-1 }

// estimate sets y0 to the denoiser's constrained estimate of the clean image behind y, which is at gamma.
func (r *refinement) estimate(k int, y0, y []float32, gamma diffusion.Gamma) error {
	err := r.ctx.Err()
	if err == nil {
		err = r.denoiser.Denoise(r.ctx, y0, y, gamma)
	}
	if err != nil {
		return fmt.Errorf("step %d of %d at gamma %.4g: %w", k+1, r.steps, float64(gamma), err)
	}
	limit := float32(1)
	if r.NoClip || r.ConstrainY0 != nil {
		limit = float32(math.Inf(1))
	}
	mixAndClamp(r.Threads, y0, r.Prediction.ToY0(gamma), y, limit)
	if r.ConstrainY0 != nil {
		r.ConstrainY0(y0)
	}
	return nil
}

// report calls OnStep after step k, which went to p.
func (r *refinement) report(k int, p diffusion.Gamma, y0 []float32) {
	if r.OnStep != nil {
		r.OnStep(Step{Index: k, Steps: r.steps, Gamma: p, Y: r.y, Y0: y0})
	}
}
