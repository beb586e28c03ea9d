package heatmap

import (
	"fmt"
	"math"

	"github.com/sr3-go/sr3/imageio"
)

// Options say how a field is drawn.
type Options struct {
	// Full is the value that gets the lightest colour; larger ones get it too. It
	// must be positive; 0 is black.
	Full float64
	// Titles say what the colours mean, the longest first: the first that fits
	// stands below the numbers.
	Titles []string
	// Threads is how many goroutines compute. The result does not depend on it.
	Threads int
}

// Draw returns the image of a field (height x width, rows of columns): in its
// first rows and columns a pixel for each value, below them a bar of all colours
// with numbers. Fields too narrow for the numbers are drawn on a wider image.
func Draw(field []float32, width, height int, o Options) (*imageio.Image, error) {
	if width < 1 || height < 1 || len(field) != width*height {
		return nil, fmt.Errorf("draw a map: %d values are no field of %dx%d", len(field), width, height)
	}
	if !(o.Full > 0) || math.IsInf(o.Full, 0) {
		return nil, fmt.Errorf("draw a map: a full scale of %v: want a positive number", o.Full)
	}
	l := newLegend(width, height, o)
	img := &imageio.Image{Width: l.width, Height: height + l.height, Depth: 8, Format: "png"}
	img.Pix = make([]float32, 3*img.Width*img.Height)
	for i := range img.Pix {
		img.Pix[i] = 1
	}
	drawField(img, field, width, o)
	l.draw(img, height)
	return img, nil
}

// color is that of a share of the full scale; NaN is black.
func color(share float64) [3]float32 {
	if !(share > 0) {
		return colors[0]
	}
	return colors[int(math.Round(min(share, 1)*(levels-1)))]
}
