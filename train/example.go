package train

import (
	"github.com/sr3-go/sr3/dataset"
	"github.com/sr3-go/sr3/diffusion"
	"github.com/sr3-go/sr3/internal/philox"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/unet"
)

// The streams of random numbers under the seed of a run, by their top byte (package dataset uses 1 to 15); the rest of
// the number is the step.
const (
	streamGamma   = 16 << 56
	streamNoise   = 17 << 56
	streamDropout = 18 << 56
	streamCritic  = 19 << 56 // the critic's first weights, and its noise levels
	streamVeil    = 20 << 56 // the noise in front of the critic
)

// examples is a batch with everything that Algorithm 1 draws for it.
type examples struct {
	*dataset.Batch
	noise  []float32 // eps, standard normal, as HR
	alpha  []float32 // [N] sqrt(gamma)
	sigma  []float32 // [N] sqrt(1-gamma)
	level  []float32 // [N] what the network is told: sqrt(gamma), or the timestep
	weight []float32 // [N] of the loss
	lost   []float32 // [N, augment_levels] of the condition, nil without
	// factors [N, H, W] are those of the residual, nil where there is one for all.
	factors []float32
	seeds   philox.Stream
	veil    veil // in front of the critic, empty without an adversary
}

// drawer makes the examples of any step: a function of the configuration and the step alone.
type drawer struct {
	cfg       Config
	set       *dataset.Set
	seed      uint64
	objective diffusion.Objective
	draw      diffusion.GammaDraw
	schedule  diffusion.NoiseSchedule
	stratify  bool
	// timesteps says that the network is conditioned on a whole number; regression that it refines nothing.
	timesteps, regression bool
}

func newDrawer(cfg Config, set *dataset.Set) (*drawer, error) {
	schedule, err := cfg.Diffusion.Schedule.Build()
	if err != nil {
		return nil, err
	}
	return &drawer{
		cfg: cfg, set: set, seed: cfg.Train.Seed, objective: cfg.objective(), draw: cfg.Diffusion.GammaDraw, schedule: schedule,
		stratify: cfg.Diffusion.Stratified, timesteps: cfg.Model.Family == unet.FamilyDDPM,
		regression: cfg.regression(),
	}, nil
}

// examples makes those of a step, counted from 0.
func (d *drawer) examples(step int) (*examples, error) {
	batch, err := d.set.Batch(step)
	if err != nil {
		return nil, err
	}
	n := batch.N
	e := &examples{
		Batch: batch, noise: make([]float32, len(batch.HR)), seeds: philox.New(d.seed, streamDropout|uint64(step)),
		alpha: make([]float32, n), sigma: make([]float32, n), level: make([]float32, n), weight: make([]float32, n),
		lost: d.cfg.levels(batch.Lost),
	}
	if d.cfg.Diffusion.Adaptive.Active() {
		e.factors = factors(d.cfg.Diffusion, batch)
	}
	if d.regression {
		e.regress()
		return e, nil
	}
	random := philox.New(d.seed, streamGamma|uint64(step))
	for i := range n {
		d.noiseLevel(e, i, random)
	}
	philox.New(d.seed, streamNoise|uint64(step)).Normal(e.noise, 0)
	if d.cfg.adversarial() {
		e.veil = d.veil(e, step)
	}
	return e, nil
}

// factors are those of the residual for the conditions of a batch.
func factors(c DiffusionConfig, b *dataset.Batch) []float32 {
	pixels := b.H * b.W
	out := make([]float32, b.N*pixels)
	for i := range b.N {
		c.Adaptive.Factors(out[i*pixels:][:pixels], b.X[i*pixels*3:][:pixels*3], b.H, b.W, c.Residual, 1)
	}
	return out
}

// regress puts what a regression gets in the place of a noisy image and its level: y = alpha y0 + sigma eps with alpha
// = 0 and sigma = 1 is eps, which holds it.
func (e *examples) regress() {
	model.RegressionInputs(e.noise, e.level)
	for i := range e.N {
		e.sigma[i], e.weight[i] = 1, 1
	}
}

// noiseLevel draws gamma for example i (line 3 of Algorithm 1).
func (d *drawer) noiseLevel(e *examples, i int, random philox.Stream) {
	n := uint64(e.N)
	u, v := random.Float64(uint64(i)), random.Float64(n+uint64(i))
	if d.stratify {
		u = min((float64(i)+u)/float64(n), 1-0x1p-53)
	}
	var gamma diffusion.Gamma
	if d.timesteps {
		t := int(u * float64(d.schedule.Steps()))
		gamma, e.level[i] = d.schedule.Gamma(t+1), float32(t)
	} else {
		gamma = d.draw.Draw(d.schedule, u, v)
		e.level[i] = float32(gamma.Alpha())
	}
	e.alpha[i], e.sigma[i] = float32(gamma.Alpha()), float32(gamma.Sigma())
	e.weight[i] = float32(d.objective.Weight(gamma))
}

// dropoutSeed is the seed of dropout in a micro-batch: two numbers below 2^24.
func (e *examples) dropoutSeed(micro int) [2]float32 {
	w := e.seeds.Uint64(uint64(micro))
	return [2]float32{float32(w & 0xffffff), float32(w >> 24 & 0xffffff)}
}
