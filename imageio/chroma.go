package imageio

import "image"

// chroma converts YCbCr pictures to RGB. Colour at half resolution (4:2:0,
// 4:2:2) is interpolated with the triangle filter that libjpeg and libwebp use
// by default: repeating it instead makes coloured staircases, which a
// super-resolution network would take for detail.
type chroma struct {
	img           *image.YCbCr
	width, height int
	cw, ch        int // size of the chroma planes
	studio        bool
	smooth        bool // chroma has half the columns, and half or all rows
	cb, cr        []int32
}

func newChroma(m *image.YCbCr, studio bool) *chroma {
	c := &chroma{img: m, width: m.Rect.Dx(), height: m.Rect.Dy(), studio: studio}
	c.cw, c.ch = c.width, c.height
	switch m.SubsampleRatio {
	case image.YCbCrSubsampleRatio420:
		c.cw, c.ch, c.smooth = (c.width+1)/2, (c.height+1)/2, true
	case image.YCbCrSubsampleRatio422:
		c.cw, c.smooth = (c.width+1)/2, true
	}
	// Planes of a cropped picture begin at odd offsets, where halves do not
	// line up; decoders do not make such pictures.
	c.smooth = c.smooth && m.Rect.Min.X == 0 && m.Rect.Min.Y == 0
	c.cb, c.cr = make([]int32, c.width), make([]int32, c.width)
	return c
}

// row writes row y; it is not safe for use by several goroutines.
func (c *chroma) row(y int, rgb, alpha []float32) {
	m := c.img
	if c.smooth {
		c.interpolate(c.cb, m.Cb, y)
		c.interpolate(c.cr, m.Cr, y)
	} else {
		for x := range c.width {
			o := m.COffset(m.Rect.Min.X+x, m.Rect.Min.Y+y)
			c.cb[x], c.cr[x] = int32(m.Cb[o]), int32(m.Cr[o])
		}
	}
	luma := m.Y[m.YOffset(m.Rect.Min.X, m.Rect.Min.Y+y):][:c.width]
	if c.studio {
		studioRow(rgb, luma, c.cb, c.cr)
	} else {
		fullRow(rgb, luma, c.cb, c.cr)
	}
	fillOpaque(alpha)
}

// interpolate writes the chroma of row y at full width: 3/4 of the nearer
// sample and 1/4 of the farther one, in both directions.
func (c *chroma) interpolate(dst []int32, plane []uint8, y int) {
	near, far := c.rows(plane, y)
	sum := func(i int) int32 { return 3*int32(near[i]) + int32(far[i]) }
	for i := range c.cw {
		this := sum(i)
		left, right := this, this
		if i > 0 {
			left = sum(i - 1)
		}
		if i+1 < c.cw {
			right = sum(i + 1)
		}
		dst[2*i] = (3*this + left + 8) >> 4
		if 2*i+1 < c.width {
			dst[2*i+1] = (3*this + right + 7) >> 4
		}
	}
}

// rows returns the chroma rows nearest and next to picture row y.
func (c *chroma) rows(plane []uint8, y int) (near, far []uint8) {
	at := func(r int) []uint8 { return plane[r*c.img.CStride:][:c.cw] }
	if c.ch == c.height {
		return at(y), at(y)
	}
	r := y / 2
	other := min(max(r-1+2*(y%2), 0), c.ch-1)
	return at(r), at(other)
}

// fullRow converts with the JFIF equations in 16-bit fixed point.
func fullRow(rgb []float32, luma []uint8, cbs, crs []int32) {
	const half = 1 << 15
	for i, l := range luma {
		y, cb, cr := int32(l), cbs[i]-128, crs[i]-128
		r := y + (91881*cr+half)>>16
		g := y + (-22554*cb-46802*cr+half)>>16
		b := y + (116130*cb+half)>>16
		d := rgb[3*i : 3*i+3 : 3*i+3]
		d[0], d[1], d[2] = from8[clamp8(r)], from8[clamp8(g)], from8[clamp8(b)]
	}
}

// studioRow converts BT.601 video range in the fixed point of the WebP library:
// 14-bit factors with 8 bits dropped from each product.
func studioRow(rgb []float32, luma []uint8, cbs, crs []int32) {
	for i, l := range luma {
		y, cb, cr := int32(l)*19077>>8, cbs[i], crs[i]
		r := y + cr*26149>>8 - 14234
		g := y - cb*6419>>8 - cr*13320>>8 + 8708
		b := y + cb*33050>>8 - 17685
		d := rgb[3*i : 3*i+3 : 3*i+3]
		d[0], d[1], d[2] = from8[clamp8(r>>6)], from8[clamp8(g>>6)], from8[clamp8(b>>6)]
	}
}

func clamp8(v int32) uint8 { return uint8(min(max(v, 0), 255)) }
