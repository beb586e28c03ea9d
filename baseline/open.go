package baseline

import (
	"fmt"
	"strings"

	"github.com/sr3-go/sr3/cascade"
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

	opened map[string]opened // by what was asked for
}

// opened is a model or a cascade in use.
type opened struct {
	up upscale.Enlarger
	// settings are those of a cascade's stages, digest is that of the model or of all.
	settings, digest string
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
		return newNetwork(s, m, o.Threads), nil
	}
	return nil, fmt.Errorf("method %s: unknown kind %q", s.Name, s.Kind)
}

// check finds what the model cannot do.
func check(s Spec, up upscale.Enlarger) error {
	if s.Samples != 0 {
		return up.CheckSamples(s.Options, s.Samples)
	}
	return up.Check(s.Options)
}

// model opens a model or a cascade, or finds it among those that are open.
func (o *Opener) model(s Spec) (opened, error) {
	m, ok := o.opened[s.Source]
	if !ok {
		var err error
		if m, err = o.read(s.Source); err != nil {
			return opened{}, err
		}
		if o.opened == nil {
			o.opened = map[string]opened{}
		}
		o.opened[s.Source] = m
	}
	return m, checkKind(s.Kind, m.up.Config())
}

// read opens what a spec names.
func (o *Opener) read(source string) (m opened, err error) {
	c, err := cascade.Parse(source)
	if err != nil {
		return m, err
	}
	var digests []string
	m.up, err = c.Open(func(name string) (*model.Model, error) {
		open := o.OpenModel
		if open == nil {
			open = model.Open
		}
		read, err := open(name)
		if err == nil {
			digests = append(digests, read.Digest)
		}
		return read, err
	})
	m.digest, m.settings = strings.Join(digests, ","), c.Settings()
	return m, err
}

// checkKind refuses a model that is not of the kind asked for.
func checkKind(kind string, c model.Config) error {
	switch regression := c.Regression(); {
	case regression && kind == KindSR3:
		return fmt.Errorf("model %s is a regression: give it as %s:MODEL", c.Name, KindRegression)
	case !regression && kind == KindRegression:
		return fmt.Errorf("model %s refines its result: give it as %s:MODEL", c.Name, KindSR3)
	}
	return nil
}

// Close frees the networks. Methods can still be used.
func (o *Opener) Close() {
	for _, m := range o.opened {
		m.up.Close()
	}
}
