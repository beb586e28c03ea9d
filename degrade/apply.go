package degrade

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"math"

	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/internal/philox"
)

// gaussian returns the discrete Gaussian kernel of a sigma: weights for the distances 0, 1, ... from the centre, which
// are exp(-t) I_n(t) with t = sigma^2 and the modified Bessel functions I_n (Lindeberg 1990, "Scale-Space for Discrete
// Signals"). Unlike samples of the continuous one, its variance is sigma^2 for small sigma too, and blurring by two of
// them adds their variances.
func gaussian(sigma float64) []float64 {
	t, radius := sigma*sigma, Reach(sigma)
	// Miller's backward recurrence I_(n-1) = I_(n+1) + 2n/t I_n, from far outside, where any start will do.
	weights := make([]float64, radius+1)
	sum, above, here := 0.0, 0.0, 1e-200
	for n := radius + 16; n > 0; n-- {
		if n <= radius {
			weights[n] = here
			sum += 2 * here
		}
		above, here = here, above+2*float64(n)/t*here
	}
	weights[0] = here
	sum += here
	for i := range weights {
		weights[i] /= sum
	}
	return weights
}

// Reach is how many pixels away a blur looks: at least 4 sigma, beyond which lie less than 1e-4 of the weights.
func Reach(sigma float64) int {
	if sigma <= 0 {
		return 0
	}
	return int(math.Ceil(4*sigma)) + 1
}

// smallestBlur is the sigma in pixels below which a blur changes nothing that 8 bits could show.
const smallestBlur = 0.02

// Blur blurs an image of h x w x c values in place. Beyond the border the image goes on with its outermost pixels.
func Blur(pix []float32, h, w, c int, sigma float64) {
	if sigma < smallestBlur {
		return
	}
	kernel := gaussian(sigma)
	line := make([]float64, max(h, w))
	for y := range h {
		for k := range c {
			blurLine(pix[y*w*c+k:], line[:w], c, kernel)
		}
	}
	for x := range w {
		for k := range c {
			blurLine(pix[x*c+k:], line[:h], w*c, kernel)
		}
	}
}

// blurLine blurs every stride-th value; line has as many elements as there are.
func blurLine(pix []float32, line []float64, stride int, kernel []float64) {
	last := len(line) - 1
	for i := range line {
		line[i] = float64(pix[i*stride])
	}
	for i := range line {
		sum := kernel[0] * line[i]
		for n := 1; n < len(kernel); n++ {
			sum += kernel[n] * (line[max(i-n, 0)] + line[min(i+n, last)])
		}
		pix[i*stride] = float32(sum)
	}
}

// AddNoise adds normal numbers of a deviation, in 1/255, to values whose range is [-1, 1]: the first len(pix) of the
// stream.
func AddNoise(pix []float32, deviation float64, random philox.Stream) {
	if deviation <= 0 {
		return
	}
	noise := make([]float32, len(pix))
	random.Normal(noise, 0)
	f := float32(deviation / 127.5)
	for i, v := range noise {
		pix[i] += f * v
	}
}

// JPEG compresses an image of h x w RGB pixels and returns what a reader of the file sees: colour at half resolution,
// quantised in blocks of 8x8 pixels from the top left corner.
func JPEG(pix []uint8, h, w, quality int) ([]uint8, error) {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range h * w {
		copy(img.Pix[4*i:4*i+3], pix[3*i:])
		img.Pix[4*i+3] = 255
	}
	var file bytes.Buffer
	if err := jpeg.Encode(&file, img, &jpeg.Options{Quality: quality}); err != nil {
		return nil, fmt.Errorf("compress as JPEG: %w", err)
	}
	read, err := imageio.Decode(file.Bytes(), "compressed image", imageio.Limits{})
	if err != nil {
		return nil, err
	}
	return read.RGB8(), nil
}
