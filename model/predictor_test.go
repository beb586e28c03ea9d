package model

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/checkpoint"
	"github.com/sr3-go/sr3/degrade"
)

// TestPredictorIsStored writes and reads a model that holds another.
func TestPredictorIsStored(t *testing.T) {
	m, p := small(t), regression(t)
	p.Config.Name, p.Config.Diffusion.Residual = "first", 9
	for _, w := range p.Weights {
		w[0]++
	}
	m.WithPredictor(p)
	path := filepath.Join(t.TempDir(), "m.safetensors")
	if err := m.Save(path, checkpoint.F32); err != nil {
		t.Fatal(err)
	}
	got, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.Config, m.Config) || !reflect.DeepEqual(got.Weights, m.Weights) || !reflect.DeepEqual(got.Predictor.Weights, p.Weights) {
		t.Error("what was read is not what was written")
	}
	if got.Parameters() != m.Parameters() || got.Predictor.Config.Name != p.Config.Name {
		t.Errorf("%d parameters, predictor %q", got.Parameters(), got.Predictor.Config.Name)
	}
	stream, err := OpenStream(path)
	if err != nil {
		t.Fatal(err)
	}
	stream.Close()
}

// TestPredictorIsChecked breaks the relation in every way.
func TestPredictorIsChecked(t *testing.T) {
	for want, change := range map[string]func(m *Model){
		"only a regression":     func(m *Model) { m.Config.Predictor = &small(t).Config },
		"predictor itself":      func(m *Model) { m.Config.Predictor.Predictor = &regression(t).Config },
		"scale 2":               func(m *Model) { m.Config.Predictor.Scale = 2 },
		"condition":             func(m *Model) { m.Config.Predictor.Condition.Quantised8 = !m.Config.Condition.Quantised8 },
		"has nothing to refine": func(m *Model) { m.Config = regression(t).Config; m.Config.Predictor = &regression(t).Config },
		"must be told of the same": func(m *Model) {
			m.Config.Predictor.Network.AugmentLevels = degrade.Levels
			m.Config.Predictor.Condition.Degradation = &degrade.Settings{Noise: degrade.Range{Probability: 1, High: 9}}
		},
		"knows bicubic reductions with": func(m *Model) {
			for high, c := range map[float64]*Config{8: &m.Config, 9: m.Config.Predictor} {
				c.Network.AugmentLevels = degrade.Levels
				c.Condition.Degradation = &degrade.Settings{Noise: degrade.Range{Probability: 1, High: high}}
			}
		},
		"about a predictor": func(m *Model) { m.Predictor = nil },
	} {
		m := small(t)
		m.WithPredictor(regression(t))
		change(m)
		err := m.Save(filepath.Join(t.TempDir(), "m.safetensors"), checkpoint.F32)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error about %q, got %v", want, err)
		}
	}
}
