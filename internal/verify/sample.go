package verify

import (
	"context"
	"fmt"

	"github.com/sr3-go/sr3/diffusion"
	"github.com/sr3-go/sr3/internal/cpu"
	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/refine"
	"github.com/sr3-go/sr3/unet"
)

// sample compares ancestral sampling with given noise, conditioned on the first
// image of cond.
func (v *verifier) sample(ctx context.Context) error {
	if !v.ref.has("sample.out") {
		return nil
	}
	if v.m.Config.Regression() {
		v.out.Notes = append(v.out.Notes, "sampling was not compared: a regression has one call")
		return nil
	}
	start, err := v.ref.images("sample.x_T")
	if err != nil {
		return err
	}
	noises, err := v.ref.images("sample.noises")
	if err != nil {
		return err
	}
	want, err := v.ref.images("sample.out")
	if err != nil {
		return err
	}
	if start.n != 1 || len(want.values) != len(start.values) || len(noises.values) != noises.n*len(start.values) {
		return fmt.Errorf("sample.x_T, sample.noises and sample.out do not fit together")
	}
	denoiser, err := v.denoiser(start)
	if err != nil {
		return err
	}
	defer denoiser.program.Close()
	options, err := v.sampler(noises)
	if err != nil {
		return err
	}
	y := start.values
	if err := refine.Run(ctx, options, denoiser, y); err != nil {
		return err
	}
	ref := widen(want.values)
	v.out.SampleMaxAbs, v.out.SampleRange = ptr(maxAbs(widen(y), ref)), ptr(extent(ref))
	return nil
}

// sampler is Algorithm 2 over all steps of the training schedule, with clipping
// and the posterior's variance.
func (v *verifier) sampler(noises *batch) (refine.Options, error) {
	cfg := v.m.Config
	cfg.Inference.Sampler, cfg.Inference.Steps = refine.SamplerAncestral, 0
	cfg.Inference.Schedule = refine.Schedule{Kind: refine.ScheduleTraining}
	cfg.Inference.Variance, cfg.Inference.Clip = refine.VariancePosterior, true
	o, err := cfg.RefineOptions()
	if err != nil {
		return o, err
	}
	schedule, err := cfg.Diffusion.NoiseSchedule()
	if err == nil && schedule.Steps() != noises.n {
		err = fmt.Errorf("sample.noises is for %d steps, the checkpoint's schedule has %d", noises.n, schedule.Steps())
	}
	o.Noise, o.FromY = givenNoise{noises}, true
	return o, err
}

// givenNoise is the noise of a case, whose index counts down to the last step.
type givenNoise struct{ noises *batch }

// Noise implements [refine.NoiseSource].
func (g givenNoise) Noise(dst []float32, step int) { copy(dst, g.noises.image(g.noises.n-1-step)) }

// caseDenoiser is the network conditioned on one image.
type caseDenoiser struct {
	program *cpu.Program
}

func (v *verifier) denoiser(start *batch) (*caseDenoiser, error) {
	cfg := v.m.Config.Network
	g := graph.New()
	in := unet.Inputs{Noisy: g.Input("noisy", 1, start.h, start.w, start.c), Level: g.Input("level", 1)}
	var cond *batch
	if rest := cfg.InChannels - cfg.OutChannels; rest > 0 {
		var err error
		if cond, err = v.ref.images("cond"); err != nil {
			return nil, err
		}
		if cond.c != rest || cond.h != start.h || cond.w != start.w {
			return nil, fmt.Errorf("cond and sample.x_T do not fit together")
		}
		in.Condition = g.Input("condition", 1, start.h, start.w, rest)
	}
	out, err := unet.Build(g, cfg, in)
	if err != nil {
		return nil, err
	}
	p, err := cpu.Compile(g, v.freshVariables(), []*graph.Node{out}, cpu.Options{Threads: v.req.Threads})
	if err != nil {
		return nil, err
	}
	if cond != nil {
		copy(p.Input("condition"), cond.image(0))
	}
	return &caseDenoiser{p}, nil
}

// Denoise implements [diffusion.Denoiser]. The condition was put into the
// program's input once and stays there.
func (d *caseDenoiser) Denoise(ctx context.Context, dst, y []float32, gamma diffusion.Gamma) error {
	copy(d.program.Input("noisy"), y)
	d.program.Input("level")[0] = float32(gamma.Alpha())
	d.program.Run()
	copy(dst, d.program.Output(0))
	return ctx.Err()
}
