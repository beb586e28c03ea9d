package tune

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/internal/parallel"
	"github.com/sr3-go/sr3/metric"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/refine"
	"github.com/sr3-go/sr3/upscale"
)

// draws is how many results are made of each crop: as few as an energy score needs.
const draws = 2

// Scorer scores settings on crops.
type Scorer struct {
	Upscaler *upscale.Upscaler
	Crops    []Crop
	// Seed chooses the noise, which is the same for all settings.
	Seed uint64
	// SpreadWeight in [0, 1] is that of metric.Energy.Weighted; 1 is the proper score.
	SpreadWeight float64
	Threads      int
}

// Score is the mean over crops.
type Score struct {
	// Value is what is minimised: the energy score, with the scorer's weight of the spread.
	Value float64 `json:"value"`
	// Error and Spread are the parts of the energy score, see package metric.
	Error  float64 `json:"error"`
	Spread float64 `json:"spread"`
	// PSNR in decibels, of single draws.
	PSNR float64 `json:"psnr"`
	// Crops are the values of each.
	Crops []float64 `json:"crops"`
}

// Score draws twice from every crop with the given settings in place of the model's. An error that wraps
// refine.ErrNotFinite says that results made no sense.
func (s Scorer) Score(ctx context.Context, settings model.Inference) (Score, error) {
	var total Score
	n := float64(len(s.Crops))
	for i, crop := range s.Crops {
		energy, psnr, err := s.crop(ctx, crop, uint64(i), settings)
		if err != nil {
			return Score{}, fmt.Errorf("%s: %w", crop.Name, err)
		}
		value := energy.Weighted(s.SpreadWeight)
		total.Value += value / n
		total.Error += energy.Error / n
		total.Spread += energy.Spread / n
		total.PSNR += psnr / n
		total.Crops = append(total.Crops, value)
	}
	return total, nil
}

// crop scores one.
func (s Scorer) crop(ctx context.Context, crop Crop, index uint64, settings model.Inference) (energy metric.Energy, psnr float64, err error) {
	var results [draws]*imageio.Image
	for k := range results {
		options := upscale.Options{Inference: &settings, Threads: s.Threads, Seed: s.Seed + index*draws + uint64(k)}
		if results[k], _, err = s.Upscaler.Upscale(ctx, crop.lr, options); err != nil {
			var flat *upscale.ConstantError
			if errors.As(err, &flat) {
				err = fmt.Errorf("%w: %w", refine.ErrNotFinite, err)
			}
			return energy, 0, err
		}
	}
	var textures [draws]*metric.Texture
	var errs [draws]error
	parallel.For(s.Threads, draws, func(k int) {
		out := results[k]
		textures[k], errs[k] = metric.NewTexture(metric.FloatImage{Height: out.Height, Width: out.Width, Pix: out.Pix})
	})
	if err := errors.Join(errs[:]...); err != nil {
		return energy, 0, err
	}
	for _, out := range results {
		p, err := metric.PSNR(crop.truth, metric.Image{Height: out.Height, Width: out.Width, Pix: out.RGB8()})
		if err != nil {
			return energy, 0, err
		}
		psnr += min(p, 100) / draws // identical images have no finite PSNR
	}
	energy, err = metric.EnergyScore(crop.texture, textures[:]...)
	return energy, psnr, err
}

// Difference is the mean difference of the values of two settings on the same crops, and its standard error.
// Below 0 the first is better. The error is 0 for a single crop.
func Difference(a, b Score) (mean, standardError float64) {
	n := float64(len(a.Crops))
	for i, v := range a.Crops {
		mean += (v - b.Crops[i]) / n
	}
	if n < 2 {
		return mean, 0
	}
	var squares float64
	for i, v := range a.Crops {
		d := v - b.Crops[i] - mean
		squares += d * d
	}
	return mean, math.Sqrt(squares / (n - 1) / n)
}

// Settings are a candidate as a model stores it; what else there is stays as in from.
func Settings(from model.Inference, c refine.Candidate) model.Inference {
	from.Sampler, from.Steps, from.Schedule, from.Eta = c.Sampler, len(c.Gammas), c.Schedule(), c.Eta
	from.Temperature = c.Temperature
	if c.Temperature == 1 {
		from.Temperature = 0
	}
	return from
}
