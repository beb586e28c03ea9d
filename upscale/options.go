package upscale

import (
	"fmt"

	"github.com/sr3-go/sr3/degrade"
	"github.com/sr3-go/sr3/diffusion"
	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/model"
)

// BytesPerPixel is about how much memory an output pixel takes while it is
// refined with the default sampler: the condition, y_t, and two buffers of the
// sampler, in float32 RGB. UniPC takes 24 more, Options.Consistent at x4 about 4.
const BytesPerPixel = 48

// EtaNone as Options.Eta asks for no fresh noise, whatever the model's default is.
const EtaNone = -1

// Options say how to enlarge an image. The zero value takes what the model was
// made for.
type Options struct {
	// Scale is how many times larger each side becomes, from 1 up; it need not be a
	// whole number. Zero means the model's own scale. Other scales chain the model
	// and reduce the result with antialiased bicubic.
	Scale float64
	// Width and Height ask for an exact size in pixels instead of a scale. With one
	// of them the other keeps the aspect; with both the image may be distorted.
	Width, Height int

	// Steps is the number of refinement steps; 0 means the model's default.
	Steps int
	// Sampler is one of refine.Samplers; empty means the model's default.
	Sampler string
	// Schedule is the kind of inference noise schedule, see refine.Schedule; empty
	// means the model's default.
	Schedule string
	// Variance is that of ancestral sampling, see refine.Options; empty means the
	// model's default.
	Variance string
	// Eta is the share of fresh noise in DDIM and DPM-Solver++(2M), 0 to 1; 0 means the
	// model's default, and [EtaNone] none.
	Eta float64
	// Temperature scales the noise, see refine.Options; 0 means the model's default,
	// 1 draws from the model's own distribution.
	Temperature float64
	// Inference, if not nil, stands for the model's own defaults. The Report does not
	// hold what an explicit schedule in it lists.
	Inference *model.Inference
	// Seed chooses the noise, and with it which of the many possible results is
	// made. A regression has only one: it refuses a seed, and everything from Steps
	// to here, unless it is zero.
	Seed uint64
	// PassesBefore is how many passes with this seed have made the image, such as those
	// of a [Generator]: the noise is that of the passes after them.
	PassesBefore int

	// Consistent makes the result one that the input could have come from: its
	// antialiased bicubic reduction to the input's size is the input, to within
	// rounding, as metric.Consistency measures it. Every estimate of the clean image
	// is projected onto those images (DDNM; Wang, Yu and Zhang 2023), with the input
	// of its own pass where the model runs several times; the result of the size asked
	// for is projected in the end, and values outside the range are clipped, in turns.
	// What was wrong with the input, such as noise and blocks, is kept too. Alpha is
	// left as it is; colours under transparent pixels are those that were filled in.
	// Nil means the model's default, but never for a JPEG of a quality below 90 and for
	// an image of which the network is told that it has lost something.
	Consistent *bool

	// Input says what the image has lost beside its size; the zero value finds out. It
	// is for models that are told, and must be zero for others.
	Input Input

	// Tile is the largest side of a window in output pixels, rounded up to what the
	// network needs; 0 chooses one that suits the model. Overlap is how far windows
	// overlap at least; 0 means a quarter of the window, at most 64.
	Tile, Overlap int
	// Threads is how many goroutines compute; 0 means one per processor. The result
	// does not depend on it.
	Threads int
	// MaxPixels bounds the size of everything that is refined; 0 means
	// [DefaultMaxPixels].
	MaxPixels int

	// OnStep, if set, is called after every refinement step.
	OnStep func(Step)
	// OnWindow, if set, is called after every window of every step.
	OnWindow func(Progress)
}

// Progress is how far the work has come.
type Progress struct {
	Pass, Passes    int // run of the model, or of one of a cascade's, from 1
	Call, Calls     int // call of the denoiser in this pass, from 1; most samplers make one for each step
	Window, Windows int // window of this call, from 1
	work            work
	// Draw and Draws are the draw of [Upscaler.Samples], from 1; 0 in Upscale.
	Draw, Draws int
}

// Share is the part of all work that is done, 0 to 1: of all passes, stages and
// draws, counted in operations of the networks.
func (p Progress) Share() float64 { return float64(p.work.done) / float64(p.work.total) }

// work is how much is to be done, in millions of operations of the networks.
type work struct{ done, total int64 }

// Step is the state after one refinement step.
type Step struct {
	Pass, Passes int             // run of the model, or of one of a cascade's, from 1
	Index, Steps int             // step of this pass, from 1
	Draw, Draws  int             // draw of [Upscaler.Samples], from 1; 0 in Upscale
	Gamma        diffusion.Gamma // the noise level reached; 1 after the last step
	// Preview returns the current estimate of the result of this pass. It costs a
	// copy of the image, so it is made only when asked for, and can be asked for
	// during the callback alone.
	Preview func() *imageio.Image
	// Noisy is the same for y_t, the image that is still noisy, as it is seen: where
	// the network refines a residual, what it belongs to is added as far as the noise
	// level says, and the noise is as small as the residual is enlarged.
	Noisy func() *imageio.Image
}

// Report says how a result was made. With the model of that digest, the image
// and these settings it can be made again, to the byte on the same kind of
// processor.
type Report struct {
	Model string `json:"model"`
	// Objective is the model's: "regression", or empty or "sr3" for refinement. A
	// regression has one step, and no sampler, schedule and seed.
	Objective string  `json:"objective,omitempty"`
	Digest    string  `json:"digest"`
	Scale     float64 `json:"scale"` // of the width
	Passes    int     `json:"passes"`
	Sampler   string  `json:"sampler"`
	Schedule  string  `json:"schedule"`
	Steps     int     `json:"steps"`
	Eta       float64 `json:"eta,omitempty"`
	// Temperature is 0 where it is 1.
	Temperature float64 `json:"temperature,omitempty"`
	Variance    string  `json:"variance,omitempty"`
	Seed        uint64  `json:"seed"`
	// PassesBefore is that of the Options.
	PassesBefore int `json:"passes_before,omitempty"`
	// Consistent tells that the result was made so, see Options.
	Consistent bool   `json:"consistent,omitempty"`
	Tile       int    `json:"tile"`
	Overlap    int    `json:"overlap"`
	Windows    int    `json:"windows"` // of the last pass
	SIMD       string `json:"simd"`    // instruction tier; others differ in rounding
	// Lost is what the network was told that the image has lost; nil for models that
	// are not told.
	Lost *degrade.Amount `json:"lost,omitempty"`

	// Draws is how many draws the image sums up, of which the first had Seed, see
	// [DrawSeed]; 0 says that it is one. Statistic says how: [StatisticMean] or
	// [StatisticDeviation].
	Draws     int    `json:"draws,omitempty"`
	Statistic string `json:"statistic,omitempty"`

	// Stages are the reports of a cascade's models, in their order; the cascade's own
	// has their names and digests joined by commas, all their steps, and otherwise the
	// settings of the last that refines.
	Stages []*Report `json:"stages,omitempty"`
}

// ConstantError is a result without any content, from an image that has some or from
// noise.
type ConstantError struct {
	Value [3]float32
	// FromNoise says that there was no image, only the noise of a [Generator].
	FromNoise bool
}

// Error says what is wrong with the model or the settings.
func (e *ConstantError) Error() string {
	format := "the result is one flat colour (%.3f %.3f %.3f of -1 to 1) though the image is not: the model is damaged or does not fit; try another model or more steps"
	if e.FromNoise {
		format = "the image made from noise is one flat colour (%.3f %.3f %.3f of -1 to 1): the network's weights are damaged or not trained; try another model, or train this one for longer"
	}
	return fmt.Sprintf(format, e.Value[0], e.Value[1], e.Value[2])
}
