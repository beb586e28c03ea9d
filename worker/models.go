package worker

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sr3-go/sr3"
	"github.com/sr3-go/sr3/cascade"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/refine"
	"github.com/sr3-go/sr3/upscale"
)

// ErrUnknownModel means that no model has the name that a job asks for.
var ErrUnknownModel = errors.New("no such model")

// extension is that of model files.
const extension = ".safetensors"

// keptModels is how many models are kept open. Each holds its weights and the
// network compiled last.
const keptModels = 4

// Models are those that jobs may ask for by name: the ones built in, those of
// [model.Directories], and those of a folder. It may be used by several goroutines.
type Models struct {
	dir string

	mu   sync.Mutex
	open []*openModel // the one used last comes last
}

// openModel is a model in memory.
type openModel struct {
	name  string
	stamp stamp
	bytes int64
	up    *sr3.Upscaler
	info  ModelInfo
}

// stamp tells whether a file is the one that was read; zero for a built-in model.
type stamp struct {
	path     string
	size     int64
	modified time.Time
}

// ModelInfo describes a model to those who choose one.
type ModelInfo struct {
	Name string `json:"name"`
	// Scale is how many times larger the model makes each side.
	Scale int `json:"scale"`
	// Objective is "regression", or "sr3" for refinement.
	Objective string `json:"objective"`
	// TrainedFor says for what images, Inputs what was done to those it was trained on.
	TrainedFor string `json:"trained_for,omitempty"`
	Inputs     string `json:"inputs,omitempty"`
	// Steps, Sampler, Schedule and Consistent are what the model does where a job
	// does not say.
	Steps      int    `json:"steps,omitempty"`
	Sampler    string `json:"sampler,omitempty"`
	Schedule   string `json:"schedule,omitempty"`
	Consistent bool   `json:"consistent,omitempty"`
	// Samplers are those that it can use; none for a regression.
	Samplers   []string `json:"samplers,omitempty"`
	Parameters int64    `json:"parameters"`
	Digest     string   `json:"digest"`
	Licence    string   `json:"licence,omitempty"`
	// Default tells that it is meant where a job names none.
	Default bool `json:"default,omitempty"`
	// Error says why the file cannot be used; nothing else but the name is known then.
	Error string `json:"error,omitempty"`
}

// NewModels finds models in dir too, before all others; dir may be empty. Files
// that come later are found when they are asked for.
func NewModels(dir string) *Models { return &Models{dir: dir} }

// Names lists the models, sorted.
func (m *Models) Names() []string {
	names := slices.Concat(m.inFolder(), model.Embedded(), model.Installed())
	slices.Sort(names)
	return slices.Compact(names)
}

// inFolder lists the models of the folder.
func (m *Models) inFolder() []string {
	if m.dir == "" {
		return nil
	}
	return model.NamesIn(m.dir)
}

// List describes all models that enlarge images. Of files their headers are read.
func (m *Models) List() []ModelInfo {
	var list []ModelInfo
	for _, name := range m.Names() {
		info, err := m.Info(name)
		if errors.Is(err, upscale.ErrNotEnlarging) {
			continue
		}
		if err != nil {
			info = ModelInfo{Name: name, Error: err.Error()}
		}
		list = append(list, info)
	}
	return list
}

// Info describes one model, by its file's header; whether the weights are sound shows
// when it is opened. The error for one that enlarges no images is
// [upscale.ErrNotEnlarging].
func (m *Models) Info(name string) (ModelInfo, error) {
	name = cmp.Or(name, model.DefaultName)
	file, err := m.locate(name)
	if err != nil {
		return ModelInfo{}, err
	}
	if file.path == "" { // built in
		o, err := m.find(name)
		if err != nil {
			return ModelInfo{}, err
		}
		return o.info, nil
	}
	head, err := model.OpenStream(file.path)
	if err != nil {
		return ModelInfo{}, unreadable(name, file.path, err)
	}
	defer head.Close()
	if err := upscale.Enlarges(head.Config); err != nil {
		return ModelInfo{}, unusable(name, err)
	}
	return describe(name, head.Config, head.Parameters(), head.Digest()), nil
}

// Open returns the model of a name, the default one for an empty name, or for several
// names joined by commas the cascade of those models. It stays open until others are
// used instead. The error for a name that no model has is [ErrUnknownModel] and lists
// the names.
func (m *Models) Open(name string) (*sr3.Upscaler, error) {
	o, err := m.find(name)
	if errors.Is(err, ErrUnknownModel) && strings.Contains(name, ",") {
		return m.cascade(name)
	}
	if err != nil {
		return nil, err
	}
	return o.up, nil
}

// cascade joins the models of several names.
func (m *Models) cascade(names string) (*sr3.Upscaler, error) {
	c, err := cascade.List(names)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnknownModel, err)
	}
	var stages []*sr3.Upscaler
	for _, s := range c.Stages {
		o, err := m.find(s.Model)
		if err != nil {
			return nil, err
		}
		stages = append(stages, o.up)
	}
	return sr3.Join(stages...)
}

// Bytes is how much memory the weights of the open models take.
func (m *Models) Bytes() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	var sum int64
	for _, o := range m.open {
		sum += o.bytes
	}
	return sum
}

// Close frees the networks of all models.
func (m *Models) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, o := range m.open {
		o.up.Close()
	}
	m.open = nil
}

// find opens a model or returns the one that is open, if its file is the same still.
func (m *Models) find(name string) (*openModel, error) {
	name = cmp.Or(name, model.DefaultName)
	file, err := m.locate(name)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, o := range m.open {
		if o.name == name && o.stamp == file {
			m.open = append(slices.Delete(m.open, i, i+1), o)
			return o, nil
		}
	}
	o, err := read(name, file)
	if err != nil {
		return nil, err
	}
	old := slices.IndexFunc(m.open, func(old *openModel) bool { return old.name == name })
	if old < 0 && len(m.open) == keptModels {
		old = 0
	}
	if old >= 0 {
		m.open[old].up.Close() // who still uses it may go on
		m.open = slices.Delete(m.open, old, old+1)
	}
	m.open = append(m.open, o)
	return o, nil
}

// locate says where the model of a name is. Only names that are listed are looked
// for, so that a name is never a way to another file.
func (m *Models) locate(name string) (stamp, error) {
	switch {
	case slices.Contains(m.inFolder(), name):
		return stampOf(filepath.Join(m.dir, name+extension))
	case slices.Contains(model.Embedded(), name):
		return stamp{}, nil
	}
	if file := model.Find(name); file != "" {
		return stampOf(file)
	}
	return stamp{}, fmt.Errorf("%w as %q; there are: %s", ErrUnknownModel, name, strings.Join(m.Names(), ", "))
}

func stampOf(path string) (stamp, error) {
	st, err := os.Stat(path)
	if err != nil {
		if pe := new(fs.PathError); errors.As(err, &pe) {
			err = pe.Err // jobs of strangers learn no paths
		}
		return stamp{}, fmt.Errorf("read model: %w", err)
	}
	return stamp{path, st.Size(), st.ModTime()}, nil
}

// read loads a model.
func read(name string, file stamp) (*openModel, error) {
	from := cmp.Or(file.path, name)
	loaded, err := model.Open(from)
	if err != nil {
		return nil, unreadable(name, file.path, err)
	}
	up, err := sr3.New(loaded)
	if err != nil {
		return nil, unusable(name, err)
	}
	info := describe(name, loaded.Config, loaded.Parameters(), loaded.Digest)
	return &openModel{name: name, stamp: file, bytes: 4 * loaded.Parameters(), up: up, info: info}, nil
}

func unreadable(name, path string, err error) error {
	return fmt.Errorf("the model %s cannot be read; its file is %s: %w", name, model.Diagnose(path, err).Is, hide(err, path, name))
}

func unusable(name string, err error) error {
	return fmt.Errorf("the model %s cannot be used: %w", name, err)
}

// hide takes a path out of an error's text.
func hide(err error, path, name string) error {
	if path == "" {
		return err
	}
	return errors.New(strings.ReplaceAll(err.Error(), path, name))
}

// describe says what a model is.
func describe(name string, c model.Config, parameters int64, digest string) ModelInfo {
	info := ModelInfo{
		Name: name, Scale: c.Scale, Objective: cmp.Or(c.Objective, model.ObjectiveSR3), TrainedFor: c.TrainedFor, Inputs: c.Condition.Inputs(),
		Parameters: parameters, Digest: digest, Licence: c.Licence, Default: name == model.DefaultName,
	}
	if c.Regression() {
		return info
	}
	inference := c.Inference
	info.Sampler = cmp.Or(inference.Sampler, refine.SamplerAncestral)
	info.Schedule, info.Consistent, info.Samplers = inference.Schedule.Kind, inference.Consistent, refine.Samplers()
	if info.Steps = inference.Steps; info.Steps == 0 {
		info.Steps = c.Diffusion.Schedule.Steps
	}
	return info
}
