package diffusion

import "math"

// Gamma is the noise level gamma of the paper: the share of the signal's variance in y_t, the product of the alphas
// so far, also known as alpha-bar. It lies in [0, 1]: 1 is a clean image, 0 is pure noise. It is the number that the
// denoiser is conditioned on, kept in float64 everywhere.
//
// Other codes count noise differently: by sqrt(gamma), see Alpha; by the deviation of the noise, see Sigma.
type Gamma float64

// Alpha returns sqrt(gamma), the factor of y_0 in y_t.
func (g Gamma) Alpha() float64 { return math.Sqrt(float64(g)) }

// Sigma returns sqrt(1-gamma), the factor of the noise in y_t.
func (g Gamma) Sigma() float64 { return math.Sqrt(1 - float64(g)) }

// SNR returns the signal-to-noise ratio gamma/(1-gamma): 0 at gamma 0, +Inf at gamma 1.
func (g Gamma) SNR() float64 { return float64(g) / (1 - float64(g)) }

// LogSNR returns ln(gamma/(1-gamma)): -Inf at gamma 0, +Inf at gamma 1. The lambda of DPM-Solver is half of it.
func (g Gamma) LogSNR() float64 { return math.Log(float64(g)) - math.Log1p(-float64(g)) }

// Valid reports whether gamma lies in [0, 1]; NaN does not.
func (g Gamma) Valid() bool { return g >= 0 && g <= 1 }

// GammaFromAlpha returns the gamma whose square root is alpha.
func GammaFromAlpha(alpha float64) Gamma { return Gamma(alpha * alpha) }

// GammaFromSigma returns the gamma at which the noise has the standard deviation sigma, in [0, 1].
func GammaFromSigma(sigma float64) Gamma { return Gamma((1 - sigma) * (1 + sigma)) }

// GammaFromLogSNR inverts Gamma.LogSNR.
func GammaFromLogSNR(logSNR float64) Gamma { return Gamma(1 / (1 + math.Exp(-logSNR))) }
