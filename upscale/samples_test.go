package upscale

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sr3-go/sr3/imageio"
)

// collect makes draws and keeps them.
func collect(t *testing.T, u *Upscaler, img *imageio.Image, o Options, n int) ([]*imageio.Image, *Samples) {
	t.Helper()
	var draws []*imageio.Image
	s, err := u.Samples(t.Context(), img, o, n, func(i int, draw *imageio.Image, r *Report) error {
		if i != len(draws) || r.Seed != DrawSeed(o.Seed, i) || r.Draws != 0 || r.Statistic != "" {
			t.Errorf("draw %d: %+v", i, r)
		}
		draws = append(draws, draw)
		return nil
	})
	if err != nil || len(draws) != n {
		t.Fatalf("%d draws of %d: %v", len(draws), n, err)
	}
	return draws, s
}

// TestSamplesAreDraws compares draws with what Upscale makes of their seeds, and
// the statistics with sums over all draws, on any number of threads.
func TestSamplesAreDraws(t *testing.T) {
	const n = 5
	var first *Samples
	for _, threads := range []int{1, 3} {
		u := newUpscaler(t)
		o := Options{Scale: 5, Tile: 32, Overlap: 8, Seed: math.MaxUint64 - 1, Threads: threads} // the seeds go round to 0
		draws, s := collect(t, u, testImage(11, 7), o, n)
		for i, draw := range draws {
			alone := o
			alone.Seed = o.Seed + uint64(i)
			want, _, err := u.Upscale(t.Context(), testImage(11, 7), alone)
			if err != nil || !slices.Equal(want.Pix, draw.Pix) {
				t.Errorf("draw %d is not the result of its seed (%v)", i, err)
			}
		}
		if s.Draws != n || s.Mean.Width != 55 || s.Mean.Height != 35 || len(s.Deviation) != 55*35 || s.Mean.Validate() != nil {
			t.Fatalf("%+v", s)
		}
		if r := s.Report; r.Seed != o.Seed || r.Draws != n || r.Statistic != StatisticMean || r.Model != "test-x4" || r.Passes != 2 {
			t.Errorf("report %+v", r)
		}
		compareWithSums(t, draws, s)
		if first == nil {
			first = s
		}
		if !slices.Equal(first.Mean.Pix, s.Mean.Pix) || !slices.Equal(first.Deviation, s.Deviation) {
			t.Error("threads matter")
		}
	}
}

// compareWithSums computes mean and deviation with all draws at hand.
func compareWithSums(t *testing.T, draws []*imageio.Image, s *Samples) {
	t.Helper()
	n, total := float64(len(draws)), 0.0
	for i := range s.Deviation {
		variance := 0.0
		for c := range 3 {
			sum := 0.0
			for _, d := range draws {
				sum += float64(d.Pix[3*i+c])
			}
			for _, d := range draws {
				variance += math.Pow(float64(d.Pix[3*i+c])-sum/n, 2) / (n - 1) / 3
			}
			if math.Abs(float64(s.Mean.Pix[3*i+c])-sum/n) > 1e-6 {
				t.Fatalf("mean of sample %d: %v, want %v", 3*i+c, s.Mean.Pix[3*i+c], sum/n)
			}
		}
		want := math.Sqrt(variance) * 127.5
		if math.Abs(float64(s.Deviation[i])-want) > 1e-4*(1+want) {
			t.Fatalf("deviation of pixel %d: %v, want %v", i, s.Deviation[i], want)
		}
		total += want
	}
	if want := total / float64(len(s.Deviation)); want == 0 || math.Abs(s.MeanDeviation()-want) > 1e-4*want {
		t.Errorf("mean deviation %v, want %v", s.MeanDeviation(), want)
	}
}

// TestSpread: equal images deviate by nothing, and nothing leaves [-1, 1].
func TestSpread(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 9).Draw(t, "n")
		equal, varied := &spread{threads: 1}, &spread{threads: 2}
		base := rapid.SliceOfN(rapid.Float32Range(-1, 1), 6, 6).Draw(t, "image")
		for range n {
			equal.add(base)
			varied.add(rapid.SliceOfN(rapid.SampledFrom([]float32{-1, 1, 0.999, -0.3}), 6, 6).Draw(t, "draw"))
		}
		if !slices.Equal(equal.mean, base) || slices.Max(equal.deviation(nil)) != 0 {
			t.Fatalf("%d times %v: mean %v, deviation %v", n, base, equal.mean, equal.m2)
		}
		most := 127.5 * math.Sqrt(float64(n)/float64(n-1)) // of values at both ends
		for _, d := range varied.deviation(nil) {
			if !(d >= 0 && float64(d) <= most+1e-3) {
				t.Fatalf("deviation %v", d)
			}
		}
		if slices.Max(varied.mean) > 1 || slices.Min(varied.mean) < -1 {
			t.Fatalf("mean %v", varied.mean)
		}
	})
}

// TestSamplesOfGrayWithAlpha: the mean is as a draw in all but its pixels, and
// what is not seen does not deviate.
func TestSamplesOfGrayWithAlpha(t *testing.T) {
	img := testImage(9, 9)
	img.Gray, img.Depth = true, 16
	makeGray(img.Pix)
	img.Meta.Text = map[string]string{"Author": "somebody"}
	img.Alpha = make([]float32, 81)
	for i := range img.Alpha {
		img.Alpha[i] = [2]float32{0, 1}[i%9/5]
	}
	draws, s := collect(t, newUpscaler(t), img, Options{}, 3)
	m := s.Mean
	if !m.Gray || m.Depth != 16 || m.Meta.Text["Author"] != "somebody" || !slices.Equal(m.Alpha, draws[0].Alpha) {
		t.Errorf("mean: grey %v, depth %d, text %v", m.Gray, m.Depth, m.Meta.Text)
	}
	for i := 0; i < len(m.Pix); i += 3 {
		if m.Pix[i] != m.Pix[i+1] || m.Pix[i] != m.Pix[i+2] {
			t.Fatal("the mean of grey images got colours")
		}
	}
	opaque := *img
	opaque.Alpha = nil
	imageio.BleedAlpha(img)
	opaque.Pix = img.Pix
	_, whole := collect(t, newUpscaler(t), &opaque, Options{}, 3)
	sum, seen, above := 0.0, 0, 0
	for i, a := range m.Alpha {
		want := whole.Deviation[i] * a
		if math.Abs(float64(s.Deviation[i]-want)) > 1e-3 {
			t.Fatalf("pixel %d of opacity %v deviates by %v, want %v", i, a, s.Deviation[i], want)
		}
		if a > 0 {
			sum, seen = sum+float64(s.Deviation[i]), seen+1
			if s.Deviation[i] > 1 {
				above++
			}
		}
	}
	if seen == len(m.Alpha) || math.Abs(s.MeanDeviation()-sum/float64(seen)) > 1e-6 || s.ShareAbove(1) != float64(above)/float64(seen) || above == 0 {
		t.Errorf("mean %v of %v, %d above: %v", s.MeanDeviation(), sum/float64(seen), above, s.ShareAbove(1))
	}
}

func TestSamplesProgress(t *testing.T) {
	share, windows, steps := 0.0, 0, 0
	o := Options{Tile: 32, Overlap: 8, OnWindow: func(p Progress) {
		windows++
		if p.Share() <= share || p.Draws != 3 || p.Draw < 1 || math.Ceil(p.Share()*3-1e-9) != float64(p.Draw) {
			t.Errorf("window %d: share %v after %v in draw %d of %d", windows, p.Share(), share, p.Draw, p.Draws)
		}
		share = p.Share()
	}, OnStep: func(s Step) {
		if s.Draw != steps/3+1 || s.Draws != 3 || s.Index != steps%3+1 {
			t.Errorf("step %+v", s)
		}
		steps++
	}}
	collect(t, newUpscaler(t), testImage(13, 13), o, 3)
	if share != 1 || steps != 9 {
		t.Errorf("ended at %v after %d steps", share, steps)
	}
}

// TestSamplesBehindAPredictor: what the predictor makes of the image is made once, and draws are those of single calls.
func TestSamplesBehindAPredictor(t *testing.T) {
	u, err := New(predicted(t, regressionModel(t)))
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	share := 0.0
	first := 0
	draws, s := collect(t, u, testImage(9, 7), Options{Tile: 32, OnWindow: func(p Progress) {
		if p.Share() <= share {
			t.Errorf("share %v after %v", p.Share(), share)
		}
		if share = p.Share(); p.Call == 1 {
			first++
		}
	}}, 2)
	if p, err := u.plan(size{28, 36}, 32, 8); err != nil || first != p.Windows() {
		t.Errorf("the predictor was asked for %d windows, not %d (%v)", first, p.Windows(), err)
	}
	alone, _, err := u.Upscale(t.Context(), testImage(9, 7), Options{Tile: 32, Seed: 1})
	if err != nil || !slices.Equal(alone.Pix, draws[1].Pix) || share != 1 {
		t.Errorf("share %v: %v", share, err)
	}
	compareWithSums(t, draws, s)
}

func TestDeviationMap(t *testing.T) {
	_, s := collect(t, newUpscaler(t), testImage(20, 10), Options{}, 2)
	a, err := s.DeviationMap(0)
	if err != nil || a.Validate() != nil || a.Width != 80 || a.Height <= 40 || a.Gray || a.Alpha != nil {
		t.Fatalf("%v", err)
	}
	b, err := s.DeviationMap(DefaultDeviationScale)
	if err != nil || !slices.Equal(a.Pix, b.Pix) {
		t.Errorf("the default scale is another one (%v)", err)
	}
	b, err = s.DeviationMap(3)
	if err != nil || slices.Equal(a.Pix[:3*80*40], b.Pix[:3*80*40]) {
		t.Errorf("the scale does not matter (%v)", err)
	}
	for _, full := range []float64{-1, math.NaN()} {
		if _, err := s.DeviationMap(full); err == nil {
			t.Errorf("a scale of %v was not refused", full)
		}
	}
}

func TestSamplesEnd(t *testing.T) {
	u := newUpscaler(t)
	enough := errors.New("enough")
	calls := 0
	s, err := u.Samples(t.Context(), testImage(5, 5), Options{}, 4, func(i int, _ *imageio.Image, _ *Report) error {
		calls++
		if i == 1 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || s != nil || calls != 2 {
		t.Errorf("%v after %d draws", err, calls)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = u.Samples(ctx, testImage(5, 5), Options{}, 4, func(int, *imageio.Image, *Report) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "draw 2 of 4, seed 1") {
		t.Errorf("cancelled: %v", err)
	}
}

func TestSamplesRefuses(t *testing.T) {
	u := newUpscaler(t)
	regression := newRegression(t, regressionModel(t))
	bad := testImage(4, 4)
	bad.Pix[5] = float32(math.NaN())
	for _, c := range []struct {
		u    *Upscaler
		img  *imageio.Image
		o    Options
		n    int
		want string
	}{
		{u, testImage(4, 4), Options{}, 1, "want 2 or more"},
		{u, testImage(4, 4), Options{}, -3, "want 2 or more"},
		{u, testImage(4, 4), Options{Sampler: "euler"}, 2, "euler"},
		{u, testImage(4, 4), Options{Scale: 4, MaxPixels: 255}, 2, "limit"},
		{u, bad, Options{}, 2, "finite"},
		{regression, testImage(4, 4), Options{}, 2, "regression, which makes its only result"},
		{regression, testImage(4, 4), Options{}, 1, "regression"},
	} {
		s, err := c.u.Samples(t.Context(), c.img, c.o, c.n, nil)
		if err == nil || s != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d draws, %+v: error %v does not say %q", c.n, c.o, err, c.want)
		}
	}
	if err := u.CheckSamples(Options{Seed: 3}, 2); err != nil {
		t.Error(err)
	}
}
