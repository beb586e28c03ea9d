package cli

import (
	"fmt"
	"math"
	"strconv"

	"github.com/spf13/pflag"

	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/upscale"
)

// inputFlags say what the images have lost, for models that are told.
type inputFlags struct{ blur, noise, quality string }

const (
	autoValue = "auto" // found out
	noneValue = "none" // not at all
)

func (f *inputFlags) register(fl *pflag.FlagSet) {
	fl.StringVar(&f.blur, "input-blur", autoValue, "blur of the image: sigma in its pixels, or none (auto: what the model assumes)")
	fl.StringVar(&f.noise, "input-noise", autoValue, "noise of the image: standard deviation of 255, or none (auto: estimated)")
	fl.StringVar(&f.quality, "input-jpeg", autoValue, "quality of the image's JPEG compression, 1 to 100, or none (auto: from the file)")
}

// parse reads the flags.
func (f *inputFlags) parse() (in upscale.Input, err error) {
	if in.Blur, err = amountFlag("--input-blur", f.blur); err != nil {
		return in, err
	}
	if in.Noise, err = amountFlag("--input-noise", f.noise); err != nil {
		return in, err
	}
	quality, err := amountFlag("--input-jpeg", f.quality)
	if err != nil || quality == nil {
		return in, err
	}
	q := int(*quality)
	if f.quality != noneValue && (float64(q) != *quality || q < 1 || q > 100) {
		return in, usagef("--input-jpeg %s: want a whole number from 1 to 100, none or auto", f.quality)
	}
	in.Quality = &q
	return in, nil
}

// amountFlag reads a number of 0 or more; nil stands for auto.
func amountFlag(flag, text string) (*float64, error) {
	switch text {
	case autoValue:
		return nil, nil
	case noneValue:
		return new(float64), nil
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v >= 0) || math.IsInf(v, 0) {
		return nil, usagef("%s %s: want a number of 0 or more, none or auto", flag, text)
	}
	return &v, nil
}

// trainedText says what a model was trained for, and on what.
func trainedText(c model.Config) string {
	text := "trained on " + trainedOn(c)
	if c.Network.AugmentLevels > 0 {
		text += ", and told of them"
	}
	if c.TrainedFor != "" {
		text = fmt.Sprintf("for %s; %s", c.TrainedFor, text)
	}
	return text
}

// trainedOn says what a model's network was given.
func trainedOn(c model.Config) string {
	if c.Unconditional() {
		return "noise alone"
	}
	return c.Condition.Inputs()
}

// toldText says of what losses a model's network is told; empty if of none.
func toldText(c model.Config) string {
	if c.Network.AugmentLevels == 0 {
		return ""
	}
	return fmt.Sprintf("blur, noise and JPEG compression of an image (--input-blur, assumed %v, --input-noise, --input-jpeg)", c.Condition.AssumedBlur)
}
