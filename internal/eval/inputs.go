package eval

import (
	"errors"

	"github.com/sr3-go/sr3/imageio"
)

// Names lists the images of d, sorted, as paths in the folder without extension.
func (d Data) Names() ([]string, error) {
	list, err := d.sources()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, s := range list {
		names = append(names, s.name)
	}
	return names, nil
}

// Each calls f for every image, sorted by name: the true image, cropped or squared as
// tables have it, and its input. Both hold 8-bit values and are opaque. An error of f
// or of reading ends it.
func (d Data) Each(threads int, f func(name string, original, low *imageio.Image) error) error {
	if err := d.Validate(); err != nil {
		return err
	}
	list, err := d.sources()
	if err != nil {
		return err
	}
	for _, src := range list {
		s, err := d.load(src, threads)
		if err != nil {
			return err
		}
		low, errLow := s.input()
		original, errHigh := imageio.FromRGB8(s.hr.Width, s.hr.Height, s.hr.Pix)
		if err := errors.Join(errLow, errHigh); err != nil {
			return err
		}
		if err := f(src.name, original, low); err != nil {
			return err
		}
	}
	return nil
}
