package server

import (
	"math"
	"net/url"
	"strconv"
	"time"
)

// fromQuery sets what the parameters of a query, or the fields of a form, say. The
// names are those of the JSON; "name" is that of the image.
func (sub *submission) fromQuery(values url.Values) error {
	for name, given := range values {
		if len(given) > 1 {
			return settingsFault("%.60q is given %d times", name, len(given))
		}
		if err := sub.set(name, given[0]); err != nil {
			return err
		}
	}
	return nil
}

// set sets one of the settings from its text.
func (sub *submission) set(name, text string) (err error) {
	s := &sub.settings
	switch name {
	case "name":
		sub.name = text
	case "model":
		s.Model = text
	case "sampler":
		s.Sampler = text
	case "schedule":
		s.Schedule = text
	case "format":
		s.Format = text
	case "scale":
		s.Scale, err = number(text)
	case "temperature":
		s.Temperature, err = number(text)
	case "eta":
		var v float64
		v, err = number(text)
		s.Eta = &v
	case "width":
		s.Width, err = strconv.Atoi(text)
	case "height":
		s.Height, err = strconv.Atoi(text)
	case "steps":
		s.Steps, err = strconv.Atoi(text)
	case "samples":
		s.Samples, err = strconv.Atoi(text)
	case "quality":
		s.Quality, err = strconv.Atoi(text)
	case "seed":
		if text == "-1" {
			s.Seed = seedOf(sub.key)
			break
		}
		s.Seed, err = strconv.ParseUint(text, 10, 64)
	case "consistent":
		var v bool
		v, err = strconv.ParseBool(text)
		s.Consistent = &v
	case "start_after":
		var t time.Time
		t, err = time.Parse(time.RFC3339, text)
		s.StartAfter = &t
	default:
		return settingsFault("there is no setting %.60q", name)
	}
	if err != nil {
		return settingsFault("%s %.60q cannot be read", name, text)
	}
	return nil
}

// number reads a finite number.
func number(text string) (float64, error) {
	v, err := strconv.ParseFloat(text, 64)
	if err == nil && (math.IsNaN(v) || math.IsInf(v, 0)) {
		err = strconv.ErrRange
	}
	return v, err
}
