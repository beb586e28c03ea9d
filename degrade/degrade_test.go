package degrade

import (
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/internal/philox"
	"github.com/sr3-go/sr3/resample"
)

// coffee is a photograph reduced by four, which leaves it sharp and clean.
func coffee(t testing.TB) (pix []float32, h, w int) {
	t.Helper()
	img, err := imageio.ReadFile("../testdata/coffee.png", imageio.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	h, w = img.Height/2, img.Width/2
	pix = make([]float32, h*w*3)
	if err := resample.Resize(pix, img.Pix, h, w, img.Height, img.Width, 3, resample.Bicubic, 1); err != nil {
		t.Fatal(err)
	}
	return pix, h, w
}

// bytesOf rounds values to 8 bits.
func bytesOf(pix []float32) []uint8 {
	out := make([]uint8, len(pix))
	for i, v := range pix {
		out[i] = uint8(min(max(v+1, 0)*127.5+0.5, 255))
	}
	return out
}

// TestGaussianHasItsVariance: the kernel sums to one and has variance sigma^2, for every sigma that is allowed.
func TestGaussianHasItsVariance(t *testing.T) {
	for _, sigma := range []float64{0.05, 0.2, 0.4, 0.6, 1, 1.7, 3, 4} {
		sum, variance := 0.0, 0.0
		for n, w := range gaussian(sigma) {
			if !(w >= 0) {
				t.Fatalf("sigma %v: weight %d is %v", sigma, n, w)
			}
			if n > 0 {
				w *= 2
			}
			sum += w
			variance += w * float64(n*n)
		}
		if math.Abs(sum-1) > 1e-12 || math.Abs(variance-sigma*sigma) > 2e-3*sigma*sigma {
			t.Errorf("sigma %v: sum %v, variance %v", sigma, sum, variance)
		}
	}
}

// TestBlur: an impulse spreads to the product of two kernels, what is even stays even at every border, and two blurs
// are one of the sum of their variances.
func TestBlur(t *testing.T) {
	const h, w = 21, 25
	pix := make([]float32, h*w*3)
	pix[(10*w+12)*3+1] = 1
	Blur(pix, h, w, 3, 1.2)
	k := gaussian(1.2)
	for y := range h {
		for x := range w {
			want := 0.0
			if dy, dx := max(y-10, 10-y), max(x-12, 12-x); dy < len(k) && dx < len(k) {
				want = k[dy] * k[dx]
			}
			if p := pix[(y*w+x)*3:]; math.Abs(float64(p[1])-want) > 1e-7 || p[0] != 0 || p[2] != 0 {
				t.Fatalf("at %d, %d: %v, want %v", y, x, p[:3], want)
			}
		}
	}
	once, twice, size := make([]float32, h*w*3), make([]float32, h*w*3), 0.0
	philox.New(1, 2).Normal(once, 0)
	copy(twice, once)
	Blur(once, h, w, 3, 1)
	Blur(twice, h, w, 3, 0.6)
	Blur(twice, h, w, 3, 0.8)
	for y := 8; y < h-8; y++ { // away from borders, where the order of going on and blurring matters
		for i := (y*w + 8) * 3; i < (y*w+w-8)*3; i++ {
			size = max(size, math.Abs(float64(once[i]-twice[i])))
		}
	}
	if size > 1e-3 {
		t.Errorf("two blurs differ from one by %v", size)
	}
	even := slices.Repeat([]float32{0.25}, 7*5*3)
	Blur(even, 7, 5, 3, 2)
	for _, v := range even {
		if math.Abs(float64(v)-0.25) > 1e-6 {
			t.Fatalf("an even image has %v", v)
		}
	}
}

func TestNoiseHasItsDeviation(t *testing.T) {
	pix := make([]float32, 60000)
	AddNoise(pix, 12, philox.New(3, 4))
	sum, squares := 0.0, 0.0
	for _, v := range pix {
		sum += float64(v)
		squares += float64(v) * float64(v)
	}
	n := float64(len(pix))
	if mean, deviation := sum/n*127.5, math.Sqrt(squares/n)*127.5; math.Abs(mean) > 0.2 || math.Abs(deviation-12) > 0.15 {
		t.Errorf("mean %v, deviation %v", mean, deviation)
	}
	again, other := make([]float32, len(pix)), make([]float32, len(pix))
	AddNoise(again, 12, philox.New(3, 4))
	AddNoise(other, 12, philox.New(3, 5))
	if !slices.Equal(pix, again) || slices.Equal(pix, other) {
		t.Error("noise is not a function of its stream")
	}
}

// TestJPEGLosesWithQuality: the lower the quality, the larger the error; blocks begin at the corner.
func TestJPEGLosesWithQuality(t *testing.T) {
	pix, h, w := coffee(t)
	clean := bytesOf(pix)
	last := 0.0
	for _, quality := range []int{98, 85, 60, 30, 10} {
		got, err := JPEG(clean, h, w, quality)
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for i, v := range got {
			d := float64(v) - float64(clean[i])
			sum += d * d
		}
		rmse := math.Sqrt(sum / float64(len(got)))
		if rmse <= last || rmse > 30 {
			t.Errorf("quality %d: error %v, of a better one %v", quality, rmse, last)
		}
		last = rmse
		if again, _ := JPEG(clean, h, w, quality); !slices.Equal(got, again) {
			t.Errorf("quality %d: not the same twice", quality)
		}
	}
	if _, err := JPEG(clean, 1<<17, 0, 50); err == nil {
		t.Error("an image that no file can hold is taken")
	}
}

func TestDrawFollowsSettings(t *testing.T) {
	s := Settings{Blur: Range{0.5, 0.2, 1}, Noise: Range{0.25, 2, 10}, JPEG: Range{1, 30, 33}}
	const n = 20000
	var blurs, noises int
	qualities := map[int]int{}
	for i := range n {
		a := s.Draw(philox.New(1, uint64(i)))
		if a != s.Draw(philox.New(1, uint64(i))) {
			t.Fatal("not a function of the stream")
		}
		if a.Blur > 0 {
			blurs++
		}
		if a.Noise > 0 {
			noises++
		}
		qualities[a.Quality]++
		if a.Blur > 1 || a.Blur > 0 && a.Blur < 0.2 || a.Noise > 10 || a.Noise > 0 && a.Noise < 2 {
			t.Fatalf("drawn %v", a)
		}
	}
	within := func(got int, share float64) bool { return math.Abs(float64(got)/n-share) < 0.02 }
	if !within(blurs, 0.5) || !within(noises, 0.25) || len(qualities) != 4 {
		t.Errorf("%d blurred, %d noisy, qualities %v", blurs, noises, qualities)
	}
	for q := 30; q <= 33; q++ {
		if !within(qualities[q], 0.25) {
			t.Errorf("quality %d: %d of %d", q, qualities[q], n)
		}
	}
	if a := (Settings{}).Draw(philox.New(1, 1)); a != (Amount{}) {
		t.Errorf("settings of nothing draw %v", a)
	}
}

// TestLevelsAreSharesOfTheWorst: 0 for nothing and for what training did not have, 1 for the worst, and rising.
func TestLevelsAreSharesOfTheWorst(t *testing.T) {
	s := Settings{Blur: Range{0.5, 0, 2}, Noise: Range{0.5, 0, 20}, JPEG: Range{0.5, 21, 90}}
	for _, c := range []struct {
		a    Amount
		want [Levels]float32
	}{
		{Amount{}, [Levels]float32{}},
		{Amount{1, 5, 61}, [Levels]float32{0.5, 0.25, 0.5}},
		{Amount{2, 20, 21}, [Levels]float32{1, 1, 1}},
		{Amount{9, 99, 3}, [Levels]float32{1, 1, 1}},
		{Amount{Quality: 100}, [Levels]float32{0, 0, 1.0 / 80}},
	} {
		if got := s.Levels(c.a); got != c.want {
			t.Errorf("%v: levels %v, want %v", c.a, got, c.want)
		}
	}
	if got := (Settings{}).Levels(Amount{1, 1, 1}); got != [Levels]float32{} {
		t.Errorf("levels %v without training", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		a := Amount{rapid.Float64Range(0, 9).Draw(t, "blur"), rapid.Float64Range(0, 99).Draw(t, "noise"), rapid.IntRange(0, 100).Draw(t, "quality")}
		for i, v := range s.Levels(a) {
			if !(v >= 0 && v <= 1) {
				t.Fatalf("level %d of %v is %v", i, a, v)
			}
		}
	})
}

func TestCovers(t *testing.T) {
	s := Settings{Blur: Range{0.5, 0.5, 2}, JPEG: Range{0.5, 20, 90}}
	for _, a := range []Amount{{}, {2, 0, 20}, {0.1, 0, 100}} {
		if err := s.Covers(a); err != nil {
			t.Errorf("%v: %v", a, err)
		}
	}
	for want, a := range map[string]Amount{
		"without noise": {Noise: 1}, "sigma up to 2": {Blur: 2.1}, "quality 20 and more": {Quality: 19},
	} {
		if err := s.Covers(a); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", a, err, want)
		}
	}
}

func TestSettingsAreChecked(t *testing.T) {
	good := Settings{Blur: Range{0.5, 0, 1.5}, Noise: Range{1, 1, 20}, JPEG: Range{0.2, 30, 95}}
	if err := good.Validate(); err != nil || !good.Active() || (Settings{}).Active() || (Settings{}).Validate() != nil {
		t.Errorf("good settings: %v", err)
	}
	for want, change := range map[string]func(*Settings){
		"blur.probability":  func(s *Settings) { s.Blur.Probability = 1.1 },
		"noise.probability": func(s *Settings) { s.Noise.Probability = math.NaN() },
		"blur.low":          func(s *Settings) { s.Blur.Low = 2 },
		"blur.high":         func(s *Settings) { s.Blur.High = 5 },
		"noise.low":         func(s *Settings) { s.Noise.Low = -1 },
		"noise.high":        func(s *Settings) { s.Noise = Range{0.1, 0, 0} },
		"jpeg.low":          func(s *Settings) { s.JPEG.Low = 0 },
		"whole numbers":     func(s *Settings) { s.JPEG.Low = 30.5 },
	} {
		s := good
		change(&s)
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want %q", s, err, want)
		}
	}
	for _, part := range []string{"sigma 1.5", "20/255", "quality from 30"} {
		if !strings.Contains(good.String(), part) {
			t.Errorf("%q lacks %q", good, part)
		}
	}
}

// TestEstimateNoise: the noise of even and of photographic images is found; clean photographs have little; what is
// clipped is not looked at.
func TestEstimateNoise(t *testing.T) {
	photo, h, w := coffee(t)
	clean := EstimateNoise(photo, h, w)
	if clean > 3 { // it has grain
		t.Errorf("a clean photograph has noise of %v", clean)
	}
	for i, sigma := range []float64{2, 5, 10, 25} {
		for _, side := range []int{24, 60, 128} {
			even := make([]float32, side*side*3)
			AddNoise(even, sigma, philox.New(1, uint64(i)))
			if got := EstimateNoise(even, side, side); math.Abs(got-sigma) > 0.15*sigma {
				t.Errorf("%d even pixels a side with noise of %v seem to have %v", side, sigma, got)
			}
		}
		noisy := slices.Clone(photo)
		AddNoise(noisy, sigma, philox.New(2, uint64(i)))
		if got := EstimateNoise(noisy, h, w); math.Abs(got-math.Hypot(sigma, clean)) > 0.3*sigma {
			t.Errorf("a photograph with noise of %v seems to have %v", sigma, got)
		} else {
			t.Logf("noise of %v: estimated %.2f", sigma, got)
		}
	}
	white := slices.Repeat([]float32{1}, 64*64*3)
	if got := EstimateNoise(white, 64, 64); got != 0 {
		t.Errorf("white has noise of %v", got)
	}
	for _, side := range []int{1, 3, 9} {
		if got := EstimateNoise(make([]float32, side*side*3), side, side); got != 0 {
			t.Errorf("side %d: %v", side, got)
		}
	}
}
