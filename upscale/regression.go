package upscale

import (
	"fmt"
	"strings"

	"github.com/sr3-go/sr3/refine"
)

// checkRegression refuses settings of refinement: a regression has one result,
// and to take such a setting in silence would promise another.
func (u *Upscaler) checkRegression(o Options) error {
	var given []string
	for _, setting := range []struct {
		name string
		set  bool
	}{
		{"steps", o.Steps != 0}, {"sampler", o.Sampler != ""}, {"schedule", o.Schedule != ""},
		{"variance", o.Variance != ""}, {"eta", o.Eta != 0}, {"temperature", o.Temperature != 0}, {"seed", o.Seed != 0},
	} {
		if setting.set {
			given = append(given, setting.name)
		}
	}
	if len(given) == 0 {
		return nil
	}
	return fmt.Errorf("model %s is a regression, which makes its only result in one call of the network: leave out %s",
		u.cfg.Name, strings.Join(given, ", "))
}

// regress sets y to the y0 that one call gives in pass i, window by window.
func (r *run) regress(y []float32, i int, d *Denoiser, target residual) error {
	// The network does not look at the noisy image; the condition has its size.
	if err := d.Denoise(r.ctx, y, d.x, 0); err != nil {
		return err
	}
	for k, v := range y {
		if v-v != 0 {
			return fmt.Errorf("regression: %w: element %d is %g; the network's weights or its input are broken", refine.ErrNotFinite, k, v)
		}
	}
	if onStep := r.stepCallback(i, target); onStep != nil {
		onStep(refine.Step{Steps: 1, Gamma: 1, Y: y, Y0: y})
	}
	return nil
}
