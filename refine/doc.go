// Package refine turns noise into an image: the iterative refinement of section 2.3 of the paper (SR3, arXiv
// 2104.07636), and faster ways along the same path.
//
// A sampler is a function in a file of its own that opens with the source it follows. All of them see the network as a
// diffusion.Denoiser and nothing else, walk an inference noise schedule from gamma_N (noise) to gamma_0 = 1, and share
// one shape of step: predict, turn the prediction into an estimate of y_0, constrain it, move to the next noise level.
// In their comments q is the noise level a step comes from, p > q the one it goes to, a = sqrt(gamma),
// s = sqrt(1-gamma) and lambda = ln(a/s).
//
// The result is a function of the options, the denoiser and the noise source alone: the same bytes on any number of
// threads.
package refine
