package dataset

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/sr3-go/sr3/degrade"
	"github.com/sr3-go/sr3/internal/philox"
	"github.com/sr3-go/sr3/resample"
)

// picture is an image whose every pixel tells its place: red the column, green the row, blue the picture.
func picture(w, h int, id uint8) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.SetNRGBA(x, y, color.NRGBA{uint8(x), uint8(y), id, 255})
		}
	}
	return img
}

func encodePNG(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
}

// folder makes a folder of pictures in two levels.
func folder(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for i, name := range []string{"b.png", "sub/a.PNG", "a.png", "sub/deep/c.png"} {
		write(t, filepath.Join(dir, name), encodePNG(t, picture(40+i, 50-i, uint8(i))))
	}
	write(t, filepath.Join(dir, "notes.txt"), []byte("not an image"))
	write(t, filepath.Join(dir, ".hidden.png"), []byte("left by an editor"))
	return dir
}

func options() Options {
	return Options{Size: 16, Scale: 4, Batch: 6, Seed: 7, Flip: true, Rotate: true}
}

func open(t testing.TB, opt Options, paths ...string) *Set {
	t.Helper()
	s, err := Open(paths, opt)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func batch(t testing.TB, s *Set, step int) *Batch {
	t.Helper()
	b, err := s.Batch(step)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestListingIsSortedAndRecursive(t *testing.T) {
	s := open(t, options(), folder(t))
	want := []string{"a.png", "b.png", "sub/a.PNG", "sub/deep/c.png"}
	if got := s.Names(); !slices.Equal(got, want) {
		t.Fatalf("listed %v, want %v", got, want)
	}
}

// TestTarIsTheFolder packs a folder in another order and wants the same batches from it.
func TestTarIsTheFolder(t *testing.T) {
	dir := folder(t)
	fromFolder := open(t, options(), dir)
	names := fromFolder.Names()
	slices.Reverse(names)
	shard := filepath.Join(t.TempDir(), "shard-000.tar")
	writeTar(t, shard, dir, append(names, "notes.txt"))
	fromTar := open(t, options(), filepath.Dir(shard))
	if fromTar.Len() != fromFolder.Len() || fromTar.Names()[0] != "shard-000.tar:a.png" {
		t.Fatalf("listed %v", fromTar.Names())
	}
	for step := range 3 {
		a, b := batch(t, fromFolder, step), batch(t, fromTar, step)
		if !slices.Equal(a.HR, b.HR) || !slices.Equal(a.X, b.X) {
			t.Fatalf("step %d differs between folder and tar", step)
		}
	}
}

func writeTar(t *testing.T, path, dir string, names []string) {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))}); err != nil {
			t.Fatal(err)
		}
		w.Write(data)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, path, b.Bytes())
}

func TestBrokenTarIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "broken.tar")
	write(t, path, bytes.Repeat([]byte("no tar"), 200))
	if _, err := Open([]string{path}, options()); err == nil || !strings.Contains(err.Error(), path) {
		t.Fatalf("error %v does not name the file", err)
	}
}

// TestAnyStepAlone makes steps in disorder, on a fresh set, with and without cache, and wants the same batches.
func TestAnyStepAlone(t *testing.T) {
	dir := folder(t)
	first := open(t, options(), dir)
	var batches []*Batch
	for step := range 5 {
		batches = append(batches, batch(t, first, step))
	}
	for _, cache := range []int64{1, DefaultCacheBytes} {
		opt := options()
		opt.CacheBytes = cache
		again := open(t, opt, dir)
		for _, step := range []int{4, 0, 3} {
			b := batch(t, again, step)
			if !slices.Equal(b.HR, batches[step].HR) || !slices.Equal(b.X, batches[step].X) {
				t.Fatalf("cache %d: step %d differs when made alone", cache, step)
			}
		}
	}
	if slices.Equal(batches[0].HR, batches[1].HR) {
		t.Error("two steps are equal")
	}
	opt := options()
	opt.Seed++
	if slices.Equal(batch(t, open(t, opt, dir), 0).HR, batches[0].HR) {
		t.Error("two seeds give the same batch")
	}
}

func TestCacheBudget(t *testing.T) {
	opt := options()
	opt.CacheBytes = 3*40*50 + 10 // room for one image
	s := open(t, opt, folder(t))
	for step := range 4 {
		batch(t, s, step)
	}
	if s.cached > opt.CacheBytes || s.cached == 0 {
		t.Fatalf("%d bytes are cached, the budget is %d", s.cached, opt.CacheBytes)
	}
}

func TestEveryPassShowsEveryImage(t *testing.T) {
	opt := options()
	opt.Batch = 4 // a batch is a pass
	s := open(t, opt, folder(t))
	for step := range 6 {
		b := batch(t, s, step)
		var seen []int
		for k := range b.N {
			seen = append(seen, int(b.HR[k*b.H*b.W*3+2]*127.5+127.5+0.5))
		}
		slices.Sort(seen)
		if !slices.Equal(seen, []int{0, 1, 2, 3}) {
			t.Fatalf("pass %d shows images %v", step, seen)
		}
	}
}

// TestConditionIsThatOfTheWholeImage compares the condition of crops on the scale's grid with the same piece of the
// whole image, reduced and enlarged: away from the crop's border by design, and here also at it.
func TestConditionIsThatOfTheWholeImage(t *testing.T) {
	img := image.NewNRGBA(image.Rect(0, 0, 64, 64))
	random := philox.New(1, 1)
	for i := range img.Pix {
		img.Pix[i] = uint8(random.Uint64(uint64(i)))
		if i%4 == 3 {
			img.Pix[i] = 255
		}
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "noise.png"), encodePNG(t, img))
	s := open(t, Options{Size: 16, Scale: 4, Batch: 1, Quantise: true}, dir)
	p, err := s.photo(0)
	if err != nil {
		t.Fatal(err)
	}
	low, whole := make([]uint8, 16*16*3), &photo{height: 64, width: 64, pix: make([]uint8, 64*64*3)}
	if err := errors.Join(
		resample.Resize8(low, p.pix, 16, 16, 64, 64, 3, resample.Bicubic, 1),
		resample.Resize8(whole.pix, low, 64, 64, 16, 16, 3, resample.Bicubic, 1)); err != nil {
		t.Fatal(err)
	}
	for _, at := range []window{{0, 0, 16, 16}, {24, 20, 16, 16}, {48, 48, 16, 16}, {4, 40, 16, 16}} {
		want, got := make([]float32, 16*16*3), make([]float32, 16*16*3)
		toFloat(want, whole.cut(at).pix)
		piece, crop := p.around(at, 4, contextPixels)
		if err := s.degrade(got, piece, crop, degrade.Amount{}, 0); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Errorf("crop at %v: the condition differs from that of the whole image", at)
		}
	}
}

// TestCropAndConditionAgree: for a smooth picture, whatever the flips, the condition is close to the crop.
func TestCropAndConditionAgree(t *testing.T) {
	dir := folder(t)
	rapid.Check(t, func(rt *rapid.T) {
		opt := options()
		opt.Scale = rapid.SampledFrom([]int{2, 4, 8}).Draw(rt, "scale")
		opt.Size = opt.Scale * rapid.IntRange(1, 32/opt.Scale).Draw(rt, "size")
		opt.Flip, opt.Rotate = rapid.Bool().Draw(rt, "flip"), rapid.Bool().Draw(rt, "rotate")
		opt.Quantise = rapid.Bool().Draw(rt, "quantise")
		opt.Seed = rapid.Uint64().Draw(rt, "seed")
		s, err := Open([]string{dir}, opt)
		if err != nil {
			rt.Fatal(err)
		}
		b, err := s.Batch(rapid.IntRange(0, 1000).Draw(rt, "step"))
		if err != nil {
			rt.Fatal(err)
		}
		for i, hr := range b.HR {
			if d := float64(hr - b.X[i]); d > 0.09 || d < -0.09 { // a slope of 1/127.5 a pixel, cut at borders
				rt.Fatalf("element %d: crop %v, condition %v", i, hr, b.X[i])
			}
		}
	})
}

func TestRotationsAndMirrorsAreAllDrawn(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.png"), encodePNG(t, picture(16, 16, 0)))
	opt := options()
	opt.Batch = 64
	b := batch(t, open(t, opt, dir), 0)
	seen := map[string]bool{}
	for k := range b.N {
		seen[fmt.Sprint(b.HR[k*16*16*3:][:16*16*3])] = true
	}
	if len(seen) != 8 {
		t.Fatalf("%d of the 8 symmetries of the square are drawn", len(seen))
	}
}

func TestCorruptAndSmallImagesAreReportedOnce(t *testing.T) {
	dir := folder(t)
	whole := encodePNG(t, picture(40, 40, 9))
	write(t, filepath.Join(dir, "cut.png"), whole[:len(whole)/2])
	write(t, filepath.Join(dir, "empty.jpg"), nil)
	write(t, filepath.Join(dir, "small.png"), encodePNG(t, picture(15, 99, 9)))
	var mu sync.Mutex
	reports := map[string][]string{}
	opt := options()
	opt.Report = func(name string, reason error) {
		mu.Lock()
		defer mu.Unlock()
		reports[name] = append(reports[name], reason.Error())
	}
	s := open(t, opt, dir)
	p := Prefetch(t.Context(), 0, 3, s.Batch)
	defer p.Close()
	for range 12 {
		if _, err := p.Next(); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"cut.png", "empty.jpg", "small.png"} {
		if len(reports[name]) != 1 {
			t.Errorf("%s is reported as %q, want one report", name, reports[name])
		}
	}
	if len(reports) != 3 || len(s.Unusable()) != 3 {
		t.Errorf("reports %v, unusable %v", reports, s.Unusable())
	}
	if r := strings.Join(reports["small.png"], ""); !strings.Contains(r, "15x99") {
		t.Errorf("the report %q does not give the size", r)
	}
}

func TestNothingUsable(t *testing.T) {
	empty := t.TempDir()
	_, err := Open([]string{empty}, options())
	if err == nil || !strings.Contains(err.Error(), empty) || !strings.Contains(err.Error(), ".png") {
		t.Errorf("empty folder: %v", err)
	}
	small := t.TempDir()
	write(t, filepath.Join(small, "tiny.png"), encodePNG(t, picture(8, 8, 0)))
	_, err = Open([]string{small}, options())
	if err == nil || !strings.Contains(err.Error(), "tiny.png") || !strings.Contains(err.Error(), "16x16") {
		t.Errorf("only small images: %v", err)
	}
	if _, err = Open([]string{filepath.Join(small, "missing")}, options()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing folder: %v", err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"size":  func(o *Options) { o.Size = 18 },
		"scale": func(o *Options) { o.Scale = 0 },
		"batch": func(o *Options) { o.Batch = 0 },
		"fit":   func(o *Options) { o.Fit = "stretch" },
		"cache": func(o *Options) { o.CacheBytes = -1 },
	} {
		opt := options()
		change(&opt)
		if _, err := Open([]string{"unused"}, opt); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFitResize(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "wide.png"), encodePNG(t, picture(80, 40, 0)))
	var j bytes.Buffer
	if err := jpeg.Encode(&j, picture(40, 64, 200), nil); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "tall.jpg"), j.Bytes())
	s := open(t, Options{Size: 16, Scale: 4, Batch: 2, Fit: FitResize}, dir)
	a, b := batch(t, s, 0), batch(t, s, 1)
	wide := 0
	if a.HR[2] > -0.9 {
		wide = 1
	}
	first := a.HR[wide*16*16*3:][:16*16*3]
	// 80x40 becomes 32x16, and columns 8 to 24 of that show columns 20 to 60.
	if mid := (first[(8*16+8)*3] + 1) * 127.5; mid < 36 || mid > 46 {
		t.Errorf("the middle shows column %v, want about 41", mid)
	}
	if sum(a.HR) != sum(b.HR) {
		t.Error("resized images differ between passes")
	}
}

func sum(v []float32) (total float64) {
	for _, x := range v {
		total += float64(x)
	}
	return total
}

func TestAugmentIsAFunctionOfTheSeed(t *testing.T) {
	dir := folder(t)
	opt := options()
	opt.Augment = func(x []float32, size int, random philox.Stream) {
		for i := range x {
			x[i] = float32(random.Float64(uint64(i)))
		}
	}
	a, b := batch(t, open(t, opt, dir), 2), batch(t, open(t, opt, dir), 2)
	if !slices.Equal(a.X, b.X) || slices.Equal(a.X[:48], a.X[16*16*3:][:48]) {
		t.Error("augmentation must be repeatable and differ between examples")
	}
}

func TestPrefetchKeepsOrder(t *testing.T) {
	for workers := range 4 {
		p := Prefetch(t.Context(), 5, workers, func(step int) (int, error) {
			if step == 40 {
				return 0, errors.New("forty")
			}
			return step, nil
		})
		for want := 5; want < 40; want++ {
			if got, err := p.Next(); err != nil || got != want {
				t.Fatalf("%d workers: got %d, %v, want %d", workers, got, err, want)
			}
		}
		if _, err := p.Next(); err == nil || err.Error() != "forty" {
			t.Errorf("%d workers: error %v", workers, err)
		}
		p.Close()
	}
}

func TestPrefetchStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := Prefetch(ctx, 0, 2, func(step int) (int, error) { return step, nil })
	cancel()
	for range 10 {
		if _, err := p.Next(); errors.Is(err, context.Canceled) {
			p.Close()
			return
		}
	}
	t.Fatal("a cancelled prefetcher goes on")
}

// TestEnlargeMakesTheCondition: crops of an image and of its condition lie at the same place, turned alike, and the
// hook is asked once for every image that stays cached.
func TestEnlargeMakesTheCondition(t *testing.T) {
	dir := noisyImages(t)
	negatives := map[string][]uint8{} // of the images, by what is left of them after reduction
	for _, name := range []string{"a.png", "b.png", "c.png"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		p, err := decode(data, name)
		if err != nil {
			t.Fatal(err)
		}
		p = p.cut(window{0, 0, 32, 40})
		low := make([]uint8, 8*10*3)
		if err := resample.Resize8(low, p.pix, 8, 10, 32, 40, 3, resample.Bicubic, 1); err != nil {
			t.Fatal(err)
		}
		for i, v := range p.pix {
			p.pix[i] = 255 - v
		}
		negatives[string(low)] = p.pix
	}
	calls := 0
	opt := Options{Size: 16, Scale: 4, Batch: 8, Flip: true, Rotate: true, Enlarge: func(low []uint8, height, width int, _ degrade.Amount) ([]uint8, error) {
		calls++
		if height != 8 || width != 10 {
			t.Errorf("%dx%d pixels: want whole low-resolution ones", width, height)
		}
		return negatives[string(low)], nil
	}}
	s := open(t, opt, dir)
	seen := map[float32]bool{}
	for step := range 8 {
		b := batch(t, s, step)
		for i, hr := range b.HR {
			if sum := hr + b.X[i]; sum > 1e-6 || sum < -1e-6 {
				t.Fatalf("element %d: crop %v, condition %v", i, hr, b.X[i])
			}
		}
		seen[b.HR[0]] = true
	}
	if calls != 3 || len(seen) < 4 {
		t.Errorf("%d calls for 3 images, %d different crops", calls, len(seen))
	}
	opt.Quantise = true
	if _, err := Open([]string{dir}, opt); err == nil {
		t.Error("a quantised condition of whole images is accepted")
	}
	opt.Quantise, opt.Enlarge = false, func(low []uint8, _, _ int, _ degrade.Amount) ([]uint8, error) { return low, nil }
	if _, err := Open([]string{dir}, opt); err == nil {
		t.Error("a condition of another size is accepted")
	}
}

// noisyImages writes three images of noise, whose sides are no multiples of 4.
func noisyImages(t *testing.T) string {
	dir := t.TempDir()
	for id := range 3 {
		img := image.NewNRGBA(image.Rect(0, 0, 41+id, 35))
		for i := range img.Pix {
			img.Pix[i] = uint8(philox.New(uint64(id), 1).Uint64(uint64(i)))
			if i%4 == 3 {
				img.Pix[i] = 255
			}
		}
		write(t, filepath.Join(dir, string(rune('a'+id))+".png"), encodePNG(t, img))
	}
	return dir
}

// TestEnlargeHasVersions: of every image there are as many conditions as asked for, each of a low-resolution image with
// losses of its own; examples have them in turn, and are told which.
func TestEnlargeHasVersions(t *testing.T) {
	dir := noisyImages(t)
	var told []degrade.Amount
	var lows []string
	opt := Options{
		Size: 16, Scale: 4, Batch: 8, Flip: true, Rotate: true, Versions: 3,
		Degrade: degrade.Settings{
			Blur: degrade.Range{Probability: 0.5, High: 2}, Noise: degrade.Range{Probability: 0.9, High: 20}, JPEG: degrade.Range{Probability: 0.5, Low: 20, High: 90},
		},
		Enlarge: func(low []uint8, height, width int, lost degrade.Amount) ([]uint8, error) {
			told, lows = append(told, lost), append(lows, string(low))
			return bytes.Repeat([]byte{uint8(len(told))}, 16*len(low)), nil
		},
	}
	s := open(t, opt, dir)
	versions := map[uint8]bool{}
	for step := range 20 {
		b := batch(t, s, step)
		for k, lost := range b.Lost {
			number := uint8(math.Round(float64(b.X[k*16*16*3]+1) * 127.5))
			if versions[number] = true; told[number-1] != lost {
				t.Fatalf("an example of version %d is told %v, its condition %v", number, lost, told[number-1])
			}
		}
	}
	if len(told) != 9 || len(versions) != 9 {
		t.Errorf("%d conditions made and %d seen of 9", len(told), len(versions))
	}
	slices.Sort(lows)
	if n := len(slices.Compact(lows)); n != 9 {
		t.Errorf("%d different low-resolution images of 9", n)
	}
	opt.Versions = -1
	if _, err := Open([]string{dir}, opt); err == nil {
		t.Error("-1 versions are accepted")
	}
}

// TestConditionsAreMadeWhenNeeded: of an image that is not kept, an example has one condition made, and examples are those
// of a set that keeps everything.
func TestConditionsAreMadeWhenNeeded(t *testing.T) {
	dir := noisyImages(t)
	calls := 0
	opt := Options{
		Size: 16, Scale: 4, Batch: 5, Flip: true, Rotate: true, Versions: 4,
		Degrade: degrade.Settings{Noise: degrade.Range{Probability: 0.9, High: 20}},
		Enlarge: func(low []uint8, height, width int, lost degrade.Amount) ([]uint8, error) {
			calls++
			return bytes.Repeat(low, 16), nil
		},
	}
	kept := open(t, opt, dir)
	opt.CacheBytes = 1
	uncached := open(t, opt, dir)
	for step := range 4 {
		want := batch(t, kept, step)
		calls = 0
		if got := batch(t, uncached, step); !slices.Equal(got.X, want.X) || !slices.Equal(got.HR, want.HR) || !slices.Equal(got.Lost, want.Lost) {
			t.Errorf("step %d: an uncached set gives other examples", step)
		}
		if calls != opt.Batch {
			t.Errorf("step %d: %d conditions made for %d examples", step, calls, opt.Batch)
		}
	}
}

// TestImageThatCannotBeEnlarged is left out, reported once, and replaced by others.
func TestImageThatCannotBeEnlarged(t *testing.T) {
	dir := noisyImages(t)
	var bad []byte
	reports := 0
	s := open(t, Options{
		Size: 16, Scale: 4, Batch: 6, Report: func(string, error) { reports++ },
		Enlarge: func(low []uint8, height, width int, _ degrade.Amount) ([]uint8, error) {
			if bad == nil {
				bad = low
			}
			if bytes.Equal(bad, low) {
				return nil, errors.New("refused")
			}
			return bytes.Repeat(low, 16), nil
		},
	}, dir)
	for step := range 3 {
		batch(t, s, step)
	}
	if reports != 1 || len(s.Unusable()) != 1 {
		t.Errorf("%d reports, left out: %v", reports, s.Unusable())
	}
}
