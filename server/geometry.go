package server

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"math"
	"net/http"

	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/jobs"
	"github.com/sr3-go/sr3/resample"
	"github.com/sr3-go/sr3/worker"
)

// geometry is how a request of the A1111 dialect gets its size. A model makes the
// first size, at least that of the image; that is reduced to the second, and its
// middle cut out to the third. They are equal but for reductions and crops.
type geometry struct {
	madeW, madeH     int
	scaledW, scaledH int
	w, h             int
}

// geometry finds the sizes for an image. Products with a factor are cut off to whole
// pixels, as clients of the dialect compute them and expect.
func (q *a1111Request) geometry(w, h int, l worker.Limits) (geometry, error) {
	factor, crop := q.Resize, false
	switch q.ResizeMode {
	case 0:
	case 1:
		if !(q.Width >= 1 && q.Height >= 1) {
			return geometry{}, settingsFault("upscaling_resize_w %v, upscaling_resize_h %v: want 1 or more", q.Width, q.Height)
		}
		factor, crop = max(math.Trunc(q.Width)/float64(w), math.Trunc(q.Height)/float64(h)), q.Crop
	default:
		return geometry{}, settingsFault("resize_mode %v: want 0 or 1", q.ResizeMode)
	}
	if !(factor > 0) {
		return geometry{}, settingsFault("upscaling_resize %v: want a positive number", q.Resize)
	}
	fw, fh := max(math.Trunc(float64(w)*factor), 1), max(math.Trunc(float64(h)*factor), 1)
	if crop { // the cut must find its pixels, whatever rounding did
		fw, fh = max(fw, math.Trunc(q.Width)), max(fh, math.Trunc(q.Height))
	}
	if !(fw*fh <= float64(l.MaxOutputPixels)) {
		return geometry{}, &jobs.Fault{Code: worker.FaultResultTooLarge, Detail: fmt.Sprintf("a result of %.0fx%.0f pixels is larger than the limit of %d pixels", fw, fh, l.MaxOutputPixels)}
	}
	g := geometry{scaledW: int(fw), scaledH: int(fh)}
	g.madeW, g.madeH = max(g.scaledW, w), max(g.scaledH, h)
	g.w, g.h = g.scaledW, g.scaledH
	if crop {
		g.w, g.h = int(q.Width), int(q.Height)
	}
	return g, nil
}

// bytes is the memory that fit takes beside the result. Decoded and reduced, each
// pixel takes 16 bytes at most twice.
func (g geometry) bytes() int64 {
	if g.madeW == g.w && g.madeH == g.h {
		return 0
	}
	return int64(g.madeW) * int64(g.madeH) * 24
}

// fit brings a result, a PNG, to the size that was asked for.
func (g geometry) fit(data []byte) ([]byte, error) {
	if g.madeW == g.w && g.madeH == g.h {
		return data, nil
	}
	if g.madeW != g.scaledW || g.madeH != g.scaledH {
		var err error
		if data, err = reduce(data, g.scaledW, g.scaledH); err != nil {
			return nil, err
		}
	}
	if g.scaledW == g.w && g.scaledH == g.h {
		return data, nil
	}
	return crop(data, g.w, g.h)
}

// reduce makes an image smaller.
func reduce(data []byte, w, h int) ([]byte, error) {
	img, err := imageio.Decode(data, "result", imageio.Limits{})
	if err != nil {
		return nil, fmt.Errorf("reduce: %w", err)
	}
	small := &imageio.Image{Width: w, Height: h, Pix: make([]float32, w*h*3), Gray: img.Gray, Depth: img.Depth, Meta: img.Meta}
	if err := resample.Resize(small.Pix, img.Pix, h, w, img.Height, img.Width, 3, resample.Bicubic, 1); err != nil {
		return nil, fmt.Errorf("reduce: %w", err)
	}
	if img.Alpha != nil {
		small.Alpha = make([]float32, w*h)
		if err := resample.Resize(small.Alpha, img.Alpha, h, w, img.Height, img.Width, 1, resample.Bicubic, 1); err != nil {
			return nil, fmt.Errorf("reduce: %w", err)
		}
	}
	clamp(small.Pix, -1)
	clamp(small.Alpha, 0)
	var b bytes.Buffer
	if _, err := imageio.Encode(&b, small, imageio.Options{Format: "png"}); err != nil {
		return nil, fmt.Errorf("reduce: %w", err)
	}
	return b.Bytes(), nil
}

func clamp(values []float32, least float32) {
	for i, v := range values {
		values[i] = min(max(v, least), 1)
	}
}

// crop cuts the middle out of a PNG. The result has no metadata.
func crop(data []byte, w, h int) ([]byte, error) {
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("crop: %w", err)
	}
	part, ok := img.(interface {
		SubImage(image.Rectangle) image.Image
	})
	if !ok || w > img.Bounds().Dx() || h > img.Bounds().Dy() {
		return nil, failf(http.StatusInternalServerError, codeInternal, "the result cannot be cropped")
	}
	// As the dialect's server pastes: half of each size, cut off to whole pixels.
	x, y := img.Bounds().Dx()/2-w/2, img.Bounds().Dy()/2-h/2
	var b bytes.Buffer
	e := png.Encoder{CompressionLevel: png.BestSpeed}
	if err := e.Encode(&b, part.SubImage(image.Rect(x, y, x+w, y+h))); err != nil {
		return nil, fmt.Errorf("crop: %w", err)
	}
	return b.Bytes(), nil
}
