package heatmap

import (
	"image"
	"strconv"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/internal/parallel"
)

// Sizes of the legend in dots; a dot is a pixel on small images and several on
// large ones.
const (
	pad        = 4
	barHeight  = 10
	textHeight = 13
	charWidth  = 7
	leastWidth = 64 // room for the numbers at the ends
	wideImage  = 700
)

// legend is the strip below the field: the bar, numbers, and what they mean.
type legend struct {
	dot           int // pixels
	width, height int // of the strip in pixels
	full          float64
	parts         int // into which numbers divide the bar
	title         string
}

// newLegend fits a legend to an image.
func newLegend(width, height int, o Options) legend {
	l := legend{dot: 1 + min(width, height)/wideImage, full: o.Full, parts: 1}
	l.width = max(width, leastWidth*l.dot)
	l.height = l.dot * (pad + barHeight + 2 + 2*textHeight + pad)
	dots := l.width / l.dot
	for _, parts := range []int{2, 4, 8} {
		text := 0
		for k := range parts + 1 {
			text += charWidth * (len(l.number(k, parts)) + 2)
		}
		if text <= dots-2*pad {
			l.parts = parts
		}
	}
	for _, t := range o.Titles {
		if charWidth*len(t) <= dots-2*pad {
			l.title = t
			break
		}
	}
	return l
}

// number is the text at the end of part k. The last stands for larger values
// too.
func (l legend) number(k, parts int) string {
	text := strconv.FormatFloat(l.full*float64(k)/float64(parts), 'g', 4, 64)
	if k == parts {
		text += "+"
	}
	return text
}

// draw fills the strip that begins at row top.
func (l legend) draw(img *imageio.Image, top int) {
	left, right := pad*l.dot, l.width-pad*l.dot
	bar := top + pad*l.dot
	for x := left; x < right; x++ {
		c := color(float64(x-left) / float64(right-left-1))
		for y := bar; y < bar+barHeight*l.dot; y++ {
			copy(img.Pix[3*(y*img.Width+x):], c[:])
		}
	}
	numbers := bar + (barHeight+2)*l.dot
	for k := range l.parts + 1 {
		text := l.number(k, l.parts)
		wide := charWidth * len(text) * l.dot
		x := left + (right-left)*k/l.parts - wide/2
		l.write(img, text, min(max(x, left), right-wide), numbers)
	}
	l.write(img, l.title, left, numbers+textHeight*l.dot)
}

// write puts black text with its top left corner at x, y.
func (l legend) write(img *imageio.Image, text string, x, y int) {
	mask := image.NewAlpha(image.Rect(0, 0, charWidth*len(text), textHeight))
	face := basicfont.Face7x13
	d := font.Drawer{Dst: mask, Src: image.Opaque, Face: face, Dot: fixed.P(0, face.Ascent)}
	d.DrawString(text)
	for r := range textHeight * l.dot {
		for c := range charWidth * len(text) * l.dot {
			if mask.AlphaAt(c/l.dot, r/l.dot).A == 0 || x+c >= img.Width {
				continue
			}
			at := 3 * ((y+r)*img.Width + x + c)
			img.Pix[at], img.Pix[at+1], img.Pix[at+2] = -1, -1, -1
		}
	}
}

// drawField colours the field's pixels.
func drawField(img *imageio.Image, field []float32, width int, o Options) {
	parallel.For(o.Threads, len(field)/width, func(y int) {
		for x, v := range field[y*width : (y+1)*width] {
			c := color(float64(v) / o.Full)
			copy(img.Pix[3*(y*img.Width+x):], c[:])
		}
	})
}
