package model

import (
	"errors"
	"fmt"

	"github.com/sr3-go/sr3/checkpoint"
	"github.com/sr3-go/sr3/unet"
)

// OptimizerState is Adam's state for a model, in the layout of its weights.
type OptimizerState struct {
	Epoch, Iter  int64 // progress of the training; 0 where the file does not tell
	Step         int64 // updates made so far
	LearningRate float64
	Beta1, Beta2 float64
	Epsilon      float64
	WeightDecay  float64
	// M and V are the running means of the gradient and of its square, by name of
	// the parameter.
	M, V map[string][]float32
}

// ImportOptimizer reads the state of Adam that belongs to an imported model (the
// "_opt.pth" beside its "_gen.pth"). The number of parameters and every shape
// must be the model's.
func ImportOptimizer(path string, m *Model) (*OptimizerState, error) {
	state, err := importOptimizer(path, m)
	if err != nil {
		return nil, fmt.Errorf("import optimiser %s: %w", path, err)
	}
	return state, nil
}

func importOptimizer(path string, m *Model) (*OptimizerState, error) {
	if f := m.Config.Network.Family; f != unet.FamilyClassic && f != unet.FamilyDDPM {
		return nil, fmt.Errorf("the model is of family %q, which PyTorch has no state of", f)
	}
	params, err := unet.Parameters(m.Config.Network)
	if err != nil {
		return nil, err
	}
	o, err := checkpoint.OptimizerState(path)
	if err != nil {
		return nil, err
	}
	if len(o.Params) != len(params) {
		return nil, fmt.Errorf("state of %d parameters, the model has %d; give the state that was saved with these weights", len(o.Params), len(params))
	}
	out := &OptimizerState{
		Epoch: o.Epoch, Iter: o.Iter, LearningRate: o.LearningRate, Beta1: o.Beta1, Beta2: o.Beta2,
		Epsilon: o.Epsilon, WeightDecay: o.WeightDecay,
		M: make(map[string][]float32, len(params)), V: make(map[string][]float32, len(params)),
	}
	for i, p := range params {
		s := o.Params[i]
		if s.M == nil {
			return nil, fmt.Errorf("parameter %d (%s) has no state; the training made no step, so resume without it", i, p.Name)
		}
		if i == 0 {
			out.Step = s.Step
		}
		if s.Step != out.Step {
			return nil, fmt.Errorf("parameter %s was updated %d times, others %d; such a state cannot be resumed", p.Name, s.Step, out.Step)
		}
		var err1, err2 error
		out.M[p.Name], err1 = nativeValues(p, s.M)
		out.V[p.Name], err2 = nativeValues(p, s.V)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
	}
	return out, nil
}
