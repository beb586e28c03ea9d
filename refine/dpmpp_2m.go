package refine

import (
	"math"

	"github.com/sr3-go/sr3/diffusion"
)

// dpmpp2m is DPM-Solver++(2M) of Lu et al., "DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic
// Models" (arXiv 2211.01095), Algorithm 2: second order from the estimates of this step and the one before,
//
//	y_p = s_p/s_q y - a_p (e^{-h} - 1) D,  D = y_0 + (y_0 - y_0 before)/(2r)
//
// with h = lambda_p - lambda_q and r the step before's h over this one's. The first step has no estimate before, and
// the last one, to gamma = 1, is infinitely long in lambda: both are of first order, which is DDIM with eta 0.
func dpmpp2m(r *refinement) error {
	y0, before := r.buffer(), r.buffer()
	for k := range r.steps {
		q, p := r.levels(k)
		if err := r.estimate(k, y0, r.y, q); err != nil {
			return err
		}
		onY, onY0, onBefore := dpmpp2mStep(r, k)
		mix(r.Threads, r.y, term{onY, r.y}, term{onY0, y0}, term{onBefore, before})
		r.report(k, p, y0)
		y0, before = before, y0
	}
	return nil
}

// dpmpp2mStep returns the factors of y, of this step's y_0 and of the one before's.
func dpmpp2mStep(r *refinement, k int) (onY, onY0, onBefore float64) {
	q, p := r.levels(k)
	onY, onY0 = dpmppFirstOrder(q, p)
	if k == 0 || r.last(k) {
		return onY, onY0, 0
	}
	previous, _ := r.levels(k - 1)
	ratio := (lambda(q) - lambda(previous)) / (lambda(p) - lambda(q))
	extrapolate := onY0 / (2 * ratio)
	return onY, onY0 + extrapolate, -extrapolate
}

// dpmppFirstOrder returns the factors of y and y_0 in a step that takes y_0 to be constant.
func dpmppFirstOrder(q, p diffusion.Gamma) (onY, onY0 float64) {
	h := lambda(p) - lambda(q)
	return p.Sigma() / q.Sigma(), -p.Alpha() * math.Expm1(-h)
}
