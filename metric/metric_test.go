package metric_test

import (
	"bytes"
	"encoding/json"
	"image"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/metric"
)

func load(t *testing.T, name string) metric.Image {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "resample", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	m := img.(*image.RGBA)
	out := metric.Image{Height: m.Rect.Dy(), Width: m.Rect.Dx()}
	for i := range out.Height * out.Width {
		out.Pix = append(out.Pix, m.Pix[4*i:4*i+3]...)
	}
	return out
}

func TestGolden(t *testing.T) {
	data, err := os.ReadFile("testdata/metrics.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		HR, SR, LR  string
		PSNR        float64
		SSIM        float64 `json:"ssim_valid_window"`
		Consistency float64 `json:"consistency_mse_e5"`
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) != 6 {
		t.Fatalf("%d cases, want 6", len(cases))
	}
	for _, c := range cases {
		hr, sr, lr := load(t, c.HR), load(t, c.SR), load(t, c.LR)
		psnr, err1 := metric.PSNR(hr, sr)
		ssim, err2 := metric.SSIM(hr, sr, 2)
		consistency, err3 := metric.Consistency(lr, sr, 2)
		for _, err := range []error{err1, err2, err3} {
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, v := range []struct {
			name      string
			got, want float64
		}{{"psnr", psnr, c.PSNR}, {"ssim", ssim, c.SSIM}, {"consistency", consistency, c.Consistency}} {
			if math.Abs(v.got-v.want) > 1e-9*v.want {
				t.Errorf("%s %s = %.12g, want %.12g", c.SR, v.name, v.got, v.want)
			}
		}
	}
}

func TestIdentical(t *testing.T) {
	m := load(t, "coffee_hr.png")
	if v, err := metric.PSNR(m, m); err != nil || !math.IsInf(v, 1) {
		t.Errorf("PSNR of an image with itself = %v, %v; want +Inf", v, err)
	}
	if v, err := metric.SSIM(m, m, 1); err != nil || math.Abs(v-1) > 1e-12 {
		t.Errorf("SSIM of an image with itself = %v, %v; want 1", v, err)
	}
	if v, err := metric.Consistency(m, m, 1); err != nil || v != 0 {
		t.Errorf("consistency of an image with itself = %v, %v; want 0", v, err)
	}
}

// direct is SSIM from its definition, one two-dimensional window at a time.
func direct(x, y metric.Image) float64 {
	var window [11][11]float64
	var norm float64
	for i := range window {
		for j := range window {
			d := float64((i-5)*(i-5) + (j-5)*(j-5))
			window[i][j] = math.Exp(-d / 4.5)
			norm += window[i][j]
		}
	}
	const c1, c2 = 6.5025, 58.5225
	var sum float64
	var n int
	for c := range 3 {
		for r := range x.Height - 10 {
			for s := range x.Width - 10 {
				var mx, my, xx, yy, xy float64
				for i := range 11 {
					for j := range 11 {
						k := ((r+i)*x.Width+s+j)*3 + c
						w, a, b := window[i][j]/norm, float64(x.Pix[k]), float64(y.Pix[k])
						mx, my = mx+w*a, my+w*b
						xx, yy, xy = xx+w*a*a, yy+w*b*b, xy+w*a*b
					}
				}
				vx, vy, cov := xx-mx*mx, yy-my*my, xy-mx*my
				sum += (2*mx*my + c1) * (2*cov + c2) / ((mx*mx + my*my + c1) * (vx + vy + c2))
				n++
			}
		}
	}
	return sum / float64(n)
}

func random(h, w int, seed uint64) metric.Image {
	rng := rand.New(rand.NewPCG(seed, 0))
	m := metric.Image{Height: h, Width: w, Pix: make([]uint8, 3*h*w)}
	for i := range m.Pix {
		m.Pix[i] = uint8(rng.IntN(256))
	}
	return m
}

func TestSSIMFollowsItsDefinition(t *testing.T) {
	for _, size := range [][2]int{{11, 11}, {11, 30}, {75, 12}, {140, 13}} {
		x, y := random(size[0], size[1], 1), random(size[0], size[1], 2)
		want := direct(x, y)
		for _, threads := range []int{1, 2, 5} {
			got, err := metric.SSIM(x, y, threads)
			if err != nil {
				t.Fatal(err)
			}
			if math.Abs(got-want) > 1e-11 {
				t.Errorf("%v, %d threads: %.15g, want %.15g", size, threads, got, want)
			}
		}
	}
}

func TestErrors(t *testing.T) {
	big, small, tiny := random(40, 80, 1), random(10, 20, 2), random(10, 80, 3)
	_, sizes := metric.PSNR(big, small)
	_, window := metric.SSIM(tiny, tiny, 1)
	_, samples := metric.PSNR(metric.Image{Height: 2, Width: 2, Pix: make([]uint8, 9)}, small)
	_, aspect := metric.Consistency(small, tiny, 1)
	_, reverse := metric.Consistency(big, small, 1)
	for _, test := range []struct {
		err  error
		want []string
	}{
		{sizes, []string{"80x40", "20x10", "4 times smaller"}},
		{window, []string{"80x10", "11x11"}},
		{samples, []string{"9 samples"}},
		{aspect, []string{"80x10", "20x10", "80x40"}},
		{reverse, []string{"no enlargement"}},
	} {
		for _, want := range test.want {
			if test.err == nil || !strings.Contains(test.err.Error(), want) {
				t.Errorf("error %v does not say %q", test.err, want)
			}
		}
	}
}

func TestConsistencyOfRoundedSizes(t *testing.T) {
	lr := random(7, 9, 1)
	for _, scale := range []float64{1.5, 2.5, 3.3, 4} {
		sr := random(int(math.Round(7*scale)), int(math.Round(9*scale)), 2)
		if _, err := metric.Consistency(lr, sr, 1); err != nil {
			t.Errorf("scale %v: %v", scale, err)
		}
	}
}

func BenchmarkSSIM(b *testing.B) {
	x, y := random(512, 512, 1), random(512, 512, 2)
	for b.Loop() {
		if _, err := metric.SSIM(x, y, 1); err != nil {
			b.Fatal(err)
		}
	}
}
