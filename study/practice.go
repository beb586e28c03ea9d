package study

import (
	"fmt"
	"math"

	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/resample"
)

// The practice trial's picture is drawn here, so that it is nobody's photograph and
// none of the study's.
const practiceSide = 128

// Names of the practice trial's images, under /assets/.
const (
	practiceSharp  = "practice-1.png"
	practiceCoarse = "practice-2.png"
	practiceLow    = "practice-3.png"
)

// practiceImages draws hills under a sky, and what is left of them when their pixels
// are eight times as large.
func practiceImages() (map[string][]byte, error) {
	const side = practiceSide
	sharp := make([]uint8, 0, 3*side*side)
	for y := range side {
		for x := range side {
			r, g, b := landscape(float64(x)/side, float64(y)/side)
			sharp = append(sharp, r, g, b)
		}
	}
	small := make([]uint8, 3*side*side/catchFactor/catchFactor)
	coarse, low := make([]uint8, len(sharp)), make([]uint8, len(sharp))
	n := side / catchFactor
	for _, step := range []struct {
		dst, src []uint8
		to, from int
		kernel   resample.Kernel
	}{{small, sharp, n, side, resample.Box}, {coarse, small, side, n, resample.Nearest}, {low, small, side, n, resample.Bicubic}} {
		if err := resample.Resize8(step.dst, step.src, step.to, step.to, step.from, step.from, 3, step.kernel, 1); err != nil {
			return nil, fmt.Errorf("practice images: %w", err)
		}
	}
	out := map[string][]byte{}
	for name, pix := range map[string][]uint8{practiceSharp: sharp, practiceCoarse: coarse, practiceLow: low} {
		img, err := imageio.FromRGB8(side, side, pix)
		if err != nil {
			return nil, fmt.Errorf("practice images: %w", err)
		}
		if out[name], err = plainPNG(img); err != nil {
			return nil, fmt.Errorf("practice images: %w", err)
		}
	}
	return out, nil
}

// landscape is the colour at a place, both from 0 to 1: a sun, three rows of hills
// with grass.
func landscape(x, y float64) (r, g, b uint8) {
	mix := func(a, b, t float64) uint8 { return uint8(math.Round(a + (b-a)*min(1, max(0, t)))) }
	r, g, b = mix(96, 250, y*1.6), mix(150, 220, y*1.4), mix(214, 190, y*1.2)
	if d := math.Hypot(x-0.7, y-0.27); d < 0.11 {
		r, g, b = 255, 244, mix(190, 150, d/0.11)
	}
	for i := range 3 {
		k := float64(i)
		ridge := 0.46 + 0.16*k + 0.05*math.Sin(2*math.Pi*(x*(1.3+0.5*k)+0.31*k)) + 0.012*math.Sin(2*math.Pi*x*(9+4*k))
		if y < ridge {
			continue
		}
		grain := 10 * math.Sin(211*x+97*y) * math.Sin(157*y-71*x+k)
		dark := (y - ridge) * 120
		r = mix(0, 255, (104-28*k-dark*0.5+grain)/255)
		g = mix(0, 255, (138-18*k-dark*0.4+grain)/255)
		b = mix(0, 255, (112-30*k-dark*0.5+grain*0.5)/255)
	}
	return r, g, b
}
