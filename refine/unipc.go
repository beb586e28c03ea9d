package refine

import "math"

// unipc is UniPC-2 with data prediction and B(h) = e^h - 1 of Zhao et al., "UniPC: A Unified Predictor-Corrector
// Framework for Fast Sampling of Diffusion Models" (arXiv 2302.04867), in its multistep form. Its predictor is the step
// of DPM-Solver++(2M). Its corrector uses the estimate at the point that the predictor reached to redo the step that
// led there, then the same estimate serves the next step: still one denoiser call a step, and third order.
func unipc(r *refinement) error {
	from := r.buffer() // the corrected image that the current y was predicted from
	copy(from, r.y)
	y0, before, twoBefore := r.buffer(), r.buffer(), r.buffer()
	for k := range r.steps {
		q, p := r.levels(k)
		if err := r.estimate(k, y0, r.y, q); err != nil {
			return err
		}
		if k > 0 {
			onFrom, onY0, onBefore, onTwoBefore := unipcCorrector(r, k)
			mix(r.Threads, from, term{onFrom, from}, term{onY0, y0}, term{onBefore, before}, term{onTwoBefore, twoBefore})
		}
		onY, onY0, onBefore, _ := dpmpp2mStep(r, k, 0)
		mix(r.Threads, r.y, term{onY, from}, term{onY0, y0}, term{onBefore, before})
		r.report(k, p, y0)
		y0, before, twoBefore = twoBefore, y0, before
	}
	return nil
}

// unipcCorrector returns the factors with which step k-1 is redone once the estimate y_0 at its end is known: of the
// image it came from, of that estimate, of the estimate at its start and of the one before that. It goes from level q
// to level p in h; the estimate two steps back lies r h from q in lambda, r < 0. The weights rho solve the order
// conditions R rho = b of its theorem; the redone step 0 is of first order, rho = 1/2.
func unipcCorrector(r *refinement, k int) (onFrom, onY0, onBefore, onTwoBefore float64) {
	q, p := r.levels(k - 1)
	h := lambda(p) - lambda(q)
	onFrom, onBefore = dpmppFirstOrder(q, p)
	scale := -p.Alpha() * math.Expm1(-h) // B(h) for data prediction, with its sign
	rhoLast, rhoOverR := 0.5, 0.0
	if k > 1 {
		previous, _ := r.levels(k - 2)
		ratio := (lambda(previous) - lambda(q)) / h
		// b_i = i! phi_{i+1}(-h)/B(-h), where B(-h) = phi_1 (-h).
		phi1 := math.Expm1(-h)
		phi2 := phi1/-h - 1
		phi3 := phi2/-h - 0.5
		b1, b2 := phi2/phi1, 2*phi3/phi1
		rho := (b2 - b1) / (ratio - 1)
		rhoLast, rhoOverR = b1-rho, rho/ratio
	}
	onY0 = scale * rhoLast
	onTwoBefore = scale * rhoOverR
	return onFrom, onY0, onBefore - onY0 - onTwoBefore, onTwoBefore
}
