package train

import (
	"context"
	"fmt"

	"github.com/sr3-go/sr3/degrade"
	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/upscale"
)

// openPredictor returns the regression of model.predictor: the named model, or the predictor of the named model. It is
// nil where none is named.
func openPredictor(cfg Config) (*model.Model, error) {
	name := cfg.Model.Predictor
	if name == "" {
		return nil, nil
	}
	m, err := model.Open(name)
	if err != nil {
		return nil, fmt.Errorf("model.predictor: %w", err)
	}
	if m.Predictor != nil {
		m = m.Predictor
	}
	if !m.Config.Regression() {
		return nil, fmt.Errorf("model.predictor: %s refines; want a regression (train one with --objective regression), or a model that has a predictor", name)
	}
	if m.Config.Scale != cfg.Model.Scale {
		return nil, fmt.Errorf("model.predictor: %s enlarges by %d; model.scale is %d", name, m.Config.Scale, cfg.Model.Scale)
	}
	if m.Config.Condition.Quantised8 {
		return nil, fmt.Errorf("model.predictor: %s was trained with data.quantise = true; want one that was trained with false", name)
	}
	exported := modelConfig(cfg)
	exported.Predictor = &m.Config
	if err := exported.Validate(); err != nil { // or the first checkpoint would say so
		return nil, fmt.Errorf("model.predictor: %s: %w", name, err)
	}
	return m, nil
}

// checkPredictor reports a predictor that is not the one that the run began with: the file of a regression that was
// trained on has other conditions, under the same name.
func (r *run) checkPredictor() error {
	if r.predictor == nil {
		return nil
	}
	run, now := r.state.past.this(), originOf(r.predictor)
	now.Weights = r.predictor.WeightsDigest()
	if before := run.Predictor; before != nil && before.Weights != "" && before.Weights != now.Weights {
		return fmt.Errorf("model.predictor: the weights of %s are others than when the run began (%.12s, digest of the weights %.12s); "+
			"put them back, or begin a run in another directory", r.cfg.Model.Predictor, now.Weights, before.Weights)
	}
	run.Predictor = now
	return nil
}

// predictorHook returns the function that makes conditions of whole images by a predictor, and one that frees it. Both
// are of use where the predictor is nil, too. Whole images are what it meets later, and they are made but once.
func predictorHook(predictor *model.Model) (func(low []uint8, height, width int, lost degrade.Amount) ([]uint8, error), func(), error) {
	if predictor == nil {
		return nil, func() {}, nil
	}
	up, err := upscale.New(predictor)
	if err != nil {
		return nil, nil, fmt.Errorf("model.predictor: %w", err)
	}
	told := predictor.Config.Network.AugmentLevels > 0
	enlarge := func(low []uint8, height, width int, lost degrade.Amount) ([]uint8, error) {
		img, err := imageio.FromRGB8(width, height, low)
		if err != nil {
			return nil, err
		}
		o := upscale.Options{Threads: 1}
		if told {
			o.Input = upscale.Input{Blur: &lost.Blur, Noise: &lost.Noise, Quality: &lost.Quality}
		}
		big, _, err := up.Upscale(context.Background(), img, o)
		if err != nil {
			return nil, err
		}
		return big.RGB8(), nil
	}
	return enlarge, up.Close, nil
}
