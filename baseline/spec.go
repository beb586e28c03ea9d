package baseline

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/sr3-go/sr3/refine"
	"github.com/sr3-go/sr3/upscale"
)

// Spec is what a command line says about a method.
type Spec struct {
	// Kind is one of the Kind constants.
	Kind string
	// Name is what tables call the method; empty for a model that is to be called
	// by its own name and settings.
	Name string
	// Source is the model's name or file, or the folder.
	Source string
	// Options are settings of models; zero fields mean the model's defaults.
	Options upscale.Options
	// Samples is of how many draws the result is the mean, 2 or more; 0 means that
	// it is one draw. See [upscale.Upscaler.Samples].
	Samples int
}

// ParseSpec reads one of
//
//	nearest, bicubic, lanczos
//	NAME=DIR
//	sr3:MODEL[,KEY=VALUE...]
//	regression:MODEL[,KEY=VALUE...]
//
// where the keys are name, consistent, tile and overlap, and for sr3 also sampler,
// steps, schedule, variance, eta, temperature and seed, all as in [upscale.Options],
// and samples: the mean of so many draws. It opens nothing.
func ParseSpec(text string) (Spec, error) {
	s, err := parseSpec(text)
	if err != nil {
		return Spec{}, fmt.Errorf("method %q: %w", text, err)
	}
	return s, nil
}

func parseSpec(text string) (Spec, error) {
	if _, ok := filters[text]; ok {
		return Spec{Kind: KindFilter, Name: text}, nil
	}
	if kind, rest, ok := strings.Cut(text, ":"); ok && (kind == KindSR3 || kind == KindRegression) {
		return parseModel(kind, rest)
	}
	if name, dir, ok := strings.Cut(text, "="); ok {
		if strings.TrimSpace(name) == "" || dir == "" {
			return Spec{}, errors.New("want NAME=DIR with both")
		}
		return Spec{Kind: KindFolder, Name: strings.TrimSpace(name), Source: dir}, nil
	}
	return Spec{}, fmt.Errorf("want one of %s, a folder as NAME=DIR, or a model as sr3:MODEL or regression:MODEL",
		strings.Join(slices.Sorted(maps.Keys(filters)), ", "))
}

// parseModel reads what follows the kind.
func parseModel(kind, rest string) (Spec, error) {
	source, list, _ := strings.Cut(rest, ",")
	s := Spec{Kind: kind, Source: source}
	if source == "" {
		return s, fmt.Errorf("which model? Want %s:MODEL", kind)
	}
	seen := map[string]bool{}
	for list != "" {
		var item string
		item, list, _ = strings.Cut(list, ",")
		key, value, ok := strings.Cut(item, "=")
		if !ok || value == "" {
			return s, fmt.Errorf("%q: want KEY=VALUE", item)
		}
		if seen[key] {
			return s, fmt.Errorf("%s is given twice", key)
		}
		seen[key] = true
		if err := s.set(key, value); err != nil {
			return s, err
		}
	}
	return s, nil
}

// set sets one option.
func (s *Spec) set(key, value string) error {
	o := &s.Options
	if key == "name" {
		s.Name = value
		return nil
	}
	if key == "consistent" {
		on, err := strconv.ParseBool(value)
		if err != nil {
			return fmt.Errorf("consistent=%s: want true or false", value)
		}
		o.Consistent = &on
		return nil
	}
	numbers := map[string]*int{"tile": &o.Tile, "overlap": &o.Overlap}
	if s.Kind == KindSR3 {
		numbers["steps"], numbers["samples"] = &o.Steps, &s.Samples
		if done, err := s.setRefinement(key, value); done {
			return err
		}
	}
	p, ok := numbers[key]
	if !ok {
		return fmt.Errorf("no setting %q; there are %s", key, strings.Join(s.keys(), ", "))
	}
	least := 1
	if key == "samples" {
		least = 2 // without it there is one
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < least {
		return fmt.Errorf("%s=%s: want a whole number from %d", key, value, least)
	}
	*p = n
	return nil
}

// setRefinement sets an option that is no count of pixels or steps.
func (s *Spec) setRefinement(key, value string) (done bool, err error) {
	o := &s.Options
	choose := func(to *string, from ...string) error {
		if !slices.Contains(from, value) {
			return fmt.Errorf("%s=%s: want one of %s", key, value, strings.Join(from, ", "))
		}
		*to = value
		return nil
	}
	switch key {
	case "sampler":
		return true, choose(&o.Sampler, refine.Samplers()...)
	case "schedule":
		return true, choose(&o.Schedule, refine.SchedulePaper, refine.ScheduleTraining, refine.ScheduleLogSNR)
	case "variance":
		return true, choose(&o.Variance, refine.VariancePosterior, refine.VarianceBeta)
	case "eta":
		o.Eta, err = strconv.ParseFloat(value, 64)
		if err != nil || !(o.Eta >= 0 && o.Eta <= 1) {
			return true, fmt.Errorf("eta=%s: want 0 to 1", value)
		}
		if o.Eta == 0 {
			o.Eta = upscale.EtaNone
		}
		return true, nil
	case "temperature":
		o.Temperature, err = strconv.ParseFloat(value, 64)
		if err != nil || !(o.Temperature > 0 && o.Temperature <= refine.MaxTemperature) {
			return true, fmt.Errorf("temperature=%s: want more than 0, at most %d", value, refine.MaxTemperature)
		}
		return true, nil
	case "seed":
		if o.Seed, err = strconv.ParseUint(value, 10, 64); err != nil {
			return true, fmt.Errorf("seed=%s: want a whole number from 0 to 18446744073709551615", value)
		}
		return true, nil
	}
	return false, nil
}

// keys lists the settings of a kind.
func (s *Spec) keys() []string {
	if s.Kind == KindSR3 {
		return []string{"name", "sampler", "steps", "schedule", "variance", "eta", "temperature", "seed", "samples", "consistent", "tile", "overlap"}
	}
	return []string{"name", "consistent", "tile", "overlap"}
}

// settings writes the options that a result depends on, in one order. Zero ones
// but the seed are the model's defaults and left out.
func (s Spec) settings() string {
	var list []string
	add := func(key string, value any, given bool) {
		if given {
			list = append(list, fmt.Sprintf("%s=%v", key, value))
		}
	}
	o := s.Options
	add("sampler", o.Sampler, o.Sampler != "")
	add("steps", o.Steps, o.Steps != 0)
	add("schedule", o.Schedule, o.Schedule != "")
	add("variance", o.Variance, o.Variance != "")
	add("eta", max(o.Eta, 0), o.Eta != 0) // EtaNone is 0
	add("temperature", o.Temperature, o.Temperature != 0)
	add("seed", o.Seed, s.Kind == KindSR3)
	add("samples", s.Samples, s.Samples != 0)
	if o.Consistent != nil {
		add("consistent", *o.Consistent, true)
	}
	add("tile", o.Tile, o.Tile != 0)
	add("overlap", o.Overlap, o.Overlap != 0)
	return strings.Join(list, " ")
}

// label is what tables call a model that is not given a name: the name it was
// asked for by, or, of a file, its own; the number of steps; and what else was
// asked for.
func (s Spec) label(modelName string, steps int) string {
	o := s.Options
	parts := []string{s.Source}
	if isFile := strings.ContainsAny(s.Source, `./\`); isFile && modelName != "" {
		parts[0] = modelName
	}
	add := func(given bool, format string, value any) {
		if given {
			parts = append(parts, fmt.Sprintf(format, value))
		}
	}
	add(o.Sampler != "", "%s", o.Sampler)
	switch {
	case s.Kind == KindRegression:
		parts = append(parts, KindRegression)
	case steps == 1:
		parts = append(parts, "1 step")
	case steps > 1:
		parts = append(parts, fmt.Sprintf("%d steps", steps))
	}
	add(o.Schedule != "", "%s schedule", o.Schedule)
	add(o.Variance != "", "%s variance", o.Variance)
	add(o.Eta != 0, "eta %v", max(o.Eta, 0))
	add(o.Temperature != 0, "temperature %v", o.Temperature)
	add(o.Seed != 0, "seed %d", o.Seed)
	add(s.Samples != 0, "mean of %d draws", s.Samples)
	if o.Consistent != nil {
		add(*o.Consistent, "%s", "consistent")
		add(!*o.Consistent, "%s", "not consistent")
	}
	add(o.Tile != 0, "tile %d", o.Tile)
	add(o.Overlap != 0, "overlap %d", o.Overlap)
	return strings.Join(parts, ", ")
}
