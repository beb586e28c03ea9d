package verify

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/checkpoint"
	"github.com/sr3-go/sr3/diffusion"
	"github.com/sr3-go/sr3/model"
)

// TestRegression: the network of a regression is compared like any, its schedule and its samples do not exist.
func TestRegression(t *testing.T) {
	text, err := os.ReadFile(nanoConfig)
	if err != nil {
		t.Fatal(err)
	}
	m, _, err := model.ImportPyTorch(nanoCheckpoint, model.ImportOptions{ConfigJSON: text})
	if err != nil {
		t.Fatal(err)
	}
	m.Config.Objective, m.Config.Inference = model.ObjectiveRegression, model.Inference{}
	m.Config.Diffusion = model.Diffusion{Prediction: diffusion.PredictX0, Loss: diffusion.L1}
	path := filepath.Join(t.TempDir(), "regression.safetensors")
	if err := m.Save(path, checkpoint.F32); err != nil {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), Request{Checkpoint: path, Case: nanoCase, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	within(t, "eps_max_abs", r.EpsMaxAbs, 1e-4**r.EpsRange)
	within(t, "grad_max_rel", r.GradMaxRel, 1e-3)
	notes := strings.Join(r.Notes, "\n")
	if r.ScheduleMaxAbs != nil || r.SampleMaxAbs != nil || !strings.Contains(notes, "a regression has none") || !strings.Contains(notes, "one call") {
		t.Errorf("compared what a regression does not have: %+v", r)
	}
}
