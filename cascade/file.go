package cascade

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/upscale"
)

// Cascade says which models enlarge one after the other. It is what a cascade file
// holds, in TOML:
//
//	scale = 16
//	[[stage]]
//	model = "face-16-128"
//	steps = 100
//	[[stage]]
//	model = "face-64-256"
//	steps = 20
//	sampler = "ddim"
type Cascade struct {
	// Scale is how many times larger each side becomes; 0 means the product of the
	// models' scales.
	Scale int `toml:"scale"`
	// Stages are the models, the one that sees the image first.
	Stages []Stage `toml:"stage"`
}

// Stage is a model of a cascade. All but Model may be left out, for what the model
// does by default; settings of a call that are not zero come before them.
type Stage struct {
	// Model is a name, or a path; in a file a path is relative to it.
	Model       string   `toml:"model"`
	Steps       int      `toml:"steps"`
	Sampler     string   `toml:"sampler"`
	Schedule    string   `toml:"schedule"`
	Variance    string   `toml:"variance"`
	Eta         *float64 `toml:"eta"` // 0 is none; left out, the model's default
	Temperature float64  `toml:"temperature"`
	Consistent  *bool    `toml:"consistent"`
}

// Apply returns options with the stage's settings where they are zero.
func (s Stage) Apply(o upscale.Options) upscale.Options {
	return upscale.Stage{Options: s.options()}.Apply(o)
}

// options are the settings as package upscale takes them.
func (s Stage) options() upscale.Options {
	o := upscale.Options{
		Steps: s.Steps, Sampler: s.Sampler, Schedule: s.Schedule, Variance: s.Variance,
		Temperature: s.Temperature, Consistent: s.Consistent,
	}
	if s.Eta != nil {
		o.Eta = cmp.Or(*s.Eta, upscale.EtaNone)
	}
	return o
}

const (
	// extension is that of cascade files, maxBytes their largest size.
	extension = ".toml"
	maxBytes  = 1 << 20
	// maxStages bounds a cascade; four models of scale 4 make 256 times larger sides.
	maxStages = 8
)

// Read reads a cascade file. Keys that mean nothing are errors.
func Read(path string) (*Cascade, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read cascade: %w", err)
	}
	if info.Size() > maxBytes {
		return nil, fmt.Errorf("read cascade %s: %d bytes are too many for a file of a few lines", path, info.Size())
	}
	var c Cascade
	known, err := toml.DecodeFile(path, &c)
	if err != nil {
		return nil, fmt.Errorf("read cascade %s: %w", path, err)
	}
	if keys := known.Undecoded(); len(keys) > 0 {
		return nil, fmt.Errorf("read cascade %s: the key %s means nothing; there are scale, and in each [[stage]] model, steps, sampler, schedule, variance, eta, temperature and consistent", path, keys[0])
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("read cascade %s: %w", path, err)
	}
	for i, s := range c.Stages {
		if beside := filepath.Join(filepath.Dir(path), s.Model); !filepath.IsAbs(s.Model) && exists(beside) {
			c.Stages[i].Model = beside
		}
	}
	return &c, nil
}

func exists(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular()
}

// check finds what cannot be a cascade.
func (c *Cascade) check() error {
	if len(c.Stages) == 0 || len(c.Stages) > maxStages {
		return fmt.Errorf("%d stages: want 1 to %d", len(c.Stages), maxStages)
	}
	for i, s := range c.Stages {
		if s.Model == "" {
			return fmt.Errorf("stage %d of %d names no model", i+1, len(c.Stages))
		}
		if s.Eta != nil && !(*s.Eta >= 0 && *s.Eta <= 1) {
			return fmt.Errorf("stage %d of %d: eta %g: want 0 to 1", i+1, len(c.Stages), *s.Eta)
		}
	}
	return nil
}

// Parse reads what is given for a model: one name or path, several joined by
// commas, or the path of a cascade file. The empty name means [model.DefaultName].
func Parse(name string) (*Cascade, error) {
	name = cmp.Or(name, model.DefaultName)
	if strings.EqualFold(filepath.Ext(name), extension) {
		return Read(name)
	}
	if !strings.Contains(name, ",") || exists(name) {
		return &Cascade{Stages: []Stage{{Model: name}}}, nil
	}
	return List(name)
}

// List reads names joined by commas, as [Parse] does, without looking at any file.
func List(names string) (*Cascade, error) {
	c := &Cascade{}
	for part := range strings.SplitSeq(names, ",") {
		c.Stages = append(c.Stages, Stage{Model: strings.TrimSpace(part)})
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("cascade %q: %w", names, err)
	}
	return c, nil
}

// Open opens the models; open finds one, nil means [model.Open]. A cascade of one
// model with no settings and no scale of its own is that model.
func (c *Cascade) Open(open func(nameOrPath string) (*model.Model, error)) (upscale.Enlarger, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("cascade: %w", err)
	}
	if open == nil {
		open = model.Open
	}
	var stages []upscale.Stage
	for _, s := range c.Stages {
		m, err := open(s.Model)
		if err != nil {
			return nil, err
		}
		u, err := upscale.New(m)
		if err != nil {
			return nil, err
		}
		if len(c.Stages) == 1 && c.Scale == 0 && s == (Stage{Model: s.Model}) {
			return u, nil
		}
		stages = append(stages, upscale.Stage{Upscaler: u, Options: s.options()})
	}
	return upscale.NewCascade(c.Scale, stages...)
}

// Settings is what a cascade says beside the names of its models, in one line; empty
// if nothing.
func (c *Cascade) Settings() string {
	var parts []string
	if c.Scale != 0 {
		parts = append(parts, fmt.Sprintf("scale=%d", c.Scale))
	}
	for i, s := range c.Stages {
		s.Model = ""
		if s == (Stage{}) {
			continue
		}
		o := s.options()
		eta := fmt.Sprint(o.Eta)
		if o.Eta == upscale.EtaNone {
			eta = "none" // 0 is the model's default
		}
		text := fmt.Sprintf("%d:steps=%d,sampler=%s,schedule=%s,variance=%s,eta=%s,temperature=%g", i+1, o.Steps, o.Sampler, o.Schedule, o.Variance, eta, o.Temperature)
		if o.Consistent != nil {
			text += fmt.Sprintf(",consistent=%v", *o.Consistent)
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, " ")
}
