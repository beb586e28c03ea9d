package nets_test

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/baseline"
	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/internal/eval"
	"github.com/sr3-go/sr3/internal/philox"
	"github.com/sr3-go/sr3/metric"
	"github.com/sr3-go/sr3/metric/accuracy"
	"github.com/sr3-go/sr3/metric/distribution"
	"github.com/sr3-go/sr3/metric/nets"
)

// truths writes images whose sides divide by 4, so that they are the truths of a
// table as they are.
func truths(t *testing.T, n, side int) (dir string, images []metric.Image) {
	t.Helper()
	dir = t.TempDir()
	for k := range n {
		noise := philox.New(uint64(k), 1)
		m := image.NewNRGBA(image.Rect(0, 0, side, side))
		for y := range side {
			for x := range side {
				v := 120 + 60*math.Sin(float64(x*(k+1))/9) + 50*math.Cos(float64(y)/float64(4+k)) + 20*noise.Float64(uint64(y*side+x))
				m.SetNRGBA(x, y, color.NRGBA{uint8(v), uint8(v * float64(k+1) / float64(n+1)), uint8(255 - v), 255})
			}
		}
		var buf bytes.Buffer
		if err := errors.Join(png.Encode(&buf, m), os.WriteFile(filepath.Join(dir, fmt.Sprintf("%c.png", 'a'+k)), buf.Bytes(), 0o666)); err != nil {
			t.Fatal(err)
		}
		images = append(images, read(t, filepath.Join(dir, fmt.Sprintf("%c.png", 'a'+k))))
	}
	return dir, images
}

func read(t *testing.T, path string) metric.Image {
	t.Helper()
	img, err := imageio.ReadFile(path, imageio.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return metric.Image{Height: img.Height, Width: img.Width, Pix: img.RGB8()}
}

// methods opens rows of a table.
func methods(t *testing.T, names ...string) (list []baseline.Method) {
	t.Helper()
	for _, name := range names {
		spec, err := baseline.ParseSpec(name)
		if err != nil {
			t.Fatal(err)
		}
		m, err := (&baseline.Opener{Threads: 1}).Open(spec)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, m)
	}
	return list
}

func run(t *testing.T, c eval.Config) *eval.Report {
	t.Helper()
	r, err := eval.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// enlarged is what a method makes of a truth.
func enlarged(t *testing.T, m baseline.Method, lr metric.Image, side int) metric.Image {
	t.Helper()
	in, err := imageio.FromRGB8(lr.Width, lr.Height, lr.Pix)
	if err != nil {
		t.Fatal(err)
	}
	out, err := m.Upscale(t.Context(), baseline.Input{LR: in, Width: side, Height: side})
	if err != nil {
		t.Fatal(err)
	}
	return metric.Image{Height: side, Width: side, Pix: out.RGB8()}
}

// cell is a value of a table by the column's key.
func cell(t *testing.T, r *eval.Report, method int, key string) eval.Cell {
	t.Helper()
	k := slices.IndexFunc(r.Columns, func(c eval.Column) bool { return c.Key == key })
	if k < 0 {
		t.Fatalf("no column %s; problems %+v", key, r.Problems)
	}
	return r.Methods[method].Cells[k]
}

// The columns of Inception-v3 are the arithmetic of package distribution on what
// the network says of truths and results; a later run takes that from the disk.
func TestInceptionColumns(t *testing.T) {
	n, err := nets.LoadSmall(nets.InceptionFID, filepath.Join("testdata", "inception-fid.pth"))
	if err != nil {
		t.Fatal(err)
	}
	dir, hr := truths(t, 3, 40)
	out := t.TempDir()
	w := eval.Weights{Path: "some/inception.pth", Digest: strings.Repeat("ab", 32), Published: true}
	c := eval.Config{Data: eval.Data{Dir: dir, Scale: 4}, Methods: methods(t, "truth="+dir, "nearest"), Measures: eval.StandardMeasures(),
		SetMeasures: eval.InceptionMeasures(n, w, filepath.Join(out, "features")), Out: out, Threads: 2}
	r := run(t, c)
	truth := inception(t, n, hr)
	for m, folder := range [][]metric.Image{hr, nil} {
		if folder == nil {
			for _, img := range hr {
				low := enlarged(t, methods(t, "bicubic")[0], img, 10)
				folder = append(folder, enlarged(t, c.Methods[1], low, 40))
			}
		}
		result := inception(t, n, folder)
		fid, err1 := distribution.FrechetDistance(matrix(truth.Features, 3), matrix(result.Features, 3))
		kid, err2 := distribution.KernelDistance(matrix(truth.Features, 3), matrix(result.Features, 3))
		n.WithoutBias(result.Logits)
		nets.Softmax(result.Logits, len(result.Logits)/3)
		is, _, err3 := distribution.InceptionScore(matrix(result.Logits, 3), 1)
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Fatal(err)
		}
		for key, want := range map[string]float64{"fid": fid, "kid": kid, "inception_score": is} {
			got := cell(t, r, m, key)
			if math.Abs(float64(got.Mean)-want) > 1e-5*math.Abs(want)+1e-7 || got.N != 3 {
				t.Errorf("%s of %s: %v of %d images, want %v", key, c.Methods[m].Info().Name, got.Mean, got.N, want)
			}
		}
	}
	if cell(t, r, 1, "fid").Mean <= cell(t, r, 0, "fid").Mean+1e-6 {
		t.Error("the FID does not tell the truths from blocks")
	}
	text := r.Markdown()
	for _, want := range []string{"FID ↓", "KID ↓", "IS ↑", "FID: 3 images are fewer than the 2048 features", "FID, KID, IS: weights inception.pth, SHA-256 abababababab, as published."} {
		if !strings.Contains(text, want) {
			t.Errorf("the table does not say %q:\n%s", want, text)
		}
	}
	checkStored(t, c, out, text)
}

// checkStored spoils one kept file: it alone is computed again, and the table stays.
func checkStored(t *testing.T, c eval.Config, out, want string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(out, "features", "abababababababab", "*", "*.f32"))
	if err != nil || len(files) != 6 {
		t.Fatalf("%d files are kept, want one for each of 3 truths and 3 results (%v)", len(files), err)
	}
	if err := os.WriteFile(files[0], []byte("no features, but as long as four of them"), 0o666); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(files[1])
	if err != nil {
		t.Fatal(err)
	}
	if text := run(t, c).Markdown(); text != want {
		t.Errorf("another table from kept features:\n%s", text)
	}
	if after, err := os.Stat(files[1]); err != nil || !os.SameFile(before, after) {
		t.Errorf("features that were kept are computed again (%v)", err)
	}
	if data, err := os.ReadFile(files[0]); err != nil || bytes.HasPrefix(data, []byte("no")) {
		t.Errorf("a spoilt file stays (%v)", err)
	}
}

func inception(t *testing.T, n *nets.Network, images []metric.Image) nets.Outputs {
	t.Helper()
	var list []nets.Images
	for _, m := range images {
		resized, err := nets.Bilinear(m, 299, 299)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, resized)
	}
	batch, err := nets.Join(list...)
	if err != nil {
		t.Fatal(err)
	}
	out, err := n.Run(batch, 1)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func matrix(values []float32, n int) distribution.Matrix[float32] {
	return distribution.Matrix[float32]{N: n, D: len(values) / n, Values: values}
}

// Files that are not the published ones give columns of other names.
func TestNamesOfColumns(t *testing.T) {
	n, err1 := nets.LoadSmall(nets.InceptionFID, filepath.Join("testdata", "inception-fid.pth"))
	l, err2 := nets.LoadSmallLPIPS(nets.AlexNet, filepath.Join("testdata", "alexnet.pth"), filepath.Join("testdata", "lpips-alexnet.pth"))
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	other, known := eval.Weights{Path: "x.pth", Digest: "00"}, eval.Weights{Path: "x.pth", Digest: "00", Published: true}
	for _, m := range eval.InceptionMeasures(n, other, t.TempDir()) {
		if slices.Contains([]string{"FID", "KID", "IS"}, m.Title) || slices.Contains([]string{"fid", "kid", "inception_score"}, m.Key) || !strings.Contains(m.About, "so it is not called ") {
			t.Errorf("%s: %s", m.Title, m.About)
		}
	}
	for _, pair := range [][2]eval.Weights{{known, other}, {other, known}} {
		if m := eval.LPIPS(nets.AlexNet, l, pair[0], pair[1]); strings.HasPrefix(m.Title, "LPIPS") || strings.HasPrefix(m.Key, "lpips") {
			t.Errorf("%s: %s", m.Title, m.About)
		}
	}
	published := "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
	if !nets.InceptionFID.Published(published) || nets.InceptionV3.Published(published) || nets.InceptionFID.Published("") {
		t.Error("Published does not know the file for FID")
	}
	heads := "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0"
	if !nets.LPIPSHeadsPublished(nets.AlexNet, heads) || nets.LPIPSHeadsPublished(nets.VGG16, heads) || nets.LPIPSHeadsPublished(nets.ResNet50, heads) {
		t.Error("LPIPSHeadsPublished does not know alex.pth")
	}
	for _, kind := range nets.Kinds() { // the digits stand in the names
		found := false
		for field := range strings.FieldsFuncSeq(kind.Weights(), func(r rune) bool { return !strings.ContainsRune("0123456789abcdef", r) }) {
			found = found || len(field) == 8 && kind.Published(field+strings.Repeat("0", 56))
		}
		if !found {
			t.Errorf("%s: no file of %q is known", kind, kind.Weights())
		}
	}
}

func TestLPIPSColumn(t *testing.T) {
	l, err := nets.LoadSmallLPIPS(nets.VGG16, filepath.Join("testdata", "vgg16.pth"), filepath.Join("testdata", "lpips-vgg16.pth"))
	if err != nil {
		t.Fatal(err)
	}
	dir, hr := truths(t, 2, 40)
	w := eval.Weights{Path: "w.pth", Digest: "01", Published: true}
	c := eval.Config{Data: eval.Data{Dir: dir, Scale: 4}, Methods: methods(t, "truth="+dir, "nearest"), Out: t.TempDir(), Threads: 1,
		Measures: append(eval.StandardMeasures(), eval.LPIPS(nets.VGG16, l, w, w))}
	r := run(t, c)
	want := 0.0
	for _, img := range hr {
		low := enlarged(t, methods(t, "bicubic")[0], img, 10)
		d, err := l.Distance(img, enlarged(t, c.Methods[1], low, 40), 1)
		if err != nil {
			t.Fatal(err)
		}
		want += d / 2
	}
	same, other := cell(t, r, 0, "lpips_vgg16"), cell(t, r, 1, "lpips_vgg16")
	if same.Mean != 0 || !same.Best || math.Abs(float64(other.Mean)-want) > 1e-9 || want <= 0 {
		t.Errorf("LPIPS %v and %v, want 0 and %v", same.Mean, other.Mean, want)
	}
}

// The table of a classifier's errors is that of package accuracy.
func TestClassificationTable(t *testing.T) {
	n, err := nets.LoadSmall(nets.ResNet50, filepath.Join("testdata", "resnet50.pth"))
	if err != nil {
		t.Fatal(err)
	}
	dir, hr := truths(t, 4, 260)
	labels := map[string]int{}
	for k := range hr {
		labels[string(rune('a'+k))] = 2 * k
	}
	classify := func(img metric.Image, threads int) ([]float32, error) { return n.Logits(nets.FromImage(img), threads) }
	c := eval.Config{Data: eval.Data{Dir: dir, Scale: 4}, Methods: methods(t, "nearest", "bicubic"), Measures: eval.StandardMeasures()[:1], Out: t.TempDir(), Threads: 2,
		Classification: &eval.Classification{Network: "resnet50", Side: 224, Weights: eval.Weights{Path: "r.pth", Digest: "02"}, Classify: classify, Labels: labels}}
	r := run(t, c)
	for row := range r.Accuracy.Rows {
		var tally accuracy.Tally
		for k, img := range hr {
			prepared, err := accuracy.Crop(img)
			if err != nil {
				t.Fatal(err)
			}
			if row > 0 {
				low, err := accuracy.Input(prepared)
				if err != nil {
					t.Fatal(err)
				}
				if prepared, err = accuracy.Output(enlarged(t, c.Methods[row-1], low, 256), 224); err != nil {
					t.Fatal(err)
				}
			}
			scores, err := classify(prepared, 1)
			if err := errors.Join(err, tally.Add(scores, 2*k)); err != nil {
				t.Fatal(err)
			}
		}
		got := r.Accuracy.Rows[row]
		if float64(got.Top1.Mean) != tally.Top1Error() || float64(got.Top5.Mean) != tally.Top5Error() || got.Top1.N != 4 {
			t.Errorf("%s: errors %v and %v, want %v and %v", got.Method, got.Top1.Mean, got.Top5.Mean, tally.Top1Error(), tally.Top5Error())
		}
	}
}
