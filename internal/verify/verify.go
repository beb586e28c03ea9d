// Package verify compares this program's arithmetic with numbers that another
// program computed from the same checkpoint: prediction, loss, gradients, Adam
// steps, sampling and noise schedule. What runs is what users run: the U-Net of
// package unet on the kernels of internal/cpu, the samplers of package refine.
//
// A case is a safetensors file. Its tensors are named as follows, images are
// NCHW, parameters have PyTorch's layout, and whatever is missing is not
// compared:
//
//	hr, cond, noise, x_noisy [N,3,H,W], gamma [N,1]   a batch; gamma is sqrt(alpha_bar)
//	eps [N,3,H,W]                                     the prediction for (cond, x_noisy)
//	x [N,6,H,W], t [N]                                the same for timestep networks
//	loss [1]                                          mean |eps - noise|
//	grad.NAME or gradnorm.NAME                        its gradient by a parameter, or the L2 norm
//	adam.losses [K], adam.NAME                        K Adam steps from a fresh state at rate 1e-3
//	resume.loss, resume.NAME                          one step at rate 1e-4 from the saved state
//	sample.x_T, sample.noises [T,1,3,H,W], sample.out ancestral sampling, clipped, posterior variance
//	schedule.sqrt_alpha_bar [T+1]                     with the leading 1
package verify

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/sr3-go/sr3/checkpoint"
	"github.com/sr3-go/sr3/internal/cpu"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/unet"
)

// Rates of the Adam steps in a case.
const (
	freshRate  = 1e-3
	resumeRate = 1e-4
)

// Request says what to verify.
type Request struct {
	Checkpoint string // a "_gen.pth" of the common PyTorch implementation, or a model file
	ConfigJSON []byte // its configuration; may be nil where the checkpoint tells everything
	Case       string // the safetensors file of reference values
	Threads    int    // 0 means one per processor
}

// Result holds the differences from the reference. A nil field was not compared,
// because the case has no such tensors.
type Result struct {
	EpsMaxAbs *float64 `json:"eps_max_abs"` // largest difference of an element of the prediction
	LossAbs   *float64 `json:"loss_abs"`
	// GradMaxRel is the largest, over parameters, of max|g-ref| / max|ref|; of the
	// relative difference of norms where the case has norms.
	GradMaxRel     *float64 `json:"grad_max_rel"`
	AdamLossMaxAbs *float64 `json:"adam_loss_max_abs"`
	AdamMeanAbs    *float64 `json:"adam_mean_abs"` // over all elements of all parameters
	AdamMaxAbs     *float64 `json:"adam_max_abs"`
	SampleMaxAbs   *float64 `json:"sample_max_abs"`
	ScheduleMaxAbs *float64 `json:"schedule_max_abs"` // of sqrt(alpha_bar)
	ResumeMeanAbs  *float64 `json:"resume_mean_abs"`

	// EpsRange and SampleRange are max - min of the references, which absolute
	// errors are to be measured against.
	EpsRange      *float64 `json:"eps_range"`
	SampleRange   *float64 `json:"sample_range"`
	GradWorst     string   `json:"grad_worst,omitempty"` // the parameter of GradMaxRel
	ResumeLossAbs *float64 `json:"resume_loss_abs"`
	Parameters    int64    `json:"parameters"`
	Notes         []string `json:"notes,omitempty"` // what could not be compared, and why
}

// Run computes everything that the case has reference values for.
func Run(ctx context.Context, req Request) (*Result, error) {
	m, err := load(req)
	if err != nil {
		return nil, err
	}
	file, err := checkpoint.Read(req.Case)
	if err != nil {
		return nil, fmt.Errorf("read case: %w", err)
	}
	params, err := unet.Parameters(m.Config.Network)
	if err != nil {
		return nil, err
	}
	v := &verifier{req: req, m: m, ref: reference{file}, params: params, out: &Result{Parameters: m.Parameters()}}
	for _, part := range []func() error{v.schedule, v.prediction, v.gradients, v.adam, v.resume, func() error { return v.sample(ctx) }} {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := part(); err != nil {
			return nil, fmt.Errorf("verify %s with %s: %w", req.Checkpoint, req.Case, err)
		}
	}
	return v.out, nil
}

// load reads the checkpoint.
func load(req Request) (*model.Model, error) {
	if strings.HasSuffix(req.Checkpoint, ".safetensors") {
		return model.Load(req.Checkpoint)
	}
	m, _, err := model.ImportPyTorch(req.Checkpoint, model.ImportOptions{ConfigJSON: req.ConfigJSON})
	return m, err
}

// verifier is one verification under way.
type verifier struct {
	req    Request
	m      *model.Model
	ref    reference
	params []unet.Param
	out    *Result
}

// freshVariables holds the checkpoint's weights.
func (v *verifier) freshVariables() *cpu.Variables {
	vars := cpu.NewVariables()
	for name, values := range v.m.Weights {
		vars.Set(name, values)
	}
	return vars
}

// schedule compares sqrt(alpha_bar).
func (v *verifier) schedule() error {
	if !v.ref.has("schedule.sqrt_alpha_bar") {
		return nil
	}
	if v.m.Config.Regression() {
		v.out.Notes = append(v.out.Notes, "the schedule was not compared: a regression has none")
		return nil
	}
	want, err := v.ref.float64s("schedule.sqrt_alpha_bar")
	if err != nil {
		return err
	}
	s, err := v.m.Config.Diffusion.NoiseSchedule()
	if err != nil {
		return err
	}
	if len(want) != s.Steps()+1 {
		return fmt.Errorf("schedule.sqrt_alpha_bar has %d values, the checkpoint's schedule %d steps", len(want), s.Steps())
	}
	got := make([]float64, len(want))
	for t := range got {
		got[t] = s.Gamma(t).Alpha()
	}
	v.out.ScheduleMaxAbs = ptr(maxAbs(got, want))
	return nil
}

// resumeFile is the optimiser's state beside the checkpoint; ok is false, with a
// note, if there is none.
func (v *verifier) resumeFile() (path string, ok bool) {
	path = strings.TrimSuffix(v.req.Checkpoint, "_gen.pth") + "_opt.pth"
	if _, err := os.Stat(path); err != nil {
		v.out.Notes = append(v.out.Notes, "the resumed step was not compared: "+err.Error())
		return "", false
	}
	return path, true
}

func ptr[T any](v T) *T { return &v }
