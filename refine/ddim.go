package refine

import "github.com/sr3-go/sr3/diffusion"

// ddim is the sampler of Song, Meng and Ermon, "Denoising Diffusion Implicit Models" (arXiv 2010.02502), equations 12
// and 16:
//
//	y_p = a_p y_0 + sqrt(1 - p - sigma^2) eps + sigma z,  sigma = eta sqrt((1-p)/(1-q)) sqrt(1 - q/p)
//
// with eps = (y - a_q y_0)/s_q from the constrained estimate. Eta 0 is deterministic, of first order; eta 1 is the
// ancestral sampler with posterior variance.
func ddim(r *refinement) error {
	y0 := r.buffer()
	for k := range r.steps {
		q, p := r.levels(k)
		if err := r.estimate(k, y0, r.y, q); err != nil {
			return err
		}
		onY, onY0, sigma := ddimStep(q, p, r.Eta)
		mix(r.Threads, r.y, term{onY, r.y}, term{onY0, y0})
		r.addNoise(sigma, k)
		r.report(k, p, y0)
	}
	return nil
}

// ddimStep returns the factors of y, of y_0 and of fresh noise.
func ddimStep(q, p diffusion.Gamma, eta float64) (onY, onY0, sigma float64) {
	noiseP, noiseQ := 1-float64(p), 1-float64(q)
	sigma = eta * sqrt0(noiseP/noiseQ*float64(p-q)/float64(p))
	onY = sqrt0(noiseP-sigma*sigma) / q.Sigma()
	return onY, p.Alpha() - q.Alpha()*onY, sigma
}
