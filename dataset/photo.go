package dataset

import (
	"bytes"
	"fmt"
	"image"
	_ "image/jpeg"
	_ "image/png"

	"github.com/sr3-go/sr3/resample"
)

// photo is a decoded image: rows, columns, RGB in 8 bits.
type photo struct {
	height, width int
	pix           []uint8
}

// decode decodes an image of any supported format.
func decode(data []byte, name string) (*photo, error) {
	cfg, _, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	if cfg.Width*cfg.Height > 64<<20 {
		return nil, fmt.Errorf("%dx%d pixels are too many", cfg.Width, cfg.Height)
	}
	img, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	b := img.Bounds()
	p := &photo{b.Dy(), b.Dx(), make([]uint8, 0, 3*b.Dx()*b.Dy())}
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			r, g, bl, _ := img.At(x, y).RGBA()
			p.pix = append(p.pix, uint8(r>>8), uint8(g>>8), uint8(bl>>8))
		}
	}
	return p, nil
}

// reduce scales the shorter side down to size, antialiased, and cuts the centre square.
func (p *photo) reduce(size int) (*photo, error) {
	short := min(p.height, p.width)
	h, w := (p.height*size+short/2)/short, (p.width*size+short/2)/short
	pix := p.pix
	if short != size {
		pix = make([]uint8, h*w*3)
		if err := resample.Resize8(pix, p.pix, h, w, p.height, p.width, 3, resample.Bicubic, 1); err != nil {
			return nil, err
		}
	}
	return (&photo{h, w, pix}).cut(window{(h - size) / 2, (w - size) / 2, size, size}), nil
}

// window is a rectangle of pixels.
type window struct{ y, x, height, width int }

// cut copies a window.
func (p *photo) cut(w window) *photo {
	out := &photo{w.height, w.width, make([]uint8, w.height*w.width*3)}
	for r := range w.height {
		copy(out.pix[r*w.width*3:][:w.width*3], p.pix[((w.y+r)*p.width+w.x)*3:])
	}
	return out
}

// mirror swaps left and right in place.
func (p *photo) mirror() {
	for r := range p.height {
		row := p.pix[r*p.width*3:][:p.width*3]
		for i, j := 0, (p.width-1)*3; i < j; i, j = i+3, j-3 {
			for c := range 3 {
				row[i+c], row[j+c] = row[j+c], row[i+c]
			}
		}
	}
}

// rotate turns counter-clockwise by 90 degrees, quarters times.
func (p *photo) rotate(quarters int) *photo {
	for range quarters {
		out := &photo{p.width, p.height, make([]uint8, len(p.pix))}
		for y := range out.height {
			for x := range out.width {
				copy(out.pix[(y*out.width+x)*3:][:3], p.pix[(x*p.width+p.width-1-y)*3:])
			}
		}
		p = out
	}
	return p
}
