// Package diffusion holds section 2 of the paper, "Image Super-Resolution via Iterative Refinement" (SR3, arXiv
// 2104.07636): noise levels and schedules, the distribution that training draws its noise levels from, the forward
// process and its posterior, what a denoiser is and may predict, and the training objective.
//
// It knows neither networks nor images. Images are flat []float32 in [-1, 1]; every element is treated alike, so any
// layout will do. Scalars and schedules are float64. The names are the paper's:
//
//	y_0     y0        the clean image
//	y_t     y         the noisy image, y_t = sqrt(gamma_t) y_0 + sqrt(1-gamma_t) eps
//	gamma_t Gamma     the noise level, gamma_0 = 1
//	alpha_t Alpha(t)  of a NoiseSchedule, gamma_t/gamma_{t-1}
//	f       Denoiser  what estimates the noise, given y_t and gamma_t
package diffusion
