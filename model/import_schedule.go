package model

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/sr3-go/sr3/checkpoint"
	"github.com/sr3-go/sr3/diffusion"
)

// betaTolerance is the relative difference that rounding a schedule to float32
// makes, with room for a last digit.
const betaTolerance = 3e-7

// recogniseSchedule finds the named schedule whose betas, rounded to float32,
// are those given. The second result is false when no name fits.
func recogniseSchedule(betas []float64) (diffusion.ScheduleConfig, bool) {
	first, last := shortest(betas[0]), shortest(betas[len(betas)-1])
	for _, kind := range diffusion.Kinds() {
		c := diffusion.ScheduleConfig{Kind: kind, Steps: len(betas)}
		switch kind {
		case diffusion.KindLogSNR: // not one of the PyTorch implementation
			continue
		case diffusion.KindConst:
			c.End = last
		case diffusion.KindJSD, diffusion.KindCosine:
		default:
			c.Start, c.End = first, last
		}
		if sameBetas(c, betas) {
			return c, true
		}
	}
	return diffusion.ScheduleConfig{}, false
}

// shortest returns the decimal number of fewest digits that rounds to the same
// float32: 1e-6 for what float32 makes of it, 9.99999997e-07.
func shortest(v float64) float64 {
	out, err := strconv.ParseFloat(strconv.FormatFloat(float64(float32(v)), 'g', -1, 32), 64)
	if err != nil {
		return v
	}
	return out
}

// sameBetas tells whether a schedule has the given betas, to float32 precision.
func sameBetas(c diffusion.ScheduleConfig, betas []float64) bool {
	s, err := c.Build()
	if err != nil || s.Steps() != len(betas) {
		return false
	}
	for i, b := range betas {
		if want := s.Beta(i + 1); math.Abs(b-want) > betaTolerance*want {
			return false
		}
	}
	return true
}

// setSchedule decides the training schedule from the buffer "betas" and the
// configuration, either of which may be missing. The buffer is that of whichever
// phase was active when the checkpoint was saved, so it may equal the
// configuration's schedule for validation.
func (im *importer) setSchedule(betas *checkpoint.Tensor, d *Diffusion) error {
	var train, val *diffusion.ScheduleConfig
	if im.config != nil {
		train, val = im.config.train, im.config.val
	}
	if betas == nil {
		if train == nil {
			return fmt.Errorf("the file has no betas and no configuration gives beta_schedule; give --config")
		}
		d.Schedule = *train
		im.note("schedule %s from the configuration, since the file has no betas", describeSchedule(*train))
		return nil
	}
	values, err := betas.Float64s()
	if err != nil {
		return fmt.Errorf("betas: %w", err)
	}
	if len(betas.Shape) != 1 || len(values) == 0 || len(values) > diffusion.MaxSteps {
		return fmt.Errorf("betas has shape %v, not that of a schedule", betas.Shape)
	}
	switch {
	case train != nil && sameBetas(*train, values):
		d.Schedule = *train
	case train != nil && val != nil && sameBetas(*val, values):
		d.Schedule = *train
		im.note("betas are those of the configuration's validation schedule; its training schedule is taken")
	case train != nil && train.Steps != len(values):
		return fmt.Errorf("betas has %d steps: n_timestep would be %d, the configuration says %d", len(values), len(values), train.Steps)
	case train != nil:
		return fmt.Errorf("betas run from %g to %g, which is not the configuration's schedule %s; correct beta_schedule or leave it out",
			shortest(values[0]), shortest(values[len(values)-1]), describeSchedule(*train))
	default:
		im.fromBetas(values, d)
	}
	_, err = d.NoiseSchedule()
	return err
}

// fromBetas names the schedule if it can, and lists it otherwise.
func (im *importer) fromBetas(values []float64, d *Diffusion) {
	if c, ok := recogniseSchedule(values); ok {
		d.Schedule = c
		im.note("schedule %s, recognised from betas", describeSchedule(c))
		return
	}
	d.Betas = slices.Clone(values)
	im.note("schedule of %d steps with no known name, kept as a list of betas", len(values))
}

func describeSchedule(c diffusion.ScheduleConfig) string {
	switch c.Kind {
	case diffusion.KindJSD, diffusion.KindCosine:
		return fmt.Sprintf("%s(%d)", c.Kind, c.Steps)
	case diffusion.KindConst:
		return fmt.Sprintf("%s(%g, %d)", c.Kind, c.End, c.Steps)
	}
	return fmt.Sprintf("%s(%g, %g, %d)", c.Kind, c.Start, c.End, c.Steps)
}
