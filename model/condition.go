package model

import (
	"errors"
	"fmt"

	"github.com/sr3-go/sr3/degrade"
)

// Inputs says in words what images the network was given in training, as the end of "trained on ...".
func (c Condition) Inputs() string {
	text := "clean bicubic reductions alone"
	if c.Degradation != nil {
		text = "bicubic reductions with " + c.Degradation.String()
	}
	if c.Blur != nil {
		text += fmt.Sprintf(", blurred up to sigma %v after enlargement", c.Blur.High)
	}
	return text
}

// Levels are the augmentation levels for an image that has lost so much; nil if the network has none.
func (c Config) Levels(a degrade.Amount) []float32 {
	if c.Network.AugmentLevels == 0 || c.Condition.Degradation == nil {
		return nil
	}
	levels := c.Condition.Degradation.Levels(a)
	return levels[:]
}

// validateCondition reports settings that do not fit together.
func (c Config) validateCondition() error {
	d, levels := c.Condition.Degradation, c.Network.AugmentLevels
	var errs []error
	if d != nil {
		errs = append(errs, d.Validate())
		if !d.Active() {
			errs = append(errs, errors.New("degradation: nothing in it has a probability above 0; leave it out"))
		}
	}
	if c.Condition.Blur != nil {
		errs = append(errs, c.Condition.Blur.Check("blur", 0, degrade.MaxBlur))
	}
	if levels != 0 && (levels != degrade.Levels || d == nil || !d.Active()) {
		errs = append(errs, fmt.Errorf("network.augment_levels = %d: want 0, or %d and a degradation that they tell of", levels, degrade.Levels))
	}
	if b := c.Condition.AssumedBlur; b != 0 {
		switch {
		case levels == 0 || d == nil:
			errs = append(errs, errors.New("assumed_blur: the network is not told of blur; want 0"))
		case !(b > 0 && b <= degrade.MaxBlur):
			errs = append(errs, fmt.Errorf("assumed_blur = %v: want 0 to %d", b, degrade.MaxBlur))
		}
	}
	return errors.Join(errs...)
}
