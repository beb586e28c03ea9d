package train

import (
	"errors"
	"fmt"

	"github.com/sr3-go/sr3/dataset"
	"github.com/sr3-go/sr3/degrade"
	"github.com/sr3-go/sr3/internal/philox"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/unet"
)

// AugmentConfig is the section [augment]: what happens to the images that a network is given, so that it learns to take
// real ones. Each kind has a section of its own, as [augment.blur], with probability (0: never), low and high.
//
// Blur, noise and jpeg happen to the low-resolution image, in this order, before it is enlarged; the target stays clean.
// With model.augment_levels = 3 the network is told how much of each there is in an example, and can be told of an image
// that it enlarges later; with 0 it must see for itself.
type AugmentConfig struct {
	degrade.Settings
	// ConditionBlur blurs the enlarged image x by a Gaussian; its measure is sigma in pixels of x. It makes a model of a
	// cascade robust against the faults of the model before (section 4.3 of the paper; Ho et al. 2021 blur half of the
	// examples with sigma 0.4 to 0.6). The network is never told of it, and nothing is blurred when it is used.
	ConditionBlur degrade.Range `toml:"condition_blur"`
	// Versions is how many conditions a predictor makes of each image when blur, noise or jpeg happens, each with losses
	// of its own: it works on whole images and once, so that there are not new ones for every example.
	Versions int `toml:"versions"`
}

// checkAugment reports what is wrong with the section, and levels that do not go with it.
func (c Config) checkAugment() error {
	a, levels := c.Augment, c.Model.AugmentLevels
	if err := errors.Join(a.Settings.Validate(), a.ConditionBlur.Check("condition_blur", 0, degrade.MaxBlur)); err != nil {
		return fmt.Errorf("[augment]: %w", err)
	}
	switch {
	case a.Versions < 1 || a.Versions > dataset.MaxVersions:
		return fmt.Errorf("augment.versions = %d: want 1 to %d", a.Versions, dataset.MaxVersions)
	case levels != 0 && levels != degrade.Levels:
		return fmt.Errorf("model.augment_levels = %d: want 0, or %d for blur, noise and JPEG", levels, degrade.Levels)
	case levels > 0 && !a.Active():
		return fmt.Errorf("model.augment_levels = %d: the network has levels of blur, noise and JPEG to learn, but nothing in [augment] has a probability above 0",
			levels)
	}
	return nil
}

// blurCondition is what [augment.condition_blur] does to an example's x, nil if nothing (see dataset.Options.Augment).
func (a AugmentConfig) blurCondition() func(x []float32, size int, random philox.Stream) {
	if a.ConditionBlur.Probability == 0 {
		return nil
	}
	return func(x []float32, size int, random philox.Stream) {
		if sigma, happens := a.ConditionBlur.Draw(random, 0); happens {
			degrade.Blur(x, size, size, 3, sigma)
		}
	}
}

// levels is what the network is told about a batch, [N, augment_levels]; nil if nothing.
func (c Config) levels(lost []degrade.Amount) []float32 {
	if c.Model.AugmentLevels == 0 {
		return nil
	}
	var out []float32
	for _, amount := range lost {
		levels := c.Augment.Levels(amount)
		out = append(out, levels[:]...)
	}
	return out
}

// levelBounds are the numbers that give the levels their meaning, if the network has levels.
func (c Config) levelBounds() []float64 {
	if c.Model.AugmentLevels == 0 {
		return nil
	}
	a := c.Augment
	return []float64{a.Blur.High, a.Noise.High, a.JPEG.Low}
}

// modelCondition is what an exported model says about the images it was given.
func modelCondition(c Config) model.Condition {
	out := model.Condition{Quantised8: c.Data.Quantise}
	if c.Augment.Active() {
		settings := c.Augment.Settings
		out.Degradation = &settings
	}
	if c.Augment.ConditionBlur.Probability > 0 {
		blur := c.Augment.ConditionBlur
		out.Blur = &blur
	}
	return out
}

// adoptCondition takes over what a model says about the images it was given.
func (c *Config) adoptCondition(m model.Condition) {
	c.Data.Quantise, c.Augment = m.Quantised8, AugmentConfig{Versions: c.Augment.Versions}
	if m.Degradation != nil {
		c.Augment.Settings = *m.Degradation
	}
	if m.Blur != nil {
		c.Augment.ConditionBlur = *m.Blur
	}
}

// inputLimits says what a model does badly with other images than it was trained on, for its card.
func inputLimits(m model.Condition) []string {
	if m.Degradation == nil {
		return []string{"Trained on " + m.Inputs() + ": noise, blur and the blocks of JPEG compression are taken for detail and enlarged."}
	}
	return []string{"Trained on " + m.Inputs() + ". What else real images suffer from (motion blur, sharpening, other codecs) it has not seen."}
}

// grow lets a model without augmentation levels be the beginning of a network with them: the parameters that it lacks
// are fresh, and begin by changing nothing. It returns the weights of all, and gives theirs the levels.
func (c Config) grow(theirs *unet.Config, weights map[string][]float32) (map[string][]float32, error) {
	ours := c.Model.Config
	if theirs.AugmentLevels != 0 || ours.AugmentLevels == 0 {
		return weights, nil
	}
	theirs.AugmentLevels = ours.AugmentLevels
	fresh, err := unet.Initialize(*theirs, c.Train.Seed)
	if err != nil {
		return nil, err
	}
	for name, values := range weights {
		fresh[name] = values
	}
	return fresh, nil
}
