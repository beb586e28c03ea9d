package sr3

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

// Cascade says which models enlarge in stages: what one makes is the input of the
// next (section 4.3 of the paper). It is what a cascade file holds, in TOML:
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
	Model       string  `toml:"model"`
	Steps       int     `toml:"steps"`
	Sampler     string  `toml:"sampler"`
	Schedule    string  `toml:"schedule"`
	Variance    string  `toml:"variance"`
	Eta         float64 `toml:"eta"` // 0 is the model's default
	Temperature float64 `toml:"temperature"`
	Consistent  *bool   `toml:"consistent"`
}

// options are the settings as package upscale takes them.
func (s Stage) options() Options {
	return Options{
		Steps: s.Steps, Sampler: s.Sampler, Schedule: s.Schedule, Variance: s.Variance,
		Eta: s.Eta, Temperature: s.Temperature, Consistent: s.Consistent,
	}
}

const (
	// cascadeExtension is that of cascade files, maxCascadeBytes their largest size.
	cascadeExtension = ".toml"
	maxCascadeBytes  = 1 << 20
	// maxStages bounds a cascade; four models of scale 4 make 256 times larger sides.
	maxStages = 8
)

// ReadCascade reads a cascade file. Keys that mean nothing are errors.
func ReadCascade(path string) (*Cascade, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read cascade: %w", err)
	}
	if info.Size() > maxCascadeBytes {
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
	}
	return nil
}

// ParseCascade reads what is given for a model: one name or path, several joined by
// commas, or the path of a cascade file. The empty name means [DefaultModel].
func ParseCascade(name string) (*Cascade, error) {
	name = cmp.Or(name, DefaultModel)
	if strings.EqualFold(filepath.Ext(name), cascadeExtension) {
		return ReadCascade(name)
	}
	c := &Cascade{Stages: []Stage{{Model: name}}}
	if !strings.Contains(name, ",") || exists(name) {
		return c, nil
	}
	c.Stages = nil
	for part := range strings.SplitSeq(name, ",") {
		c.Stages = append(c.Stages, Stage{Model: strings.TrimSpace(part)})
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("cascade %q: %w", name, err)
	}
	return c, nil
}

// OpenWith is Open with another way to find the model of a name or path.
func OpenWith(name string, open func(nameOrPath string) (*model.Model, error)) (*Upscaler, error) {
	c, err := ParseCascade(name)
	if err != nil {
		return nil, err
	}
	return c.Open(open)
}

// Open opens the models of a cascade; open finds one, nil means as [Open] does. A
// cascade of one model with no settings and no scale of its own is that model.
func (c *Cascade) Open(open func(nameOrPath string) (*model.Model, error)) (*Upscaler, error) {
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
			return &Upscaler{u}, nil
		}
		stages = append(stages, upscale.Stage{Upscaler: u, Options: s.options()})
	}
	joined, err := upscale.NewCascade(c.Scale, stages...)
	if err != nil {
		return nil, err
	}
	return &Upscaler{joined}, nil
}
