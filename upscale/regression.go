package upscale

import (
	"context"
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
func (r *run) regress(y []float32, i int, d *Denoiser, target *target) error {
	if err := regress(r.ctx, y, d); err != nil {
		return err
	}
	if onStep := r.stepCallback(i, target); onStep != nil {
		onStep(refine.Step{Steps: 1, Gamma: 1, Y: y, Y0: y})
	}
	return nil
}

// regress asks the network once for every window.
func regress(ctx context.Context, y []float32, d *Denoiser) error {
	// The network does not look at the noisy image; the condition has its size.
	if err := d.Denoise(ctx, y, d.x, 0); err != nil {
		return err
	}
	for k, v := range y {
		if v-v != 0 {
			return fmt.Errorf("regression: %w: element %d is %g; the network's weights or its input are broken", refine.ErrNotFinite, k, v)
		}
	}
	return nil
}

// predict returns what the predictor makes of x, the bicubic enlargement in pass i:
// the condition of the refinement. That of the first pass is the same for all draws.
func (r *run) predict(x []float32, i int) ([]float32, error) {
	p := r.predictions[i]
	if r.kept != nil && i == 0 {
		r.work.done += int64(p.Windows()) * p.cost
		return r.kept, nil
	}
	d, free, err := r.predictor.denoiser(p.Plan, x, r.levelsOf(r.predictor, i), r.o.Threads)
	if err != nil {
		return nil, err
	}
	defer free()
	d.OnWindow = r.windowCallback(i, 1, p.cost)
	y := make([]float32, len(x))
	if err := regress(r.ctx, y, d); err != nil {
		return nil, err
	}
	r.predictor.newTarget(x, r.passes[i].times(r.cfg.Scale), r.o.Threads).Image(y, y)
	clamp(y, -1, 1)
	if r.keep && i == 0 {
		r.kept = y
	}
	return y, nil
}
