// Package model defines what a trained SR3 model is: the weights of a U-Net, the
// settings it was trained with, and a card for people. It keeps one in one
// .safetensors file, finds models by name (some are built into the binary), and
// imports the checkpoints of the widely used PyTorch implementation.
package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/sr3-go/sr3/degrade"
	"github.com/sr3-go/sr3/diffusion"
	"github.com/sr3-go/sr3/refine"
	"github.com/sr3-go/sr3/residual"
	"github.com/sr3-go/sr3/unet"
)

const (
	// FormatVersion is the version of [Config] that is written. Files of later
	// versions are refused.
	FormatVersion = 1
	// maxConfig bounds the JSON of a configuration, in bytes.
	maxConfig = 4 << 20
	// maxScale is the largest enlargement that a single model may claim.
	maxScale = 64
)

// Config says everything about a model but its weights.
type Config struct {
	FormatVersion int    `json:"format_version"`
	Name          string `json:"name"`
	// Scale is how many times larger the output is than the low-resolution input;
	// 1 for an unconditional model, 0 where it is not known.
	Scale int `json:"scale"`
	// Objective is what the network was trained for: [ObjectiveSR3], which is also
	// meant where nothing is said, or [ObjectiveRegression]. A regression has no
	// noise, so the settings for it are empty: Diffusion has no schedule and no draw
	// of gamma, Inference has nothing.
	Objective string `json:"objective,omitempty"`
	// Network is the U-Net.
	Network   unet.Config `json:"network"`
	Diffusion Diffusion   `json:"diffusion"`
	Inference Inference   `json:"inference"`
	Condition Condition   `json:"condition"`
	// Predictor, if not nil, is a regression whose result takes the place of the
	// bicubic enlargement: it is the condition, and what a residual target is relative
	// to. The model then refines what the regression leaves out (predict and refine:
	// Whang et al., "Deblurring via Stochastic Refinement", CVPR 2022).
	Predictor *Config `json:"predictor,omitempty"`
	// TrainedFor says in words what images the model is meant for.
	TrainedFor string `json:"trained_for,omitempty"`
	// Licence is the licence of the weights, as an SPDX identifier where one exists.
	Licence string `json:"licence,omitempty"`
	// Source says where the weights come from: a command, or the imported file.
	Source string `json:"source,omitempty"`
}

// Diffusion is how the network was trained.
type Diffusion struct {
	// Prediction is what the network's output means.
	Prediction diffusion.Prediction `json:"prediction"`
	// Loss is the norm of the training objective.
	Loss diffusion.Norm `json:"loss"`
	// Residual is the factor f of a residual target y0 = f*(HR - x), where x is the
	// condition: the bicubic enlargement, or what the predictor makes of it. 0 means
	// that y0 is the image itself.
	Residual float64 `json:"residual"`
	// Adaptive, if not zero, divides the residual by what the condition leads to expect
	// at each pixel: y0 = f*(HR - x)/s(x).
	Adaptive residual.Scale `json:"adaptive,omitzero"`
	// Schedule is the training noise schedule. Its kind is empty when Betas lists one.
	Schedule diffusion.ScheduleConfig `json:"schedule"`
	// Betas is beta_1 ... beta_T of a training schedule that has no name.
	Betas []float64 `json:"betas,omitempty"`
	// GammaDraw is how noise levels were drawn.
	GammaDraw diffusion.GammaDraw `json:"gamma_draw"`
}

// NoiseSchedule builds the training noise schedule.
func (d Diffusion) NoiseSchedule() (diffusion.NoiseSchedule, error) {
	if len(d.Betas) == 0 {
		return d.Schedule.Build()
	}
	if d.Schedule != (diffusion.ScheduleConfig{}) {
		return diffusion.NoiseSchedule{}, errors.New("both a named schedule and betas; want one")
	}
	return diffusion.NewNoiseSchedule(d.Betas)
}

// Inference holds the defaults for sampling.
type Inference struct {
	Sampler string `json:"sampler"`
	// Steps is the number of refinement steps; 0 means all of the training schedule.
	Steps int `json:"steps"`
	// Schedule is the inference noise schedule. For the kind "training", its
	// Training may be left empty: it is the model's own.
	Schedule refine.Schedule `json:"schedule"`
	Variance string          `json:"variance,omitempty"`
	Eta      float64         `json:"eta,omitempty"`
	// Temperature scales the noise, see refine.Options; 0 means 1.
	Temperature float64 `json:"temperature,omitempty"`
	// Clip clamps every estimate of the clean image to [-1, 1]. With a residual
	// target the estimate that is clamped is the image, not the residual.
	Clip bool `json:"clip"`
	// Consistent projects every estimate onto the images that the input could have
	// come from, see upscale.Options.
	Consistent bool `json:"consistent,omitempty"`
}

// Condition is what was done to the condition image in training.
type Condition struct {
	// Quantised8 tells that the enlarged image was rounded to 8 bits.
	Quantised8 bool `json:"quantised8"`
	// Degradation is what the low-resolution images had lost beside their size; nil
	// where they were clean bicubic reductions. If the network has augmentation
	// levels, they are those of [degrade.Settings.Levels].
	Degradation *degrade.Settings `json:"degradation,omitempty"`
	// AssumedBlur is what such a network is told of the blur of an image that nothing
	// is known about, which cannot be seen in it: sigma in its pixels.
	AssumedBlur float64 `json:"assumed_blur,omitempty"`
	// Blur is how often and how much (sigma in its pixels) the enlarged image was
	// blurred, without the network being told; nil for never.
	Blur *degrade.Range `json:"blur,omitempty"`
}

// RefineOptions returns the model's defaults for sampling: sampler, steps,
// inference schedule, variance, prediction, clipping. The caller adds noise
// source, constraint and callbacks. A regression refines nothing and gives an
// error.
func (c Config) RefineOptions() (refine.Options, error) {
	if c.Regression() {
		return refine.Options{}, fmt.Errorf("model %s is a regression, which makes its result in one call: there is nothing to refine", c.Name)
	}
	o := refine.Options{
		Sampler: c.Inference.Sampler, Steps: c.Inference.Steps, Schedule: c.Inference.Schedule,
		Variance: c.Inference.Variance, Eta: c.Inference.Eta, Temperature: c.Inference.Temperature,
		Prediction: c.Diffusion.Prediction, NoClip: !c.Inference.Clip,
	}
	if o.Schedule.Kind != refine.ScheduleTraining || o.Schedule.Training != (diffusion.ScheduleConfig{}) {
		return o, nil
	}
	if len(c.Diffusion.Betas) == 0 {
		o.Schedule.Training = c.Diffusion.Schedule
		return o, nil
	}
	s, err := c.explicitSchedule(o.Steps)
	if err != nil {
		return o, err
	}
	o.Schedule = s
	return o, nil
}

// explicitSchedule lists the levels of an unnamed training schedule.
func (c Config) explicitSchedule(steps int) (refine.Schedule, error) {
	s, err := c.Diffusion.NoiseSchedule()
	if err == nil && steps > 0 {
		s, err = s.Strided(steps)
	}
	if err != nil {
		return refine.Schedule{}, err
	}
	out := refine.Schedule{Kind: refine.ScheduleExplicit}
	for t := 1; t <= s.Steps(); t++ {
		out.Gammas = append(out.Gammas, float64(s.Gamma(t)))
	}
	return out, nil
}

// Validate reports everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	check := func(field string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", field, err))
		}
	}
	if c.FormatVersion != FormatVersion {
		errs = append(errs, fmt.Errorf("format_version %d, this program reads %d; use a matching version of sr3", c.FormatVersion, FormatVersion))
	}
	if c.Scale < 0 || c.Scale > maxScale {
		errs = append(errs, fmt.Errorf("scale %d: want 1 to %d, or 0 for unknown", c.Scale, maxScale))
	}
	check("network", c.Network.Validate())
	check("objective", c.validateObjective())
	check("condition", c.validateCondition())
	check("diffusion", c.Diffusion.validate())
	check("predictor", c.validatePredictor())
	if !c.Regression() {
		check("diffusion", c.Diffusion.validateNoise())
		options, err := c.RefineOptions()
		if err == nil {
			err = options.Validate()
		}
		check("inference", err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("model config: %w", err)
	}
	return nil
}

// validate checks what every objective has.
func (d Diffusion) validate() error {
	var err error
	if d.Residual == 0 && d.Adaptive.Active() {
		return errors.New("adaptive without residual: there is nothing to adapt")
	}
	if err := d.Adaptive.Validate(); err != nil {
		return fmt.Errorf("adaptive: %w", err)
	}
	if !(d.Residual >= 0) || math.IsInf(d.Residual, 0) {
		err = fmt.Errorf("residual %v: want 0 or more", d.Residual)
	}
	if d.Loss != diffusion.L1 && d.Loss != diffusion.L2 {
		err = errors.Join(err, fmt.Errorf("loss %q: want %q or %q", d.Loss, diffusion.L1, diffusion.L2))
	}
	return errors.Join(err, d.Prediction.Validate())
}

// validateNoise checks what a refinement has beside.
func (d Diffusion) validateNoise() error {
	_, err := d.NoiseSchedule()
	return errors.Join(err, d.GammaDraw.Validate())
}

// ParseConfig reads the JSON of a configuration. Unknown fields are errors, so
// that a setting this version does not understand is not ignored.
func ParseConfig(data []byte) (Config, error) {
	var c Config
	if len(data) > maxConfig {
		return c, fmt.Errorf("model config: %d bytes, the limit is %d", len(data), maxConfig)
	}
	var version struct {
		FormatVersion int `json:"format_version"`
	}
	if json.Unmarshal(data, &version) == nil && version.FormatVersion > FormatVersion {
		return c, fmt.Errorf("model config: format_version %d is newer than %d; %w", version.FormatVersion, FormatVersion, errNewer)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		return c, fmt.Errorf("model config: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return c, errors.New("model config: text after the configuration")
	}
	return c, c.Validate()
}
