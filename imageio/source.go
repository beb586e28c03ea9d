package imageio

import (
	"image"
	"image/color"
)

// source reads a decoded picture row by row, whatever its storage: only one
// float copy of the picture is ever made.
type source struct {
	width, height int
	gray          bool
	depth         int
	opaque        bool
	// row writes the R, G, B of row y in [-1, 1] and, unless alpha is nil, its
	// opacity in [0, 1].
	row func(y int, rgb, alpha []float32)
}

// newSource returns the source of img. studio says that YCbCr samples have the
// video range (16 to 235), as in lossy WebP, not the full range of JPEG.
func newSource(img image.Image, studio bool) source {
	b := img.Bounds()
	s := source{width: b.Dx(), height: b.Dy(), depth: 8, opaque: true}
	switch m := img.(type) {
	case *image.Gray:
		s.gray = true
		s.row = func(y int, rgb, alpha []float32) { grayRow(rgb, alpha, m.Pix[y*m.Stride:][:s.width]) }
	case *image.Gray16:
		s.gray, s.depth = true, 16
		s.row = func(y int, rgb, alpha []float32) { gray16Row(rgb, alpha, m.Pix[y*m.Stride:][:2*s.width]) }
	case *image.NRGBA:
		s.opaque = m.Opaque()
		s.row = func(y int, rgb, alpha []float32) { nrgbaRow(rgb, alpha, m.Pix[y*m.Stride:][:4*s.width]) }
	case *image.NRGBA64:
		s.depth, s.opaque = 16, m.Opaque()
		s.row = func(y int, rgb, alpha []float32) { nrgba64Row(rgb, alpha, m.Pix[y*m.Stride:][:8*s.width]) }
	case *image.RGBA:
		s.opaque = m.Opaque()
		s.row = func(y int, rgb, alpha []float32) {
			row := m.Pix[y*m.Stride:][:4*s.width]
			nrgbaRow(rgb, alpha, row)
			if !s.opaque {
				unpremultiply(rgb, s.width, func(i int) float32 { return float32(row[4*i+3]) / 255 })
			}
		}
	case *image.RGBA64:
		s.depth, s.opaque = 16, m.Opaque()
		s.row = func(y int, rgb, alpha []float32) {
			row := m.Pix[y*m.Stride:][:8*s.width]
			nrgba64Row(rgb, alpha, row)
			if !s.opaque {
				unpremultiply(rgb, s.width, func(i int) float32 { return float32(be16(row[8*i+6:])) / 65535 })
			}
		}
	case *image.Paletted:
		s.opaque = m.Opaque()
		s.row = palettedRow(m, s.width)
	case *image.YCbCr:
		s.row = newChroma(m, studio).row
	case *image.NYCbCrA:
		s.opaque = m.Opaque()
		colors := newChroma(&m.YCbCr, studio)
		s.row = func(y int, rgb, alpha []float32) {
			colors.row(y, rgb, nil)
			for i := range alpha {
				alpha[i] = float32(m.A[y*m.AStride+i]) / 255
			}
		}
	case *image.CMYK:
		s.row = func(y int, rgb, alpha []float32) { cmykRow(rgb, alpha, m.Pix[y*m.Stride:][:4*s.width]) }
	default:
		s.depth, s.opaque = 16, false
		s.row = func(y int, rgb, alpha []float32) { anyRow(rgb, alpha, img, b.Min.X, b.Min.Y+y) }
	}
	return s
}

func be16(b []byte) uint16 { return uint16(b[0])<<8 | uint16(b[1]) }

func fillOpaque(alpha []float32) {
	for i := range alpha {
		alpha[i] = 1
	}
}

func grayRow(rgb, alpha []float32, row []uint8) {
	for i, p := range row {
		v := from8[p]
		rgb[3*i], rgb[3*i+1], rgb[3*i+2] = v, v, v
	}
	fillOpaque(alpha)
}

func gray16Row(rgb, alpha []float32, row []uint8) {
	for i := range len(row) / 2 {
		v := from16(be16(row[2*i:]))
		rgb[3*i], rgb[3*i+1], rgb[3*i+2] = v, v, v
	}
	fillOpaque(alpha)
}

func nrgbaRow(rgb, alpha []float32, row []uint8) {
	for i := range len(row) / 4 {
		p := row[4*i : 4*i+4 : 4*i+4]
		d := rgb[3*i : 3*i+3 : 3*i+3]
		d[0], d[1], d[2] = from8[p[0]], from8[p[1]], from8[p[2]]
	}
	for i := range alpha {
		alpha[i] = float32(row[4*i+3]) / 255
	}
}

func nrgba64Row(rgb, alpha []float32, row []uint8) {
	for i := range len(row) / 8 {
		for c := range 3 {
			rgb[3*i+c] = from16(be16(row[8*i+2*c:]))
		}
	}
	for i := range alpha {
		alpha[i] = float32(be16(row[8*i+6:])) / 65535
	}
}

// unpremultiply divides colours by their alpha; under full transparency there
// is no colour, and black is given.
func unpremultiply(rgb []float32, n int, alpha func(i int) float32) {
	for i := range n {
		a := alpha(i)
		for c := range 3 {
			v := &rgb[3*i+c]
			if a == 0 {
				*v = -1
			} else {
				*v = min((*v+1)/a, 2) - 1
			}
		}
	}
}

func palettedRow(m *image.Paletted, width int) func(y int, rgb, alpha []float32) {
	var colors [256]color.NRGBA // an index beyond the palette is black and opaque
	for i := range colors {
		colors[i] = color.NRGBA{A: 255}
		if i < len(m.Palette) {
			colors[i] = color.NRGBAModel.Convert(m.Palette[i]).(color.NRGBA)
		}
	}
	return func(y int, rgb, alpha []float32) {
		row := m.Pix[y*m.Stride:][:width]
		for i, p := range row {
			c := colors[p]
			rgb[3*i], rgb[3*i+1], rgb[3*i+2] = from8[c.R], from8[c.G], from8[c.B]
		}
		for i := range alpha {
			alpha[i] = float32(colors[row[i]].A) / 255
		}
	}
}

// cmykRow converts ink to light with the plain product rule: a real conversion
// needs the profile, which is why the profile is dropped too.
func cmykRow(rgb, alpha []float32, row []uint8) {
	for i := range len(row) / 4 {
		k := 255 - int(row[4*i+3])
		for c := range 3 {
			rgb[3*i+c] = from8[((255-int(row[4*i+c]))*k+127)/255]
		}
	}
	fillOpaque(alpha)
}

func anyRow(rgb, alpha []float32, img image.Image, x0, y int) {
	for i := range len(rgb) / 3 {
		c := color.NRGBA64Model.Convert(img.At(x0+i, y)).(color.NRGBA64)
		rgb[3*i], rgb[3*i+1], rgb[3*i+2] = from16(c.R), from16(c.G), from16(c.B)
		if alpha != nil {
			alpha[i] = float32(c.A) / 65535
		}
	}
}
