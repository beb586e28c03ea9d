package eval

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"iter"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/baseline"
	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/internal/philox"
	"github.com/sr3-go/sr3/metric"
	"github.com/sr3-go/sr3/metric/distribution"
	"github.com/sr3-go/sr3/resample"
)

// fake enlarges by bicubic and adds an error of a size of its own.
type fake struct {
	name   string
	shift  int // of all samples
	steps  int
	costly bool
	lacks  string // an image that it has no result for
	calls  *int
}

func (f fake) Info() baseline.Info {
	i := baseline.Info{Name: f.name, Kind: baseline.KindFilter, Steps: f.steps, Costly: f.costly, Settings: fmt.Sprint("shift ", f.shift)}
	if f.steps > 0 {
		i.Kind, i.Series, i.Model = baseline.KindSR3, "fakes", strings.Repeat("ab", 32)
	}
	return i
}

func (f fake) Version(in baseline.Input) (string, error) {
	if f.lacks != "" && in.Name == f.lacks {
		return "", fmt.Errorf("%s: %w", f.name, baseline.ErrNoResult)
	}
	return fmt.Sprint("fake ", f.shift, " ", f.steps), nil
}

func (f fake) Upscale(ctx context.Context, in baseline.Input) (*imageio.Image, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if f.calls != nil {
		*f.calls++
	}
	pix := make([]uint8, 3*in.Width*in.Height)
	if err := resample.Resize8(pix, in.LR.RGB8(), in.Height, in.Width, in.LR.Height, in.LR.Width, 3, resample.Bicubic, 1); err != nil {
		return nil, err
	}
	for i, v := range pix {
		pix[i] = uint8(min(max(int(v)+f.shift, 0), 255))
	}
	return imageio.FromRGB8(in.Width, in.Height, pix)
}

// picture8 is a smooth picture of n pixels a side with some noise.
func picture8(w, h int, seed uint64) metric.Image {
	m := metric.Image{Height: h, Width: w, Pix: make([]uint8, 3*w*h)}
	noise := philox.New(seed, 0)
	for i := range m.Pix {
		x, y := i/3%w, i/3/w
		m.Pix[i] = uint8(90 + 40*math.Sin(float64(x)/5+float64(seed)) + 40*math.Cos(float64(y)/7) + 30*noise.Float64(uint64(i)))
	}
	return m
}

// folder writes pictures of different sizes.
func folder(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	for k := range n {
		save(t, filepath.Join(dir, fmt.Sprintf("%c.png", 'a'+k)), picture8(48+k, 42+2*k, uint64(k)))
	}
	return dir
}

func save(t *testing.T, path string, m metric.Image) {
	t.Helper()
	var buf bytes.Buffer
	if err := png.Encode(&buf, picture(m)); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, buf.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
}

func config(dir, out string, methods ...baseline.Method) Config {
	return Config{Data: Data{Dir: dir, Scale: 4}, Methods: methods, Measures: StandardMeasures(), Out: out, Threads: 1}
}

func mustRun(t *testing.T, c Config) *Report {
	t.Helper()
	r, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// reportOf reads a report's files; times are taken out.
func reportOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	seconds := regexp.MustCompile(`"seconds":[0-9.e-]+`)
	for _, name := range []string{ResultsFile, TableFile, PageFile} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = seconds.ReplaceAllString(string(data), `"seconds":0`)
		if name != ResultsFile { // the last column
			files[name] = regexp.MustCompile(`\| [0-9.]+ \|\n`).ReplaceAllString(files[name], "|\n")
			files[name] = regexp.MustCompile(`<td><span class="mean">[0-9.]+</span></td></tr>`).ReplaceAllString(files[name], "")
		}
	}
	return files
}

func TestValuesAreThoseOfPackageMetric(t *testing.T) {
	dir, out := folder(t, 3), t.TempDir()
	r := mustRun(t, config(dir, out, fake{name: "one", shift: 3}, fake{name: "two", shift: 9, costly: true}))
	var want [3]float64
	for k := range 3 {
		hr := picture8(48+k, 42+2*k, uint64(k))
		hr = cut(hr, 0, 0, hr.Height/4*4, hr.Width/4*4)
		lr, err := resized(hr, hr.Height/4, hr.Width/4, resample.Bicubic, 1)
		if err != nil {
			t.Fatal(err)
		}
		in, err := toImage(lr)
		if err != nil {
			t.Fatal(err)
		}
		img, err := fake{shift: 9}.Upscale(t.Context(), baseline.Input{LR: in, Width: hr.Width, Height: hr.Height})
		if err != nil {
			t.Fatal(err)
		}
		sr := metric.Image{Height: hr.Height, Width: hr.Width, Pix: img.RGB8()}
		psnr, err1 := metric.PSNR(hr, sr)
		ssim, err2 := metric.SSIM(hr, sr, 1)
		consistency, err3 := metric.Consistency(lr, sr, 1)
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Fatal(err)
		}
		for i, v := range []float64{psnr, ssim, consistency} {
			want[i] += v / 3
		}
	}
	for i, v := range want {
		cell := r.Methods[1].Cells[i]
		if math.Abs(float64(cell.Mean)-v) > 1e-12*v || cell.N != 3 || !(cell.Low < cell.Mean && cell.Mean < cell.High) {
			t.Errorf("%s: %+v, want the mean %v", r.Columns[i].Key, cell, v)
		}
		if best := r.Methods[0].Cells[i].Best; !best || cell.Best || cell.Tied {
			t.Errorf("%s: the smaller error is best: %v, and the larger: %v, tied %v", r.Columns[i].Key, best, cell.Best, cell.Tied)
		}
	}
	if _, err := os.Stat(filepath.Join(out, "images", "two", "a.png")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(out, "images", "one")); err == nil {
		t.Error("results of a method that is not costly are kept")
	}
}

// A run that was killed goes on and ends in the same report, wherever it was
// killed; only what is missing is computed.
func TestKilledRunGoesOn(t *testing.T) {
	dir, whole := folder(t, 3), t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "broken.png"), []byte("no image"), 0o666); err != nil {
		t.Fatal(err)
	}
	calls := 0
	methods := []baseline.Method{fake{name: "cheap", shift: 1}, fake{name: "slow, 4 steps", shift: 2, steps: 4, costly: true, calls: &calls, lacks: "b"},
		fake{name: "slow, 8 steps", shift: 5, steps: 8, costly: true, calls: &calls}}
	mustRun(t, config(dir, whole, methods...))
	want := reportOf(t, whole)
	if calls != 5 {
		t.Fatalf("%d results were made, want 5", calls)
	}
	results, err := os.ReadFile(filepath.Join(whole, ResultsFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, length := range []int{0, 1, len(results) / 3, len(results) / 2, len(results) - 1, len(results)} {
		out := t.TempDir()
		if err := os.CopyFS(out, os.DirFS(whole)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(out, ResultsFile), results[:length], 0o666); err != nil {
			t.Fatal(err)
		}
		os.Remove(filepath.Join(out, PageFile))
		lines := results[:bytes.LastIndexByte(results[:length], '\n')+1]
		calls = 0
		mustRun(t, config(dir, out, methods...))
		got := reportOf(t, out)
		for name, text := range want {
			if got[name] != text {
				t.Errorf("killed after %d bytes: %s differs", length, name)
			}
		}
		if done := bytes.Count(lines, []byte(`images/`)); calls != 5-done {
			t.Errorf("killed after %d bytes: %d results were made again, want %d", length, calls, 5-done)
		}
	}
}

func TestCancelledRunGoesOn(t *testing.T) {
	dir, whole, out := folder(t, 3), t.TempDir(), t.TempDir()
	methods := []baseline.Method{fake{name: "cheap", shift: 1}, fake{name: "slow", shift: 2, costly: true}}
	mustRun(t, config(dir, whole, methods...))
	ctx, cancel := context.WithCancel(t.Context())
	c := config(dir, out, methods...)
	rows := 0
	c.OnRow = func(Row, bool) {
		if rows++; rows == 3 {
			cancel()
		}
	}
	if _, err := Run(ctx, c); !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled: %v", err)
	}
	if _, err := os.Stat(filepath.Join(out, PageFile)); err == nil {
		t.Error("an unfinished run wrote a page")
	}
	again := 0
	c.OnRow = func(_ Row, a bool) {
		if a {
			again++
		}
	}
	share := 0.0
	c.OnProgress = func(p Progress) {
		if p.Share < share {
			t.Errorf("progress went from %v back to %v", share, p.Share)
		}
		share = p.Share
	}
	mustRun(t, c)
	if again != 3 || share != 1 {
		t.Errorf("%d rows were found, want 3; the last share is %v", again, share)
	}
	want := reportOf(t, whole)
	for name, text := range reportOf(t, out) {
		if text != want[name] {
			t.Errorf("%s differs", name)
		}
	}
}

// Another measure, or another version of one, is computed from the results that
// are there.
func TestMeasuresAreAdded(t *testing.T) {
	dir, out := folder(t, 2), t.TempDir()
	calls := 0
	c := config(dir, out, fake{name: "slow", shift: 2, costly: true, calls: &calls})
	mustRun(t, c)
	value := 5.0
	for _, version := range []string{"1", "2"} {
		c.Measures = append(StandardMeasures(), FeatureDistance(func(hr, sr metric.Image, _ int) (float64, error) { return value, nil }, version))
		r := mustRun(t, c)
		if calls != 2 || float64(r.Methods[0].Cells[3].Mean) != value {
			t.Errorf("%d results were made, mean %v, want 2 and %v", calls, r.Methods[0].Cells[3].Mean, value)
		}
		value++
	}
	data, err := os.ReadFile(filepath.Join(out, ResultsFile))
	if n := bytes.Count(data, []byte{'\n'}); err != nil || n != 2 {
		t.Errorf("%d lines are left, want 2 (%v)", n, err)
	}
	c.Methods[0] = fake{name: "slow", shift: 3, costly: true, calls: &calls}
	if mustRun(t, c); calls != 4 {
		t.Errorf("another setting: %d results were made, want 4", calls)
	}
}

func TestSubsets(t *testing.T) {
	dir := folder(t, 4)
	methods := []baseline.Method{fake{name: "all", shift: 4}, fake{name: "some", shift: 4, lacks: "c", steps: 1}}
	c := config(dir, t.TempDir(), methods...)
	r := mustRun(t, c)
	a, b := r.Methods[0].Cells[0], r.Methods[1].Cells[0]
	if a.N != 3 || a.Mean != b.Mean || a.Fewer || b.Fewer || r.Methods[0].Images != 4 || r.Methods[1].Images != 3 {
		t.Errorf("common images: %+v and %+v", a, b)
	}
	if len(r.Problems) != 1 || r.Problems[0].Image != "c" || r.Problems[0].Method != "some" {
		t.Errorf("problems %+v", r.Problems)
	}
	if text := r.Markdown(); !strings.Contains(text, "The 3 of 4 images that all methods have") || !strings.Contains(text, "- c with some: ") {
		t.Errorf("the table does not say what is left out:\n%s", text)
	}
	c.Own = true
	r = mustRun(t, c)
	a, b = r.Methods[0].Cells[0], r.Methods[1].Cells[0]
	if a.N != 4 || b.N != 3 || a.Mean == b.Mean || a.Fewer || !b.Fewer {
		t.Errorf("own images: %+v and %+v", a, b)
	}
	if text := r.Markdown(); !strings.Contains(text, "* (3)") || !strings.Contains(text, "not comparable") {
		t.Errorf("the row of fewer images is not marked:\n%s", text)
	}
}

func TestBadImagesAreSkipped(t *testing.T) {
	dir, theirs := folder(t, 3), t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "broken.png"), []byte("\x89PNG\r\n\x1a\nnothing"), 0o666); err != nil {
		t.Fatal(err)
	}
	save(t, filepath.Join(dir, "small.png"), picture8(3, 9, 1))
	save(t, filepath.Join(theirs, "a.png"), picture8(48, 40, 0))
	save(t, filepath.Join(theirs, "b.png"), picture8(20, 40, 0))
	spec, err := baseline.ParseSpec("theirs=" + theirs)
	if err != nil {
		t.Fatal(err)
	}
	method, err := (&baseline.Opener{}).Open(spec)
	if err != nil {
		t.Fatal(err)
	}
	r := mustRun(t, config(dir, t.TempDir(), fake{name: "all"}, method))
	if n := r.Methods[1].Cells[0].N; n != 1 {
		t.Errorf("measured on %d images, want 1", n)
	}
	var text []string
	for _, p := range r.Problems {
		text = append(text, p.String())
	}
	for _, want := range []string{"broken: ", "small: ", "cannot be reduced by 4", "b with theirs: ", "is 20x40 pixels, want 48x44", "c with theirs: ", "has none named c"} {
		if !strings.Contains(strings.Join(text, "\n"), want) {
			t.Errorf("problems do not say %q:\n%s", want, strings.Join(text, "\n"))
		}
	}
}

func TestErrors(t *testing.T) {
	dir, empty := folder(t, 1), t.TempDir()
	small := t.TempDir()
	save(t, filepath.Join(small, "x.png"), picture8(3, 3, 1))
	good := func() Config { return config(dir, t.TempDir(), fake{name: "a"}) }
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"empty folder":     {func(c *Config) { c.Data.Dir = empty }, "no images in " + empty},
		"no folder":        {func(c *Config) { c.Data.Dir = "absent" }, "absent"},
		"one name":         {func(c *Config) { c.Methods = append(c.Methods, c.Methods[0]) }, `two methods are called "a"`},
		"no methods":       {func(c *Config) { c.Methods = nil }, "methods"},
		"nothing measured": {func(c *Config) { c.Data.Dir = small }, "none of 1 images could be measured; x: "},
		"nothing made":     {func(c *Config) { c.Methods = []baseline.Method{fake{name: "a", lacks: "a"}} }, "none of 1 images could be measured; a with a: "},
		"scale":            {func(c *Config) { c.Data.Scale = 1 }, "scale 1"},
		"squares":          {func(c *Config) { c.Data.LRSide = 16 }, "neither a scale"},
		"squares reversed": {func(c *Config) { c.Data = Data{Dir: dir, LRSide: 16, HRSide: 16} }, "the second larger"},
		"out is a file":    {func(c *Config) { c.Out = filepath.Join(dir, "a.png") }, "a.png"},
	} {
		cfg := good()
		c.change(&cfg)
		if _, err := Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v does not say %q", name, err, c.want)
		}
	}
	c := good()
	if err := os.WriteFile(filepath.Join(c.Out, ResultsFile), []byte("{}\nhello\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), "line 2 is no result") {
		t.Errorf("a foreign file: %v", err)
	}
}

func TestInputs(t *testing.T) {
	dir, lrDir := t.TempDir(), t.TempDir()
	hr := picture8(67, 41, 3)
	save(t, filepath.Join(dir, "x.png"), hr)
	src := source{name: "x", hr: filepath.Join(dir, "x.png"), lr: filepath.Join(lrDir, "x.png")}
	s, err := Data{Dir: dir, Scale: 4}.load(src, 1)
	if err != nil || s.hr.Width != 64 || s.hr.Height != 40 || s.lr.Width != 16 || s.lr.Height != 10 {
		t.Fatalf("reduced: %+v, %v", s, err)
	}
	save(t, src.lr, s.lr)
	given, err := Data{Dir: dir, Scale: 4, LRDir: lrDir}.load(src, 1)
	if err != nil || given.digest != s.digest {
		t.Errorf("the same inputs, given: another digest (%v)", err)
	}
	// Methods hear of the compression of an input that was given as a JPEG file, as they do of one that is upscaled.
	low, err := toImage(s.lr)
	if err != nil {
		t.Fatal(err)
	}
	compressed := source{name: "x", hr: src.hr, lr: filepath.Join(lrDir, "x.jpg")}
	if _, err := imageio.WriteFile(compressed.lr, low, imageio.Options{Quality: 40}); err != nil {
		t.Fatal(err)
	}
	if given, err = (Data{Dir: dir, Scale: 4, LRDir: lrDir}).load(compressed, 1); err != nil {
		t.Fatal(err)
	}
	if in, err := given.input(); err != nil || in.Quality != 40 || given.digest == digestOf(given.hr, given.lr) {
		t.Errorf("a JPEG of quality 40 is handed on with %d, %v", in.Quality, err)
	}
	save(t, src.lr, cut(s.lr, 0, 0, 9, 16))
	if _, err := (Data{Dir: dir, Scale: 4, LRDir: lrDir}).load(src, 1); err == nil || !strings.Contains(err.Error(), "64x36 at x4") {
		t.Errorf("unequal sizes: %v", err)
	}
	if _, err := (Data{Dir: dir, Scale: 4, LRDir: lrDir}).load(source{name: "x", hr: src.hr}, 1); err == nil || !strings.Contains(err.Error(), "no image named x") {
		t.Errorf("no input: %v", err)
	}
	s, err = Data{Dir: dir, LRSide: 4, HRSide: 32}.load(src, 1)
	if err != nil || s.hr.Width != 32 || s.hr.Height != 32 || s.lr.Width != 4 || s.scale != 8 {
		t.Fatalf("square: %+v, %v", s, err)
	}
	want, err := resized(cut(hr, 0, 13, 41, 41), 32, 32, resample.Box, 1)
	if err != nil || !bytes.Equal(s.hr.Pix, want.Pix) {
		t.Errorf("the square is not the centre by areas (%v)", err)
	}
	if _, err := (Data{Dir: dir, LRSide: 8, HRSide: 64}).load(src, 1); err == nil || !strings.Contains(err.Error(), "left out") {
		t.Errorf("too small: %v", err)
	}
}

// A measure of whole sets sees every pair of the common images; a measure that is
// not meant for some images has a mean over the others.
func TestOtherMeasures(t *testing.T) {
	dir := folder(t, 3)
	c := config(dir, t.TempDir(), fake{name: "all", shift: 1}, fake{name: "some", shift: 2, lacks: "a", costly: true})
	c.Measures = append(c.Measures, Measure{Column{Key: "wide", Title: "Wide", Digits: 1}, func(p *Pair) (float64, error) {
		if p.Name == "b" {
			return math.NaN(), nil
		}
		return float64(p.HR.Width), nil
	}}, Measure{Column{Key: "never", Title: "Never"}, func(*Pair) (float64, error) { return math.NaN(), nil }})
	c.SetMeasures = []SetMeasure{{Column{Key: "set", Title: "Set", Digits: 1}, func(_ context.Context, pairs iter.Seq2[*Pair, error]) (float64, error) {
		sum := 0.0
		for range 2 {
			for p, err := range pairs {
				if err != nil {
					return 0, err
				}
				sum += float64(p.SR.Width) + float64(p.SR.Pix[0])/1000
			}
		}
		return sum, nil
	}}}
	r := mustRun(t, c)
	if len(r.Columns) != 5 || r.Columns[3].Key != "wide" || r.Columns[4].Key != "set" {
		t.Fatalf("columns %+v", r.Columns)
	}
	wide, set := r.Methods[1].Cells[3], r.Methods[1].Cells[4]
	if wide.N != 1 || wide.Mean != 48 || set.N != 2 || math.Floor(float64(set.Mean)) != 2*(48+48) || set.Low.Valid() {
		t.Errorf("cells %+v and %+v", wide, set)
	}
	if other := r.Methods[0].Cells[4]; !other.Best && !set.Best || other.Mean == set.Mean {
		t.Errorf("set measures %v and %v do not see the results", other.Mean, set.Mean)
	}
}

func TestIdenticalImages(t *testing.T) {
	dir := folder(t, 2)
	spec, err := baseline.ParseSpec("truth=" + dir)
	if err != nil {
		t.Fatal(err)
	}
	truth, err := (&baseline.Opener{}).Open(spec)
	if err != nil {
		t.Fatal(err)
	}
	// Sides that are multiples of 4, so that the truth is the result.
	for k, name := range []string{"a.png", "b.png"} {
		save(t, filepath.Join(dir, name), picture8(48, 40, uint64(k)))
	}
	out := t.TempDir()
	c := config(dir, out, truth, fake{name: "other", shift: 3})
	r := mustRun(t, c)
	if cell := r.Methods[0].Cells[0]; !math.IsInf(float64(cell.Mean), 1) || cell.Low.Valid() || !cell.Best {
		t.Errorf("cell %+v", cell)
	}
	if text := r.Markdown(); !strings.Contains(text, "**∞**") {
		t.Errorf("no infinity in\n%s", text)
	}
	data, err := json.Marshal(r)
	if err != nil || !bytes.Contains(data, []byte(`"mean":"inf"`)) {
		t.Errorf("%s, %v", data, err)
	}
	if mustRun(t, c).Methods[0].Cells[0].Mean != r.Methods[0].Cells[0].Mean {
		t.Error("infinity is not read again")
	}
}

// The measures of the Y channel cut as many pixels as the scale; MS-SSIM is left
// out where images are too small for it; the sets of truths and results are those
// of the table.
func TestMeasuresBesideThePaper(t *testing.T) {
	dir := folder(t, 2)
	c := config(dir, t.TempDir(), fake{name: "one", shift: 3}, fake{name: "two", shift: 40})
	c.Measures = slices.Concat(LumaMeasures(), []Measure{MultiScaleSSIM()})
	asked := 0
	c.SetMeasures = []SetMeasure{PositionFrechetDistance(func(m metric.Image, _ int) (distribution.Matrix[float32], error) {
		asked++
		out := distribution.Matrix[float32]{N: 40, D: 2, Values: make([]float32, 80)}
		for i := range out.Values {
			out.Values[i] = float32(m.Pix[3*i])
		}
		return out, nil
	}, "v")}
	r := mustRun(t, c)
	if len(r.Columns) != 3 || r.Columns[2].Key != "squeezenet_position_frechet_distance" {
		t.Fatalf("columns %+v", r.Columns)
	}
	near, far := r.Methods[0].Cells[2], r.Methods[1].Cells[2]
	if !(near.Mean < far.Mean) || !near.Best || near.N != 2 || asked != 6 {
		t.Errorf("distances %v and %v, vectors of %d images, want 6", near.Mean, far.Mean, asked)
	}
	hr := picture8(48, 42, 0)
	hr = cut(hr, 0, 0, 40, 48)
	sr := metric.Image{Height: 40, Width: 48, Pix: bytes.Clone(hr.Pix)}
	for i := range sr.Pix { // the border alone is wrong
		if x, y := i/3%48, i/3/48; x < 4 || y < 4 || x >= 44 || y >= 36 {
			sr.Pix[i] = 0
		}
	}
	if v, err := LumaMeasures()[0].Of(&Pair{HR: hr, SR: sr, Scale: 4}); err != nil || !math.IsInf(v, 1) {
		t.Errorf("PSNR Y of images that differ at the border alone: %v, %v", v, err)
	}
}
