package webtest

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image"
	"image/color"
	_ "image/jpeg" // uploads may be JPEG
	"image/png"
	"math"

	"golang.org/x/image/draw"
	_ "golang.org/x/image/tiff" // which browsers do not show

	"github.com/sr3-go/sr3/jobs"
)

// describe reads an uploaded image's header.
func describe(name string, data []byte) (jobs.Object, error) {
	c, format, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return jobs.Object{}, err
	}
	return jobs.Object{Name: name, Type: "image/" + format, Bytes: int64(len(data)), Width: c.Width, Height: c.Height, SHA256: digest(data)}, nil
}

// enlarge is the picture that a refinement of the input ends with: a sharp enlargement
// with a little noise of the seed.
func enlarge(input []byte, o jobs.Settings, seed uint64, grain float64) *image.RGBA {
	src, _, err := image.Decode(bytes.NewReader(input))
	if err != nil {
		return image.NewRGBA(image.Rect(0, 0, 1, 1)) // the header was right, the rest need not be
	}
	scale := o.Scale
	if o.Width > 0 {
		scale = float64(o.Width) / float64(src.Bounds().Dx())
	}
	size := src.Bounds().Size()
	dst := image.NewRGBA(image.Rect(0, 0, int(math.Round(float64(size.X)*scale)), int(math.Round(float64(size.Y)*scale))))
	draw.CatmullRom.Scale(dst, dst.Bounds(), src, src.Bounds(), draw.Src, nil)
	for i := range dst.Pix {
		if i%4 != 3 {
			dst.Pix[i] = clamp(float64(dst.Pix[i]) + grain*noise(seed, 1, uint64(i)))
		}
	}
	return dst
}

func clamp(v float64) uint8 { return uint8(min(max(v, 0), 255)) }

func encode(img image.Image) []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(fmt.Sprintf("webtest: encoding a picture of its own: %v", err))
	}
	return b.Bytes()
}

// previewURL is the estimate after a step: the less of the noise is left, the nearer to the end.
func previewURL(input []byte, o jobs.Settings, p jobs.Progress) string {
	img := enlarge(input, o, o.Seed+uint64(p.Draw), 90*(1-float64(p.Step)/float64(p.Steps)))
	return "data:image/png;base64," + base64.StdEncoding.EncodeToString(encode(img))
}

// drawAll makes the results of a job.
func drawAll(input []byte, o jobs.Settings) (map[string][]byte, []jobs.Object) {
	images := map[string]image.Image{jobs.ResultImage: enlarge(input, o, o.Seed, 4)}
	names := []string{jobs.ResultImage}
	add := func(name string, img image.Image) {
		names = append(names, name)
		images[name] = img
	}
	for k := 1; k < o.Samples; k++ {
		add(fmt.Sprint(jobs.ResultDraw, k), enlarge(input, o, o.Seed+uint64(k), 24))
	}
	if o.Samples > 1 {
		add(jobs.ResultMean, enlarge(input, o, o.Seed, 0))
		add(jobs.ResultDeviation, heat(images[jobs.ResultImage].Bounds(), o.Seed))
	}
	data, objects := map[string][]byte{}, []jobs.Object(nil)
	for _, name := range names {
		size := images[name].Bounds().Size()
		data[name] = encode(images[name])
		objects = append(objects, jobs.Object{Name: name, Type: "image/png", Bytes: int64(len(data[name])), Width: size.X, Height: size.Y, SHA256: digest(data[name])})
	}
	return data, objects
}

// heat is a map of deviations, warm in the middle, with a white legend below.
func heat(r image.Rectangle, seed uint64) image.Image {
	img := image.NewRGBA(image.Rect(0, 0, r.Dx(), r.Dy()+20))
	draw.Draw(img, img.Bounds(), image.White, image.Point{}, draw.Src)
	for y := range r.Dy() {
		for x := range r.Dx() {
			dx, dy := float64(x)/float64(r.Dx())-0.5, float64(y)/float64(r.Dy())-0.5
			v := math.Exp(-14*(dx*dx+dy*dy)) * (1 + 0.2*noise(seed, 2, uint64(y*r.Dx()+x)))
			img.Set(x, y, color.RGBA{clamp(300 * v), clamp(260 * v * v), clamp(120 * v), 255})
		}
	}
	return img
}
