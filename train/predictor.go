package train

import (
	"context"
	"fmt"

	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/resample"
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
	if m.Config.Condition.Degradation != nil {
		return nil, fmt.Errorf("model.predictor: %s was trained on %s; want one for clean images", name, m.Config.Condition.Inputs())
	}
	if m.Config.Scale != cfg.Model.Scale {
		return nil, fmt.Errorf("model.predictor: %s enlarges by %d; model.scale is %d", name, m.Config.Scale, cfg.Model.Scale)
	}
	return m, nil
}

// predictorHook returns the function that makes conditions of whole images by a predictor, and one that frees it. Both
// are of use where the predictor is nil, too. Whole images are what it meets later, and they are made but once.
func predictorHook(predictor *model.Model, scale int) (func(pix []uint8, height, width int) ([]uint8, error), func(), error) {
	if predictor == nil {
		return nil, func() {}, nil
	}
	up, err := upscale.New(predictor)
	if err != nil {
		return nil, nil, fmt.Errorf("model.predictor: %w", err)
	}
	enlarge := func(pix []uint8, height, width int) ([]uint8, error) {
		h, w := height/scale, width/scale
		low := make([]uint8, h*w*3)
		if err := resample.Resize8(low, pix, h, w, height, width, 3, resample.Bicubic, 1); err != nil {
			return nil, err
		}
		img, err := imageio.FromRGB8(w, h, low)
		if err != nil {
			return nil, err
		}
		big, _, err := up.Upscale(context.Background(), img, upscale.Options{Threads: 1})
		if err != nil {
			return nil, err
		}
		return big.RGB8(), nil
	}
	return enlarge, up.Close, nil
}
