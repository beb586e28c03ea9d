package metric_test

import (
	"image"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/metric"
	"github.com/sr3-go/sr3/resample"
)

// grid is a channel as the definitions in these tests see it: rows of samples.
type grid [][]float64

// grids takes an image apart: into Y, or into R, G and B.
func grids(m metric.Image, luma bool, crop int) []grid {
	out := make([]grid, 3)
	for r := crop; r < m.Height-crop; r++ {
		var rows [3][]float64
		for c := crop; c < m.Width-crop; c++ {
			p := m.Pix[3*(r*m.Width+c):]
			for k := range rows {
				rows[k] = append(rows[k], float64(p[k]))
			}
		}
		for k := range out {
			out[k] = append(out[k], rows[k])
		}
	}
	if !luma {
		return out
	}
	y := grid{}
	for r := range out[0] {
		row := make([]float64, len(out[0][r]))
		for c := range row {
			row[c] = 16 + 65.481*out[0][r][c]/255 + 128.553*out[1][r][c]/255 + 24.966*out[2][r][c]/255
		}
		y = append(y, row)
	}
	return []grid{y}
}

func gridPSNR(x, y []grid) float64 {
	sum, n := 0.0, 0
	for c := range x {
		for r := range x[c] {
			for i, v := range x[c][r] {
				sum, n = sum+math.Pow(v-y[c][r][i], 2), n+1
			}
		}
	}
	return 10 * math.Log10(255*255*float64(n)/sum)
}

// gridSSIM is the mean of the index, and of its contrast and structure, from their
// definitions (Wang et al. 2004, eqs. 6 to 12): one two-dimensional window at a time, with
// variances around the window's means.
func gridSSIM(x, y grid) (index, contrast float64) {
	var window [11][11]float64
	norm := 0.0
	for i := range window {
		for j := range window {
			window[i][j] = math.Exp(-float64((i-5)*(i-5)+(j-5)*(j-5)) / (2 * 1.5 * 1.5))
			norm += window[i][j]
		}
	}
	const c1, c2, c3 = 2.55 * 2.55, 7.65 * 7.65, 7.65 * 7.65 / 2
	n := 0
	for r := range len(x) - 10 {
		for s := range len(x[0]) - 10 {
			over := func(f func(a, b float64) float64) (sum float64) {
				for i := range 11 {
					for j := range 11 {
						sum += window[i][j] / norm * f(x[r+i][s+j], y[r+i][s+j])
					}
				}
				return sum
			}
			mx := over(func(a, _ float64) float64 { return a })
			my := over(func(_, b float64) float64 { return b })
			sx := math.Sqrt(over(func(a, _ float64) float64 { return (a - mx) * (a - mx) }))
			sy := math.Sqrt(over(func(_, b float64) float64 { return (b - my) * (b - my) }))
			sxy := over(func(a, b float64) float64 { return (a - mx) * (b - my) })
			l := (2*mx*my + c1) / (mx*mx + my*my + c1)
			cs := (2*sx*sy + c2) / (sx*sx + sy*sy + c2) * (sxy + c3) / (sx*sy + c3)
			index, contrast, n = index+l*cs, contrast+cs, n+1
		}
	}
	return index / float64(n), contrast / float64(n)
}

// gridHalf filters with 2x2 ones over 4, mirrored at the end, and takes every
// second sample.
func gridHalf(x grid) grid {
	mirrored := append(slices.Clone(x), x[len(x)-1])
	for i, row := range mirrored {
		mirrored[i] = append(slices.Clone(row), row[len(row)-1])
	}
	var out grid
	for r := 0; r < len(x); r += 2 {
		var row []float64
		for c := 0; c < len(x[0]); c += 2 {
			row = append(row, (mirrored[r][c]+mirrored[r][c+1]+mirrored[r+1][c]+mirrored[r+1][c+1])/4)
		}
		out = append(out, row)
	}
	return out
}

func gridMSSSIM(x, y []grid) (mean float64) {
	for c := range x {
		a, b, product := x[c], y[c], 1.0
		for scale, weight := range []float64{0.0448, 0.2856, 0.3001, 0.2363, 0.1333} {
			index, contrast := gridSSIM(a, b)
			if scale == 4 {
				contrast = index
			}
			product *= math.Pow(contrast, weight)
			a, b = gridHalf(a), gridHalf(b)
		}
		mean += product / float64(len(x))
	}
	return mean
}

// window cuts a part out of an image.
func window(m metric.Image, top, left, height, width int) metric.Image {
	out := metric.Image{Height: height, Width: width}
	for r := top; r < top+height; r++ {
		out.Pix = append(out.Pix, m.Pix[3*(r*m.Width+left):3*(r*m.Width+left+width)]...)
	}
	return out
}

func TestOptionsFollowTheirDefinitions(t *testing.T) {
	hr, sr := window(load(t, "coffee_hr.png"), 40, 30, 41, 57), window(load(t, "coffee_bicubic4.png"), 40, 30, 41, 57)
	for _, o := range []metric.Options{{}, {Luma: true}, {Crop: 4}, {Luma: true, Crop: 4}, {Luma: true, Crop: 15, Threads: 2}} {
		x, y := grids(hr, o.Luma, o.Crop), grids(sr, o.Luma, o.Crop)
		psnr, err := o.PSNR(hr, sr)
		if err != nil {
			t.Fatal(err)
		}
		ssim, err := o.SSIM(hr, sr)
		if err != nil {
			t.Fatal(err)
		}
		want := 0.0
		for c := range x {
			index, _ := gridSSIM(x[c], y[c])
			want += index / float64(len(x))
		}
		if math.Abs(psnr-gridPSNR(x, y)) > 1e-9 || math.Abs(ssim-want) > 1e-10 {
			t.Errorf("%+v: PSNR %.12g and SSIM %.12g, by the definitions %.12g and %.12g", o, psnr, ssim, gridPSNR(x, y), want)
		}
	}
}

func TestMSSSIMFollowsItsDefinition(t *testing.T) {
	whole, bicubic := load(t, "coffee_hr.png"), load(t, "coffee_bicubic4.png")
	if whole.Width < 190 || whole.Height < 175 {
		t.Fatalf("the image has only %dx%d pixels", whole.Width, whole.Height)
	}
	for _, o := range []metric.Options{{}, {Luma: true, Crop: 3, Threads: 3}} {
		hr, sr := window(whole, 1, 2, 161+2*o.Crop, 182+2*o.Crop), window(bicubic, 1, 2, 161+2*o.Crop, 182+2*o.Crop)
		got, err := o.MSSSIM(hr, sr)
		if err != nil {
			t.Fatal(err)
		}
		want := gridMSSSIM(grids(hr, o.Luma, o.Crop), grids(sr, o.Luma, o.Crop))
		if math.Abs(got-want) > 1e-10 || !(want > 0.5 && want < 0.999) {
			t.Errorf("%+v: MS-SSIM %.12g, by its definition %.12g", o, got, want)
		}
	}
}

func TestMSSSIMProperties(t *testing.T) {
	a, b := random(161, 170, 1), random(161, 170, 2)
	opposite := metric.Image{Height: a.Height, Width: a.Width, Pix: slices.Clone(a.Pix)}
	for i, v := range opposite.Pix {
		opposite.Pix[i] = 255 - v
	}
	value := func(x, y metric.Image, o metric.Options) float64 {
		v, err := o.MSSSIM(x, y)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, o := range []metric.Options{{}, {Luma: true}} {
		if v := value(a, a, o); math.Abs(v-1) > 1e-12 {
			t.Errorf("%+v: an image has %v with itself, want 1", o, v)
		}
		if v := value(a, opposite, o); v != 0 {
			t.Errorf("%+v: an image has %v with its negative, want 0", o, v)
		}
		v, threads := value(a, b, o), o
		threads.Threads = 3
		if w := value(a, b, threads); w != v {
			t.Errorf("%+v: %v with one thread, %v with three", o, v, w)
		}
		if w := value(b, a, o); math.Abs(w-v) > 1e-12 {
			t.Errorf("%+v: %v one way, %v the other", o, v, w)
		}
	}
}

// Y of greys lies between 16 and 235, and only its differences count.
func TestLumaOfGreys(t *testing.T) {
	grey := func(level uint8) metric.Image {
		m := metric.Image{Height: 20, Width: 20, Pix: make([]uint8, 1200)}
		for i := range m.Pix {
			m.Pix[i] = level
		}
		return m
	}
	got, err := metric.Options{Luma: true}.PSNR(grey(0), grey(255))
	if want := 20 * math.Log10(255.0/219); err != nil || math.Abs(got-want) > 1e-12 {
		t.Errorf("PSNR of black and white %.12g, %v; want %.12g", got, err, want)
	}
	if got, err := (metric.Options{Luma: true}).PSNR(grey(9), grey(9)); err != nil || !math.IsInf(got, 1) {
		t.Errorf("PSNR of equal images %g, %v", got, err)
	}
}

// What is cut does not count.
func TestCropHidesTheBorder(t *testing.T) {
	a := random(40, 50, 1)
	b := metric.Image{Height: a.Height, Width: a.Width, Pix: slices.Clone(a.Pix)}
	for r := range b.Height {
		for c := range b.Width {
			if min(r, c, b.Height-1-r, b.Width-1-c) < 4 {
				b.Pix[3*(r*b.Width+c)] ^= 128
			}
		}
	}
	for _, luma := range []bool{false, true} {
		if v, err := (metric.Options{Luma: luma, Crop: 4}).PSNR(a, b); err != nil || !math.IsInf(v, 1) {
			t.Errorf("luma %v: PSNR %g, %v without the border that differs", luma, v, err)
		}
		if v, err := (metric.Options{Luma: luma, Crop: 3}).PSNR(a, b); err != nil || math.IsInf(v, 1) {
			t.Errorf("luma %v: PSNR %g, %v with some of it", luma, v, err)
		}
	}
}

func TestOptionErrors(t *testing.T) {
	a := random(40, 50, 1)
	failed := func(f func(hr, sr metric.Image) (float64, error)) error {
		_, err := f(a, a)
		return err
	}
	large := random(168, 200, 2)
	_, cut := metric.Options{Crop: 4}.MSSSIM(large, large)
	for want, err := range map[string]error{
		"cut -1 pixels|0 to 19":        failed(metric.Options{Crop: -1}.PSNR),
		"cut 20 pixels|50x40":          failed(metric.Options{Crop: 20, Luma: true}.PSNR),
		"20x10|11x11":                  failed(metric.Options{Crop: 15}.SSIM),
		"ms-ssim|50x40|at least 161":   failed(metric.Options{}.MSSSIM),
		"ms-ssim|192x160|at least 161": cut,
	} {
		for word := range strings.SplitSeq(want, "|") {
			if err == nil || !strings.Contains(err.Error(), word) {
				t.Errorf("error %v does not say %q", err, word)
			}
		}
	}
}

func TestFloatConsistency(t *testing.T) {
	sr := load(t, "coffee_bicubic4.png")
	lr := load(t, "coffee_lr4.png")
	rounded, err := metric.Consistency(lr, sr, 1)
	if err != nil {
		t.Fatal(err)
	}
	exact, err := metric.FloatConsistency(lr.Float(), sr.Float(), 2)
	if err != nil {
		t.Fatal(err)
	}
	// Rounding adds at most about the variance of a uniform error, 1/12 of a grey
	// level squared.
	if noise := 1e5 / (12 * 255 * 255); math.Abs(rounded-exact) > noise || rounded == exact {
		t.Errorf("%g, with rounding %g: they should differ by less than %g", exact, rounded, noise)
	}
	// The reduction is linear, so an offset is found exactly, beyond white too.
	shifted := sr.Float()
	reduced := make([]float32, len(lr.Pix))
	if err := resample.Resize(reduced, shifted.Pix, lr.Height, lr.Width, sr.Height, sr.Width, 3, resample.Bicubic, 1); err != nil {
		t.Fatal(err)
	}
	for i := range shifted.Pix {
		shifted.Pix[i] += 1.5
	}
	got, err := metric.FloatConsistency(metric.FloatImage{Height: lr.Height, Width: lr.Width, Pix: reduced}, shifted, 1)
	if want := 0.75 * 0.75 * 1e5; err != nil || math.Abs(got-want) > 1e-5*want {
		t.Errorf("an offset of 1.5 has the consistency %g, %v; want %g", got, err, want)
	}
	shifted.Pix[10] = float32(math.NaN())
	for want, err := range map[string]error{
		"super-resolved|NaN|column 3, row 0": second(metric.FloatConsistency(lr.Float(), shifted, 1)),
		"no enlargement":                     second(metric.FloatConsistency(sr.Float(), lr.Float(), 1)),
		"low-resolution|1 samples":           second(metric.FloatConsistency(metric.FloatImage{Height: 1, Width: 1, Pix: make([]float32, 1)}, sr.Float(), 1)),
	} {
		for word := range strings.SplitSeq(want, "|") {
			if err == nil || !strings.Contains(err.Error(), word) {
				t.Errorf("error %v does not say %q", err, word)
			}
		}
	}
}

func second(_ float64, err error) error { return err }

// SR3_PHOTOS names a folder with set5 and set14, their sides cropped to multiples
// of 8. That is why Set14 has not the literature's 26.00.
func TestBicubicOfSets(t *testing.T) {
	root := os.Getenv("SR3_PHOTOS")
	if root == "" {
		t.Skip("set SR3_PHOTOS to a folder with set5 and set14 to measure bicubic x4")
	}
	for _, set := range []struct {
		name   string
		images int
		psnr   float64
	}{{"set5", 5, 28.42}, {"set14", 14, 26.08}} {
		paths, err := filepath.Glob(filepath.Join(root, set.name, "*.png"))
		if err != nil || len(paths) != set.images {
			t.Fatalf("%s: %d images, %v; want %d", set.name, len(paths), err, set.images)
		}
		o := metric.Options{Luma: true, Crop: 4, Threads: 2}
		var psnr, ssim float64
		for _, path := range paths {
			hr := readPNG(t, path)
			sr := enlarged(t, reduced(t, hr))
			p, err1 := o.PSNR(hr, sr)
			s, err2 := o.SSIM(hr, sr)
			if err1 != nil || err2 != nil {
				t.Fatal(err1, err2)
			}
			psnr, ssim = psnr+p/float64(len(paths)), ssim+s/float64(len(paths))
		}
		t.Logf("%s: PSNR-Y %.4f, SSIM-Y %.4f", set.name, psnr, ssim)
		if math.Abs(psnr-set.psnr) > 0.01 {
			t.Errorf("%s: PSNR-Y %.4f, want %.2f", set.name, psnr, set.psnr)
		}
	}
}

func readPNG(t *testing.T, path string) metric.Image {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	return samples(img)
}

func samples(img image.Image) metric.Image {
	b := img.Bounds()
	m := metric.Image{Height: b.Dy(), Width: b.Dx()}
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			r, g, b, _ := img.At(x, y).RGBA()
			m.Pix = append(m.Pix, uint8(r>>8), uint8(g>>8), uint8(b>>8))
		}
	}
	return m
}

func reduced(t *testing.T, m metric.Image) metric.Image {
	return resized(t, m, m.Height/4, m.Width/4)
}

func enlarged(t *testing.T, m metric.Image) metric.Image {
	return resized(t, m, m.Height*4, m.Width*4)
}

func resized(t *testing.T, m metric.Image, height, width int) metric.Image {
	t.Helper()
	out := metric.Image{Height: height, Width: width, Pix: make([]uint8, 3*height*width)}
	if err := resample.Resize8(out.Pix, m.Pix, height, width, m.Height, m.Width, 3, resample.Bicubic, 2); err != nil {
		t.Fatal(err)
	}
	return out
}
