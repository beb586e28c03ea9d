package train

import (
	"fmt"
	"slices"

	"github.com/sr3-go/sr3/diffusion"
	"github.com/sr3-go/sr3/internal/cpu"
	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/unet"
)

// The labels of the graphs' inputs.
const (
	inputHR     = "hr"     // [N, H, W, 3]
	inputX      = "x"      // [N, H, W, 3]
	inputNoise  = "noise"  // [N, H, W, 3]
	inputAlpha  = "alpha"  // [N, 1, 1, 1]
	inputSigma  = "sigma"  // [N, 1, 1, 1]
	inputWeight = "weight" // [N, 1, 1, 1]
	inputLevel  = "level"  // [N]
	inputLost   = "lost"   // [N, augment_levels]
	inputSeed   = "seed"   // [2]
	inputHyper  = "hyper"  // [graph.AdamHyper]
	inputFactor = "factor" // [N, H, W, 1] of the residual, where it is adaptive
	inputGrad   = "grad/"  // and a parameter's name
)

// The labels of the variables that belong to a parameter: its name after one of these. The parameter's own label is
// its name alone.
const (
	prefixEMA = "ema/"
	prefixM   = "adam.m/"
	prefixV   = "adam.v/"
)

// stepper computes optimiser steps. Without accumulation one program does everything; with it, replicas of one program
// compute the gradients of micro-batches, and another the update from their sum.
type stepper struct {
	cfg      Config
	params   []unet.Param
	compute  *cpu.Program   // nil with accumulation
	replicas []*cpu.Program // these three are for accumulation alone
	update   *cpu.Program
	sums     [][]float32 // of the gradients, by parameter; the update's inputs
	critic   *critic     // nil without an adversary
}

// newStepper compiles the training step over the variables.
func newStepper(cfg Config, vars *cpu.Variables) (*stepper, error) {
	params, err := unet.Parameters(cfg.Model.Config)
	if err != nil {
		return nil, err
	}
	s := &stepper{cfg: cfg, params: params}
	g := graph.New()
	l, err := buildLoss(g, cfg, cfg.microBatch(), cfg.Data.Crop, true)
	if err != nil {
		return nil, fmt.Errorf("build training step: %w", err)
	}
	if cfg.adversarial() {
		return s, s.compileAdversary(g, l, vars)
	}
	loss := l.loss
	grads := cfg.gradients(g, loss, variables(g, params, ""))
	if cfg.microBatch() == cfg.Train.Batch {
		s.compute, err = cpu.Compile(g, vars, append([]*graph.Node{loss}, buildUpdate(g, cfg.optimiser(), params, grads)...), cpu.Options{Threads: cfg.Train.Threads})
		return s, err
	}
	if err := s.compileReplicas(g, append([]*graph.Node{loss}, grads...), vars); err != nil {
		return nil, err
	}
	return s, s.compileUpdate(vars)
}

// gradients adds those of a loss, with recomputation if asked for.
func (c Config) gradients(g *graph.Graph, loss *graph.Node, wrt []*graph.Node) []*graph.Node {
	if c.Train.Recompute {
		return g.RecomputedGradients(loss, wrt)
	}
	return g.Gradients(loss, wrt)
}

// gradientsFrom is gradients of a loss whose gradient by y is dy.
func (c Config) gradientsFrom(g *graph.Graph, y, dy *graph.Node, wrt []*graph.Node) []*graph.Node {
	if c.Train.Recompute {
		return g.RecomputedGradientsFrom(y, dy, wrt)
	}
	return g.GradientsFrom(y, dy, wrt)
}

// compileUpdate makes the second program of accumulation, whose inputs are the summed gradients.
func (s *stepper) compileUpdate(vars *cpu.Variables) (err error) {
	g := graph.New()
	var grads []*graph.Node
	for _, p := range s.params {
		grads = append(grads, g.Input(inputGrad+p.Name, p.Shape...))
	}
	s.update, err = cpu.Compile(g, vars, buildUpdate(g, s.cfg.optimiser(), s.params, grads), cpu.Options{Threads: s.cfg.Train.Threads})
	if err != nil {
		return err
	}
	for _, p := range s.params {
		s.sums = append(s.sums, s.update.Input(inputGrad+p.Name))
	}
	return nil
}

// variables returns the nodes of the parameters, or of what belongs to them.
func variables(g *graph.Graph, params []unet.Param, prefix string) []*graph.Node {
	nodes := make([]*graph.Node, len(params))
	for i, p := range params {
		nodes[i] = g.Variable(prefix+p.Name, p.Shape...)
	}
	return nodes
}

// lossNodes are the nodes of a loss that others are made of.
type lossNodes struct {
	loss, prediction *graph.Node
	x, noisy         *graph.Node // [N, H, W, 3]
	alpha, sigma     *graph.Node // [N, 1, 1, 1]
}

// buildLoss adds the loss of n examples of size x size pixels: lines 2 to 5 of Algorithm 1 but for the draws, which are
// inputs, with the prediction, the norm and the target that the configuration names.
func buildLoss(g *graph.Graph, cfg Config, n, size int, training bool) (l lossNodes, err error) {
	hr, x := g.Input(inputHR, n, size, size, 3), g.Input(inputX, n, size, size, 3)
	eps := g.Input(inputNoise, n, size, size, 3)
	alpha, sigma := g.Input(inputAlpha, n, 1, 1, 1), g.Input(inputSigma, n, 1, 1, 1)
	y0 := buildClean(g, cfg, hr, x, n, size)
	in := unet.Inputs{
		Noisy: g.Add(g.Mul(y0, alpha), g.Mul(eps, sigma)), // the forward process q(y|y0), equation 4
		Level: g.Input(inputLevel, n),
	}
	if cfg.Model.InChannels > cfg.Model.OutChannels {
		in.Condition = x
	}
	if k := cfg.Model.AugmentLevels; k > 0 {
		in.Augment = g.Input(inputLost, n, k)
	}
	if training && cfg.Model.Dropout > 0 {
		in.Seed = g.Input(inputSeed, 2)
	}
	prediction, err := unet.Build(g, cfg.Model.Config, in)
	if err != nil {
		return lossNodes{}, err
	}
	var target *graph.Node
	switch cfg.objective().Prediction {
	case diffusion.PredictEps:
		target = eps
	case diffusion.PredictX0:
		target = y0
	case diffusion.PredictV:
		target = g.Sub(g.Mul(eps, alpha), g.Mul(y0, sigma))
	}
	loss := buildNorm(g, cfg.objective(), g.Sub(prediction, target), n)
	return lossNodes{loss: loss, prediction: prediction, x: x, noisy: in.Noisy, alpha: alpha, sigma: sigma}, nil
}

// buildClean adds y0, what the network is to arrive at.
func buildClean(g *graph.Graph, cfg Config, hr, x *graph.Node, n, size int) *graph.Node {
	if cfg.Diffusion.Adaptive.Active() {
		return g.Mul(g.Sub(hr, x), g.Input(inputFactor, n, size, size, 1))
	}
	if r := cfg.Diffusion.Residual; r != 0 {
		return g.Scale(g.Sub(hr, x), float32(r))
	}
	return hr
}

// buildNorm adds the mean over examples and elements of |d| or d^2, weighted by example.
func buildNorm(g *graph.Graph, o diffusion.Objective, d *graph.Node, n int) *graph.Node {
	e := g.Abs(d)
	if o.Norm == diffusion.L2 {
		e = g.Square(d)
	}
	if o.Weighting != diffusion.WeightUniform {
		e = g.Mul(e, g.Input(inputWeight, n, 1, 1, 1))
	}
	return g.Mean(e)
}

// buildUpdate adds the optimiser: the norm of the gradient, then Adam or Muon for every parameter with the gradient
// scaled down to the bound on its norm.
func buildUpdate(g *graph.Graph, o optimiser, params []unet.Param, grads []*graph.Node) []*graph.Node {
	var squares *graph.Node
	for _, grad := range grads {
		sum := g.Reshape(g.Sum(g.Square(grad)), 1)
		if squares == nil {
			squares = sum
		} else {
			squares = g.Add(squares, sum)
		}
	}
	norm := g.Sqrt(squares)
	hyper := g.Input(inputHyper, graph.AdamHyper)
	factor := g.Fill(1, 1)
	if o.clip > 0 {
		factor = buildClip(g, norm, float32(o.clip))
		hyper = g.Mul(hyper, onlyClip(g, factor))
	}
	out := []*graph.Node{norm}
	w, m, v := variables(g, params, ""), variables(g, params, prefixM), variables(g, params, prefixV)
	ema := make([]*graph.Node, len(params))
	if o.averaged {
		ema = variables(g, params, prefixEMA)
	}
	var matrices []matrix
	for i, p := range params {
		if _, _, ok := muonSize(p); ok && o.muon {
			d := g.Mul(grads[i], g.Reshape(factor, slices.Repeat([]int{1}, len(p.Shape))...))
			matrices = append(matrices, matrix{p, w[i], d, m[i], ema[i]})
			continue
		}
		out = append(out, g.Adam(o.adam, w[i], grads[i], m[i], v[i], hyper, ema[i]))
	}
	return append(out, buildMuon(g, o.momentum, matrices, hyper)...)
}

// optimiser is what an update does besides the numbers of a step.
type optimiser struct {
	adam     graph.Adam
	clip     float64 // bound on the gradient's norm, 0 for none
	averaged bool    // keeps the moving average of the weights
	muon     bool    // for what is a matrix, with this momentum
	momentum float32
}

// optimiser is that of the network that is trained.
func (c Config) optimiser() optimiser {
	t := c.Train
	return optimiser{
		adam: graph.Adam{B1: float32(t.Beta1), B2: float32(t.Beta2), Epsilon: float32(t.Epsilon)}, clip: t.Clip, averaged: true,
		muon: t.Optimizer == OptimizerMuon, momentum: float32(t.Momentum),
	}
}

// buildClip returns the factor on the gradient, min(1, clip/norm).
func buildClip(g *graph.Graph, norm *graph.Node, clip float32) *graph.Node {
	ratio := g.Div(g.Fill(clip, 1), g.Affine(norm, 1, 1e-12))
	return g.Affine(g.ReLU(g.Affine(ratio, -1, 1)), -1, 1)
}

// onlyClip returns factors for Adam's numbers: the one given for the one on the gradient, 1 for the others.
func onlyClip(g *graph.Graph, factor *graph.Node) *graph.Node {
	only := make([]float32, graph.AdamHyper)
	only[graph.AdamClip] = 1
	return g.Affine(g.Mul(g.Constant(only, graph.AdamHyper), g.Affine(factor, -1, 1)), -1, 1)
}

// step does one optimiser step on a batch and returns its loss and the norm of its gradient before clipping. hyper are
// Adam's numbers of the step.
func (s *stepper) step(e *examples, hyper []float32) (loss, norm float64) {
	if s.update == nil {
		fill(s.compute, e, 0, e.N, 0)
		copy(s.compute.Input(inputHyper), hyper)
		s.compute.Run()
		return float64(s.compute.Output(0)[0]), float64(s.compute.Output(1)[0])
	}
	loss = s.accumulate(e)
	copy(s.update.Input(inputHyper), hyper)
	s.update.Run()
	return loss, float64(s.update.Output(0)[0])
}

// fill copies count examples, from the first one on, into the inputs of a program that computes a loss.
func fill(p *cpu.Program, e *examples, first, count, micro int) {
	n := e.H * e.W * 3
	images := func(label string, values []float32) { copy(p.Input(label), values[first*n:(first+count)*n]) }
	scalars := func(label string, values []float32) { copy(p.Input(label), values[first:first+count]) }
	images(inputHR, e.HR)
	images(inputX, e.X)
	images(inputNoise, e.noise)
	scalars(inputAlpha, e.alpha)
	scalars(inputSigma, e.sigma)
	scalars(inputLevel, e.level)
	scalars(inputWeight, e.weight)
	if k := len(e.factors) / e.N; k > 0 {
		copy(p.Input(inputFactor), e.factors[first*k:(first+count)*k])
	}
	if k := len(e.lost) / e.N; k > 0 {
		copy(p.Input(inputLost), e.lost[first*k:(first+count)*k])
	}
	seed := e.dropoutSeed(micro)
	copy(p.Input(inputSeed), seed[:])
	e.veil.fill(p)
}

// memory is what the programs hold besides variables, in bytes.
func (s *stepper) memory() int64 {
	var n int64
	for _, p := range s.programs() {
		n += p.MemoryBytes()
	}
	return n
}

// programs are all that the stepper runs.
func (s *stepper) programs() []*cpu.Program {
	list := append([]*cpu.Program{s.compute, s.update}, s.replicas...)
	if s.critic != nil {
		list = append(list, s.critic.program)
	}
	return slices.DeleteFunc(list, func(p *cpu.Program) bool { return p == nil })
}

// close ends the programs' goroutines.
func (s *stepper) close() {
	for _, p := range s.programs() {
		p.Close()
	}
}
