package nets

import (
	"fmt"
	"math"

	"github.com/sr3-go/sr3/metric"
)

// FromImage is a batch of one image, samples divided by 255.
func FromImage(img metric.Image) Images {
	out := Images{N: 1, Height: img.Height, Width: img.Width, Pix: make([]float32, len(img.Pix))}
	for i, v := range img.Pix {
		out.Pix[i] = float32(v) / 255
	}
	return out
}

// Join makes one batch of batches of images of one size.
func Join(batches ...Images) (Images, error) {
	var out Images
	for i, b := range batches {
		if i == 0 {
			out.Height, out.Width = b.Height, b.Width
		}
		if b.Height != out.Height || b.Width != out.Width {
			return Images{}, fmt.Errorf("nets: images of %dx%d and %dx%d pixels are no batch", out.Width, out.Height, b.Width, b.Height)
		}
		out.N += b.N
		out.Pix = append(out.Pix, b.Pix...)
	}
	return out, nil
}

// Bilinear resizes an image as pytorch-fid does before its network: in floating
// point, between the two nearest pixels along each side, centres of pixels at
// halves, without antialiasing (PyTorch's interpolate with mode "bilinear" and
// align_corners false). Samples are divided by 255.
func Bilinear(img metric.Image, height, width int) (Images, error) {
	if height < 1 || width < 1 || img.Height < 1 || img.Width < 1 || len(img.Pix) != 3*img.Height*img.Width {
		return Images{}, fmt.Errorf("nets: resize an image of %dx%d pixels and %d samples to %dx%d", img.Width, img.Height, len(img.Pix), width, height)
	}
	out := Images{N: 1, Height: height, Width: width, Pix: make([]float32, 3*height*width)}
	rows, columns := between(img.Height, height), between(img.Width, width)
	for y, r := range rows {
		above, below := img.Pix[3*img.Width*r.first:], img.Pix[3*img.Width*r.second:]
		for x, c := range columns {
			for k := range 3 {
				top := mix(above[3*c.first+k], above[3*c.second+k], c.weight)
				bottom := mix(below[3*c.first+k], below[3*c.second+k], c.weight)
				out.Pix[3*(y*width+x)+k] = float32((top + (bottom-top)*r.weight) / 255)
			}
		}
	}
	return out, nil
}

func mix(a, b uint8, weight float64) float64 { return float64(a) + (float64(b)-float64(a))*weight }

// neighbour is where a sample comes from along one side: second has this weight,
// first the rest.
type neighbour struct {
	first, second int
	weight        float64
}

func between(from, to int) []neighbour {
	list := make([]neighbour, to)
	for i := range list {
		at := max((float64(i)+0.5)*float64(from)/float64(to)-0.5, 0)
		first := min(int(math.Floor(at)), from-1)
		list[i] = neighbour{first, min(first+1, from-1), at - float64(first)}
	}
	return list
}
