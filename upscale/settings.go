package upscale

import (
	"fmt"

	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/refine"
)

// samplerOptions joins the options with the model's defaults. Those of a
// regression say no more than that there is one step.
func (u *Upscaler) samplerOptions(o Options) (refine.Options, error) {
	if u.cfg.Regression() {
		return refine.Options{Steps: 1}, u.checkRegression(o)
	}
	cfg := u.cfg
	cfg.Inference = u.inference(o)
	cfg.Inference.Steps = first(o.Steps, cfg.Inference.Steps)
	if o.Schedule != "" && o.Schedule != cfg.Inference.Schedule.Kind {
		cfg.Inference.Schedule = refine.Schedule{Kind: o.Schedule}
	}
	s, err := cfg.RefineOptions()
	if err != nil {
		return s, err
	}
	s.Sampler = first(o.Sampler, s.Sampler, refine.SamplerAncestral)
	s.Variance = first(o.Variance, s.Variance)
	if s.Eta = first(o.Eta, s.Eta); s.Eta == EtaNone {
		s.Eta = 0
	}
	if !refine.UsesEta(s.Sampler) {
		s.Eta = 0
	}
	s.Temperature = first(o.Temperature, s.Temperature)
	s.Threads = o.Threads
	if o.Steps < 0 {
		return s, fmt.Errorf("%d steps: want 1 or more", o.Steps)
	}
	grid, err := s.Schedule.Build(s.Steps)
	if err != nil {
		return s, err
	}
	s.Steps = grid.Steps()
	return s, s.Validate()
}

// inference are the defaults: the model's, or those that stand for them.
func (u *Upscaler) inference(o Options) model.Inference {
	if o.Inference != nil {
		return *o.Inference
	}
	return u.cfg.Inference
}

// first is the first value that is not zero.
func first[T comparable](values ...T) T {
	var zero T
	for _, v := range values {
		if v != zero {
			return v
		}
	}
	return zero
}

// largestOverlap bounds the default overlap of windows, in pixels.
const largestOverlap = 64

// windowSize chooses the side and the overlap of windows. Networks with attention
// get what they were trained on, because attention over another number of pixels
// behaves differently; the others get larger windows, which repeat less work.
func (u *Upscaler) windowSize(o Options) (tile, overlap int) {
	cfg := u.cfg.Network
	tile = o.Tile
	if tile <= 0 {
		tile = cfg.ImageSize
		if cfg.Local() {
			tile = max(cfg.ImageSize, min(9*cfg.ImageSize, 576))
		}
	}
	tile = roundUp(tile, cfg.Multiple())
	overlap = o.Overlap
	if overlap <= 0 {
		overlap = min(tile/4, largestOverlap)
	}
	return tile, min(roundUp(overlap, cfg.Multiple()), max(tile-cfg.Multiple(), cfg.Multiple()))
}
