package eval

import (
	"context"
	"errors"
	"iter"
	"math"
	"strings"

	"github.com/sr3-go/sr3/metric"
	"github.com/sr3-go/sr3/metric/distribution"
)

// Pair is a result beside the truth and the input it was made from.
type Pair struct {
	Name       string
	HR, SR, LR metric.Image
	// Scale is how many times larger the result is than the input, rounded.
	Scale   int
	Threads int
}

// Column is what a table says about a measure.
type Column struct {
	Key   string `json:"key"` // in results.jsonl
	Title string `json:"title"`
	Unit  string `json:"unit,omitempty"`
	// HigherIsBetter is false of errors and distances.
	HigherIsBetter bool `json:"higher_is_better"`
	// Perceptual measures judge looks; the others judge the distance to the truth.
	Perceptual bool   `json:"perceptual,omitempty"`
	Digits     int    `json:"-"` // decimals to show
	About      string `json:"about"`
	// Version changes when results would: the digest of a network's file.
	Version string `json:"version,omitempty"`
	// Weights names the file of a network for the notes.
	Weights string `json:"weights,omitempty"`
	// Vectors is how many images an estimate needs at least to be of use; 0 says
	// nothing. The notes mark fewer.
	Vectors int `json:"vectors,omitempty"`
}

// Arrow shows which way is better.
func (c Column) Arrow() string {
	if c.HigherIsBetter {
		return "↑"
	}
	return "↓"
}

// heading is the title with unit and arrow.
func (c Column) heading() string {
	if c.Unit == "" {
		return c.Title + " " + c.Arrow()
	}
	return c.Title + " (" + c.Unit + ") " + c.Arrow()
}

// better reports whether a is a better value than b.
func (c Column) better(a, b Number) bool {
	if c.HigherIsBetter {
		return a > b
	}
	return a < b
}

// Measure gives one value for each image; tables show the mean.
type Measure struct {
	Column
	// Of measures a pair. Where it fails, the column lacks the image and the report
	// says why. NaN says that the measure is not meant for such an image: the
	// column lacks it without a word.
	Of func(*Pair) (float64, error)
}

// SetMeasure gives one value for all images of a method together.
type SetMeasure struct {
	Column
	// Of measures a method. pairs can be gone through several times; each time the
	// images are read again.
	Of func(ctx context.Context, pairs iter.Seq2[*Pair, error]) (float64, error)
}

// StandardMeasures are those of the paper's table 1.
func StandardMeasures() []Measure {
	return []Measure{
		{Column{Key: "psnr", Title: "PSNR", Unit: "dB", HigherIsBetter: true, Digits: 2,
			About: "Peak signal-to-noise ratio on 8-bit RGB, all pixels and channels. Rewards blur."},
			func(p *Pair) (float64, error) { return metric.PSNR(p.HR, p.SR) }},
		{Column{Key: "ssim", Title: "SSIM", HigherIsBetter: true, Digits: 4,
			About: "Structural similarity (Wang et al. 2004) on 8-bit RGB, Gaussian window of 11x11 and sigma 1.5, valid region. Rewards blur."},
			func(p *Pair) (float64, error) { return metric.SSIM(p.HR, p.SR, p.Threads) }},
		{Column{Key: "consistency", Title: "Consistency", Unit: "e-5", Digits: 2,
			About: "Mean squared error, on samples in [0, 1] and times 1e5, between the input and the result reduced to its size. Says nothing about detail."},
			func(p *Pair) (float64, error) { return metric.Consistency(p.LR, p.SR, p.Threads) }},
	}
}

// LumaMeasures are PSNR and SSIM as most papers on super-resolution give them: of
// the Y channel, with as many pixels cut from every side as the scale.
func LumaMeasures() []Measure {
	y := func(p *Pair) metric.Options { return metric.Options{Luma: true, Crop: p.Scale, Threads: p.Threads} }
	return []Measure{
		{Column{Key: "psnr_y", Title: "PSNR Y", Unit: "dB", HigherIsBetter: true, Digits: 2,
			About: "PSNR of the Y channel (BT.601, 16 to 235), without as many pixels at every border as the scale."},
			func(p *Pair) (float64, error) { return y(p).PSNR(p.HR, p.SR) }},
		{Column{Key: "ssim_y", Title: "SSIM Y", HigherIsBetter: true, Digits: 4,
			About: "SSIM of the same."},
			func(p *Pair) (float64, error) { return y(p).SSIM(p.HR, p.SR) }},
	}
}

// MultiScaleSSIM is MS-SSIM of images that are large enough for it.
func MultiScaleSSIM() Measure {
	return Measure{Column{Key: "ms_ssim", Title: "MS-SSIM", HigherIsBetter: true, Digits: 4,
		About: "Multi-scale structural similarity (Wang et al. 2003) on 8-bit RGB, five scales; images with a side below 161 pixels have none."},
		func(p *Pair) (float64, error) {
			if min(p.HR.Height, p.HR.Width) < metric.MSSSIMMinSide {
				return math.NaN(), nil
			}
			return metric.Options{Threads: p.Threads}.MSSSIM(p.HR, p.SR)
		}}
}

// FeatureDistance is the SqueezeNet 1.1 feature distance. distance is that of a
// loaded network, version the digest of its file.
func FeatureDistance(distance func(hr, sr metric.Image, threads int) (float64, error), version string) Measure {
	return Measure{Column{Key: "feature_distance", Title: "SqueezeNet 1.1 feature distance", Digits: 3, Perceptual: true, Version: version,
		About: "Squared differences of a classifier's features at unit length, averaged over positions, summed over nine stages. Neither LPIPS nor FID; it compares only with itself."},
		func(p *Pair) (float64, error) { return distance(p.HR, p.SR, p.Threads) }}
}

// PositionFrechetDistance compares a method's results with the truths as sets of
// vectors. positions is that of a loaded SqueezeNet 1.1, version the digest of
// its file.
func PositionFrechetDistance(positions func(img metric.Image, threads int) (distribution.Matrix[float32], error), version string) SetMeasure {
	truths := map[string]*distribution.Gaussian{} // by the images' names: methods with the same images share them
	of := func(_ context.Context, pairs iter.Seq2[*Pair, error]) (float64, error) {
		truth, result := &distribution.Gaussian{}, &distribution.Gaussian{}
		var names []string
		for p, err := range pairs {
			if err != nil {
				return 0, err
			}
			vectors, err := positions(p.SR, p.Threads)
			if err := errors.Join(err, result.Add(vectors)); err != nil {
				return 0, err
			}
			names = append(names, p.Name)
		}
		key := strings.Join(names, "\n")
		if known := truths[key]; known != nil {
			return known.FrechetDistance(result)
		}
		for p, err := range pairs {
			if err != nil {
				return 0, err
			}
			vectors, err := positions(p.HR, p.Threads)
			if err := errors.Join(err, truth.Add(vectors)); err != nil {
				return 0, err
			}
		}
		truths[key] = truth
		return truth.FrechetDistance(result)
	}
	return SetMeasure{Column{Key: "squeezenet_position_frechet_distance", Title: "SqueezeNet 1.1 position Frechet distance",
		Digits: 4, Perceptual: true, Version: version,
		About: "Frechet distance of Gaussians of a classifier's features at the sixth stage, at all positions of all images together. The arithmetic of the FID on other vectors; it compares only with itself."}, of}
}
