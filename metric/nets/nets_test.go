package nets

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sr3-go/sr3/checkpoint"
	"github.com/sr3-go/sr3/metric"
)

// small is a network as testdata/generate.py has it.
func small(kind Kind) architecture {
	a := architecture{kind: kind, divisor: 16, hidden: 32, classes: 10}
	if kind == MobileNetV2 {
		a.divisor = 8
	}
	return a
}

func smallFile(kind Kind) string { return filepath.Join("testdata", string(kind)+".pth") }

func mustLoad(t testing.TB, a architecture, path string) *Network {
	t.Helper()
	n, err := load(a, path)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// testImage is the n-th of the images of testdata/generate.py.
func testImage(n, height, width int) metric.Image {
	img := metric.Image{Height: height, Width: width}
	for y := range height {
		for x := range width {
			for c := range 3 {
				smooth := (x*(3+n)/2 + y*(2+c)) % 192
				rough := (x*7919 + y*104729 + c*31 + n*977 + (x*y)%101*13) % 64
				img.Pix = append(img.Pix, uint8(smooth+rough))
			}
		}
	}
	return img
}

// testImages is a batch of them.
func testImages(t testing.TB, count, side int) Images {
	t.Helper()
	var list []Images
	for i := range count {
		list = append(list, FromImage(testImage(i, side, side)))
	}
	batch, err := Join(list...)
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

// golden reads what PyTorch computed under a name.
func golden(t testing.TB, name string, into any) {
	t.Helper()
	data, err := os.ReadFile("testdata/pytorch.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(all[name], into); err != nil {
		t.Fatal(err)
	}
}

// compare demands agreement to a share of the range of the wanted values.
func compare(t *testing.T, what string, got []float32, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) || len(want) == 0 {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	span, worst := slices.Max(want)-slices.Min(want), 0.0
	for i, v := range want {
		worst = max(worst, math.Abs(float64(got[i])-v))
	}
	if t.Logf("%s: off by at most %.2g of the range %.3g", what, worst/span, span); !(worst <= tolerance*span) || span < 0.1 {
		t.Errorf("%s: off by %g in a range of %g", what, worst, span)
	}
}

func wide(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

func TestNetworksAgreeWithPyTorch(t *testing.T) {
	for _, kind := range Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			var want struct{ Features, Logits []float64 }
			golden(t, string(kind), &want)
			n := mustLoad(t, small(kind), smallFile(kind))
			out, err := n.Run(testImages(t, 2, kind.Side()), 2)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, "features", out.Features, want.Features, 1e-4)
			compare(t, "logits", out.Logits, want.Logits, 1e-4)
		})
	}
}

// The two Inceptions differ in their pooling: one's weights in the other give other
// features.
func TestInceptionsDiffer(t *testing.T) {
	a, b := mustLoad(t, small(InceptionFID), smallFile(InceptionFID)), mustLoad(t, small(InceptionV3), smallFile(InceptionFID))
	images := testImages(t, 1, 299)
	x, err := a.Features(images, 2)
	if err != nil {
		t.Fatal(err)
	}
	y, err := b.Features(images, 2)
	if err != nil {
		t.Fatal(err)
	}
	worst := 0.0
	for i := range x {
		worst = max(worst, math.Abs(float64(x[i]-y[i])))
	}
	if worst < 0.01 {
		t.Errorf("features differ by at most %g", worst)
	}
}

func TestAlexNetFromONNX(t *testing.T) {
	var want struct{ Features, Logits []float64 }
	golden(t, string(AlexNet), &want)
	n := mustLoad(t, small(AlexNet), "testdata/alexnet.onnx")
	out, err := n.Run(testImages(t, 2, AlexNet.Side()), 1)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "features", out.Features, want.Features, 1e-4)
	compare(t, "logits", out.Logits, want.Logits, 1e-4)
}

// stateDict reads the tensors of a test file.
func stateDict(t testing.TB, kind Kind) map[string]*checkpoint.Tensor {
	t.Helper()
	list, err := checkpoint.StateDict(smallFile(kind))
	if err != nil {
		t.Fatal(err)
	}
	tensors := map[string]*checkpoint.Tensor{}
	for _, e := range list {
		tensors[e.Name] = e.Tensor
	}
	return tensors
}

func writeSafetensors(t testing.TB, tensors map[string]*checkpoint.Tensor) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "weights.safetensors")
	if _, err := checkpoint.Write(path, &checkpoint.File{Tensors: tensors}); err != nil {
		t.Fatal(err)
	}
	return path
}

func floats(t testing.TB, x *checkpoint.Tensor) []float32 {
	t.Helper()
	v, err := x.Float32s()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func run(t testing.TB, n *Network, images Images) Outputs {
	t.Helper()
	out, err := n.Run(images, 1)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSafetensorsAreTheSame(t *testing.T) {
	n := mustLoad(t, small(MobileNetV2), smallFile(MobileNetV2))
	m := mustLoad(t, small(MobileNetV2), writeSafetensors(t, stateDict(t, MobileNetV2)))
	images := testImages(t, 1, 224)
	if x, y := run(t, n, images), run(t, m, images); !slices.Equal(x.Logits, y.Logits) {
		t.Errorf("logits %v and %v", x.Logits, y.Logits)
	}
}

// A file whose convolutions have the normalisations in them already is read too.
func TestMergedNormalisations(t *testing.T) {
	tensors := stateDict(t, ResNet50)
	for _, l := range small(ResNet50).layers(true) {
		if l.norm == "" {
			continue
		}
		part := func(name string) []float32 { return floats(t, tensors[l.norm+"."+name]) }
		gamma, beta, mean, variance := part("weight"), part("bias"), part("running_mean"), part("running_var")
		w, bias := floats(t, tensors[l.weightLabel()]), make([]float32, l.out)
		for o := range l.out {
			s := gamma[o] / float32(math.Sqrt(float64(variance[o])+1e-5))
			bias[o] = beta[o] - mean[o]*s
			for i := range len(w) / l.out {
				w[o*len(w)/l.out+i] *= s
			}
		}
		tensors[l.weightLabel()] = checkpoint.FromFloat32(l.fileShape(), w)
		tensors[l.biasLabel()] = checkpoint.FromFloat32([]int{l.out}, bias)
		for name := range tensors {
			if strings.HasPrefix(name, l.norm+".") {
				delete(tensors, name)
			}
		}
	}
	n := mustLoad(t, small(ResNet50), smallFile(ResNet50))
	m := mustLoad(t, small(ResNet50), writeSafetensors(t, tensors))
	images := testImages(t, 1, 224)
	compare(t, "logits", run(t, m, images).Logits, wide(run(t, n, images).Logits), 1e-5)
}

// caffeBlob writes an array in the old format, with four axes.
func caffeBlob(dims []int, values []float32) []byte {
	var b []byte
	for i := range 4 {
		v := 1
		if k := i - 4 + len(dims); k >= 0 {
			v = dims[k]
		}
		b = protowire.AppendVarint(protowire.AppendTag(b, protowire.Number(i+1), protowire.VarintType), uint64(v))
	}
	var raw []byte
	for _, v := range values {
		raw = protowire.AppendFixed32(raw, math.Float32bits(v))
	}
	return protowire.AppendBytes(protowire.AppendTag(b, 5, protowire.BytesType), raw)
}

// caffeVGG writes the test weights of VGG16 as the network's authors did: blue
// comes first.
func caffeVGG(t testing.TB) []byte {
	t.Helper()
	message := func(b []byte, number protowire.Number, content []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), content)
	}
	tensors := stateDict(t, VGG16)
	var file []byte
	for i, l := range small(VGG16).layers(true) {
		w := floats(t, tensors[l.weightLabel()])
		if i == 0 {
			taps := l.kh * l.kw
			for o := range l.out {
				for k := range taps {
					at := o*3*taps + k
					w[at], w[at+2*taps] = w[at+2*taps], w[at]
				}
			}
		}
		layer := message(nil, 4, []byte(caffeNames[i]))
		layer = message(layer, 6, caffeBlob(l.fileShape(), w))
		layer = message(layer, 6, caffeBlob([]int{l.out}, floats(t, tensors[l.biasLabel()])))
		file = message(file, 2, layer)
	}
	return file
}

func TestVGG16FromCaffe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vgg.caffemodel")
	if err := os.WriteFile(path, caffeVGG(t), 0o644); err != nil {
		t.Fatal(err)
	}
	n := mustLoad(t, small(VGG16), path)
	if n.scale != caffeScaling() {
		t.Error("the samples are not scaled as Caffe's")
	}
	m := mustLoad(t, small(VGG16), smallFile(VGG16))
	m.scale = caffeScaling() // the same weights in R, G, B
	images := testImages(t, 1, 224)
	x, y := run(t, n, images), run(t, m, images)
	if !slices.Equal(x.Logits, y.Logits) || x.Logits[0] == 0 {
		t.Errorf("logits %v and %v", x.Logits, y.Logits)
	}
}

// Full-size networks have the numbers of parameters that their publishers state.
func TestFullSize(t *testing.T) {
	for kind, want := range map[Kind]int{
		InceptionFID: 23_834_568 + 8*2049, InceptionV3: 23_834_568, // without the 3,326,696 of the auxiliary classifier
		ResNet50: 25_557_032, VGG16: 138_357_544, AlexNet: 61_100_840, MobileNetV2: 3_504_872,
	} {
		got := 0
		for _, l := range fullSize(kind).layers(true) {
			got += l.parameters()
		}
		if got != want {
			t.Errorf("%s has %d parameters, want %d", kind, got, want)
		}
	}
}

// What [Kind] promises is what graphs have.
func TestSizes(t *testing.T) {
	for _, kind := range Kinds() {
		layers := fullSize(kind).layers(true)
		last := layers[len(layers)-1]
		if last.in != kind.Features() || last.out != kind.Classes() {
			t.Errorf("%s: %d features and %d classes, promised %d and %d", kind, last.in, last.out, kind.Features(), kind.Classes())
		}
		if k, err := ParseKind(string(kind)); err != nil || k != kind || kind.Weights() == "" {
			t.Errorf("%s: %v, %v", kind, k, err)
		}
	}
	if _, err := ParseKind("resnet18"); err == nil || !strings.Contains(err.Error(), "inception-fid, inception-v3") {
		t.Errorf("error %v", err)
	}
}

func TestThreadsAndBatches(t *testing.T) {
	n := mustLoad(t, small(AlexNet), smallFile(AlexNet))
	images := testImages(t, runBatch+3, 224)
	want := run(t, n, images)
	for _, threads := range []int{0, 2, 3} {
		got, err := n.Run(images, threads)
		if err != nil || !slices.Equal(got.Logits, want.Logits) || !slices.Equal(got.Features, want.Features) {
			t.Errorf("%d threads give other numbers than one (%v)", threads, err)
		}
	}
	size := len(images.Pix) / images.N
	var one []float32
	for i := range images.N {
		one = append(one, run(t, n, Images{1, 224, 224, images.Pix[i*size : (i+1)*size]}).Logits...)
	}
	compare(t, "logits one by one", one, wide(want.Logits), 1e-5)
	if len(n.idle) > 2 {
		t.Errorf("%d programs are kept", len(n.idle))
	}
}

func TestConcurrentUse(t *testing.T) {
	n := mustLoad(t, small(AlexNet), smallFile(AlexNet))
	images := testImages(t, 2, 224)
	want := run(t, n, images)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 3 {
				if got, err := n.Logits(images, 1); err != nil || !slices.Equal(got, want.Logits) {
					t.Errorf("other numbers beside others (%v)", err)
				}
			}
		})
	}
	wg.Wait()
}

func TestClassify(t *testing.T) {
	n := mustLoad(t, small(AlexNet), smallFile(AlexNet))
	img := testImage(0, 224, 224)
	p, err := n.Classify(img)
	if err != nil {
		t.Fatal(err)
	}
	logits := run(t, n, FromImage(img)).Logits
	sum := 0.0
	for i, v := range p {
		sum += float64(v)
		if ratio := math.Exp(float64(logits[i] - logits[0])); math.Abs(float64(v)-ratio*float64(p[0])) > 1e-5 {
			t.Errorf("class %d has %g, class 0 %g, logits %g and %g", i, v, p[0], logits[i], logits[0])
		}
	}
	if math.Abs(sum-1) > 1e-5 {
		t.Errorf("the probabilities sum to %g", sum)
	}
}

func TestWithoutBias(t *testing.T) {
	n := mustLoad(t, small(InceptionFID), smallFile(InceptionFID))
	out := run(t, n, testImages(t, 1, 299))
	logits := slices.Clone(out.Logits)
	n.WithoutBias(logits)
	w := floats(t, stateDict(t, InceptionFID)["fc.weight"])
	for i := range logits {
		want := 0.0
		for k, f := range out.Features {
			want += float64(f) * float64(w[i*len(out.Features)+k])
		}
		if math.Abs(float64(logits[i])-want) > 1e-4 || math.Abs(float64(out.Logits[i])-want) < 1e-5 {
			t.Errorf("class %d: %g, with the bias %g, want %g", i, logits[i], out.Logits[i], want)
		}
	}
}

func TestImagesThatDoNotFit(t *testing.T) {
	n := mustLoad(t, small(AlexNet), smallFile(AlexNet))
	for want, images := range map[string]Images{
		"0 images":          {0, 224, 224, nil},
		"100x224":           {1, 224, 100, make([]float32, 3*224*100)},
		"samples, want":     {2, 224, 224, make([]float32, 3*224*224)},
		"100x100|224x224:c": FromImage(testImage(0, 100, 100)),
	} {
		_, err := n.Run(images, 1)
		for w := range strings.SplitSeq(strings.ReplaceAll(want, ":c", ": crop or resize"), "|") {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("error %v, want %q", err, w)
			}
		}
	}
	if _, err := n.Classify(metric.Image{Height: 224, Width: 224, Pix: make([]uint8, 5)}); err == nil {
		t.Error("5 samples pass as an image")
	}
}

func TestBilinear(t *testing.T) {
	var cases []struct {
		Height, Width int
		ToHeight      int `json:"to_height"`
		ToWidth       int `json:"to_width"`
		Pix           []float64
	}
	golden(t, "bilinear", &cases)
	for _, c := range cases {
		got, err := Bilinear(testImage(0, c.Height, c.Width), c.ToHeight, c.ToWidth)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, fmt.Sprintf("%dx%d to %dx%d", c.Width, c.Height, c.ToWidth, c.ToHeight), got.Pix, c.Pix, 1e-6)
	}
	if _, err := Bilinear(testImage(0, 4, 4), 0, 4); err == nil {
		t.Error("an image without rows was made")
	}
}

func TestSoftmaxOfRows(t *testing.T) {
	p := []float32{0, 0, 1000, 1000, 1, 2}
	Softmax(p, 2)
	want := []float64{0.5, 0.5, 0.5, 0.5, 1 / (1 + math.E), math.E / (1 + math.E)}
	compare(t, "probabilities", p, want, 1e-6)
}
