package train

import (
	"errors"
	"fmt"
	"math"

	"github.com/sr3-go/sr3/diffusion"
	"github.com/sr3-go/sr3/internal/cpu"
	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/internal/philox"
	"github.com/sr3-go/sr3/unet"
)

// AdversaryConfig is the section [adversary]: a critic, trained beside the network, that learns to tell the network's
// estimates of y0 from the truth, and a term of the loss that rewards estimates which it takes for true. The squared
// error alone makes an estimate the mean of all that is possible, and texture is what a mean lacks; a critic sees that
// (denoising diffusion GANs, Xiao, Kreis and Vahdat, 2022). The critic is a lean U-Net with a logit for every pixel and
// channel (Schönfeld et al., 2020). It sees the condition x, the candidate y0 under noise of a level that it is told,
// and never the model that is exported.
type AdversaryConfig struct {
	// Weight is that of the adversarial term; 0 for no adversary.
	Weight float64 `toml:"weight"`
	// Rate is the critic's learning rate, which falls as train.decay says and has no warm-up.
	Rate float64 `toml:"rate"`
	// Start is how many steps the critic learns alone before the network feels it.
	Start int `toml:"start"`
	// Noise is the largest deviation of the noise in front of the critic, which keeps it from winning by trifles
	// (Diffusion-GAN, Wang et al., 2022): sigma' is uniform in [0, Noise), and y' = alpha' y0 + sigma' eps'.
	Noise float64 `toml:"noise"`
	// Limit bounds the pull: an example's adversarial gradient by the prediction is scaled down to at most this share of
	// the norm of its diffusion loss's, so that a critic that is far ahead cannot drown what keeps the image true.
	Limit float64 `toml:"limit"`
	// Smooth, if not 0, is the weight of a penalty on the critic's slope at the estimates, whose pull is otherwise rough
	// and grows without bound: the mean of ((D(y' + 0.05 z) - D(y')) / 0.05)^2 for normal z, which is about the square of
	// the gradient of a logit (the approximated R1 of Lin et al., "Diffusion Adversarial Post-Training for One-Step Video
	// Generation", 2025; Mescheder et al., 2018). It makes the critic's step half as long again.
	Smooth float64 `toml:"smooth"`
	// Channels, Multipliers, Blocks and Fold are the critic's size, as those of unet.Config.
	Channels    int   `toml:"channels"`
	Multipliers []int `toml:"multipliers"`
	Blocks      int   `toml:"blocks"`
	Fold        int   `toml:"fold"`
}

// defaultAdversary is what the section begins with.
func defaultAdversary() AdversaryConfig {
	return AdversaryConfig{Rate: 2e-4, Start: 100, Noise: 0.5, Limit: 0.5, Channels: 16, Multipliers: []int{1, 2, 4}, Blocks: 1, Fold: 2}
}

// The critic's Adam forgets sooner than the network's: what it has learned of earlier estimates is out of date.
const (
	criticBeta1 = 0.5
	criticBeta2 = 0.99
)

// largestPull bounds the factor of an example's adversarial term, see adversaryFactor.
const largestPull = 5

// joltDeviation is that of the noise by which the critic's slope is measured.
const joltDeviation = 0.05

// prefixCritic stands before the names of the critic's parameters.
const prefixCritic = "critic/"

// The labels of the inputs of programs with a critic.
const (
	inputVeilNoise = "veil/noise"  // [N, H, W, 3]
	inputVeilAlpha = "veil/alpha"  // [N, 1, 1, 1]
	inputVeilSigma = "veil/sigma"  // [N, 1, 1, 1]
	inputVeilLevel = "veil/level"  // [N]
	inputJolt      = "veil/jolt"   // [N, H, W, 3]
	inputPull      = "veil/weight" // [N, 1, 1, 1]
	inputEstimate  = "estimate"    // [N, H, W, 3]
)

// adversarial reports whether there is an adversary.
func (c Config) adversarial() bool { return c.Adversary.Weight != 0 }

// network is the critic's; the zero value without an adversary.
func (a AdversaryConfig) network() unet.Config {
	if a.Weight == 0 {
		return unet.Config{}
	}
	c := unet.Config{
		Family: unet.FamilyLean, InChannels: 6, OutChannels: 3, Channels: a.Channels, Multipliers: a.Multipliers, Blocks: a.Blocks,
		Fold: a.Fold, Groups: 8, FiLM: true, Attention: []int{}, NoMiddleAttention: true,
	}
	c.ImageSize = c.Multiple()
	return c.Resolved()
}

// parameters is how many numbers the critic learns.
func (a AdversaryConfig) parameters() (int64, error) {
	params, err := unet.Parameters(a.network())
	return unet.Count(params), err
}

// adversaryText is what a card says of the adversary, empty without.
func (c Config) adversaryText() string {
	if !c.adversarial() {
		return ""
	}
	n, err := c.Adversary.parameters()
	if err != nil {
		return ""
	}
	return fmt.Sprintf(", with an adversarial term of weight %g, critic of %d parameters", c.Adversary.Weight, n)
}

// checkAdversary reports what is wrong with the section.
func (c Config) checkAdversary() error {
	a := c.Adversary
	if !c.adversarial() {
		return nil
	}
	var errs []error
	want := func(ok bool, field string, value any, allowed string) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s = %v: want %s", field, value, allowed))
		}
	}
	want(a.Weight > 0 && a.Weight <= 1000, "adversary.weight", a.Weight, "0 to 1000")
	want(a.Rate > 0 && a.Rate <= 1, "adversary.rate", a.Rate, "more than 0, at most 1")
	want(a.Start >= 0, "adversary.start", a.Start, "0 or more")
	want(a.Noise >= 0 && a.Noise <= 1, "adversary.noise", a.Noise, "0 to 1")
	want(a.Limit > 0 && a.Limit <= 1000, "adversary.limit", a.Limit, "more than 0, at most 1000")
	want(a.Smooth >= 0 && a.Smooth <= 1000, "adversary.smooth", a.Smooth, "0 to 1000")
	want(c.microBatch() == c.Train.Batch, "train.micro_batch", c.Train.MicroBatch, "0 with an adversary: its gradients are not accumulated")
	want(!c.regression(), "adversary.weight", a.Weight, "0 for a regression, which has no noise to make texture from")
	want(c.Model.InChannels == 6, "adversary.weight", a.Weight, "0 for a network without a condition, which the critic sees too")
	// From eps, y0 = (y - sigma eps) / alpha is without bound where there is little but noise.
	want(c.Diffusion.Prediction != diffusion.PredictEps, "diffusion.prediction", c.Diffusion.Prediction, "v or x0 with an adversary: estimates from eps have no bound")
	if err := a.network().Validate(); err != nil {
		return errors.Join(append(errs, fmt.Errorf("[adversary]: %w", err))...)
	}
	m := a.network().Multiple()
	want(c.Data.Crop%m == 0, "data.crop", c.Data.Crop, fmt.Sprintf("a multiple of %d, which the critic asks for", m))
	return errors.Join(errs...)
}

// veil is the noise in front of the critic, the same for truth and estimate, and the weights of the adversarial term.
type veil struct {
	noise        []float32 // eps', standard normal, as HR
	jolt         []float32 // standard normal, as HR; nil without adversary.smooth
	alpha, sigma []float32 // [N]
	weight       []float32 // [N] of the adversarial term, 0 in the first adversary.start steps
}

// veil draws that of a step.
func (d *drawer) veil(e *examples, step int) veil {
	v := veil{
		noise: make([]float32, len(e.HR)), alpha: make([]float32, e.N), sigma: make([]float32, e.N), weight: make([]float32, e.N),
	}
	a := d.cfg.Adversary
	random := philox.New(d.seed, streamCritic|uint64(step))
	for i := range e.N {
		sigma := a.Noise * random.Float64(uint64(i))
		v.alpha[i], v.sigma[i] = float32(math.Sqrt(1-sigma*sigma)), float32(sigma)
		if step >= a.Start {
			v.weight[i] = float32(a.Weight * adversaryFactor(d.objective.Prediction, float64(e.sigma[i])))
		}
	}
	normal := philox.New(d.seed, streamVeil|uint64(step))
	normal.Normal(v.noise, 0)
	if a.Smooth > 0 {
		v.jolt = make([]float32, len(e.HR))
		normal.Normal(v.jolt, uint64(len(e.HR)))
	}
	return v
}

// adversaryFactor makes the adversarial term pull as hard on the prediction at every noise level, as the loss does: it
// is the reciprocal of how far the estimate moves with the prediction, |d y0 / d v| = sigma and |d y0 / d x0| = 1.
// Below sigma = 1/largestPull it pulls less, since the estimate is all but given by the noisy image.
func adversaryFactor(p diffusion.Prediction, sigma float64) float64 {
	if p == diffusion.PredictV {
		return 1 / max(sigma, 1.0/largestPull)
	}
	return 1
}

// fill copies the draws into the inputs of a program, if it has such.
func (v veil) fill(p *cpu.Program) {
	copy(p.Input(inputVeilNoise), v.noise)
	copy(p.Input(inputVeilAlpha), v.alpha)
	copy(p.Input(inputVeilSigma), v.sigma)
	copy(p.Input(inputVeilLevel), v.alpha)
	copy(p.Input(inputPull), v.weight)
	copy(p.Input(inputJolt), v.jolt)
}

// veilNodes are the inputs that veil.fill fills.
type veilNodes struct{ noise, alpha, sigma, level *graph.Node }

func newVeilNodes(g *graph.Graph, n, size int) veilNodes {
	return veilNodes{
		g.Input(inputVeilNoise, n, size, size, 3), g.Input(inputVeilAlpha, n, 1, 1, 1), g.Input(inputVeilSigma, n, 1, 1, 1),
		g.Input(inputVeilLevel, n),
	}
}

// critic adds the critic's logits for candidates y0, [N, H, W, 3].
func (v veilNodes) critic(g *graph.Graph, cfg Config, x, y0 *graph.Node) (*graph.Node, error) {
	return v.bare(g, cfg, x, v.behind(g, y0))
}

// behind adds candidates y0 under the noise.
func (v veilNodes) behind(g *graph.Graph, y0 *graph.Node) *graph.Node {
	return g.Add(g.Mul(y0, v.alpha), g.Mul(v.noise, v.sigma))
}

// bare is critic of what is under the noise already.
func (v veilNodes) bare(g *graph.Graph, cfg Config, x, y *graph.Node) (*graph.Node, error) {
	return unet.Build(g, cfg.Adversary.network(), unet.Inputs{Condition: x, Noisy: y, Level: v.level, Prefix: prefixCritic})
}

// buildEstimate adds the estimate of y0 that a prediction stands for.
func buildEstimate(g *graph.Graph, cfg Config, l lossNodes) *graph.Node {
	if cfg.objective().Prediction == diffusion.PredictV {
		return g.Sub(g.Mul(l.noisy, l.alpha), g.Mul(l.prediction, l.sigma))
	}
	return l.prediction
}

// buildAdversary adds the adversarial term, the mean of -logits weighted by example, and the estimate that it judges.
// The critic's variables are constants here: nobody asks for gradients by them.
func buildAdversary(g *graph.Graph, cfg Config, l lossNodes) (term, estimate *graph.Node, err error) {
	n, size := l.x.Shape[0], l.x.Shape[1]
	estimate = buildEstimate(g, cfg, l)
	logits, err := newVeilNodes(g, n, size).critic(g, cfg, l.x, estimate)
	if err != nil {
		return nil, nil, err
	}
	return g.Scale(g.Mean(g.Mul(logits, g.Input(inputPull, n, 1, 1, 1))), -1), estimate, nil
}

// compileAdversary makes the programs of a step with an adversary: the network's, whose first outputs are those of a
// step without and whose last are the estimate and the share of the adversarial gradient, and the critic's.
func (s *stepper) compileAdversary(g *graph.Graph, l lossNodes, vars *cpu.Variables) error {
	term, estimate, err := buildAdversary(g, s.cfg, l)
	if err != nil {
		return fmt.Errorf("build adversary: %w", err)
	}
	by := []*graph.Node{l.prediction}
	keep, pull := g.Gradients(l.loss, by)[0], s.cfg.gradients(g, term, by)[0]
	pull = buildLimit(g, pull, keep, float32(s.cfg.Adversary.Limit))
	grads := s.cfg.gradientsFrom(g, l.prediction, g.Add(keep, pull), variables(g, s.params, ""))
	share := g.Div(buildNorms(g, pull), g.Affine(buildNorms(g, keep), 1, 1e-30))
	out := append([]*graph.Node{l.loss}, buildUpdate(g, s.cfg.optimiser(), s.params, grads)...)
	s.critic = &critic{estimateAt: len(out)}
	if s.compute, err = cpu.Compile(g, vars, append(out, estimate, share), cpu.Options{Threads: s.cfg.Train.Threads}); err != nil {
		return err
	}
	return s.critic.compile(s.cfg, vars)
}

// buildNorms adds the norms of a tensor along axes, along all without any.
func buildNorms(g *graph.Graph, d *graph.Node, axes ...int) *graph.Node {
	return g.Sqrt(g.Sum(g.Square(d), axes...))
}

// buildLimit scales the gradient of each example in pull [N, H, W, 3] down to the norm of that in keep times limit.
func buildLimit(g *graph.Graph, pull, keep *graph.Node, limit float32) *graph.Node {
	ratio := g.Div(g.Scale(buildNorms(g, keep, 1, 2, 3), limit), g.Affine(buildNorms(g, pull, 1, 2, 3), 1, 1e-30))
	less := g.ReLU(g.Affine(ratio, -1, 1)) // 1 - min(1, ratio)
	return g.Mul(pull, g.Affine(less, -1, 1))
}

// estimate is what the network made of the examples of the last step, [N, H, W, 3], until the next.
func (s *stepper) estimate() []float32 { return s.compute.Output(s.critic.estimateAt) }

// share is the norm of the adversarial gradient by the prediction, within its limit, over that of the diffusion loss's,
// in the last step.
func (s *stepper) share() float64 { return float64(s.compute.Output(s.critic.estimateAt + 1)[0]) }

// critic computes the critic's optimiser steps.
type critic struct {
	program    *cpu.Program
	estimateAt int // among the outputs of the network's program
}

// compile makes the program: the hinge loss mean max(0, 1-D(y0)) + mean max(0, 1+D(estimate)), its gradient and Adam.
func (c *critic) compile(cfg Config, vars *cpu.Variables) error {
	params, err := criticParameters(cfg)
	if err != nil {
		return err
	}
	g := graph.New()
	n, size := cfg.Train.Batch, cfg.Data.Crop
	hr, x := g.Input(inputHR, n, size, size, 3), g.Input(inputX, n, size, size, 3)
	v := newVeilNodes(g, n, size)
	real, err := v.critic(g, cfg, x, buildClean(g, cfg, hr, x, n, size))
	if err != nil {
		return err
	}
	y := v.behind(g, g.Input(inputEstimate, n, size, size, 3))
	fake, err := v.bare(g, cfg, x, y)
	if err != nil {
		return err
	}
	loss := g.Add(g.Mean(g.ReLU(g.Affine(real, -1, 1))), g.Mean(g.ReLU(g.Affine(fake, 1, 1))))
	out := []*graph.Node{loss, g.Mean(real), g.Mean(fake)}
	whole := loss
	if weight := cfg.Adversary.Smooth; weight > 0 {
		jolted, err := v.bare(g, cfg, x, g.Add(y, g.Scale(g.Input(inputJolt, n, size, size, 3), joltDeviation)))
		if err != nil {
			return err
		}
		slope := g.Scale(g.Sub(jolted, fake), 1/joltDeviation)
		whole = g.Add(loss, g.Scale(g.Mean(g.Square(slope)), float32(weight)))
	}
	grads := cfg.gradients(g, whole, variables(g, params, ""))
	adam := graph.Adam{B1: criticBeta1, B2: criticBeta2, Epsilon: float32(cfg.Train.Epsilon)}
	out = append(out, buildUpdate(g, optimiser{adam: adam, clip: cfg.Train.Clip}, params, grads)...)
	c.program, err = cpu.Compile(g, vars, out, cpu.Options{Threads: cfg.Train.Threads})
	return err
}

// criticStats are the numbers of a critic's step.
type criticStats struct {
	loss, real, fake float64 // hinge loss, mean logits for truth and estimates
	norm             float64 // of the critic's gradient
	share            float64 // of the network's gradient, see stepper.share
}

func (s criticStats) plus(t criticStats) criticStats {
	return criticStats{s.loss + t.loss, s.real + t.real, s.fake + t.fake, s.norm + t.norm, s.share + t.share}
}

func (s criticStats) mean(n int) criticStats {
	f := 1 / float64(n)
	return criticStats{s.loss * f, s.real * f, s.fake * f, s.norm * f, s.share * f}
}

// step does one step on examples and the network's estimates for them.
func (c *critic) step(e *examples, estimate, hyper []float32) criticStats {
	p := c.program
	copy(p.Input(inputHR), e.HR)
	copy(p.Input(inputX), e.X)
	copy(p.Input(inputEstimate), estimate)
	e.veil.fill(p)
	copy(p.Input(inputHyper), hyper)
	p.Run()
	at := func(i int) float64 { return float64(p.Output(i)[0]) }
	return criticStats{loss: at(0), real: at(1), fake: at(2), norm: at(3)}
}

// criticParameters are those of the critic, their names with its prefix; none without an adversary.
func criticParameters(cfg Config) ([]unet.Param, error) {
	if !cfg.adversarial() {
		return nil, nil
	}
	params, err := unet.Parameters(cfg.Adversary.network())
	for i := range params {
		params[i].Name = prefixCritic + params[i].Name
	}
	return params, err
}

// beginCritic sets the variables of a fresh critic.
func (s *state) beginCritic() (err error) {
	if s.critic, err = criticParameters(s.cfg); err != nil || s.critic == nil {
		return err
	}
	seed := philox.New(s.cfg.Train.Seed, streamCritic|(1<<56-1)).Uint64(0) // no step has this stream
	weights, err := unet.Initialize(s.cfg.Adversary.network(), seed)
	if err != nil {
		return err
	}
	for _, p := range s.critic {
		s.vars.Set(p.Name, weights[p.Name[len(prefixCritic):]])
		s.vars.Ensure(prefixM+p.Name, p.Len())
		s.vars.Ensure(prefixV+p.Name, p.Len())
	}
	return nil
}

// criticHyper returns the numbers of the critic's Adam for the step that comes next. The critic is as old as the run.
func (s *state) criticHyper() []float32 {
	t, n := s.cfg.Train, float64(s.step+1)
	t.Rate, t.Warmup = s.cfg.Adversary.Rate, 0
	h := make([]float32, graph.AdamHyper)
	h[graph.AdamRate] = float32(t.rate(s.step))
	h[graph.AdamC1] = float32(1 - math.Pow(criticBeta1, n))
	h[graph.AdamC2] = float32(1 - math.Pow(criticBeta2, n))
	h[graph.AdamClip] = 1
	return h
}
