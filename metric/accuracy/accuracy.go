// Package accuracy measures super-resolution by what a classifier recognises: the
// protocol of the paper's table 3 (Saharia et al. 2021, section 4.3). Photographs of
// known classes are reduced by 4, enlarged by the method in question and
// classified; the errors are compared with those on the photographs themselves.
//
// The errors depend on the classifier and its weights and are to be reported with
// its name: the paper's is a ResNet-50.
package accuracy

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/sr3-go/sr3/metric"
	"github.com/sr3-go/sr3/resample"
)

// The sizes of the protocol, sides in pixels.
const (
	// CropSide is the side of the photographs: crops of their centre.
	CropSide = 224
	// LowSide is the side of the reduced photographs.
	LowSide = 56
	// InputSide is the side of what methods get.
	InputSide = 64
	// OutputSide is the side of what methods give: 4 times as much.
	OutputSide = 256
	// shortSide is the shorter side that larger photographs are brought to before
	// they are cropped, as ImageNet's are by custom.
	shortSide = 256
)

// Classifier gives a score for each class, the higher the likelier: probabilities
// or logits. It is given images of the side that [Protocol] names.
type Classifier interface {
	Classify(img metric.Image) ([]float32, error)
}

// Upscaler enlarges an image by 4 along both sides.
type Upscaler func(ctx context.Context, img metric.Image) (metric.Image, error)

// Crop gives the central 224x224 pixels. An image that is larger than that
// along both sides is first resized, by the antialiased bicubic filter, such
// that its shorter side has 256 pixels, unless that enlarges it. A side below 224
// is an error.
func Crop(img metric.Image) (metric.Image, error) {
	if err := check(img); err != nil {
		return metric.Image{}, fmt.Errorf("accuracy: crop: %w", err)
	}
	short := min(img.Width, img.Height)
	if short < CropSide {
		return metric.Image{}, fmt.Errorf("accuracy: crop: an image of %dx%d pixels: both sides must have at least %d", img.Width, img.Height, CropSide)
	}
	if short > shortSide {
		var err error
		width, height := scaled(img.Width, short), scaled(img.Height, short)
		if img, err = resize(img, height, width); err != nil {
			return metric.Image{}, fmt.Errorf("accuracy: crop: %w", err)
		}
	}
	out := metric.Image{Height: CropSide, Width: CropSide, Pix: make([]uint8, 0, 3*CropSide*CropSide)}
	top, left := (img.Height-CropSide)/2, (img.Width-CropSide)/2
	for y := top; y < top+CropSide; y++ {
		at := 3 * (y*img.Width + left)
		out.Pix = append(out.Pix, img.Pix[at:at+3*CropSide]...)
	}
	return out, nil
}

// scaled is a side of an image whose shorter side becomes 256 pixels.
func scaled(side, short int) int { return side * shortSide / short }

// Input makes what methods get out of a crop of 224x224 pixels: reduced to
// 56x56, then enlarged to 64x64, both by the antialiased bicubic filter on 8 bits.
func Input(crop metric.Image) (metric.Image, error) {
	if err := sized(crop, CropSide); err != nil {
		return metric.Image{}, fmt.Errorf("accuracy: input: %w", err)
	}
	low, err := resize(crop, LowSide, LowSide)
	if err != nil {
		return metric.Image{}, fmt.Errorf("accuracy: input: %w", err)
	}
	return resize(low, InputSide, InputSide)
}

// Output makes what a classifier of images of this side gets out of an image of
// 256x256 pixels that a method gave. A ResNet-50's side is 224.
func Output(sr metric.Image, side int) (metric.Image, error) {
	if err := sized(sr, OutputSide); err != nil {
		return metric.Image{}, fmt.Errorf("accuracy: output: %w", err)
	}
	return resize(sr, side, side)
}

// resize is the antialiased bicubic filter, rounded to 8 bits.
func resize(img metric.Image, height, width int) (metric.Image, error) {
	out := metric.Image{Height: height, Width: width, Pix: make([]uint8, 3*height*width)}
	return out, resample.Resize8(out.Pix, img.Pix, height, width, img.Height, img.Width, 3, resample.Bicubic, 1)
}

func check(img metric.Image) error {
	if img.Height < 1 || img.Width < 1 || img.Height > 1<<30 || img.Width > 1<<30 ||
		len(img.Pix)%3 != 0 || len(img.Pix)/3 != img.Height*img.Width {
		return fmt.Errorf("an image of %dx%d pixels has %d samples; it must have 3 for each pixel", img.Width, img.Height, len(img.Pix))
	}
	return nil
}

func sized(img metric.Image, side int) error {
	if img.Width != side || img.Height != side {
		return fmt.Errorf("an image of %dx%d pixels, want %dx%d", img.Width, img.Height, side, side)
	}
	return check(img)
}

// Labelled is a photograph of a known class.
type Labelled struct {
	// Name is what errors call it.
	Name string
	// Image has at least 224 pixels along both sides.
	Image metric.Image
	// Class is the index of the true class among the classifier's scores.
	Class int
}

// Protocol is what is done to every photograph before it is classified.
type Protocol struct {
	// Upscale is the method in question; nil gives the baseline, the crops of
	// 224x224 pixels themselves.
	Upscale Upscaler
	// Side is that of the images that the classifier takes; 0 means 224.
	Side int
}

// Prepare takes a photograph to the image that is classified.
func (p Protocol) Prepare(ctx context.Context, img metric.Image) (metric.Image, error) {
	side := p.Side
	if side == 0 {
		side = CropSide
	}
	crop, err := Crop(img)
	if err != nil {
		return metric.Image{}, err
	}
	if p.Upscale == nil {
		if side == CropSide {
			return crop, nil
		}
		return resize(crop, side, side)
	}
	low, err := Input(crop)
	if err != nil {
		return metric.Image{}, err
	}
	sr, err := p.Upscale(ctx, low)
	if err != nil {
		return metric.Image{}, fmt.Errorf("accuracy: upscale: %w", err)
	}
	return Output(sr, side)
}

// Tally counts how often the true class was found.
type Tally struct {
	N    int // images
	Top1 int // those whose true class has the highest score
	Top5 int // those whose true class is among the five highest
}

// Add counts one image. Of equal scores the class of the lower index comes first.
func (t *Tally) Add(scores []float32, class int) error {
	if class < 0 || class >= len(scores) {
		return fmt.Errorf("accuracy: class %d of %d", class, len(scores))
	}
	rank := 0
	for i, v := range scores {
		if v != v {
			return fmt.Errorf("accuracy: the score of class %d is not a number", i)
		}
		if v > scores[class] || v == scores[class] && i < class {
			rank++
		}
	}
	t.N++
	if rank < 1 {
		t.Top1++
	}
	if rank < 5 {
		t.Top5++
	}
	return nil
}

// Top1Error is the share, from 0 to 1, of images whose true class was not the first.
func (t Tally) Top1Error() float64 { return float64(t.N-t.Top1) / float64(t.N) }

// Top5Error is the share of images whose true class was not among the first five.
func (t Tally) Top5Error() float64 { return float64(t.N-t.Top5) / float64(t.N) }

// Measure classifies all images by the protocol. It ends with the first error, which
// names the image, and with that of ctx; no image is an error.
func Measure(ctx context.Context, c Classifier, p Protocol, images iter.Seq2[Labelled, error]) (Tally, error) {
	var t Tally
	for img, err := range images {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = p.add(ctx, &t, c, img)
		}
		if err != nil {
			return t, fmt.Errorf("accuracy: image %q: %w", img.Name, err)
		}
	}
	if t.N == 0 {
		return t, errors.New("accuracy: there are no images")
	}
	return t, nil
}

// add classifies and counts one image.
func (p Protocol) add(ctx context.Context, t *Tally, c Classifier, img Labelled) error {
	prepared, err := p.Prepare(ctx, img.Image)
	if err != nil {
		return err
	}
	scores, err := c.Classify(prepared)
	if err != nil {
		return err
	}
	return t.Add(scores, img.Class)
}
