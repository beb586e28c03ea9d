package diffusion

// Diffuse draws from the forward process q(y_t | y_0) = N(sqrt(gamma) y_0, (1-gamma) I) (section 2.1 of the paper):
// it sets dst = sqrt(gamma) y0 + sqrt(1-gamma) eps, where eps is standard normal noise. The slices have one length; dst
// may be y0 or eps. With alpha_t for gamma and y_{t-1} for y0 it is one step, q(y_t | y_{t-1}).
func Diffuse(dst, y0, eps []float32, gamma Gamma) {
	a, s := float32(gamma.Alpha()), float32(gamma.Sigma())
	y0, eps = y0[:len(dst)], eps[:len(dst)]
	for i := range dst {
		dst[i] = a*y0[i] + s*eps[i]
	}
}

// Posterior is q(y_p | y_0, y_q) of the forward process (section 2.1 of the paper) from noise level q to a cleaner
// one, p: a normal distribution with mean OnY0 y_0 + OnY y_q and the given variance, the same for every element.
type Posterior struct {
	OnY0, OnY float64
	Variance  float64
}

// NewPosterior returns the posterior of going from gamma q to gamma p, 0 <= q < p <= 1; the levels need not be
// neighbours in any schedule. With p = 1 it is y_0 itself.
func NewPosterior(p, q Gamma) Posterior {
	alpha := float64(q) / float64(p) // of the one step that leads from p to q
	noiseP, noiseQ := 1-float64(p), 1-float64(q)
	beta := float64(p-q) / float64(p)
	return Posterior{
		OnY0:     p.Alpha() * beta / noiseQ,
		OnY:      Gamma(alpha).Alpha() * noiseP / noiseQ,
		Variance: noiseP * beta / noiseQ,
	}
}

// Mean sets dst to the mean of the posterior. The slices have one length; dst may be y0 or y.
func (p Posterior) Mean(dst, y0, y []float32) {
	onY0, onY := float32(p.OnY0), float32(p.OnY)
	y0, y = y0[:len(dst)], y[:len(dst)]
	for i := range dst {
		dst[i] = onY0*y0[i] + onY*y[i]
	}
}
