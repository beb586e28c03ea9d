package upscale

import "fmt"

// Plan says how windows cover an image: their places, how they are blended and
// how the image is continued by reflection where it does not fill them.
type Plan struct {
	y, x axis
}

// Geometry is what a plan is made from, in pixels of the output. Window and
// Overlap are rounded to the multiple that the network needs.
type Geometry struct {
	Height, Width int
	Multiple      int // the network takes sides that are multiples of this
	Window        int // side of a window
	Overlap       int // how far neighbouring windows overlap at least; 0: a quarter of the window
	Receptive     int // how far the network sees, in pixels to each side; 0: not known
	Least         int // the least side a window is padded to; 0: none

	// Fit makes windows as small as the same number of them allows, which saves
	// work where Window does not divide the image well.
	Fit bool
}

// NewPlan covers an image with windows. The pixels along a window's border that
// weigh nothing are as many as the network sees (Receptive) when the overlap
// leaves room for that and for a transition, otherwise a quarter of the overlap.
func NewPlan(g Geometry) (*Plan, error) {
	if g.Height < 1 || g.Width < 1 || g.Multiple < 1 {
		return nil, fmt.Errorf("plan windows: %d x %d pixels in multiples of %d", g.Width, g.Height, g.Multiple)
	}
	if g.Window < 1 || g.Overlap < 0 {
		return nil, fmt.Errorf("plan windows: side %d with overlap %d: both must be positive", g.Window, g.Overlap)
	}
	window := roundUp(g.Window, g.Multiple)
	overlap := g.Overlap
	if overlap == 0 {
		overlap = window / 4
	}
	overlap = roundUp(overlap, g.Multiple)
	if overlap >= window && (g.Height > window || g.Width > window) {
		return nil, fmt.Errorf("plan windows: an overlap of %d leaves nothing of a window of %d; this network needs windows of at least %d",
			overlap, window, overlap+g.Multiple)
	}
	overlap = min(overlap, window)
	margin := overlap / 4
	if g.Receptive > 0 && 2*g.Receptive+2 <= overlap {
		margin = g.Receptive
	}
	return &Plan{
		y: newAxis(g.Height, window, overlap, margin, g),
		x: newAxis(g.Width, window, overlap, margin, g),
	}, nil
}

// Windows is the number of windows.
func (p *Plan) Windows() int { return len(p.y.origins) * len(p.x.origins) }

// WindowSize is the height and width of every window.
func (p *Plan) WindowSize() (height, width int) { return p.y.window, p.x.window }

// Origin is the top left corner of window i in the padded image.
func (p *Plan) Origin(i int) (y, x int) {
	n := len(p.x.origins)
	return p.y.origins[i/n], p.x.origins[i%n]
}

// Gather copies window i of image src (height x width x 3) into dst (window
// height x window width x 3); pixels beyond the image are its reflection.
func (p *Plan) Gather(dst, src []float32, i int) {
	oy, ox := p.Origin(i)
	for r := range p.y.window {
		row := src[int(p.y.mirror[oy+r])*p.x.size*3:][:p.x.size*3]
		out := dst[r*p.x.window*3:][:p.x.window*3]
		inside := min(p.x.size-ox, p.x.window)
		copy(out, row[ox*3:(ox+inside)*3])
		for c := inside; c < p.x.window; c++ {
			copy(out[c*3:c*3+3], row[p.x.mirror[ox+c]*3:][:3])
		}
	}
}

// Accumulate adds window i, weighted, to image dst (height x width x 3). After
// all windows were added to zeros, dst is their blend.
func (p *Plan) Accumulate(dst, window []float32, i int) {
	n := len(p.x.origins)
	wy, wx := p.y.weights[i/n], p.x.weights[i%n]
	oy, ox := p.Origin(i)
	rows, cols := min(p.y.size-oy, p.y.window), min(p.x.size-ox, p.x.window)
	for r := range rows {
		if wy[r] == 0 {
			continue
		}
		out := dst[((oy+r)*p.x.size+ox)*3:][:cols*3]
		in := window[r*p.x.window*3:][:cols*3]
		for c, w := range wx[:cols] {
			w *= wy[r]
			out[c*3] += w * in[c*3]
			out[c*3+1] += w * in[c*3+1]
			out[c*3+2] += w * in[c*3+2]
		}
	}
}
