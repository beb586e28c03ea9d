package worker

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sr3-go/sr3"
	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/jobs"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/refine"
	"github.com/sr3-go/sr3/upscale"
)

// Codes of faults.
const (
	FaultUnknownFormat  = "image-unknown-format" // like no format that is read
	FaultDamaged        = "image-damaged"        // damaged or cut off
	FaultImageTooLarge  = "image-too-large"      // beyond Limits
	FaultSettings       = "settings-invalid"     // that no model, or not this one, can follow
	FaultModelUnknown   = "model-unknown"        // no model of that name
	FaultModelBroken    = "model-unusable"       // its file is damaged
	FaultResultTooLarge = "result-too-large"     // beyond Limits
	FaultResultConstant = "result-constant"      // one flat colour from an image that is not
)

// Limits bound what one job may ask for; zero fields mean the defaults.
type Limits struct {
	MaxInputBytes   int64 // of the file; 32 MiB
	MaxInputPixels  int64 // 16 million
	MaxOutputPixels int   // upscale.DefaultMaxPixels, 67 million
	MaxSteps        int   // 2000
	MaxSamples      int   // 16
}

// WithDefaults fills in what is zero.
func (l Limits) WithDefaults() Limits {
	l.MaxInputBytes = cmp.Or(l.MaxInputBytes, 32<<20)
	l.MaxInputPixels = cmp.Or(l.MaxInputPixels, 16_000_000)
	l.MaxOutputPixels = cmp.Or(l.MaxOutputPixels, upscale.DefaultMaxPixels)
	l.MaxSteps = cmp.Or(l.MaxSteps, 2000)
	l.MaxSamples = cmp.Or(l.MaxSamples, 16)
	return l
}

// image are the limits for reading a file.
func (l Limits) image() imageio.Limits {
	return imageio.Limits{MaxPixels: l.MaxInputPixels, MaxBytes: l.MaxInputBytes}
}

// maxSeed is the largest whole number up to which JavaScript holds all.
const maxSeed = 1<<53 - 1

// maxNameBytes bounds the name of an upload.
const maxNameBytes = 200

// Check finds out before a job is accepted whether it can be done: it reads the
// image's header, not its pixels, and asks the model. It returns the settings with
// the names of the model and the format filled in, and the description of the image
// (without its digest). name is what the upload was called. A fault of the image is
// told before one of the settings.
func Check(m *Models, s jobs.Settings, input []byte, name string, l Limits) (jobs.Settings, jobs.Object, *jobs.Fault) {
	l = l.WithDefaults()
	object, fault := describeInput(input, name, l)
	if fault != nil {
		return s, object, fault
	}
	s.Model = cmp.Or(s.Model, model.DefaultName)
	s.Format = cmp.Or(strings.ToLower(s.Format), "png")
	if s.Format == "jpeg" {
		s.Format = "jpg"
	}
	if err := checkNumbers(s, l); err != nil {
		return s, object, &jobs.Fault{Code: FaultSettings, Detail: err.Error()}
	}
	up, err := m.Open(s.Model)
	if err != nil {
		return s, object, modelFault(err)
	}
	return s, object, checkModel(up, s, object, l)
}

// describeInput reads an image's header.
func describeInput(input []byte, name string, l Limits) (jobs.Object, *jobs.Fault) {
	object := jobs.Object{Name: BaseName(name), Bytes: int64(len(input))}
	info, err := imageio.Inspect(input, object.Name, l.image())
	if err != nil {
		return object, imageFault(err)
	}
	object.Type, object.Width, object.Height = MediaType(info.Format), info.Width, info.Height
	return object, nil
}

// checkNumbers finds settings that no model could follow.
func checkNumbers(s jobs.Settings, l Limits) error {
	switch {
	case !slices.Contains([]string{"png", "jpg", "webp", "tiff"}, s.Format):
		return fmt.Errorf("format %q: want png, jpg, webp or tiff", s.Format)
	case s.Quality < 0 || s.Quality > 100:
		return fmt.Errorf("quality %d: want 1 to 100", s.Quality)
	case s.Steps < 0 || s.Steps > l.MaxSteps:
		return fmt.Errorf("%d steps: want 1 to %d", s.Steps, l.MaxSteps)
	case s.Samples < 0 || s.Samples == 1 || s.Samples > l.MaxSamples:
		return fmt.Errorf("%d samples: want 2 to %d, or none for one plain result", s.Samples, l.MaxSamples)
	case s.Seed > maxSeed:
		return fmt.Errorf("seed %d: want 0 to %d", s.Seed, uint64(maxSeed))
	case s.Sampler != "" && !slices.Contains(refine.Samplers(), s.Sampler):
		return fmt.Errorf("sampler %q: want one of %s", s.Sampler, strings.Join(refine.Samplers(), ", "))
	case s.Schedule != "" && !slices.Contains(schedules, s.Schedule):
		return fmt.Errorf("schedule %q: want one of %s", s.Schedule, strings.Join(schedules, ", "))
	case s.Eta != nil && !(*s.Eta >= 0 && *s.Eta <= 1):
		return fmt.Errorf("eta %v: want 0 to 1", *s.Eta)
	case !(s.Temperature >= 0 && s.Temperature <= refine.MaxTemperature):
		return fmt.Errorf("temperature %v: want 0 (the model's own) to %d", s.Temperature, refine.MaxTemperature)
	}
	return nil
}

// schedules are the inference schedules that have no settings of their own.
var schedules = []string{"paper", "training", "logsnr"}

// checkModel finds what the model cannot do.
func checkModel(up *sr3.Upscaler, s jobs.Settings, in jobs.Object, l Limits) *jobs.Fault {
	o := options(s, l)
	check := up.Check
	if s.Samples > 0 {
		check = func(o sr3.Options) error { return up.CheckSamples(o, s.Samples) }
	}
	if err := check(o); err != nil {
		return &jobs.Fault{Code: FaultSettings, Detail: err.Error()}
	}
	_, _, err := up.ResultSize(in.Width, in.Height, o)
	switch {
	case errors.Is(err, upscale.ErrTooLarge):
		return &jobs.Fault{Code: FaultResultTooLarge, Detail: err.Error()}
	case err != nil:
		return &jobs.Fault{Code: FaultSettings, Detail: err.Error()}
	}
	return nil
}

// options are the settings as package upscale takes them.
func options(s jobs.Settings, l Limits) sr3.Options {
	o := sr3.Options{
		Scale: s.Scale, Width: s.Width, Height: s.Height, Steps: s.Steps, Sampler: s.Sampler, Schedule: s.Schedule,
		Temperature: s.Temperature, Seed: s.Seed, Consistent: s.Consistent, MaxPixels: l.MaxOutputPixels,
	}
	if s.Eta != nil {
		if o.Eta = *s.Eta; o.Eta == 0 {
			o.Eta = upscale.EtaNone
		}
	}
	return o
}

// imageFault says what is wrong with a file.
func imageFault(err error) *jobs.Fault {
	code := FaultDamaged
	switch {
	case errors.Is(err, imageio.ErrUnknownFormat), errors.Is(err, imageio.ErrUnsupported):
		code = FaultUnknownFormat
	case errors.Is(err, imageio.ErrTooLarge):
		code = FaultImageTooLarge
	}
	return &jobs.Fault{Code: code, Detail: err.Error()}
}

// modelFault says why a model could not be opened.
func modelFault(err error) *jobs.Fault {
	code := FaultModelBroken
	switch {
	case errors.Is(err, ErrUnknownModel):
		code = FaultModelUnknown
	case errors.Is(err, upscale.ErrNotEnlarging):
		code = FaultSettings
	}
	return &jobs.Fault{Code: code, Detail: err.Error()}
}

// RandomSeed draws a seed for a job whose result shall be a random one.
func RandomSeed() uint64 {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:]) & (1<<32 - 1)
}

// BaseName makes a harmless file name of what an upload calls itself: no folders,
// no control characters, valid UTF-8, at most 200 bytes; "image" if nothing is left.
func BaseName(name string) string {
	name = path.Base(strings.ReplaceAll(strings.ToValidUTF8(name, ""), `\`, "/"))
	name = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, name)
	for len(name) > maxNameBytes {
		_, n := utf8.DecodeRuneInString(name)
		name = name[n:]
	}
	name = strings.TrimSpace(name)
	if strings.Trim(name, "./") == "" {
		return "image"
	}
	return name
}

// MediaType is that of a format, as names of formats are in imageio and in
// settings.
func MediaType(format string) string {
	if format == "jpg" {
		format = "jpeg"
	}
	return "image/" + format
}
