// Package metric measures how close a super-resolved image is to the truth and
// to its low-resolution input: PSNR, SSIM and consistency (Saharia et al. 2021,
// section 4 and tables 1 to 3).
//
// All of them work on 8-bit RGB, because published figures do. PSNR and SSIM
// reward blur; consistency says only whether the result reduces to its input.
package metric

import "fmt"

// Image is an 8-bit sRGB image: Pix holds Height rows of Width pixels of R, G, B.
type Image struct {
	Height, Width int
	Pix           []uint8
}

func (m Image) check(what string) error {
	if m.Height < 1 || m.Width < 1 || m.Height > 1<<30 || m.Width > 1<<30 ||
		len(m.Pix)%3 != 0 || len(m.Pix)/3 != m.Height*m.Width {
		return fmt.Errorf("%s image of %dx%d pixels has %d samples; it must have 3 for each pixel", what, m.Width, m.Height, len(m.Pix))
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
