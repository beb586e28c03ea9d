package diffusion

import "context"

// Denoiser is f of the paper: what looks at a noisy image and says what is in it. The conditioning x (the
// low-resolution image) is closed over, so a Denoiser belongs to one image or one batch.
type Denoiser interface {
	// Denoise writes to dst the raw prediction for y, an image at noise level gamma: its noise, the clean image or a
	// mixture, as the Prediction that the denoiser was trained for says. dst and y have one length and do not overlap; y
	// is not changed and neither is kept. A cancelled ctx returns its error.
	Denoise(ctx context.Context, dst, y []float32, gamma Gamma) error
}

// DenoiserFunc makes a function a Denoiser.
type DenoiserFunc func(ctx context.Context, dst, y []float32, gamma Gamma) error

// Denoise calls the function.
func (f DenoiserFunc) Denoise(ctx context.Context, dst, y []float32, gamma Gamma) error {
	return f(ctx, dst, y, gamma)
}
