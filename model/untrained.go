package model

import (
	"fmt"
	"hash/fnv"

	"github.com/sr3-go/sr3/diffusion"
	"github.com/sr3-go/sr3/internal/philox"
	"github.com/sr3-go/sr3/refine"
	"github.com/sr3-go/sr3/unet"
)

// Untrained returns a model of a network with the weights that training starts
// from (see [unet.Initialize]), to be timed or compared with other programs. Its
// settings are the paper's: prediction of eps with Algorithm 1's draw of gamma.
//
// Many layers of a fresh network are zero, and what is behind them does not show
// in its output; perturb adds normal numbers of that standard deviation to every
// weight. 0 adds nothing.
func Untrained(name string, network unet.Config, scale int, seed uint64, perturb float64) (*Model, error) {
	values, err := unet.Initialize(network, seed)
	if err != nil {
		return nil, fmt.Errorf("untrained model: %w", err)
	}
	if perturb != 0 {
		for name, v := range values {
			addNoise(v, name, seed, float32(perturb))
		}
	}
	m := &Model{Weights: values, Config: Config{
		FormatVersion: FormatVersion, Name: name, Scale: scale, Network: network,
		Diffusion: Diffusion{
			Prediction: diffusion.PredictEps, Loss: diffusion.L1,
			Schedule: diffusion.TrainingSchedule(), GammaDraw: diffusion.DrawSchedule,
		},
		Inference: Inference{
			Sampler: refine.SamplerDDIM, Steps: 10, Schedule: refine.Schedule{Kind: refine.ScheduleLogSNR}, Clip: true,
		},
		Source: fmt.Sprintf("untrained, seed %d", seed),
	}}
	if err := m.Config.Validate(); err != nil {
		return nil, fmt.Errorf("untrained model: %w", err)
	}
	return m, nil
}

// addNoise adds normal numbers that depend on the seed and the parameter's name.
func addNoise(values []float32, name string, seed uint64, deviation float32) {
	h := fnv.New64()
	h.Write([]byte(name))
	noise := make([]float32, len(values))
	philox.New(seed, h.Sum64()).Normal(noise, 0)
	for i, v := range noise {
		values[i] += deviation * v
	}
}
