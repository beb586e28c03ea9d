package model

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/sr3-go/sr3/diffusion"
)

// The values of Config.Objective.
const (
	// ObjectiveSR3 is refinement: Algorithms 1 and 2 of the paper.
	ObjectiveSR3 = "sr3"
	// ObjectiveRegression is the paper's Regression baseline (section 4): the same
	// network, trained to map the enlarged image to the result in one call. The
	// call's prediction is y0, see [Diffusion.Residual].
	ObjectiveRegression = "regression"
)

// Regression reports whether the model makes its result in one call instead of
// refining it.
func (c Config) Regression() bool { return c.Objective == ObjectiveRegression }

// Unconditional reports whether the network sees the noisy image alone: the model
// makes images from noise and enlarges none.
func (c Config) Unconditional() bool { return c.Network.InChannels == c.Network.OutChannels }

// RegressionInputs sets what the network of a regression is given beside the
// condition, in training as later: it is that of a refinement, and gets zeros in
// the place of the noisy image and of its noise level (or timestep). The paper
// does not say what it feeds there.
func RegressionInputs(noisy, level []float32) {
	clear(noisy)
	clear(level)
}

// validateObjective reports an objective that is not known, and settings that do
// not go with it.
func (c Config) validateObjective() error {
	switch c.Objective {
	case "", ObjectiveSR3:
		return nil
	case ObjectiveRegression:
		return c.validateRegression()
	}
	return fmt.Errorf("%q: want %q or %q", c.Objective, ObjectiveSR3, ObjectiveRegression)
}

// validateRegression refuses settings of noise and refinement, which would
// promise what one call cannot do.
func (c Config) validateRegression() error {
	var errs []error
	if c.Network.InChannels <= c.Network.OutChannels {
		errs = append(errs, fmt.Errorf("a regression from %d channels to %d has no condition", c.Network.InChannels, c.Network.OutChannels))
	}
	d := c.Diffusion
	if d.Prediction != diffusion.PredictX0 {
		errs = append(errs, fmt.Errorf("a regression with diffusion.prediction %q: want %q", d.Prediction, diffusion.PredictX0))
	}
	if d.Schedule != (diffusion.ScheduleConfig{}) || len(d.Betas) > 0 || d.GammaDraw != "" {
		errs = append(errs, errors.New("a regression with a noise schedule: want diffusion.schedule, betas and gamma_draw to be empty"))
	}
	if !reflect.DeepEqual(c.Inference, Inference{}) {
		errs = append(errs, errors.New("a regression with a sampler: it makes its result in one call, so want inference to be empty"))
	}
	return errors.Join(errs...)
}
