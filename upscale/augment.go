package upscale

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sr3-go/sr3/degrade"
	"github.com/sr3-go/sr3/imageio"
)

// Input says what an image has lost beside its size, for models whose network is told of it (augmentation levels). What
// is nil is found out: noise from the pixels ([degrade.EstimateNoise]), the quality of JPEG compression from the file's
// quantisation tables (none if the image was read from another format), and blur, which cannot be seen, is what the
// model assumes.
type Input struct {
	// Blur is sigma in pixels of the image, Noise the standard deviation in 1/255; 0 is none.
	Blur, Noise *float64
	// Quality is that of JPEG compression, 1 to 100; 0 is none.
	Quality *int
}

// given is what was said, and zeros.
func (in Input) given() degrade.Amount {
	var a degrade.Amount
	if in.Blur != nil {
		a.Blur = *in.Blur
	}
	if in.Noise != nil {
		a.Noise = *in.Noise
	}
	if in.Quality != nil {
		a.Quality = *in.Quality
	}
	return a
}

// checkInput refuses what the model cannot be told, or was not trained for.
func (u *Upscaler) checkInput(in Input) error {
	if in == (Input{}) {
		return nil
	}
	c := u.cfg.Condition
	if u.cfg.Network.AugmentLevels == 0 {
		return fmt.Errorf("model %s cannot be told of blur, noise and JPEG compression of the input: it was trained on %s", u.cfg.Name, c.Inputs())
	}
	a := in.given()
	if !(a.Blur >= 0 && a.Noise >= 0 && a.Quality >= 0 && a.Quality <= 100) { // also refuses NaN
		return errors.New("blur and noise of the input: want 0 or more; JPEG quality: want 1 to 100, or 0 for none")
	}
	if err := c.Degradation.Covers(a); err != nil {
		return fmt.Errorf("model %s: %w", u.cfg.Name, err)
	}
	return nil
}

// findLost is what an image has lost as far as it is said or found out; nil if the network is not told.
func (u *Upscaler) findLost(img *imageio.Image, in Input) *degrade.Amount {
	if u.cfg.Network.AugmentLevels == 0 {
		return nil
	}
	a := in.given()
	if in.Blur == nil {
		a.Blur = u.cfg.Condition.AssumedBlur
	}
	if in.Noise == nil {
		if a.Noise = degrade.EstimateNoise(img.Pix, img.Height, img.Width); a.Noise < leastNoise {
			a.Noise = 0
		}
	}
	if in.Quality == nil {
		a.Quality = img.Quality
	}
	return &a
}

// levels are the augmentation levels of pass i: the first enlarges the image, later ones what the model has made, which
// is clean. Nil if the network has none.
func (r *run) levels(i int) []float32 { return r.levelsOf(r.Upscaler, i) }

// levelsOf are those that the model or its predictor is told.
func (r *run) levelsOf(u *Upscaler, i int) []float32 {
	if r.lost == nil || i > 0 {
		return u.cfg.Levels(degrade.Amount{})
	}
	return u.cfg.Levels(*r.lost)
}

const (
	poorQuality = 90 // JPEG below it shows its traces when enlarged
	muchNoise   = 5  // in 1/255: seen when enlarged, and more than the texture of most clean images seems to be
	// leastSide is the side in pixels below which noise is not spoken of: small pictures are edges all over, which seem
	// to be noise.
	leastSide = 48
	// leastNoise is the estimate, in 1/255, below which an image is told to be clean: the texture of clean photographs
	// often seems that much.
	leastNoise = 1.5
)

// Remarks say in words what about an image a user should know before taking the result: what the network is told that
// it has lost, or that it has lost what the model was not trained for. There are none for an image that fits.
func (u *Upscaler) Remarks(img *imageio.Image, o Options) []string {
	c := u.cfg.Condition
	if lost := u.findLost(img, o.Input); lost != nil {
		remarks := []string{fmt.Sprintf("%s is told: %v", u.cfg.Name, lost)}
		if err := c.Degradation.Covers(*lost); err != nil {
			remarks = append(remarks, fmt.Sprintf("that is more than %s was trained for: %s", u.cfg.Name, strings.ReplaceAll(err.Error(), "\n", "; ")))
		}
		return remarks
	}
	if c.Degradation != nil { // it sees for itself
		return nil
	}
	var remarks []string
	if img.Quality > 0 && img.Quality < poorQuality {
		remarks = append(remarks, fmt.Sprintf("a JPEG of quality %d, but %s was trained on %s: it may take the traces of compression for detail",
			img.Quality, u.cfg.Name, c.Inputs()))
	}
	if noise := degrade.EstimateNoise(img.Pix, img.Height, img.Width); noise >= muchNoise && min(img.Height, img.Width) >= leastSide {
		remarks = append(remarks, fmt.Sprintf("it seems to have noise of %.0f/255, but %s was trained on %s: it may take noise for detail",
			noise, u.cfg.Name, c.Inputs()))
	}
	return remarks
}
