package refine

import "github.com/sr3-go/sr3/diffusion"

// heun is the deterministic sampler of Karras et al., "Elucidating the Design Space of Diffusion-Based Generative
// Models" (arXiv 2206.00364), Algorithm 1, for the variance-preserving process: in x = y/a and sigma = s/a the path
// obeys dx/dsigma = (x - y_0)/sigma = eps. Each step goes the Euler way first (which is DDIM), asks the denoiser again
// there, and takes the mean of both slopes:
//
//	y_p = a_p (y/a_q + (sigma_p - sigma_q) (eps_q + eps_p)/2)
//
// so N steps ask 2N-1 times: the last one, to sigma = 0, has no second slope. Nor has a step from gamma = 0, where
// sigma is infinite.
func heun(r *refinement) error {
	y0, euler, y0There := r.buffer(), r.buffer(), r.buffer()
	for k := range r.steps {
		q, p := r.levels(k)
		if err := r.estimate(k, y0, r.y, q); err != nil {
			return err
		}
		onY, onY0, _ := ddimStep(q, p, 0)
		if r.last(k) || q == 0 {
			mix(r.Threads, r.y, term{onY, r.y}, term{onY0, y0})
			r.report(k, p, y0)
			continue
		}
		mix(r.Threads, euler, term{onY, r.y}, term{onY0, y0})
		if err := r.estimate(k, y0There, euler, p); err != nil {
			return err
		}
		onY, onY0, onEuler, onThere := heunStep(q, p)
		mix(r.Threads, r.y, term{onY, r.y}, term{onY0, y0}, term{onEuler, euler}, term{onThere, y0There})
		r.report(k, p, y0)
	}
	return nil
}

// heunStep returns the factors of y, of its y_0, of the image after the Euler step and of the y_0 there.
func heunStep(q, p diffusion.Gamma) (onY, onY0, onEuler, onThere float64) {
	half := p.Alpha() * (p.Sigma()/p.Alpha() - q.Sigma()/q.Alpha()) / 2 // of each eps
	onY = p.Alpha()/q.Alpha() + half/q.Sigma()
	onY0 = -half * q.Alpha() / q.Sigma()
	onEuler = half / p.Sigma()
	onThere = -half * p.Alpha() / p.Sigma()
	return onY, onY0, onEuler, onThere
}
