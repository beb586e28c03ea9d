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
// the last one, to gamma = 1, is infinitely long in lambda: both are of first order, which is DDIM.
//
// With eta above 0 each step renews a part of the noise, as DDIM does, and extrapolates alike; eta 1 is the same paper's
// SDE-DPM-Solver++(2M), whose first-order step is DDIM with eta 1.
func dpmpp2m(r *refinement) error {
	y0, before := r.buffer(), r.buffer()
	for k := range r.steps {
		q, p := r.levels(k)
		if err := r.estimate(k, y0, r.y, q); err != nil {
			return err
		}
		onY, onY0, onBefore, sigma := dpmpp2mStep(r, k, r.Eta)
		mix(r.Threads, r.y, term{onY, r.y}, term{onY0, y0}, term{onBefore, before})
		r.addNoise(sigma, k)
		r.report(k, p, y0)
		y0, before = before, y0
	}
	return nil
}

// dpmpp2mStep returns the factors of y, of this step's y_0, of the one before's and of fresh noise.
func dpmpp2mStep(r *refinement, k int, eta float64) (onY, onY0, onBefore, sigma float64) {
	q, p := r.levels(k)
	onY, onY0 = dpmppFirstOrder(q, p)
	if eta > 0 {
		onY, onY0, sigma = ddimStep(q, p, eta)
	}
	if k == 0 || r.last(k) {
		return onY, onY0, 0, sigma
	}
	previous, _ := r.levels(k - 1)
	ratio := (lambda(q) - lambda(previous)) / (lambda(p) - lambda(q))
	extrapolate := onY0 / (2 * ratio)
	return onY, onY0 + extrapolate, -extrapolate, sigma
}

// dpmppFirstOrder returns the factors of y and y_0 in a step that takes y_0 to be constant.
func dpmppFirstOrder(q, p diffusion.Gamma) (onY, onY0 float64) {
	h := lambda(p) - lambda(q)
	return p.Sigma() / q.Sigma(), -p.Alpha() * math.Expm1(-h)
}
