package verify

import (
	"context"
	"errors"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/checkpoint"
)

const (
	nanoCheckpoint = "../../checkpoint/testdata/I10_E1_gen.pth"
	nanoConfig     = "../../model/testdata/nano.json"
	nanoCase       = "testdata/nano_case.safetensors"
	ddpmCheckpoint = "../../model/testdata/ddpm_gen.pth"
	ddpmConfig     = "../../model/testdata/ddpm.json"
	ddpmCase       = "../../unet/testdata/ddpm_case.safetensors"
)

func request(t *testing.T, checkpointPath, config, casePath string) Request {
	t.Helper()
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	return Request{Checkpoint: checkpointPath, ConfigJSON: text, Case: casePath, Threads: 2}
}

// within fails unless a difference was computed and is at most limit.
func within(t *testing.T, name string, got *float64, limit float64) {
	t.Helper()
	if got == nil {
		t.Errorf("%s was not compared", name)
		return
	}
	t.Logf("%-18s %.3g (limit %.3g)", name, *got, limit)
	if !(*got <= limit) {
		t.Errorf("%s is %g, more than %g", name, *got, limit)
	}
}

// TestNano compares everything with what PyTorch computed in float64.
func TestNano(t *testing.T) {
	r, err := Run(t.Context(), request(t, nanoCheckpoint, nanoConfig, nanoCase))
	if err != nil {
		t.Fatal(err)
	}
	within(t, "eps_max_abs", r.EpsMaxAbs, 1e-4**r.EpsRange)
	within(t, "loss_abs", r.LossAbs, 1e-5)
	within(t, "grad_max_rel", r.GradMaxRel, 1e-3)
	within(t, "adam_loss_max_abs", r.AdamLossMaxAbs, 1e-5)
	within(t, "adam_mean_abs", r.AdamMeanAbs, 1e-6)
	within(t, "adam_max_abs", r.AdamMaxAbs, 1e-3)
	within(t, "resume_loss_abs", r.ResumeLossAbs, 1e-5)
	within(t, "resume_mean_abs", r.ResumeMeanAbs, 1e-6)
	within(t, "sample_max_abs", r.SampleMaxAbs, 1e-4**r.SampleRange)
	within(t, "schedule_max_abs", r.ScheduleMaxAbs, 1e-12)
}

// TestTimestepNetwork has a case with a prediction alone.
func TestTimestepNetwork(t *testing.T) {
	r, err := Run(t.Context(), request(t, ddpmCheckpoint, ddpmConfig, ddpmCase))
	if err != nil {
		t.Fatal(err)
	}
	within(t, "eps_max_abs", r.EpsMaxAbs, 1e-4**r.EpsRange)
	if r.LossAbs != nil || r.GradMaxRel != nil || r.AdamLossMaxAbs != nil || r.SampleMaxAbs != nil || r.ResumeMeanAbs != nil {
		t.Errorf("compared what the case does not have: %+v", r)
	}
}

// TestNoticesDifferences damages the reference and expects the figure to show it.
func TestNoticesDifferences(t *testing.T) {
	file, err := checkpoint.Read(nanoCase)
	if err != nil {
		t.Fatal(err)
	}
	file.Meta = nil
	for _, name := range []string{"eps", "loss", "grad.final_conv.block.3.bias", "adam.losses", "adam.final_conv.block.3.bias",
		"resume.final_conv.block.3.bias", "sample.out", "schedule.sqrt_alpha_bar"} {
		tensor := file.Tensors[name]
		values, err := tensor.Float32s()
		if err != nil {
			t.Fatal(err)
		}
		for i := range values {
			values[i] += 0.5
		}
		file.Tensors[name] = checkpoint.FromFloat32(tensor.Shape, values)
	}
	damaged := filepath.Join(t.TempDir(), "case.safetensors")
	if _, err := checkpoint.Write(damaged, file); err != nil {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), request(t, nanoCheckpoint, nanoConfig, damaged))
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]*float64{"eps": r.EpsMaxAbs, "loss": r.LossAbs, "grad": r.GradMaxRel, "adam loss": r.AdamLossMaxAbs,
		"adam": r.AdamMaxAbs, "sample": r.SampleMaxAbs, "schedule": r.ScheduleMaxAbs} {
		if got == nil || *got < 0.4 {
			t.Errorf("%s does not show a difference of 0.5", name)
		}
	}
	if *r.ResumeMeanAbs < 1e-5 {
		t.Errorf("resume_mean_abs is %g", *r.ResumeMeanAbs)
	}
}

// TestGradientNorms replaces gradients by their norms.
func TestGradientNorms(t *testing.T) {
	file, err := checkpoint.Read(nanoCase)
	if err != nil {
		t.Fatal(err)
	}
	file.Meta = nil
	for _, name := range slices.Collect(maps.Keys(file.Tensors)) {
		rest, ok := strings.CutPrefix(name, "grad.")
		if !ok {
			continue
		}
		values, err := file.Tensors[name].Float64s()
		if err != nil {
			t.Fatal(err)
		}
		file.Tensors["gradnorm."+rest] = checkpoint.FromFloat64s([]int{}, []float64{norm(values)})
		delete(file.Tensors, name)
	}
	path := filepath.Join(t.TempDir(), "case.safetensors")
	if _, err := checkpoint.Write(path, file); err != nil {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), request(t, nanoCheckpoint, nanoConfig, path))
	if err != nil {
		t.Fatal(err)
	}
	within(t, "grad_max_rel", r.GradMaxRel, 1e-3)
}

func TestRefusals(t *testing.T) {
	if _, err := Run(t.Context(), request(t, nanoCheckpoint, nanoConfig, nanoCheckpoint)); err == nil {
		t.Error("a checkpoint passed for a case")
	}
	if _, err := Run(t.Context(), request(t, ddpmCheckpoint, ddpmConfig, nanoCase)); err == nil {
		t.Error("the case of another network was compared")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, request(t, nanoCheckpoint, nanoConfig, nanoCase)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want cancellation", err)
	}
}

func TestMaxAbsKeepsNaN(t *testing.T) {
	if got := maxAbs([]float64{1, math.NaN(), 2}, []float64{1, 1, 1}); !math.IsNaN(got) {
		t.Errorf("a NaN gave %v", got)
	}
}
