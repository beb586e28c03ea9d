package metric

import (
	"math"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/internal/philox"
)

// texturedScene is a smooth image, flat on its left, with Gaussian texture on its right: white noise filtered by the
// difference of two blurs, so that it has a scale of its own.
func texturedScene(seed uint64, amount float32) FloatImage { return scene(seed, amount, 0) }

// scene adds white grain of a deviation to a textured scene, everywhere.
func scene(seed uint64, amount float32, grain float64) FloatImage {
	const side = 64
	noise := make([]float32, side*side*6)
	philox.New(seed, 1).Normal(noise, 0)
	white := raster{side, side, noise[:side*side*3]}
	band := white.blur().minus(white.blur().blur().blur())
	img := FloatImage{Height: side, Width: side, Pix: make([]float32, side*side*3)}
	for i := range img.Pix {
		x, y := i/3%side, i/3/side
		img.Pix[i] = float32(0.4*math.Sin(float64(y)/20)) + float32(grain)*noise[side*side*3+i]
		if x >= side/2 {
			img.Pix[i] += amount * band.pix[i]
		}
	}
	return img
}

func texture(t *testing.T, img FloatImage) *Texture {
	t.Helper()
	x, err := NewTexture(img)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// meanScore is the energy score of a way to draw, on average over truths.
func meanScore(t *testing.T, draw func(seed uint64) FloatImage) (mean Energy) {
	const truths = 12
	for i := range uint64(truths) {
		truth := texture(t, texturedScene(1000+i, 1))
		e, err := EnergyScore(truth, texture(t, draw(2*i)), texture(t, draw(2*i+1)))
		if err != nil {
			t.Fatal(err)
		}
		mean.Score += e.Score / truths
		mean.Error += e.Error / truths
		mean.Spread += e.Spread / truths
	}
	return mean
}

// A perfect sampler scores better than the blurred mean, than too little and too much texture, than grain in its place or
// besides, and than one draw repeated. PSNR would choose the blur.
func TestEnergyScoreIsProper(t *testing.T) {
	perfect := meanScore(t, func(seed uint64) FloatImage { return texturedScene(seed, 1) })
	t.Logf("perfect: %+v", perfect)
	if math.Abs(perfect.Spread/perfect.Error-1) > 0.02 {
		t.Errorf("perfect draws differ by %g from each other and by %g from the truth", perfect.Spread, perfect.Error)
	}
	for name, draw := range map[string]func(seed uint64) FloatImage{
		"blurred mean":         func(uint64) FloatImage { return texturedScene(0, 0) },
		"one draw":             func(uint64) FloatImage { return texturedScene(5, 1) },
		"half the texture":     func(seed uint64) FloatImage { return texturedScene(seed, 0.5) },
		"0.8 of the texture":   func(seed uint64) FloatImage { return texturedScene(seed, 0.8) },
		"1.25 of the texture":  func(seed uint64) FloatImage { return texturedScene(seed, 1.25) },
		"twice the texture":    func(seed uint64) FloatImage { return texturedScene(seed, 2) },
		"a little grain":       func(seed uint64) FloatImage { return scene(seed, 1, 0.02) },
		"grain for texture":    func(seed uint64) FloatImage { return scene(seed, 0, 0.15) },
		"a shift in colour":    func(seed uint64) FloatImage { return brighter(texturedScene(seed, 1), 0.02) },
		"texture in the wrong": func(seed uint64) FloatImage { return mirrored(texturedScene(seed, 1)) },
	} {
		got := meanScore(t, draw)
		t.Logf("%s: %+v", name, got)
		if !(got.Score > perfect.Score*1.003) {
			t.Errorf("%s scores %g, perfect draws %g", name, got.Score, perfect.Score)
		}
	}
}

func brighter(img FloatImage, by float32) FloatImage {
	for i := range img.Pix {
		img.Pix[i] += by
	}
	return img
}

// mirrored swaps left and right.
func mirrored(img FloatImage) FloatImage {
	out := FloatImage{Height: img.Height, Width: img.Width, Pix: make([]float32, len(img.Pix))}
	for i := range img.Height * img.Width {
		copy(out.Pix[i*3:i*3+3], img.Pix[(i/img.Width*img.Width+img.Width-1-i%img.Width)*3:][:3])
	}
	return out
}

// The distance is that of a metric, and zero for one image.
func TestTextureDistance(t *testing.T) {
	a, b, c := texture(t, texturedScene(1, 1)), texture(t, texturedScene(2, 0.7)), texture(t, scene(3, 1, 0.05))
	d := func(x, y *Texture) float64 {
		v, err := x.Distance(y)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if d(a, a) != 0 || d(a, b) != d(b, a) || !(d(a, b) > 0) || d(a, b) > d(a, c)+d(c, b) {
		t.Errorf("d(a,a) %g, d(a,b) %g, d(b,a) %g, d(a,c) %g, d(c,b) %g", d(a, a), d(a, b), d(b, a), d(a, c), d(c, b))
	}
}

// A pyramid's bands and rest give the image back: nothing is lost before the features are made.
func TestPyramidIsComplete(t *testing.T) {
	img := scene(4, 1, 0.1)
	whole := raster{img.Height, img.Width - 3, nil}
	for y := range whole.height {
		whole.pix = append(whole.pix, img.Pix[y*img.Width*3:][:whole.width*3]...)
	}
	low := whole.reduce()
	if low.height != 32 || low.width != 31 {
		t.Fatalf("reduced to %dx%d", low.width, low.height)
	}
	grown := low.expand(whole.height, whole.width)
	band := whole.minus(grown)
	for i, v := range whole.pix {
		if math.Abs(float64(band.pix[i]+grown.pix[i]-v)) > 1e-6 {
			t.Fatalf("sample %d is %g, want %g", i, band.pix[i]+grown.pix[i], v)
		}
	}
	flat := raster{9, 12, make([]float32, 9*12*3)}
	for i := range flat.pix {
		flat.pix[i] = 0.7
	}
	for i, v := range flat.reduce().expand(9, 12).pix {
		if math.Abs(float64(v)-0.7) > 1e-6 {
			t.Fatalf("sample %d of a flat image becomes %g", i, v)
		}
	}
}

func TestTextureErrors(t *testing.T) {
	small := FloatImage{Height: 15, Width: 40, Pix: make([]float32, 15*40*3)}
	if _, err := NewTexture(small); err == nil || !strings.Contains(err.Error(), "at least 16") {
		t.Errorf("a small image gave %v", err)
	}
	broken := texturedScene(1, 1)
	broken.Pix[7] = float32(math.NaN())
	if _, err := NewTexture(broken); err == nil || !strings.Contains(err.Error(), "finite") {
		t.Errorf("NaN gave %v", err)
	}
	a := texture(t, texturedScene(1, 1))
	b := texture(t, FloatImage{Height: 16, Width: 17, Pix: make([]float32, 16*17*3)})
	if _, err := a.Distance(b); err == nil || !strings.Contains(err.Error(), "one size") {
		t.Errorf("two sizes gave %v", err)
	}
	if _, err := EnergyScore(a, a); err == nil || !strings.Contains(err.Error(), "two draws") {
		t.Errorf("one draw gave %v", err)
	}
	if _, err := EnergyScore(a, a, b); err == nil {
		t.Error("draws of another size gave no error")
	}
}
