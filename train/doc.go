// Package train trains the networks of package unet to refine images: Algorithm 1 of Saharia et al. (2021), or the
// paper's regression baseline.
//
// A training step takes a batch of pairs (x, hr) of package dataset, draws a noise level gamma for every example,
// diffuses the target y0 to y = sqrt(gamma) y0 + sqrt(1-gamma) eps, and moves the weights along the gradient of
// |f(x, y, gamma) - target|_p^p with Adam. All of it but the drawing is one graph, compiled once ([Config] says what
// it is made of). The loop is in loop.go.
//
// Every random number is a function of the seed and the step, and the executor's results do not depend on the number
// of threads; so a run that was stopped, or killed, at any moment goes on from its last checkpoint to the same bits as
// if nothing had happened.
//
// A run lives in one directory:
//
//	config.toml             the resolved configuration
//	checkpoint.safetensors  weights, average, optimiser, configuration, step: what a run resumes from
//	model.safetensors       the averaged weights in half precision, with their configuration: what upscales
//	best.safetensors        the same at the lowest validation loss (of a regression: at the highest PSNR), if there are
//	                        validation images
//	curve.svg               the loss over the steps
//	stats.jsonl             a line of numbers every few steps
//	log.txt                 what was said
//	events.out.tfevents.*   the curves and pictures for TensorBoard
//	grids/                  pictures: low-resolution image, sample, truth
package train
