// Package upscale enlarges whole images with a network that was trained on
// small ones.
//
// Iterative refinement (Saharia et al. 2021, Algorithm 2) runs on the whole
// image: there is one y_t at the size of the output. Only the question that each
// refinement step asks the network is cut up: overlapping windows of one size
// are predicted one after the other and their predictions blended with a smooth
// weight ([Denoiser]). Neighbouring windows therefore see each other's result
// after every step, and a seam cannot form.
//
// A regression (model.ObjectiveRegression) is asked once: its windows are
// predicted and blended in the same way, and that is the result.
//
// The bytes of a result depend on the model, the image, the seed, the settings
// and the instruction tier, and on nothing else: noise belongs to an output
// pixel and a step, windows are added up in a fixed order, and threads only
// share out work.
//
// Memory at the peak is about [BytesPerPixel] bytes for every pixel of the
// output plus what the network needs for one window; it does not grow with the
// number of windows.
//
// [Upscaler.Samples] makes several draws of one image, whose deviation shows what
// the low-resolution image left open and the model made up.
package upscale
