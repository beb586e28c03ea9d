package cli

import (
	"github.com/sr3-go/sr3"
)

// film keeps pictures of the noisy image at steps spread evenly over a refinement,
// from the first to the last. Of a cascade it is that of the last model: steps of
// another pass begin it anew.
type film struct {
	frames int
	pass   int
	taken  []*sr3.Image
}

// add takes a picture if the step is one of those wanted.
func (f *film) add(s sr3.Step) {
	if s.Pass != f.pass {
		f.pass, f.taken = s.Pass, nil
	}
	want := len(f.taken) * (s.Steps - 1) / max(f.frames-1, 1)
	if s.Index-1 >= want && len(f.taken) < f.frames {
		f.taken = append(f.taken, s.Noisy())
	}
}

// row is the film with the result as its end.
func (f *film) row(result *sr3.Image) []*sr3.Image {
	if len(f.taken) > 0 {
		f.taken = f.taken[:len(f.taken)-1] // it is the result before it was finished
	}
	return append(f.taken, result)
}

// mosaicGap is the white space between pictures, in pixels.
const mosaicGap = 4

// mosaic puts rows of pictures on one. Every cell is as large as the largest;
// smaller pictures are repeated pixel by pixel as often as they fit.
func mosaic(rows [][]*sr3.Image) *sr3.Image {
	w, h, columns := 0, 0, 0
	for _, row := range rows {
		columns = max(columns, len(row))
		for _, img := range row {
			w, h = max(w, img.Width), max(h, img.Height)
		}
	}
	out := sr3.NewImage(columns*(w+mosaicGap)-mosaicGap, len(rows)*(h+mosaicGap)-mosaicGap)
	for i := range out.Pix {
		out.Pix[i] = 1
	}
	for r, row := range rows {
		for c, img := range row {
			paste(out, img, c*(w+mosaicGap), r*(h+mosaicGap), max(1, min(w/img.Width, h/img.Height)))
		}
	}
	return out
}

// paste copies a picture, each pixel k times in both directions. Transparent parts
// show white.
func paste(dst, src *sr3.Image, left, top, k int) {
	for y := range src.Height * k {
		for x := range src.Width * k {
			from := y/k*src.Width + x/k
			to := dst.Pix[((top+y)*dst.Width+left+x)*3:][:3]
			alpha := float32(1)
			if src.Alpha != nil {
				alpha = src.Alpha[from]
			}
			for i := range to {
				to[i] = 1 + alpha*(src.Pix[from*3+i]-1)
			}
		}
	}
}
