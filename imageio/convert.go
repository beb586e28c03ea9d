package imageio

import (
	"fmt"
	"image"
)

// FromImage converts any picture of the standard library, with its alpha. The
// result has no metadata; its Depth is 16 for types of more than 8 bits.
func FromImage(img image.Image) (*Image, error) {
	b := img.Bounds()
	if b.Dx() < 1 || b.Dy() < 1 || b.Dx() > maxSide || b.Dy() > maxSide {
		return nil, fmt.Errorf("imageio: picture of %dx%d pixels: both sides must be from 1 to %d", b.Dx(), b.Dy(), maxSide)
	}
	src := newSource(img, false)
	m := &Image{Width: src.width, Height: src.height, Depth: src.depth, Gray: src.gray, Pix: make([]float32, 3*src.width*src.height)}
	if !src.opaque {
		m.Alpha = make([]float32, src.width*src.height)
	}
	m.fill(src, 1)
	return m, nil
}

// NRGBA returns the picture with 8 bits a sample for the standard library.
func (m *Image) NRGBA() *image.NRGBA {
	out := image.NewNRGBA(image.Rect(0, 0, m.Width, m.Height))
	for i := range m.Width * m.Height {
		p := m.Pix[3*i : 3*i+3 : 3*i+3]
		d := out.Pix[4*i : 4*i+4 : 4*i+4]
		d[0], d[1], d[2], d[3] = to8(p[0]), to8(p[1]), to8(p[2]), 255
		if m.Alpha != nil {
			d[3] = alphaTo8(m.Alpha[i])
		}
	}
	return out
}
