package train

import (
	"fmt"
	"math"

	"github.com/sr3-go/sr3/internal/cpu"
	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/unet"
)

// state is what a run consists of between two steps. With the configuration it determines all that follows.
type state struct {
	cfg    Config
	params []unet.Param
	critic []unet.Param   // of the critic, their names with its prefix; none without an adversary
	vars   *cpu.Variables // parameters, averages, moments

	step     int     // optimiser steps done in this run
	adamStep int     // steps that Adam's moments have seen; more than step if they were imported
	images   int64   // examples seen
	loss     float64 // smoothed, for people; NaN before the first step
	best     float64 // lowest score of a validation; +Inf before the first

	past past // for the card; nothing that is computed depends on it
}

// newState returns a run at step 0: fresh weights, or those of start, which may be nil.
func newState(cfg Config, start *Start) (*state, error) {
	params, err := unet.Parameters(cfg.Model.Config)
	if err != nil {
		return nil, err
	}
	s := &state{cfg: cfg, params: params, vars: cpu.NewVariables(), loss: math.NaN(), best: math.Inf(1)}
	if start == nil {
		weights, err := unet.Initialize(cfg.Model.Config, cfg.Train.Seed)
		if err != nil {
			return nil, err
		}
		start = &Start{Weights: weights}
	}
	if err := s.begin(start); err != nil {
		return nil, err
	}
	return s, s.beginCritic()
}

// begin sets the variables from a start.
func (s *state) begin(start *Start) error {
	if err := start.check(s.cfg.Model.Config, s.params); err != nil {
		return err
	}
	if start.M != nil && s.cfg.Train.Optimizer != OptimizerAdam {
		return fmt.Errorf("the optimiser's state to begin from is Adam's: want train.optimizer = %s, not %s", OptimizerAdam, s.cfg.Train.Optimizer)
	}
	for _, p := range s.params {
		s.vars.Set(p.Name, start.Weights[p.Name])
		s.vars.Set(prefixEMA+p.Name, start.Weights[p.Name])
		for prefix, moments := range map[string]map[string][]float32{prefixM: start.M, prefixV: start.V} {
			if moments == nil {
				s.vars.Ensure(prefix+p.Name, p.Len())
			} else {
				s.vars.Set(prefix+p.Name, moments[p.Name])
			}
		}
	}
	s.adamStep, s.past = start.Step, start.past
	return nil
}

// Start is what a run may begin from instead of fresh weights: values by parameter name, in the layout of package unet.
type Start struct {
	// Weights are the parameters.
	Weights map[string][]float32
	// M and V are Adam's moments and Step the number of steps that they have seen; nil and 0 for a fresh optimiser.
	M, V map[string][]float32
	Step int

	past past // of the model that the weights are from
}

// check reports values that do not fit the network.
func (s *Start) check(cfg unet.Config, params []unet.Param) error {
	if err := unet.CheckValues(cfg, s.Weights); err != nil {
		return err
	}
	if s.M == nil && s.V == nil && s.Step == 0 {
		return nil
	}
	if s.M == nil || s.V == nil || s.Step < 1 {
		return fmt.Errorf("an optimiser state needs both moments and a step count of at least 1; it has step %d", s.Step)
	}
	for _, p := range params {
		if len(s.M[p.Name]) != p.Len() || len(s.V[p.Name]) != p.Len() {
			return fmt.Errorf("optimiser state of parameter %s: %d and %d values, want %d", p.Name, len(s.M[p.Name]), len(s.V[p.Name]), p.Len())
		}
	}
	return nil
}

// hyper returns Adam's numbers for the step that comes next.
func (s *state) hyper() []float32 {
	t := s.cfg.Train
	n := float64(s.adamStep + 1)
	h := make([]float32, graph.AdamHyper)
	h[graph.AdamRate] = float32(t.rate(s.step))
	h[graph.AdamC1] = float32(1 - math.Pow(t.Beta1, n))
	h[graph.AdamC2] = float32(1 - math.Pow(t.Beta2, n))
	h[graph.AdamClip] = 1
	h[graph.AdamDecay] = float32(min(t.EMA, (1+n)/(10+n)))
	return h
}

// rate is the learning rate of a step, counted from 0.
func (t TrainConfig) rate(step int) float64 {
	rate := t.Rate
	if step < t.Warmup {
		rate *= float64(step+1) / float64(t.Warmup)
	}
	if t.Decay == DecayCosine {
		rate *= (1 + math.Cos(math.Pi*float64(step)/float64(t.Steps))) / 2
	}
	return rate
}

// lossDecay smooths the loss that people see over about a hundred steps.
const lossDecay = 0.99

// count notes a finished step.
func (s *state) count(loss float64) {
	s.step++
	s.adamStep++
	s.images += int64(s.cfg.Train.Batch)
	if math.IsNaN(s.loss) {
		s.loss = loss
	}
	s.loss = lossDecay*s.loss + (1-lossDecay)*loss
}

// values copies the values of all parameters, or of what belongs to them.
func (s *state) values(prefix string) map[string][]float32 {
	out := make(map[string][]float32, len(s.params))
	for _, p := range s.params {
		out[p.Name] = append([]float32(nil), s.vars.Get(prefix+p.Name)...)
	}
	return out
}

// notFinite returns the label of a variable that holds NaN or infinity, or "".
func (s *state) notFinite() string {
	for _, label := range s.vars.Labels() {
		for _, v := range s.vars.Get(label) {
			if v-v != 0 {
				return label
			}
		}
	}
	return ""
}
