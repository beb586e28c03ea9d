package train

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/sr3-go/sr3/dataset"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/unet"
)

// maxConfigFile bounds the size of a configuration file in bytes.
const maxConfigFile = 1 << 20

// LoadConfig returns [DefaultConfig] changed by the TOML file (none if file is empty), then by sets, each of the form
// section.key=value: train.rate=1e-4, model.multipliers=[1,2,4], model.preset=tiny. Values are TOML; what is not is
// taken for a string, so strings need no quotes. Unknown keys, values of a wrong type and settings that do not fit
// together are errors. Names of files in it are relative to the current folder or, where there is no such file,
// to that of the configuration.
func LoadConfig(file string, sets []string) (Config, error) {
	return loadConfig(DefaultConfig(), file, sets)
}

// loadConfig changes base by a file and by sets.
func loadConfig(base Config, file string, sets []string) (Config, error) {
	tree := map[string]any{}
	if file != "" {
		text, err := readConfigFile(file)
		if err != nil {
			return Config{}, fmt.Errorf("load config: %w", err)
		}
		if _, err := toml.Decode(text, &tree); err != nil {
			return Config{}, fmt.Errorf("load config %s: %w", file, err)
		}
	}
	for _, set := range sets {
		if err := applySet(tree, set); err != nil {
			return Config{}, fmt.Errorf("load config: --set %s: %w", set, err)
		}
	}
	cfg, err := fromTree(base, tree)
	if err == nil {
		cfg.findBeside(file)
		err = cfg.Validate()
	}
	if err != nil {
		return Config{}, fmt.Errorf("load config %s: %w", strings.TrimSpace(file+" "+strings.Join(sets, " ")), err)
	}
	return cfg, nil
}

// LoadRunConfig is LoadConfig for the run directory outDir: with no file given, a run that is already there goes on
// with its own config.toml, changed by sets.
func LoadRunConfig(outDir, file string, sets []string) (Config, error) {
	return LoadInitConfig(outDir, "", file, sets)
}

// LoadInitConfig is LoadRunConfig for a run that begins from the weights of a model, by name or path: its network and
// its targets take the place of the defaults, unless outDir already holds a run.
func LoadInitConfig(outDir, init, file string, sets []string) (Config, error) {
	base, resuming := DefaultConfig(), HasRun(outDir)
	if init != "" && !resuming {
		m, err := model.Open(init)
		if err != nil {
			return Config{}, fmt.Errorf("load config: %w", err)
		}
		base.AdoptModel(m)
		if m.Predictor != nil {
			base.Model.Predictor = init // goes on behind the same one
		}
	}
	if own := filepath.Join(outDir, configFile); file == "" && resuming && fileExists(own) {
		file = own
	}
	return loadConfig(base, file, sets)
}

// findBeside looks for images, their manifest, the list of those to leave out and the predictor beside the configuration
// file where the current folder has none.
func (c *Config) findBeside(file string) {
	if file == "" {
		return
	}
	find := func(path string) string {
		if beside := filepath.Join(filepath.Dir(file), path); !filepath.IsAbs(path) && !fileExists(path) && fileExists(beside) {
			return beside
		}
		return path
	}
	for _, list := range [][]string{c.Data.Dirs, c.Data.Val} {
		for i, path := range list {
			list[i] = find(path)
		}
	}
	for _, path := range []*string{&c.Data.Manifest, &c.Data.Exclude, &c.Model.Predictor} {
		if *path != "" {
			*path = find(*path)
		}
	}
}

// excluded are the names of images to leave out.
func (c Config) excluded() ([]string, error) {
	if c.Data.Exclude == "" {
		return nil, nil
	}
	names, err := dataset.ReadNames(c.Data.Exclude)
	if err != nil {
		return nil, fmt.Errorf("data.exclude: %w", err)
	}
	return names, nil
}

func readConfigFile(file string) (string, error) {
	info, err := os.Stat(file)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() || info.Size() > maxConfigFile {
		return "", fmt.Errorf("%s: want a TOML file of at most %d bytes", file, maxConfigFile)
	}
	text, err := os.ReadFile(file)
	return string(text), err
}

// applySet puts the value of section.key=value into the tree.
func applySet(tree map[string]any, set string) error {
	key, text, ok := strings.Cut(set, "=")
	if !ok {
		return errors.New("want section.key=value, such as train.rate=1e-4")
	}
	parts := strings.Split(strings.TrimSpace(key), ".")
	if len(parts) < 2 {
		return fmt.Errorf("%q names no section: want section.key=value, such as train.rate=1e-4", key)
	}
	for _, section := range parts[:len(parts)-1] {
		next, ok := tree[section].(map[string]any)
		if !ok {
			if tree[section] != nil {
				return fmt.Errorf("%q is no section", section)
			}
			next = map[string]any{}
			tree[section] = next
		}
		tree = next
	}
	tree[parts[len(parts)-1]] = parseValue(strings.TrimSpace(text))
	return nil
}

// parseValue reads a TOML value; anything else is a string.
func parseValue(text string) any {
	var v struct{ V any }
	if _, err := toml.Decode("V = "+text, &v); err != nil || strings.Contains(text, "\n") {
		return text
	}
	return v.V
}

// fromTree lays the tree over a configuration, or over the preset that the tree names.
func fromTree(cfg Config, tree map[string]any) (Config, error) {
	if model, ok := tree["model"].(map[string]any); ok {
		if name, ok := model["preset"].(string); ok && name != "" {
			net, err := unet.Preset(name)
			if err != nil {
				return Config{}, fmt.Errorf("model.preset: %w", err)
			}
			cfg.Model.Config = net
		}
	}
	if _, ok := tree["adversary"]; ok && !cfg.adversarial() {
		cfg.Adversary = defaultAdversary()
	}
	var text bytes.Buffer
	if err := toml.NewEncoder(&text).Encode(tree); err != nil {
		return Config{}, err
	}
	meta, err := toml.Decode(text.String(), &cfg)
	if err != nil {
		return Config{}, err
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return Config{}, fmt.Errorf("unknown key %s; the keys are those of the resolved configuration, which --dry-run prints", unknown[0])
	}
	cfg.Model.Preset = ""
	return cfg.resolved(), nil
}

// resolved writes out defaults, so that equal configurations are equal.
func (c Config) resolved() Config {
	c.Model.Config = c.Model.Resolved()
	c.Model.Attention = append([]int{}, c.Model.Attention...)
	c.Data.Dirs = append([]string{}, c.Data.Dirs...)
	c.Data.Val = append([]string{}, c.Data.Val...)
	if c.Adversary.Weight == 0 {
		c.Adversary = AdversaryConfig{}
	}
	return c
}

// written is a Config as TOML has it: without an adversary, its section is left out.
type written struct {
	Model     ModelConfig      `toml:"model"`
	Diffusion DiffusionConfig  `toml:"diffusion"`
	Data      DataConfig       `toml:"data"`
	Augment   AugmentConfig    `toml:"augment"`
	Train     TrainConfig      `toml:"train"`
	Adversary *AdversaryConfig `toml:"adversary,omitempty"`
}

func (c Config) written() written {
	c = c.resolved()
	w := written{c.Model, c.Diffusion, c.Data, c.Augment, c.Train, nil}
	if c.adversarial() {
		w.Adversary = &c.Adversary
	}
	return w
}

// TOML returns the configuration as [LoadConfig] reads it.
func (c Config) TOML() (string, error) {
	var b bytes.Buffer
	b.WriteString("# Configuration of a training run of sr3. Read by: sr3 train --config FILE\n\n")
	enc := toml.NewEncoder(&b)
	enc.Indent = ""
	if err := enc.Encode(c.written()); err != nil {
		return "", fmt.Errorf("write config: %w", err)
	}
	return b.String(), nil
}

// parseConfig reads what TOML wrote, and checks it.
func parseConfig(text string) (Config, error) {
	cfg, err := decodeConfig(text)
	if err != nil {
		return Config{}, err
	}
	return cfg, cfg.Validate()
}

// decodeConfig reads what TOML wrote.
func decodeConfig(text string) (Config, error) {
	tree := map[string]any{}
	if _, err := toml.Decode(text, &tree); err != nil {
		return Config{}, err
	}
	return fromTree(DefaultConfig(), tree)
}

// changedSettings are the settings of a configuration, as section.key = value, that an earlier one has not: what makes
// the rest of a run different from what it would have been. Both are texts as TOML writes them. What an older program did
// not write is no change where it has its default.
func changedSettings(before, text string) []string {
	if cfg, err := decodeConfig(before); err == nil {
		if today, err := cfg.TOML(); err == nil {
			before = today
		}
	}
	had := map[string]bool{}
	for _, setting := range settings(before) {
		had[setting] = true
	}
	return slices.DeleteFunc(settings(text), func(setting string) bool { return had[setting] })
}

// settings lists the lines of a TOML text with their sections.
func settings(text string) (list []string) {
	section := ""
	for line := range strings.Lines(text) {
		switch line = strings.TrimSpace(line); {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			section = strings.Trim(line, "[]") + "."
		default:
			list = append(list, section+line)
		}
	}
	return list
}
