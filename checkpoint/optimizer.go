package checkpoint

import (
	"errors"
	"fmt"
	"math"
)

// Optimizer is the state of Adam as PyTorch saves it, with the progress that
// the common SR3 implementation stores beside it.
type Optimizer struct {
	Epoch, Iter  int64 // 0 where the file does not tell
	LearningRate float64
	Beta1, Beta2 float64
	Epsilon      float64
	WeightDecay  float64
	// Params is in the order in which the network registers its parameters.
	Params []AdamState
}

// AdamState is the state of one parameter. M and V, the running means of the
// gradient and of its square, have the parameter's shape; they are nil and Step
// is 0 for a parameter that was never updated.
type AdamState struct {
	Step int64
	M, V *Tensor
}

// OptimizerState reads Adam's state: either {epoch, iter, scheduler, optimizer}
// or what optimizer.state_dict() returns. AMSGrad, several parameter groups and
// other optimisers are errors.
func OptimizerState(path string) (*Optimizer, error) {
	obj, err := ReadPyTorch(path)
	if err != nil {
		return nil, err
	}
	o, err := optimizerState(obj)
	if err != nil {
		return nil, fmt.Errorf("read optimiser state %s: %w", path, err)
	}
	return o, nil
}

func optimizerState(obj any) (*Optimizer, error) {
	d, ok := obj.(*Dict)
	if !ok {
		return nil, fmt.Errorf("the file holds %s, not a dictionary", describe(obj))
	}
	o := &Optimizer{}
	if inner, ok := d.Get("optimizer"); ok {
		var err1, err2 error
		o.Epoch, err1 = d.integer("epoch")
		o.Iter, err2 = d.integer("iter")
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		if d, ok = inner.(*Dict); !ok {
			return nil, fmt.Errorf(`"optimizer" is %s, not a dictionary`, describe(inner))
		}
	}
	state, ok1 := dictAt(d, "state")
	groups, ok2 := listAt(d, "param_groups")
	if !ok1 || !ok2 {
		return nil, errors.New(`no "state" and "param_groups"; this is not an optimiser's state (the "_opt.pth" beside the weights is)`)
	}
	if len(groups) != 1 {
		return nil, fmt.Errorf("%d parameter groups; only one is supported", len(groups))
	}
	group, ok := groups[0].(*Dict)
	if !ok {
		return nil, errors.New("the parameter group is not a dictionary")
	}
	if err := o.settings(group); err != nil {
		return nil, err
	}
	return o, o.states(state, group)
}

// settings reads the hyperparameters of the group.
func (o *Optimizer) settings(group *Dict) error {
	if amsgrad, _ := group.Get("amsgrad"); amsgrad == true {
		return errors.New("AMSGrad is not supported; train with plain Adam")
	}
	betas, ok := listAt(group, "betas")
	if !ok || len(betas) != 2 {
		return errors.New(`the parameter group has no "betas"; only Adam is supported`)
	}
	lr, _ := group.Get("lr")
	eps, _ := group.Get("eps")
	decay, _ := group.Get("weight_decay")
	for _, field := range []struct {
		name string
		dst  *float64
		from any
	}{
		{"lr", &o.LearningRate, lr}, {"betas[0]", &o.Beta1, betas[0]}, {"betas[1]", &o.Beta2, betas[1]},
		{"eps", &o.Epsilon, eps}, {"weight_decay", &o.WeightDecay, decay},
	} {
		v, err := number(field.from)
		if err != nil {
			return fmt.Errorf("%s: %w", field.name, err)
		}
		*field.dst = v
	}
	return nil
}

// states reads the moments of the parameters that the group lists.
func (o *Optimizer) states(state, group *Dict) error {
	ids, ok := listAt(group, "params")
	if !ok {
		return errors.New(`the parameter group has no "params"`)
	}
	for i, id := range ids {
		if !isKey(id) {
			return fmt.Errorf("parameter %d is listed as %s", i, describe(id))
		}
		s, err := adamState(state, id)
		if err != nil {
			return fmt.Errorf("parameter %d: %w", i, err)
		}
		o.Params = append(o.Params, s)
	}
	if used := len(state.Entries); used > len(ids) {
		return fmt.Errorf("state for %d parameters, the group lists %d; the file is damaged", used, len(ids))
	}
	return nil
}

// isKey tells whether v may be looked up in a Dict.
func isKey(v any) bool {
	switch v.(type) {
	case int64, string:
		return true
	}
	return false
}

func adamState(state *Dict, id any) (AdamState, error) {
	var s AdamState
	entry, ok := state.Get(id)
	if !ok {
		return s, nil
	}
	d, ok := entry.(*Dict)
	if !ok {
		return s, fmt.Errorf("its state is %s, not a dictionary", describe(entry))
	}
	var err error
	if s.Step, err = d.integer("step"); err != nil {
		return s, err
	}
	if s.Step < 0 {
		return s, fmt.Errorf("step %d", s.Step)
	}
	m, _ := d.Get("exp_avg")
	v, _ := d.Get("exp_avg_sq")
	var ok1, ok2 bool
	s.M, ok1 = m.(*Tensor)
	s.V, ok2 = v.(*Tensor)
	if !ok1 || !ok2 {
		return s, errors.New(`no tensors "exp_avg" and "exp_avg_sq"; only Adam is supported`)
	}
	return s, nil
}

// integer returns the whole number under key, which may be a tensor of one
// element, as newer versions write the step; a missing key is 0.
func (d *Dict) integer(key string) (int64, error) {
	value, ok := d.Get(key)
	if !ok {
		return 0, nil
	}
	if n, ok := value.(int64); ok {
		return n, nil
	}
	f, err := number(value)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", key, err)
	}
	if f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, fmt.Errorf("%s is %g, not a whole number", key, f)
	}
	return int64(f), nil
}

// number returns a number, or the element of a tensor of one.
func number(value any) (float64, error) {
	switch v := value.(type) {
	case int64:
		return float64(v), nil
	case float64:
		return v, nil
	case *Tensor:
		if v.Len() == 1 {
			f, err := v.Float64s()
			if err != nil {
				return 0, err
			}
			return f[0], nil
		}
	}
	return 0, fmt.Errorf("%s where a number belongs", describe(value))
}

func dictAt(d *Dict, key string) (*Dict, bool) {
	v, _ := d.Get(key)
	out, ok := v.(*Dict)
	return out, ok
}

func listAt(d *Dict, key string) ([]any, bool) {
	v, _ := d.Get(key)
	out, ok := v.([]any)
	return out, ok
}
