// Package metric measures how close a super-resolved image is to the truth and
// to its low-resolution input: PSNR, SSIM and consistency (Saharia et al. 2021,
// section 4 and tables 1 to 3), and MS-SSIM.
//
// The functions work on 8-bit RGB, because published figures do. [Options] has
// what others report: the Y channel, and borders cut. PSNR and SSIM reward blur;
// consistency says only whether the result reduces to its input. Measures of
// sets of images are in package distribution.
package metric

import (
	"fmt"
	"math"
)

// Image is an 8-bit sRGB image: Pix holds Height rows of Width pixels of R, G, B.
type Image struct {
	Height, Width int
	Pix           []uint8
}

func (m Image) check(what string) error { return checkSize(what, m.Height, m.Width, len(m.Pix)) }

// Float returns the image as float32, 0..255 becoming -1..1.
func (m Image) Float() FloatImage {
	f := FloatImage{Height: m.Height, Width: m.Width, Pix: make([]float32, len(m.Pix))}
	for i, v := range m.Pix {
		f.Pix[i] = float32(v)/127.5 - 1
	}
	return f
}

// FloatImage is an sRGB image that was neither clipped nor rounded: Pix holds
// Height rows of Width pixels of R, G, B, in [-1, 1] where they are colours.
type FloatImage struct {
	Height, Width int
	Pix           []float32
}

func (m FloatImage) check(what string) error {
	if err := checkSize(what, m.Height, m.Width, len(m.Pix)); err != nil {
		return err
	}
	for i, v := range m.Pix {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return fmt.Errorf("%s image has the sample %g at column %d, row %d; all must be finite", what, v, i/3%m.Width, i/3/m.Width)
		}
	}
	return nil
}

func checkSize(what string, height, width, samples int) error {
	if height < 1 || width < 1 || height > 1<<30 || width > 1<<30 || samples%3 != 0 || samples/3 != height*width {
		return fmt.Errorf("%s image of %dx%d pixels has %d samples; it must have 3 for each pixel", what, width, height, samples)
	}
	return nil
}

// checkPair verifies that truth and result are valid and of one size.
func checkPair(hr, sr Image) error {
	if err := hr.check("reference"); err != nil {
		return err
	}
	if err := sr.check("compared"); err != nil {
		return err
	}
	if hr.Width == sr.Width && hr.Height == sr.Height {
		return nil
	}
	hint := ""
	if f := hr.Width / sr.Width; f > 1 && f*sr.Width == hr.Width && f*sr.Height == hr.Height {
		hint = fmt.Sprintf("; is it the low-resolution image, %d times smaller?", f)
	}
	return fmt.Errorf("reference is %dx%d pixels, compared image is %dx%d: they must be of one size%s",
		hr.Width, hr.Height, sr.Width, sr.Height, hint)
}
