package eval

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/metric"
	"github.com/sr3-go/sr3/resample"
)

// Data says which images are taken and how their inputs are made.
type Data struct {
	// Dir is the folder of true images.
	Dir string
	// LRDir has the inputs under the same names. Empty means that they are made
	// from the true images by the antialiased 8-bit bicubic filter, as the paper
	// makes them.
	LRDir string
	// Scale is how many times smaller the inputs are. The true images lose what
	// does not divide by it at the right and at the bottom.
	Scale int
	// LRSide and HRSide, instead of Scale, make squares of the paper's tasks: the
	// largest centre square, reduced to HRSide by averaging areas, and to LRSide by
	// the bicubic filter. Images smaller than HRSide are refused.
	LRSide, HRSide int
	// Limit is how many images are taken, the first by name; 0 means all.
	Limit int
}

// Validate checks that the settings go together.
func (d Data) Validate() error {
	square := d.LRSide != 0 || d.HRSide != 0
	switch {
	case d.Dir == "":
		return fmt.Errorf("no folder of true images is given")
	case d.Limit < 0:
		return fmt.Errorf("a limit of %d images: want 1 or more, or 0 for all", d.Limit)
	case square && (d.Scale != 0 || d.LRDir != ""):
		return fmt.Errorf("squares are made from the true images by their sides alone: neither a scale nor a folder of inputs goes with them")
	case square && (d.LRSide < 1 || d.HRSide <= d.LRSide || d.HRSide > 1<<14):
		return fmt.Errorf("squares from %d to %d pixels: want two sides, the second larger, at most %d", d.LRSide, d.HRSide, 1<<14)
	case !square && (d.Scale < 2 || d.Scale > 64):
		return fmt.Errorf("scale %d: want 2 to 64", d.Scale)
	}
	return nil
}

// Factor is how many times smaller the inputs are, to the nearest whole number.
func (d Data) Factor() int {
	if d.HRSide == 0 {
		return d.Scale
	}
	return int(math.Round(float64(d.HRSide) / float64(d.LRSide)))
}

// describe says in words how inputs were made.
func (d Data) describe() string {
	switch {
	case d.HRSide != 0:
		return fmt.Sprintf("centre squares of %d pixels, reduced to %d by antialiased bicubic", d.HRSide, d.LRSide)
	case d.LRDir != "":
		return fmt.Sprintf("x%d, inputs from %s", d.Scale, d.LRDir)
	}
	return fmt.Sprintf("x%d, inputs by antialiased bicubic, sides cropped to multiples of %d", d.Scale, d.Scale)
}

// source is where an image comes from.
type source struct{ name, hr, lr string }

// sources lists the images, sorted by name. An image without an input has an
// empty lr.
func (d Data) sources() ([]source, error) {
	hr, err := imageio.Folder(d.Dir)
	if err != nil {
		return nil, err
	}
	lr := map[string]string{}
	if d.LRDir != "" {
		if lr, err = imageio.Folder(d.LRDir); err != nil {
			return nil, err
		}
	}
	var list []source
	for _, name := range slices.Sorted(maps.Keys(hr)) {
		list = append(list, source{name, hr[name], lr[name]})
	}
	if d.Limit > 0 {
		list = list[:min(d.Limit, len(list))]
	}
	return list, nil
}

// sample is an image ready to be enlarged.
type sample struct {
	name   string
	hr, lr metric.Image
	scale  int
	// quality is that of the JPEG file that the input was given as, 0 for none: models
	// may be told of it.
	quality int
	digest  string // of the pixels of both, and the quality
}

// load reads an image and makes its input.
func (d Data) load(s source, threads int) (*sample, error) {
	hr, err := readRGB(s.hr)
	if err != nil {
		return nil, err
	}
	out := &sample{name: s.name, hr: hr, scale: d.Scale}
	switch {
	case d.HRSide != 0:
		err = out.square(d, threads)
	case d.LRDir != "":
		err = out.pairUp(s, d)
	default:
		err = out.reduce(d.Scale, threads)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.hr, err)
	}
	out.digest = digestOf(out.hr, out.lr)
	if out.quality > 0 {
		out.digest += fmt.Sprintf(" JPEG %d", out.quality)
	}
	return out, nil
}

// readRGB reads an image in 8-bit RGB; what is transparent is laid over white.
func readRGB(path string) (metric.Image, error) {
	img, err := imageio.ReadFile(path, imageio.Limits{})
	if err != nil {
		return metric.Image{}, err
	}
	return flatRGB(img), nil
}

// flatRGB is an image in 8-bit RGB over white.
func flatRGB(img *imageio.Image) metric.Image {
	img.Flatten([3]float32{1, 1, 1})
	return metric.Image{Height: img.Height, Width: img.Width, Pix: img.RGB8()}
}

// reduce crops to a multiple of scale and makes the input.
func (s *sample) reduce(scale, threads int) error {
	h, w := s.hr.Height/scale, s.hr.Width/scale
	if h < 1 || w < 1 {
		return fmt.Errorf("%dx%d pixels cannot be reduced by %d", s.hr.Width, s.hr.Height, scale)
	}
	s.hr = cut(s.hr, 0, 0, h*scale, w*scale)
	var err error
	s.lr, err = resized(s.hr, h, w, resample.Bicubic, threads)
	return err
}

// square cuts the largest centre square and brings it to the sides asked for.
func (s *sample) square(d Data, threads int) error {
	side := min(s.hr.Height, s.hr.Width)
	if side < d.HRSide {
		return fmt.Errorf("%dx%d pixels are less than the %d asked for; the image is left out, as the paper does", s.hr.Width, s.hr.Height, d.HRSide)
	}
	s.scale = d.Factor()
	s.hr = cut(s.hr, (s.hr.Height-side)/2, (s.hr.Width-side)/2, side, side)
	var err error
	if s.hr, err = resized(s.hr, d.HRSide, d.HRSide, resample.Box, threads); err != nil {
		return err
	}
	s.lr, err = resized(s.hr, d.LRSide, d.LRSide, resample.Bicubic, threads)
	return err
}

// pairUp reads a given input. The truth may be larger by what does not divide.
func (s *sample) pairUp(from source, d Data) error {
	if from.lr == "" {
		return fmt.Errorf("no image named %s in %s", from.name, d.LRDir)
	}
	low, err := imageio.ReadFile(from.lr, imageio.Limits{})
	if err != nil {
		return err
	}
	s.lr, s.quality = flatRGB(low), low.Quality
	h, w := s.lr.Height*d.Scale, s.lr.Width*d.Scale
	if dh, dw := s.hr.Height-h, s.hr.Width-w; dh < 0 || dw < 0 || dh >= d.Scale || dw >= d.Scale {
		return fmt.Errorf("%dx%d pixels, but %s has %dx%d, which makes %dx%d at x%d", s.hr.Width, s.hr.Height,
			from.lr, s.lr.Width, s.lr.Height, w, h, d.Scale)
	}
	s.hr = cut(s.hr, 0, 0, h, w)
	return nil
}

// resized resamples in 8 bits.
func resized(m metric.Image, h, w int, k resample.Kernel, threads int) (metric.Image, error) {
	if m.Height == h && m.Width == w {
		return m, nil
	}
	out := metric.Image{Height: h, Width: w, Pix: make([]uint8, 3*h*w)}
	return out, resample.Resize8(out.Pix, m.Pix, h, w, m.Height, m.Width, 3, k, threads)
}

// cut copies a rectangle.
func cut(m metric.Image, y, x, h, w int) metric.Image {
	if y == 0 && x == 0 && h == m.Height && w == m.Width {
		return m
	}
	out := metric.Image{Height: h, Width: w, Pix: make([]uint8, 0, 3*h*w)}
	for r := range h {
		at := 3 * ((y+r)*m.Width + x)
		out.Pix = append(out.Pix, m.Pix[at:at+3*w]...)
	}
	return out
}

// digestOf identifies images by sizes and pixels.
func digestOf(images ...metric.Image) string {
	h := sha256.New()
	for _, m := range images {
		var size [16]byte
		binary.LittleEndian.PutUint64(size[:8], uint64(m.Height))
		binary.LittleEndian.PutUint64(size[8:], uint64(m.Width))
		h.Write(size[:])
		h.Write(m.Pix)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// input is what methods are given.
func (s *sample) input() (*imageio.Image, error) {
	img, err := toImage(s.lr)
	if err != nil {
		return nil, err
	}
	img.Quality = s.quality
	return img, nil
}

// toImage converts for methods.
func toImage(m metric.Image) (*imageio.Image, error) {
	return imageio.FromRGB8(m.Width, m.Height, m.Pix)
}
