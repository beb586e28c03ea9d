package squeezenet

import (
	"bytes"
	"encoding/json"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sr3-go/sr3/internal/netfile"
	"github.com/sr3-go/sr3/internal/tiling"
	"github.com/sr3-go/sr3/metric"
)

func readPNG(t *testing.T, path string) metric.Image {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	b := img.Bounds()
	out := metric.Image{Height: b.Dy(), Width: b.Dx()}
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			c := [4]uint32{}
			c[0], c[1], c[2], c[3] = img.At(x, y).RGBA()
			out.Pix = append(out.Pix, uint8(c[0]>>8), uint8(c[1]>>8), uint8(c[2]>>8))
		}
	}
	return out
}

// crop takes h rows and w columns from (y, x).
func crop(m metric.Image, y, x, h, w int) metric.Image {
	out := metric.Image{Height: h, Width: w}
	for r := y; r < y+h; r++ {
		out.Pix = append(out.Pix, m.Pix[3*(r*m.Width+x):3*(r*m.Width+x+w)]...)
	}
	return out
}

// noisy adds noise of a deviation to an image.
func noisy(m metric.Image, deviation float64) metric.Image {
	r := rand.New(rand.NewPCG(1, 2))
	out := metric.Image{Height: m.Height, Width: m.Width, Pix: slices.Clone(m.Pix)}
	for i, v := range out.Pix {
		out.Pix[i] = uint8(min(max(float64(v)+deviation*r.NormFloat64(), 0), 255))
	}
	return out
}

// random is an image of noise.
func random(h, w int) metric.Image {
	return noisy(metric.Image{Height: h, Width: w, Pix: bytes.Repeat([]byte{128}, 3*h*w)}, 60)
}

func mustParse(t testing.TB, f *onnxFile) (*Network, *netfile.Model) {
	t.Helper()
	data := f.bytes()
	n, err := parse(data)
	if err != nil {
		t.Fatal(err)
	}
	m, err := netfile.ParseONNX(data)
	if err != nil {
		t.Fatal(err)
	}
	return n, m
}

func compareDistance(t *testing.T, n *Network, m *netfile.Model, a, b metric.Image) {
	t.Helper()
	want := interpretedDistance(m, a, b)
	got, err := n.Distance(a, b, 1)
	if err != nil {
		t.Fatal(err)
	}
	if !(math.Abs(got-want) <= 1e-5*want) || want < 1e-3 {
		t.Errorf("%dx%d: distance %.9g, by the definition %.9g", a.Width, a.Height, got, want)
	}
}

func TestDistanceFollowsItsDefinition(t *testing.T) {
	n, m := mustParse(t, newONNX(1))
	for _, size := range [][2]int{{31, 31}, {36, 53}} {
		x := random(size[0], size[1])
		compareDistance(t, n, m, x, noisy(x, 10))
		compareDistance(t, n, m, x, metric.Image{Height: size[0], Width: size[1], Pix: make([]uint8, len(x.Pix))})
	}
}

func TestDistanceIsADistance(t *testing.T) {
	n, _ := mustParse(t, newONNX(2))
	x := random(64, 47)
	distance := func(a, b metric.Image, threads int) float64 {
		d, err := n.Distance(a, b, threads)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	if d := distance(x, x, 1); d != 0 {
		t.Errorf("an image is %g from itself", d)
	}
	near, far := noisy(x, 4), noisy(x, 40)
	if a, b := distance(x, near, 1), distance(x, far, 1); !(0 < a && a < b && b < 18) {
		t.Errorf("distance %g with a little noise, %g with much", a, b)
	}
	want := distance(x, far, 1)
	if got := distance(far, x, 1); math.Abs(got-want) > 1e-12 {
		t.Errorf("%g one way, %g the other", want, got)
	}
	for _, threads := range []int{0, 2, 3} {
		if got := distance(x, far, threads); got != want {
			t.Errorf("%d threads give %v, one gives %v", threads, got, want)
		}
	}
}

// Tiles change nothing, whatever is left over at the ends.
func TestTilesGiveTheDistanceOfTheWhole(t *testing.T) {
	n, _ := mustParse(t, newONNX(7))
	for _, c := range []struct{ height, width, core int }{{401, 40, 64}, {40, 369, 48}, {401, 390, 160}} {
		x := random(c.height, c.width)
		y := noisy(x, 20)
		want, err := n.distance(x, y, 1, core)
		if err != nil {
			t.Fatal(err)
		}
		tiles := len(tiling.Cut(c.height, c.core, halo)) * len(tiling.Cut(c.width, c.core, halo))
		got, err := n.distance(x, y, 2, c.core)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(got-want) > 1e-6*want || tiles < 2 {
			t.Errorf("%+v in %d tiles: %.9g, whole %.9g", c, tiles, got, want)
		}
	}
}

// All positions of all stages belong to exactly one tile.
func TestTilesCoverEveryPosition(t *testing.T) {
	for n := MinSide; n < 4000; n += 1 + n/50 {
		for i, s := range stages(n) {
			next := 0
			for _, tile := range tiling.Cut(n, core, halo) {
				low, high := tile.Positions(s.jump, s.size)
				low, high = low+tile.From/s.jump, high+tile.From/s.jump
				if low != min(next, s.size) || high < low || tile.To-tile.From > core+2*halo {
					t.Fatalf("side %d, stage %d: tile %+v has positions %d to %d, want them from %d", n, i, tile, low, high, next)
				}
				next = high
			}
			if next != s.size {
				t.Errorf("side %d, stage %d: %d of %d positions", n, i, next, s.size)
			}
		}
	}
}

func TestClassifyFollowsTheFile(t *testing.T) {
	n, m := mustParse(t, newONNX(3))
	x := random(ClassifySide, ClassifySide)
	got, err := n.Classify(x)
	if err != nil {
		t.Fatal(err)
	}
	want := interpret(m, x)["p"].v
	for i := range want {
		if !(math.Abs(float64(got[i])-want[i]) <= 1e-4) || len(got) != Classes {
			t.Fatalf("class %d of %d has probability %g, want %g", i, len(got), got[i], want[i])
		}
	}
	if top := slices.Max(want); top < 1e-3 {
		t.Errorf("all probabilities are below %g: nothing was compared", top)
	}
}

func TestImagesThatDoNotFit(t *testing.T) {
	n, _ := mustParse(t, newONNX(4))
	a := random(40, 50)
	_, size := n.Distance(a, random(50, 40), 1)
	_, small := n.Distance(random(30, 50), random(30, 50), 1)
	_, samples := n.Distance(a, metric.Image{Height: 40, Width: 50, Pix: a.Pix[:20]}, 1)
	_, class := n.Classify(a)
	for want, err := range map[string]error{"one size|50x40|40x50": size, "50x30|at least 31": small, "20 samples": samples, "50x40|224x224": class} {
		if err == nil || !words(err.Error(), want) {
			t.Errorf("error %v, want words %q", err, want)
		}
	}
}

// Each case breaks a valid file in one way.
func TestOtherNetworksAreRefused(t *testing.T) {
	for want, change := range map[string]func(f *onnxFile){
		"outputs|p":               func(f *onnxFile) { f.outputs = append(f.outputs, "c1") },
		"1 nodes too many":        func(f *onnxFile) { f.node("Relu", "more", nil, "other") },
		"2 inputs":                func(f *onnxFile) { f.inputs = append(f.inputs, "mask") },
		"two tensors|c1_w":        func(f *onnxFile) { f.tensors = append(f.tensors, f.tensors[0]) },
		"c1_w|no tensors":         func(f *onnxFile) { f.tensors = f.tensors[1:]; f.inputs = slices.Delete(f.inputs, 1, 2) },
		"c1_w|[64 3 3 4]":         func(f *onnxFile) { f.tensors[0].dims = []int{64, 3, 3, 4} },
		"c1_w|bytes":              func(f *onnxFile) { f.tensors[0].cut = 2 },
		"c1_w|+Inf|damaged":       func(f *onnxFile) { f.tensors[0].values[7] = float32(math.Inf(1)) },
		"Conv|strides = [1 1]":    func(f *onnxFile) { f.nodes[0].ints["strides"] = []int64{1, 1} },
		"Conv|lacks":              func(f *onnxFile) { delete(f.nodes[0].ints, "strides") },
		"Conv|group = [2]":        func(f *onnxFile) { f.nodes[0].ints["group"] = []int64{2} },
		"MaxPool|ceil_mode":       func(f *onnxFile) { f.nodes[2].ints["ceil_mode"] = []int64{1} },
		"MaxPool|lacks":           func(f *onnxFile) { f.nodes[2].ints = nil },
		"AveragePool|one MaxPool": func(f *onnxFile) { f.nodes[2].op = "AveragePool" },
		"Concat|does not take":    func(f *onnxFile) { slices.Reverse(f.nodes[9].inputs) },
		"Concat|joins":            func(f *onnxFile) { f.nodes[9].inputs[1] = "other" },
		"Concat|axis = [2]":       func(f *onnxFile) { f.nodes[9].ints["axis"] = []int64{2} },
		"expand3x3|a 3x3 conv":    func(f *onnxFile) { f.nodes[7].ints["kernel_shape"] = []int64{5, 5} },
		"more|2 nodes|expand1x1":  func(f *onnxFile) { f.node("Relu", "more", nil, "p_s_relu") },
		"2 inputs, want an image": func(f *onnxFile) { f.nodes[0].inputs = f.nodes[0].inputs[:2] },
		"want one Softmax":        func(f *onnxFile) { f.nodes[len(f.nodes)-1].op = "LogSoftmax" },
		"first input":             func(f *onnxFile) { f.nodes[0].inputs = []string{"c1_w", "image", "c1_b"} },
		"gives nothing":           func(f *onnxFile) { f.nodes[1].outputs = nil },
		"more than 1024 nodes": func(f *onnxFile) {
			for range 1000 {
				f.node("Relu", "more", nil, "other")
			}
		},
	} {
		f := newONNX(5)
		change(f)
		if _, err := parse(f.bytes()); err == nil || !words(err.Error(), want) {
			t.Errorf("error %v, want words %q", err, want)
		}
	}
}

func TestLoadNamesTheFile(t *testing.T) {
	dir := t.TempDir()
	data := newONNX(6).bytes()
	path := func(name string, data []byte) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return p
	}
	if _, err := Load(path("good.onnx", data)); err != nil {
		t.Error(err)
	}
	for _, c := range []struct{ path, want string }{
		{path("empty.onnx", nil), "0 graphs"},
		{path("text.onnx", []byte("hello, this is no model")), "not an ONNX model"},
		{path("cut.onnx", data[:len(data)-100]), "not an ONNX model"},
		{path("large.onnx", make([]byte, maxFile+1)), "larger than 32 MiB"},
		{filepath.Join(dir, "missing.onnx"), "no such file"},
		{dir, "directory"},
	} {
		if _, err := Load(c.path); err == nil || !words(err.Error(), c.want+"|"+c.path) {
			t.Errorf("error %v, want words %q and the path", err, c.want)
		}
	}
}

// FuzzTrace feeds anything to what follows the graph.
func FuzzTrace(f *testing.F) {
	small := &onnxFile{inputs: []string{"image"}, outputs: []string{"p"}}
	small.node("Conv", "c", map[string][]int64{"kernel_shape": {3, 3}, "strides": {2, 2}}, "image", "w", "b")
	small.node("Relu", "p", nil, "c")
	small.tensors = []writtenTensor{{name: "w", dims: []int{1, 1, 1, 2}, values: []float32{1, 2}}, {name: "b", dims: []int{2}, half: true, values: []float32{1, 2}}}
	f.Add(small.bytes())
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0x3a, 0x02, 0x0a, 0x00}, 8))
	f.Add(bytes.Repeat([]byte{0x3b}, 100))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := netfile.ParseONNX(data)
		if err != nil {
			return
		}
		if _, err := trace(m); err == nil && len(data) < 2<<20 {
			t.Errorf("%d bytes are a whole SqueezeNet", len(data))
		}
	})
}

// realNetwork is the network that SR3_SQUEEZENET names.
func realNetwork(t *testing.T) *Network {
	path := os.Getenv("SR3_SQUEEZENET")
	if path == "" {
		t.Skip("set SR3_SQUEEZENET to an ONNX file of SqueezeNet 1.1 to test with its weights")
	}
	n, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// With the real weights too, the distance is what its definition says.
func TestRealWeights(t *testing.T) {
	n := realNetwork(t)
	data, err := os.ReadFile(os.Getenv("SR3_SQUEEZENET"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := netfile.ParseONNX(data)
	if err != nil {
		t.Fatal(err)
	}
	hr := readPNG(t, "../../resample/testdata/coffee_hr.png")
	x := crop(hr, 20, 10, 63, 50)
	compareDistance(t, n, m, x, noisy(x, 8))
	compareDistance(t, n, m, x, crop(hr, 22, 11, 63, 50))
}

// SR3_SQUEEZENET_SAMPLE names a folder of 224x224 images with the top five
// classes that another runtime found, in squeezenet-onnxruntime.json. That
// runtime computes in float16.
func TestRealClasses(t *testing.T) {
	n := realNetwork(t)
	dir := os.Getenv("SR3_SQUEEZENET_SAMPLE")
	if dir == "" {
		t.Skip("set SR3_SQUEEZENET_SAMPLE to a folder of images with squeezenet-onnxruntime.json")
	}
	data, err := os.ReadFile(filepath.Join(dir, "squeezenet-onnxruntime.json"))
	if err != nil {
		t.Fatal(err)
	}
	var sample []struct {
		File     string
		Class    int       `json:"class_index"`
		Top      []int     `json:"top5"`
		TopProbs []float64 `json:"top5_prob"`
	}
	if err := json.Unmarshal(data, &sample); err != nil {
		t.Fatal(err)
	}
	same, right, worst := 0, 0, 0.0
	for _, s := range sample {
		p, err := n.Classify(readPNG(t, filepath.Join(dir, s.File)))
		if err != nil {
			t.Fatal(err)
		}
		top := slices.Index(p, slices.Max(p))
		if top == s.Top[0] {
			same++
		}
		if top == s.Class {
			right++
		}
		for i, class := range s.Top {
			if d := math.Abs(float64(p[class]) - s.TopProbs[i]); d > worst {
				worst = d
				t.Logf("%s: class %d has %.5f, want %.5f", s.File, class, p[class], s.TopProbs[i])
			}
		}
	}
	t.Logf("top-1 as the other runtime's for %d of %d images, right for %d, probabilities within %.5f", same, len(sample), right, worst)
	if len(sample) == 0 || same < len(sample)-1 || worst > 0.01 {
		t.Errorf("%d of %d images have the other runtime's class, probabilities are off by up to %g", same, len(sample), worst)
	}
}
