package train

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"reflect"

	"github.com/sr3-go/sr3/checkpoint"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/refine"
)

// export writes the averaged weights in half precision as a model into the run directory. chosen is a sentence for its
// card, or empty.
func (r *run) export(name, chosen string) error {
	m := &model.Model{Config: modelConfig(r.cfg), Weights: r.state.values(prefixEMA)}
	if err := m.SetRecord(r.card(chosen)); err != nil {
		return fmt.Errorf("export model: %w", err)
	}
	if r.predictor != nil {
		m.WithPredictor(r.predictor)
	}
	if err := m.Save(filepath.Join(r.opt.OutDir, name), checkpoint.F16); err != nil {
		return fmt.Errorf("export model: %w", err)
	}
	return nil
}

// recordBest lets the card of the best weights so far tell of the images what is known now. A card that another wrote is left.
func (r *run) recordBest() error {
	path := filepath.Join(r.opt.OutDir, bestFile)
	m, err := model.Load(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("write the card of the best weights anew: %w", err)
	case m.Record == nil || len(m.Record.Runs) == 0:
		return nil
	}
	now, last := r.cardRun(), &m.Record.Runs[len(m.Record.Runs)-1]
	last.Data, last.HeldOut, last.DataNotes = now.Data, now.HeldOut, now.DataNotes
	m.Record.Gather()
	if err := m.SetRecord(*m.Record); err != nil {
		return fmt.Errorf("write the card of the best weights anew: %w", err)
	}
	return m.Save(path, checkpoint.F16)
}

// modelConfig is what a model says about itself.
func modelConfig(cfg Config) model.Config {
	m := model.Config{
		FormatVersion: model.FormatVersion, Name: cfg.Model.Name, Scale: cfg.Model.Scale, Network: cfg.Model.Config,
		Diffusion: model.Diffusion{
			Prediction: cfg.objective().Prediction, Loss: cfg.Diffusion.Loss, Residual: cfg.Diffusion.Residual, Adaptive: cfg.Diffusion.Adaptive,
		},
		Condition:  modelCondition(cfg),
		TrainedFor: cfg.Model.TrainedFor, Licence: cfg.Model.Licence, Source: "sr3 train",
	}
	if cfg.regression() { // no noise and no sampler
		m.Objective = model.ObjectiveRegression
		return m
	}
	m.Diffusion.Schedule, m.Diffusion.GammaDraw = cfg.Diffusion.Schedule, cfg.Diffusion.GammaDraw
	m.Inference = model.Inference{
		Sampler: refine.SamplerDDIM, Steps: cfg.Train.SampleRefine,
		Schedule: refine.Schedule{Kind: refine.ScheduleLogSNR}, Clip: true,
	}
	return m
}

// StartFromModel returns the beginning that a model and, if it is not nil, Adam's state for it give.
func StartFromModel(m *model.Model, state *model.OptimizerState) *Start {
	start := &Start{Weights: m.Weights, past: pastOf(m)}
	if state != nil {
		start.M, start.V, start.Step = state.M, state.V, int(state.Step)
	}
	return start
}

// openStart reads the model and the optimiser's state, if any, that a run begins from. The model must have the
// configured network, but may lack augmentation levels.
func openStart(opt Options) (*Start, error) {
	m, err := model.Open(opt.Init)
	if err != nil {
		return nil, fmt.Errorf("begin from a model: %w", err)
	}
	theirs, ours := m.Config.Network.Resolved(), opt.Config.Model.Config
	theirs.Dropout = ours.Dropout // a matter of training alone
	theirs.Attention = append([]int{}, theirs.Attention...)
	before := theirs
	if m.Weights, err = opt.Config.grow(&theirs, m.Weights); err != nil {
		return nil, fmt.Errorf("begin from model %s: %w", opt.Init, err)
	}
	if !reflect.DeepEqual(theirs, ours) {
		return nil, fmt.Errorf("begin from model %s: its network is %+v, the configuration's is %+v; leave out [model] in the configuration to take the model's",
			opt.Init, before, ours)
	}
	if opt.Optimizer == "" {
		return StartFromModel(m, nil), nil
	}
	if before.AugmentLevels != ours.AugmentLevels {
		return nil, errors.New("an optimiser's state knows nothing of the parameters that model.augment_levels adds: leave out --optimizer")
	}
	if opt.Config.Train.Optimizer != OptimizerAdam {
		return nil, fmt.Errorf("an optimiser's state of PyTorch is Adam's: want train.optimizer = %s, or leave out --optimizer", OptimizerAdam)
	}
	state, err := model.ImportOptimizer(opt.Optimizer, m)
	if err != nil {
		return nil, err
	}
	return StartFromModel(m, state), nil
}

// AdoptModel sets the network, the scale, the size of the crops, the objective and what the network predicts to those
// of a model, so that training can go on from its weights.
func (c *Config) AdoptModel(m *model.Model) {
	c.Model.Config = m.Config.Network
	c.Model.TrainedFor, c.Model.Licence = m.Config.TrainedFor, m.Config.Licence
	if m.Config.Scale > 0 {
		c.Model.Scale = m.Config.Scale
	}
	c.Data.Crop, c.Train.SampleSize = m.Config.Network.ImageSize, 0
	d := m.Config.Diffusion
	c.Diffusion.Loss, c.Diffusion.Residual, c.Diffusion.Adaptive = d.Loss, d.Residual, d.Adaptive
	switch {
	case m.Config.Regression():
		c.Train.Objective = ObjectiveRegression
	case m.Config.Unconditional():
		c.Train.Objective = ObjectiveUnconditional
	}
	if !m.Config.Regression() {
		c.Diffusion.Prediction, c.Diffusion.GammaDraw = d.Prediction, d.GammaDraw
		if len(d.Betas) == 0 {
			c.Diffusion.Schedule = d.Schedule
		}
	}
	c.adoptCondition(m.Config.Condition)
	*c = c.resolved()
}
