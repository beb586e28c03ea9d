package eval

import (
	"context"
	"iter"

	"github.com/sr3-go/sr3/metric"
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

// FeatureDistance is the SqueezeNet 1.1 feature distance. distance is that of a
// loaded network, version the digest of its file.
func FeatureDistance(distance func(hr, sr metric.Image, threads int) (float64, error), version string) Measure {
	return Measure{Column{Key: "feature_distance", Title: "SqueezeNet 1.1 feature distance", Digits: 3, Perceptual: true, Version: version,
		About: "Squared differences of a classifier's features at unit length, averaged over positions, summed over nine stages. Neither LPIPS nor FID; it compares only with itself."},
		func(p *Pair) (float64, error) { return distance(p.HR, p.SR, p.Threads) }}
}
