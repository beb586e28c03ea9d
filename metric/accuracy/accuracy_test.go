package accuracy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image/png"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sr3-go/sr3/metric"
	"github.com/sr3-go/sr3/metric/nets"
	"github.com/sr3-go/sr3/metric/squeezenet"
	"github.com/sr3-go/sr3/resample"
)

var (
	_ Classifier = (*squeezenet.Network)(nil)
	_ Classifier = (*nets.Network)(nil)
)

// pattern is an image in which every pixel tells where it is.
func pattern(height, width int) metric.Image {
	img := metric.Image{Height: height, Width: width}
	for y := range height {
		for x := range width {
			img.Pix = append(img.Pix, uint8(x), uint8(y), uint8(x/256*16+y/256))
		}
	}
	return img
}

func resized(t *testing.T, img metric.Image, height, width int) metric.Image {
	t.Helper()
	out := metric.Image{Height: height, Width: width, Pix: make([]uint8, 3*height*width)}
	if err := resample.Resize8(out.Pix, img.Pix, height, width, img.Height, img.Width, 3, resample.Bicubic, 1); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestCrop(t *testing.T) {
	for _, c := range []struct{ height, width, top, left int }{{224, 224, 0, 0}, {224, 301, 0, 38}, {256, 240, 16, 8}, {230, 900, 3, 338}} {
		got, err := Crop(pattern(c.height, c.width))
		if err != nil {
			t.Fatal(err)
		}
		whole := pattern(c.height, c.width)
		for _, p := range [][2]int{{0, 0}, {223, 223}, {100, 17}} {
			want := whole.Pix[3*((p[0]+c.top)*c.width+p[1]+c.left):][:3]
			if at := got.Pix[3*(p[0]*CropSide+p[1]):][:3]; !slices.Equal(at, want) || len(got.Pix) != 3*224*224 {
				t.Errorf("%dx%d at %v: %v, want %v", c.width, c.height, p, at, want)
			}
		}
	}
}

// A large photograph loses its border, not its detail alone.
func TestCropReduces(t *testing.T) {
	img := pattern(512, 640)
	got, err := Crop(img)
	if err != nil {
		t.Fatal(err)
	}
	want, err := Crop(resized(t, img, 256, 320))
	if err != nil || !slices.Equal(got.Pix, want.Pix) {
		t.Errorf("the crop is not that of the reduced photograph (%v)", err)
	}
}

func TestCropRefuses(t *testing.T) {
	for want, img := range map[string]metric.Image{
		"300x223 pixels: both sides": pattern(223, 300),
		"5 samples":                  {Height: 224, Width: 224, Pix: make([]uint8, 5)},
	} {
		if _, err := Crop(img); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// recorder is a classifier that keeps what it was shown.
type recorder struct {
	scores []float32
	seen   []metric.Image
}

func (r *recorder) Classify(img metric.Image) ([]float32, error) {
	r.seen = append(r.seen, img)
	return r.scores, nil
}

func one(l ...Labelled) iter.Seq2[Labelled, error] {
	return func(yield func(Labelled, error) bool) {
		for _, x := range l {
			if !yield(x, nil) {
				return
			}
		}
	}
}

func TestProtocol(t *testing.T) {
	img := pattern(224, 224)
	low := resized(t, resized(t, img, 56, 56), 64, 64)
	for _, side := range []int{0, 299} {
		r := &recorder{scores: []float32{1, 3, 2}}
		var sr metric.Image
		p := Protocol{Side: side, Upscale: func(_ context.Context, in metric.Image) (metric.Image, error) {
			if in.Height != 64 || in.Width != 64 || !slices.Equal(in.Pix, low.Pix) {
				t.Errorf("the method gets %dx%d pixels, or other ones", in.Width, in.Height)
			}
			sr = resized(t, in, 256, 256)
			return sr, nil
		}}
		tally, err := Measure(t.Context(), r, p, one(Labelled{"a", img, 1}, Labelled{"b", img, 2}))
		if err != nil || tally != (Tally{N: 2, Top1: 1, Top5: 2}) || tally.Top1Error() != 0.5 || tally.Top5Error() != 0 {
			t.Errorf("%+v, %v", tally, err)
		}
		want := side
		if side == 0 {
			want = 224
		}
		if len(r.seen) != 2 || !slices.Equal(r.seen[0].Pix, resized(t, sr, want, want).Pix) {
			t.Errorf("side %d: the classifier is shown other pixels", side)
		}
	}
}

func TestBaseline(t *testing.T) {
	img := pattern(224, 224)
	r := &recorder{scores: []float32{1}}
	if _, err := Measure(t.Context(), r, Protocol{}, one(Labelled{"a", img, 0})); err != nil || !slices.Equal(r.seen[0].Pix, img.Pix) {
		t.Errorf("the photograph was changed (%v)", err)
	}
	if _, err := Measure(t.Context(), r, Protocol{Side: 299}, one(Labelled{"a", img, 0})); err != nil || r.seen[1].Height != 299 {
		t.Errorf("the photograph was not resized (%v)", err)
	}
}

func TestMeasureStops(t *testing.T) {
	img := pattern(224, 224)
	ok := &recorder{scores: []float32{1, 2}}
	broken := errors.New("broken")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	fails := Protocol{Upscale: func(context.Context, metric.Image) (metric.Image, error) { return metric.Image{}, broken }}
	small := Protocol{Upscale: func(context.Context, metric.Image) (metric.Image, error) { return pattern(224, 224), nil }}
	for _, c := range []struct {
		ctx    context.Context
		p      Protocol
		images iter.Seq2[Labelled, error]
		want   string
		is     error
	}{
		{t.Context(), Protocol{}, one(), "no images", nil},
		{t.Context(), Protocol{}, one(Labelled{"cat", img, 2}), `"cat": accuracy: class 2 of 2`, nil},
		{t.Context(), Protocol{}, one(Labelled{"cat", pattern(9, 9), 0}), `"cat"`, nil},
		{t.Context(), fails, one(Labelled{"cat", img, 0}), `"cat"`, broken},
		{t.Context(), small, one(Labelled{"cat", img, 0}), "224x224 pixels, want 256x256", nil},
		{cancelled, Protocol{}, one(Labelled{"cat", img, 0}), `"cat"`, context.Canceled},
		{t.Context(), Protocol{}, func(yield func(Labelled, error) bool) { yield(Labelled{Name: "cat"}, broken) }, `"cat"`, broken},
	} {
		_, err := Measure(c.ctx, ok, c.p, c.images)
		if err == nil || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("error %v, want %q and %v", err, c.want, c.is)
		}
	}
}

func TestTally(t *testing.T) {
	nan := float32(0)
	nan /= nan
	var tally Tally
	if err := tally.Add([]float32{0, nan}, 0); err == nil || tally.N != 0 {
		t.Errorf("a score that is not a number: %v, %+v", err, tally)
	}
	if err := tally.Add([]float32{0, 1}, -1); err == nil {
		t.Error("class -1 passes")
	}
	rapid.Check(t, func(t *rapid.T) {
		scores := rapid.SliceOfN(rapid.Float32Range(0, 3), 1, 12).Draw(t, "scores")
		for i := range scores {
			scores[i] = float32(int(scores[i])) // many are equal
		}
		class := rapid.IntRange(0, len(scores)-1).Draw(t, "class")
		order := make([]int, len(scores))
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(a, b int) int { return int(scores[b] - scores[a]) })
		rank := slices.Index(order, class)
		want := Tally{N: 1}
		if rank == 0 {
			want.Top1 = 1
		}
		if rank < 5 {
			want.Top5 = 1
		}
		var got Tally
		if err := got.Add(scores, class); err != nil || got != want {
			t.Fatalf("%+v, want %+v (%v)", got, want, err)
		}
	})
}

// SR3_SQUEEZENET names an ONNX file of SqueezeNet 1.1, SR3_SQUEEZENET_SAMPLE a folder
// of 224x224 photographs with their classes in squeezenet-onnxruntime.json.
func TestRealPhotographs(t *testing.T) {
	weights, dir := os.Getenv("SR3_SQUEEZENET"), os.Getenv("SR3_SQUEEZENET_SAMPLE")
	if weights == "" || dir == "" {
		t.Skip("set SR3_SQUEEZENET and SR3_SQUEEZENET_SAMPLE to test with a real classifier")
	}
	n, err := squeezenet.Load(weights)
	if err != nil {
		t.Fatal(err)
	}
	bicubic := func(_ context.Context, img metric.Image) (metric.Image, error) {
		return resized(t, img, 4*img.Height, 4*img.Width), nil
	}
	photographs := sample(t, dir)
	base, err := Measure(t.Context(), n, Protocol{}, one(photographs...))
	if err != nil {
		t.Fatal(err)
	}
	up, err := Measure(t.Context(), n, Protocol{Upscale: bicubic}, one(photographs...))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d photographs: errors %.3f and %.3f, after bicubic x4 %.3f and %.3f",
		base.N, base.Top1Error(), base.Top5Error(), up.Top1Error(), up.Top5Error())
	if base.Top1Error() >= up.Top1Error() || base.Top5Error() >= up.Top5Error() {
		t.Error("the classifier does not lose by reduction")
	}
}

func sample(t *testing.T, dir string) []Labelled {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "squeezenet-onnxruntime.json"))
	if err != nil {
		t.Fatal(err)
	}
	var list []struct {
		File  string
		Class int `json:"class_index"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	var out []Labelled
	for _, e := range list {
		data, err := os.ReadFile(filepath.Join(dir, e.File))
		if err != nil {
			t.Fatal(err)
		}
		img, err := png.Decode(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		m := metric.Image{Height: img.Bounds().Dy(), Width: img.Bounds().Dx()}
		for i := range m.Height * m.Width {
			r, g, b, _ := img.At(i%m.Width, i/m.Width).RGBA()
			m.Pix = append(m.Pix, uint8(r>>8), uint8(g>>8), uint8(b>>8))
		}
		out = append(out, Labelled{e.File, m, e.Class})
	}
	return out
}
