package dataset

import (
	"github.com/sr3-go/sr3/degrade"
	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/resample"
)

// photo is a decoded image: rows, columns, RGB in 8 bits.
type photo struct {
	height, width int
	pix           []uint8
	conditions    []lazyCondition // of the whole image; none where they are made crop by crop
}

// condition is an enlarged low-resolution image, as large as the photo, and what that had lost.
type condition struct {
	pix  []uint8
	lost degrade.Amount
}

// lazyCondition makes a condition when it is first asked for. It may be asked by several goroutines.
type lazyCondition func() (condition, error)

// bytes is the memory of the pixels, with all conditions.
func (p *photo) bytes() int64 { return int64(len(p.pix)) * int64(1+len(p.conditions)) }

// decode decodes an image of any supported format, upright and in RGB. What is transparent is laid over white.
func decode(data []byte, name string) (*photo, error) {
	img, err := imageio.Decode(data, name, imageio.Limits{})
	if err != nil {
		return nil, err
	}
	img.Flatten([3]float32{1, 1, 1})
	return &photo{height: img.Height, width: img.Width, pix: img.RGB8()}, nil
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
	return (&photo{height: h, width: w, pix: pix}).cut(window{(h - size) / 2, (w - size) / 2, size, size}), nil
}

// window is a rectangle of pixels.
type window struct{ y, x, height, width int }

// cut copies a window of the pixels.
func (p *photo) cut(w window) *photo {
	out := &photo{height: w.height, width: w.width, pix: make([]uint8, w.height*w.width*3)}
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
		out := &photo{height: p.width, width: p.height, pix: make([]uint8, len(p.pix))}
		for y := range out.height {
			for x := range out.width {
				copy(out.pix[(y*out.width+x)*3:][:3], p.pix[(x*p.width+p.width-1-y)*3:])
			}
		}
		p = out
	}
	return p
}
