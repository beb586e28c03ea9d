package baseline

import (
	"context"
	"errors"
	"fmt"

	"github.com/sr3-go/sr3/imageio"
)

// ErrNoResult means that a folder of results has none for an image.
var ErrNoResult = errors.New("no result for this image")

// Kinds of methods.
const (
	KindFilter     = "filter"     // an interpolation kernel
	KindFolder     = "folder"     // images that another program made
	KindSR3        = "sr3"        // a model that refines iteratively
	KindRegression = "regression" // a model that computes the result in one pass
)

// Method enlarges images. Implementations may be used by one goroutine at a time.
type Method interface {
	// Info says what the method is.
	Info() Info
	// Version identifies everything that the result for in depends on beside in
	// itself: equal versions and inputs give equal results. Only the name of in is
	// looked at. It fails with [ErrNoResult] where there will be no result.
	Version(in Input) (string, error)
	// Upscale makes the result. The image has exactly the size asked for, holds
	// 8-bit values and is opaque. Cancelling ctx ends it with ctx's error.
	Upscale(ctx context.Context, in Input) (*imageio.Image, error)
}

// Input is one image to enlarge.
type Input struct {
	// Name is the image's path in its folder without extension, by which results
	// of other programs are found.
	Name string
	// LR is the low-resolution image x. It is opaque and not changed.
	LR *imageio.Image
	// Width and Height are the result's size in pixels.
	Width, Height int
	// OnShare, if set, is told from time to time what share (0 to 1) is done.
	OnShare func(share float64)
}

// Info describes a method.
type Info struct {
	Name string // what tables call it
	Kind string // one of the Kind constants
	// Settings are for people: what was asked for, with names and values.
	Settings string
	// Model is the model's digest, empty for methods without one.
	Model string
	// Steps is the number of refinement steps, 0 for methods without.
	Steps int
	// Series is equal for methods that differ in their number of steps alone; empty
	// for methods without steps.
	Series string
	// Costly says that making a result takes longer than reading it from a file.
	Costly bool
}

// checkSize compares a result with the size that was asked for.
func (in Input) checkSize(m *imageio.Image, what string) error {
	if m.Width != in.Width || m.Height != in.Height {
		return fmt.Errorf("%s is %dx%d pixels, want %dx%d", what, m.Width, m.Height, in.Width, in.Height)
	}
	return nil
}
