package baseline

import (
	"fmt"

	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/upscale"
)

// Opener makes methods of specs. Methods with one model share it. It is used by
// one goroutine at a time.
type Opener struct {
	// Threads is how many goroutines compute; below 1 means one per processor.
	// Results do not depend on it.
	Threads int
	// OpenModel finds a model; nil means [model.Open].
	OpenModel func(nameOrPath string) (*model.Model, error)

	opened map[string]opened // by what OpenModel was asked for
}

// opened is a model in use.
type opened struct {
	model *model.Model // without weights: up has them
	up    *upscale.Upscaler
}

// Open makes a method. It fails when the model or the folder cannot be read.
func (o *Opener) Open(s Spec) (Method, error) {
	switch s.Kind {
	case KindFilter:
		kernel, ok := filters[s.Name]
		if !ok {
			return nil, fmt.Errorf("method %s: no such filter", s.Name)
		}
		return &filter{s.Name, kernel, o.Threads}, nil
	case KindFolder:
		return newFolder(s.Name, s.Source)
	case KindSR3, KindRegression:
		m, err := o.model(s)
		if err == nil {
			err = check(s, m.up)
		}
		if err != nil {
			return nil, fmt.Errorf("method %s:%s: %w", s.Kind, s.Source, err)
		}
		return newNetwork(s, m.model, m.up, o.Threads), nil
	}
	return nil, fmt.Errorf("method %s: unknown kind %q", s.Name, s.Kind)
}

// check finds what the model cannot do.
func check(s Spec, up *upscale.Upscaler) error {
	if s.Samples != 0 {
		return up.CheckSamples(s.Options, s.Samples)
	}
	return up.Check(s.Options)
}

// model opens a model, or finds it among those that are open.
func (o *Opener) model(s Spec) (opened, error) {
	if m, ok := o.opened[s.Source]; ok {
		return m, checkKind(s.Kind, m.model)
	}
	open := o.OpenModel
	if open == nil {
		open = model.Open
	}
	m, err := open(s.Source)
	if err != nil {
		return opened{}, err
	}
	if err := checkKind(s.Kind, m); err != nil {
		return opened{}, err
	}
	up, err := upscale.New(m)
	if err != nil {
		return opened{}, err
	}
	if o.opened == nil {
		o.opened = map[string]opened{}
	}
	o.opened[s.Source] = opened{&model.Model{Config: m.Config, Digest: m.Digest}, up}
	return o.opened[s.Source], nil
}

// checkKind refuses a model that is not of the kind asked for.
func checkKind(kind string, m *model.Model) error {
	switch regression := m.Config.Regression(); {
	case regression && kind == KindSR3:
		return fmt.Errorf("model %s is a regression: give it as %s:MODEL", m.Config.Name, KindRegression)
	case !regression && kind == KindRegression:
		return fmt.Errorf("model %s refines its result: give it as %s:MODEL", m.Config.Name, KindSR3)
	}
	return nil
}

// Close frees the networks. Methods can still be used.
func (o *Opener) Close() {
	for _, m := range o.opened {
		m.up.Close()
	}
}
