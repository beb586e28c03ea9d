package refine

import (
	"math"

	"github.com/sr3-go/sr3/diffusion"
)

// ancestral is Algorithm 2 of the paper (section 2.3), on any noise schedule: each step draws y_p from
// q(y_p | y_0, y_q) with the estimate for y_0.
//
// The paper writes the mean as (y - (1-alpha)/s_q eps)/sqrt(alpha). That equals the posterior mean of the estimate
// y_0 = (y - s_q eps)/a_q, and the second form leaves room for constraining y_0 and for other predictions. The
// variance is 1-alpha, as in the paper, or the posterior's; the last step adds no noise.
func ancestral(r *refinement) error {
	y0 := r.buffer()
	for k := range r.steps {
		q, p := r.levels(k)
		if err := r.estimate(k, y0, r.y, q); err != nil {
			return err
		}
		posterior := diffusion.NewPosterior(p, q)
		mix(r.Threads, r.y, term{posterior.OnY, r.y}, term{posterior.OnY0, y0})
		if !r.last(k) {
			variance := posterior.Variance
			if r.Variance == VarianceBeta {
				variance = r.grid.Beta(r.steps - k)
			}
			r.addNoise(math.Sqrt(variance), k)
		}
		r.report(k, p, y0)
	}
	return nil
}
