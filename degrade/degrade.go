// Package degrade takes from low-resolution images what real ones have lost beside their size: sharpness, by a Gaussian
// blur; the true values, by noise; detail and colour, by JPEG compression. In this order, as lens, sensor and file do.
//
// [Settings] say how often and how much in training, [Settings.Draw] draws an [Amount] for an example, and
// [Settings.Levels] are the numbers by which a network is told of it: conditioning augmentation with its level fed to
// the network (Ho et al. 2021, "Cascaded Diffusion Models", section 4), here with a level for each kind of loss.
// [EstimateNoise] finds one of them in an image that nothing is known about.
package degrade

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/sr3-go/sr3/internal/philox"
)

// Levels is how many numbers tell a network of an [Amount]: blur, noise, JPEG, in this order.
const Levels = 3

// The largest values that settings may have.
const (
	MaxBlur  = 4   // sigma in pixels
	MaxNoise = 100 // standard deviation in 1/255
)

// Range is how often something happens to an image, and between which bounds its measure then lies (uniformly). The
// zero value is never.
type Range struct {
	// Probability is the share of images that it happens to, 0 to 1.
	Probability float64 `json:"probability" toml:"probability"`
	// Low and High bound the measure.
	Low  float64 `json:"low" toml:"low"`
	High float64 `json:"high" toml:"high"`
}

// Settings say what happens to low-resolution images in training. What happens is drawn for each kind on its own, so
// the share of images that are left as they are is the product of what is missing in each probability to 1. The zero
// value leaves all of them.
type Settings struct {
	// Blur is by a Gaussian; its measure is sigma in pixels of the low-resolution image, at most [MaxBlur].
	Blur Range `json:"blur" toml:"blur"`
	// Noise is Gaussian, independent in each value; its measure is the standard deviation in 1/255 of the range, at most
	// [MaxNoise].
	Noise Range `json:"noise" toml:"noise"`
	// JPEG is compression with colour at half resolution (4:2:0); its measure is the quality, 1 (worst) to 100, a whole
	// number.
	JPEG Range `json:"jpeg" toml:"jpeg"`
}

// Amount is what happened to one image. The zero value is nothing.
type Amount struct {
	Blur    float64 `json:"blur"`    // sigma in pixels of the low-resolution image
	Noise   float64 `json:"noise"`   // standard deviation in 1/255
	Quality int     `json:"quality"` // of JPEG, 1 to 100; 0: not compressed
}

// String says it in words.
func (a Amount) String() string {
	quality := "no JPEG"
	if a.Quality > 0 {
		quality = fmt.Sprintf("JPEG of quality %d", a.Quality)
	}
	return fmt.Sprintf("blur %.3g, noise %.3g/255, %s", a.Blur, a.Noise, quality)
}

// Active reports whether anything ever happens.
func (s Settings) Active() bool {
	return s.Blur.Probability > 0 || s.Noise.Probability > 0 || s.JPEG.Probability > 0
}

// Validate reports everything that is wrong, by the names of the fields in files. What never happens is not looked at.
func (s Settings) Validate() error {
	errs := []error{s.Blur.Check("blur", 0, MaxBlur), s.Noise.Check("noise", 0, MaxNoise), s.JPEG.Check("jpeg", 1, 100)}
	if q := s.JPEG; q.Probability > 0 && (q.Low != math.Trunc(q.Low) || q.High != math.Trunc(q.High)) {
		errs = append(errs, fmt.Errorf("jpeg = %v to %v: qualities are whole numbers", q.Low, q.High))
	}
	return errors.Join(errs...)
}

// Check reports a range that is not within least and most, or ends at zero; name is what errors call it.
func (r Range) Check(name string, least, most float64) error {
	switch {
	case !(r.Probability >= 0 && r.Probability <= 1): // also refuses NaN
		return fmt.Errorf("%s.probability = %v: want 0 to 1", name, r.Probability)
	case r.Probability == 0:
		return nil
	case !(r.Low >= least && r.High >= r.Low && r.High <= most && r.High > 0):
		return fmt.Errorf("%s.low = %v, %s.high = %v: want %v <= low <= high <= %v, and high above 0", name, r.Low, name, r.High, least, most)
	}
	return nil
}

// String says what a model that was trained so has seen.
func (s Settings) String() string {
	var parts []string
	if r := s.Blur; r.Probability > 0 {
		parts = append(parts, fmt.Sprintf("blur up to sigma %v pixels", r.High))
	}
	if r := s.Noise; r.Probability > 0 {
		parts = append(parts, fmt.Sprintf("noise up to %v/255", r.High))
	}
	if r := s.JPEG; r.Probability > 0 {
		parts = append(parts, fmt.Sprintf("JPEG of quality from %v", r.Low))
	}
	if parts == nil {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

// Draw draws what happens to an image. It uses the first six numbers of the stream.
func (s Settings) Draw(random philox.Stream) Amount {
	var a Amount
	if v, happens := s.Blur.Draw(random, 0); happens {
		a.Blur = v
	}
	if v, happens := s.Noise.Draw(random, 2); happens {
		a.Noise = v
	}
	whole := s.JPEG
	whole.High++ // a quality stands for what lies between it and the next
	if v, happens := whole.Draw(random, 4); happens {
		a.Quality = int(min(v, s.JPEG.High))
	}
	return a
}

// Draw draws whether it happens, by number i of the stream, and how much, by number i+1.
func (r Range) Draw(random philox.Stream, i uint64) (value float64, happens bool) {
	if random.Float64(i) >= r.Probability {
		return 0, false
	}
	return r.Low + random.Float64(i+1)*(r.High-r.Low), true
}

// Levels are the numbers from 0 (nothing happened) to 1 (as much as in training, or more) that a network trained with
// these settings is told: sigma and deviation as shares of their largest, and (101-quality)/(101-lowest). What never
// happens in training is 0.
func (s Settings) Levels(a Amount) [Levels]float32 {
	var out [Levels]float32
	share := func(r Range, v, most float64) float32 {
		if r.Probability == 0 {
			return 0
		}
		return float32(min(max(v/most, 0), 1))
	}
	out[0] = share(s.Blur, a.Blur, s.Blur.High)
	out[1] = share(s.Noise, a.Noise, s.Noise.High)
	if a.Quality > 0 {
		out[2] = share(s.JPEG, float64(101-a.Quality), 101-s.JPEG.Low)
	}
	return out
}

// Covers reports what of an amount training has not covered: a kind that never happened, or more of it than ever.
func (s Settings) Covers(a Amount) error {
	var errs []error
	check := func(what string, r Range, value, within bool, bound string) {
		switch {
		case value && r.Probability == 0:
			errs = append(errs, fmt.Errorf("it was trained without %s", what))
		case value && !within:
			errs = append(errs, fmt.Errorf("it was trained with %s %s", what, bound))
		}
	}
	check("blur", s.Blur, a.Blur > 0, a.Blur <= s.Blur.High, fmt.Sprintf("of sigma up to %v pixels", s.Blur.High))
	check("noise", s.Noise, a.Noise > 0, a.Noise <= s.Noise.High, fmt.Sprintf("of up to %v/255", s.Noise.High))
	check("JPEG compression", s.JPEG, a.Quality > 0, float64(a.Quality) >= s.JPEG.Low, fmt.Sprintf("of quality %v and more", s.JPEG.Low))
	return errors.Join(errs...)
}
