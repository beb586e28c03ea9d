package imageio

// BleedAlpha gives the pixels that are wholly transparent a smooth continuation
// of the colours around them, in place, so that resampling and networks that
// look at colour alone make no fringes at the edges of transparency. Pixels of
// any opacity keep their colour. It does nothing when no pixel is transparent
// or none is visible.
//
// The method is pull-push: known colours are averaged into ever coarser grids,
// and holes are filled from the next coarser grid. It takes time and memory in
// proportion to the number of pixels, however large the holes.
func BleedAlpha(m *Image) {
	if m.Alpha == nil {
		return
	}
	holes := false
	known := make([]float32, len(m.Alpha))
	for i, a := range m.Alpha {
		if a > 0 {
			known[i] = 1
		} else {
			holes = true
		}
	}
	if holes {
		fine := colorGrid{w: m.Width, h: m.Height, pix: m.Pix, known: known}
		fine.fillHoles()
	}
}

// colorGrid is one level: colours, and how much each is known (0 or 1 at the
// finest level, a share above).
type colorGrid struct {
	w, h       int
	pix, known []float32
}

// fillHoles fills cells of known 0. It reports whether anything is known at all.
func (g colorGrid) fillHoles() bool {
	if g.w == 1 && g.h == 1 {
		return g.known[0] > 0
	}
	coarse := g.reduce()
	if !coarse.fillHoles() {
		return false
	}
	for y := range g.h {
		for x := range g.w {
			if at := y*g.w + x; g.known[at] == 0 {
				coarse.sample(g.pix[3*at:3*at+3], x, y)
			}
		}
	}
	return true
}

// reduce averages blocks of 2x2 cells, weighted by how well they are known.
func (g colorGrid) reduce() colorGrid {
	c := colorGrid{w: (g.w + 1) / 2, h: (g.h + 1) / 2}
	c.pix, c.known = make([]float32, 3*c.w*c.h), make([]float32, c.w*c.h)
	for y := range g.h {
		for x := range g.w {
			from, to := y*g.w+x, y/2*c.w+x/2
			k := g.known[from]
			c.known[to] += k
			for ch := range 3 {
				c.pix[3*to+ch] += k * g.pix[3*from+ch]
			}
		}
	}
	for i, k := range c.known {
		if k > 0 {
			for ch := range 3 {
				c.pix[3*i+ch] /= k
			}
		}
		c.known[i] = min(k, 1)
	}
	return c
}

// sample writes the bilinear colour of this grid at cell (x, y) of the next finer one.
func (g colorGrid) sample(dst []float32, x, y int) {
	nearX, nearY := x/2, y/2
	farX := min(max(nearX-1+2*(x%2), 0), g.w-1)
	farY := min(max(nearY-1+2*(y%2), 0), g.h-1)
	for ch := range 3 {
		at := func(x, y int) float32 { return g.pix[3*(y*g.w+x)+ch] }
		near := 0.75*at(nearX, nearY) + 0.25*at(farX, nearY)
		far := 0.75*at(nearX, farY) + 0.25*at(farX, farY)
		dst[ch] = 0.75*near + 0.25*far
	}
}
