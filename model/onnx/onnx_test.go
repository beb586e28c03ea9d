package onnx

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sr3-go/sr3/degrade"
	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/unet"
)

// readNode and readTensor are what a file holds, read back.
type readNode struct {
	op              string
	inputs, outputs []string
	ints            map[string][]int64
	texts           map[string]string
}

type readTensor struct {
	dims     []int
	kind     uint64
	raw      []byte
	external map[string]string
}

type readFile struct {
	opset           uint64
	nodes           []readNode
	tensors         map[string]readTensor
	inputs, outputs map[string][]int
	meta            map[string]string
}

// fields visits the fields of a message.
func fields(t *testing.T, b []byte, visit func(number protowire.Number, varint uint64, content []byte)) {
	t.Helper()
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		b = b[n:]
		var varint uint64
		var content []byte
		switch kind {
		case protowire.VarintType:
			varint, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			content, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(number, kind, b)
		}
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		b = b[n:]
		visit(number, varint, content)
	}
}

func varints(t *testing.T, b []byte) []int64 {
	t.Helper()
	var out []int64
	for len(b) > 0 {
		v, n := protowire.ConsumeVarint(b)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		out, b = append(out, int64(v)), b[n:]
	}
	return out
}

func read(t *testing.T, path string) *readFile {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f := &readFile{tensors: map[string]readTensor{}, inputs: map[string][]int{}, outputs: map[string][]int{}, meta: map[string]string{}}
	fields(t, data, func(number protowire.Number, _ uint64, content []byte) {
		switch number {
		case 7:
			f.graph(t, content)
		case 8:
			fields(t, content, func(n protowire.Number, v uint64, _ []byte) {
				if n == 2 {
					f.opset = v
				}
			})
		case 14:
			key, value := pair(t, content)
			f.meta[key] = value
		}
	})
	return f
}

// pair reads a StringStringEntryProto.
func pair(t *testing.T, content []byte) (key, value string) {
	fields(t, content, func(n protowire.Number, _ uint64, text []byte) {
		if n == 1 {
			key = string(text)
		} else {
			value = string(text)
		}
	})
	return key, value
}

func (f *readFile) graph(t *testing.T, b []byte) {
	fields(t, b, func(number protowire.Number, _ uint64, content []byte) {
		switch number {
		case 1:
			f.nodes = append(f.nodes, parseNode(t, content))
		case 5:
			name, x := parseTensor(t, content)
			if _, twice := f.tensors[name]; twice {
				t.Errorf("tensor %s is stored twice", name)
			}
			f.tensors[name] = x
		case 11, 12:
			name, dims := parsePort(t, content)
			if number == 11 {
				f.inputs[name] = dims
			} else {
				f.outputs[name] = dims
			}
		}
	})
}

func parseNode(t *testing.T, b []byte) readNode {
	n := readNode{ints: map[string][]int64{}, texts: map[string]string{}}
	fields(t, b, func(number protowire.Number, _ uint64, content []byte) {
		switch number {
		case 1:
			n.inputs = append(n.inputs, string(content))
		case 2:
			n.outputs = append(n.outputs, string(content))
		case 4:
			n.op = string(content)
		case 5:
			name := ""
			fields(t, content, func(number protowire.Number, v uint64, content []byte) {
				switch number {
				case 1:
					name = string(content)
				case 3:
					n.ints[name] = []int64{int64(v)}
				case 4:
					n.texts[name] = string(content)
				case 8:
					n.ints[name] = varints(t, content)
				}
			})
		}
	})
	return n
}

func parseTensor(t *testing.T, b []byte) (name string, x readTensor) {
	x.external = map[string]string{}
	fields(t, b, func(number protowire.Number, v uint64, content []byte) {
		switch number {
		case 1:
			for _, d := range varints(t, content) {
				x.dims = append(x.dims, int(d))
			}
		case 2:
			x.kind = v
		case 8:
			name = string(content)
		case 9:
			x.raw = content
		case 13:
			key, value := pair(t, content)
			x.external[key] = value
		}
	})
	return name, x
}

func parsePort(t *testing.T, b []byte) (name string, dims []int) {
	fields(t, b, func(number protowire.Number, _ uint64, content []byte) {
		if number == 1 {
			name = string(content)
			return
		}
		fields(t, content, func(_ protowire.Number, _ uint64, tensor []byte) {
			fields(t, tensor, func(number protowire.Number, _ uint64, shape []byte) {
				if number != 2 {
					return
				}
				fields(t, shape, func(_ protowire.Number, _ uint64, dim []byte) {
					fields(t, dim, func(_ protowire.Number, v uint64, _ []byte) { dims = append(dims, int(v)) })
				})
			})
		})
	})
	return name, dims
}

// families are small models of every family and option that changes what is built.
func families(t *testing.T) map[string]*model.Model {
	t.Helper()
	out := map[string]*model.Model{}
	base := unet.Config{InChannels: 6, OutChannels: 3, Channels: 8, Multipliers: []int{1, 2}, Blocks: 1, Attention: []int{8}, ImageSize: 16, Groups: 4}
	add := func(name string, change func(*unet.Config)) {
		cfg := base
		change(&cfg)
		m, err := model.Untrained(name, cfg, 4, 1, 0.02)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out[name] = m
	}
	add("classic", func(c *unet.Config) { c.Family = unet.FamilyClassic })
	add("ddpm", func(c *unet.Config) { c.Family = unet.FamilyDDPM })
	add("unconditional", func(c *unet.Config) { c.Family, c.InChannels = unet.FamilyClassic, 3 })
	add("paper", func(c *unet.Config) { c.Family = unet.FamilyPaper })
	add("paper film concat", func(c *unet.Config) { c.Family, c.FiLM, c.SkipScale = unet.FamilyPaper, true, unet.SkipScaleConcat })
	add("lean", func(c *unet.Config) { c.Family, c.Fold, c.Attention, c.FiLM = unet.FamilyLean, 2, []int{4}, true })
	out["lean told"] = told(t, out["lean"])
	return out
}

// told is a model whose network is also told how its condition was degraded.
func told(t *testing.T, m *model.Model) *model.Model {
	t.Helper()
	c := m.Config
	c.Network.AugmentLevels = degrade.Levels
	c.Condition.Degradation = &degrade.Settings{Noise: degrade.Range{Probability: 1, High: 20}}
	weights, err := unet.Initialize(c.Network, 1)
	if err != nil {
		t.Fatal(err)
	}
	return &model.Model{Config: c, Weights: weights}
}

func exported(t *testing.T, m *model.Model, o Options) (*readFile, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m.onnx")
	if _, err := Export(path, m, o); err != nil {
		t.Fatal(err)
	}
	return read(t, path), path
}

// TestFilesAreWellFormed checks, for every family, sizes and batches: each value is
// made once and before it is used, every weight is stored in full, inputs and
// outputs have the shapes that were asked for, and images are nowhere transposed.
func TestFilesAreWellFormed(t *testing.T) {
	for name, m := range families(t) {
		for _, o := range []Options{{}, {Batch: 3, Height: 32, Width: 16}} {
			t.Run(fmt.Sprintf("%s %d", name, o.Batch), func(t *testing.T) {
				f, _ := exported(t, m, o)
				batch, h, w := max(o.Batch, 1), max(o.Height, 16), max(o.Width, 16)
				level := levelName(m.Config.Network)
				wantIn := map[string][]int{"x": {batch, m.Config.Network.InChannels, h, w}, level: {batch, 1}}
				if k := m.Config.Network.AugmentLevels; k > 0 {
					wantIn["augment"] = []int{batch, k}
				}
				if fmt.Sprint(f.inputs) != fmt.Sprint(wantIn) || fmt.Sprint(f.outputs) != fmt.Sprint(map[string][]int{"prediction": {batch, 3, h, w}}) {
					t.Errorf("inputs %v, outputs %v", f.inputs, f.outputs)
				}
				checkUse(t, f)
				checkWeights(t, f, m)
				checkTransposes(t, f)
				if _, err := model.ParseConfig([]byte(f.meta[model.ConfigKey])); err != nil || f.opset != opsetVersion {
					t.Errorf("operator set %d, configuration: %v", f.opset, err)
				}
			})
		}
	}
}

// checkUse checks that values come before their use and that nothing is there in
// vain.
func checkUse(t *testing.T, f *readFile) {
	t.Helper()
	used, known := map[string]bool{}, map[string]bool{"": true}
	for name := range f.tensors {
		known[name] = true
	}
	for name := range f.inputs {
		known[name] = true
	}
	for _, n := range f.nodes {
		for _, in := range n.inputs {
			if !known[in] {
				t.Fatalf("%s reads %s, which nothing made before", n.op, in)
			}
			used[in] = true
		}
		for _, out := range n.outputs {
			if known[out] {
				t.Fatalf("%s is made twice", out)
			}
			known[out] = true
		}
	}
	used[""], used["prediction"] = true, true
	for name := range known {
		if !used[name] {
			t.Errorf("%s is not used", name)
		}
	}
}

// checkWeights checks that the stored tensors hold every weight once.
func checkWeights(t *testing.T, f *readFile, m *model.Model) {
	t.Helper()
	for name, x := range f.tensors {
		width := map[uint64]int{typeFloat: 4, typeInt64: 8}[x.kind]
		if len(x.raw) != width*graph.Shape(x.dims).Size() {
			t.Errorf("%s %v of type %d has %d bytes", name, x.dims, x.kind, len(x.raw))
		}
	}
	for name, values := range m.Weights {
		got := floats(f.tensors[name].raw)
		if !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(values))) {
			t.Errorf("%s does not have the model's %d values", name, len(values))
		}
	}
}

func floats(raw []byte) []float32 {
	out := make([]float32, len(raw)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return out
}

// checkTransposes checks that only matrices of attention are transposed, one for
// each product.
func checkTransposes(t *testing.T, f *readFile) {
	t.Helper()
	count := map[string]int{}
	for _, n := range f.nodes {
		count[n.op]++
		if n.op == "Transpose" && !slices.Equal(n.ints["perm"], []int64{0, 2, 1}) {
			t.Errorf("an image is transposed: %v", n.ints)
		}
	}
	if count["Transpose"] != 2*count["Softmax"] {
		t.Errorf("%d transpositions for %d attentions", count["Transpose"], count["Softmax"])
	}
}

// TestConvolutionWeights checks the order of the weights and the attributes.
func TestConvolutionWeights(t *testing.T) {
	m := families(t)["classic"]
	f, _ := exported(t, m, Options{})
	const name = "downs.2.conv.weight" // 3x3, 8 to 8 channels, stride 2
	x := f.tensors[name]
	if !slices.Equal(x.dims, []int{8, 8, 3, 3}) {
		t.Fatalf("%s is %v", name, x.dims)
	}
	got := floats(x.raw)
	for o := range 8 {
		for i := range 8 {
			for tap := range 9 {
				if got[(o*8+i)*9+tap] != m.Weights[name][(tap*8+i)*8+o] {
					t.Fatalf("output %d, input %d, tap %d differs", o, i, tap)
				}
			}
		}
	}
	for _, n := range f.nodes {
		if n.op == "Conv" && n.inputs[1] == name {
			want := map[string][]int64{"kernel_shape": {3, 3}, "strides": {2, 2}, "pads": {1, 1, 1, 1}}
			if fmt.Sprint(n.ints) != fmt.Sprint(want) || n.inputs[2] != "downs.2.conv.bias" {
				t.Errorf("attributes %v, inputs %v", n.ints, n.inputs)
			}
			return
		}
	}
	t.Errorf("no convolution with %s", name)
}

// TestOperations checks which operations each family is made of.
func TestOperations(t *testing.T) {
	common := "Add Concat Conv Cos LayerNormalization MatMul Mul Reshape Sigmoid Sin"
	attention := " Slice Softmax Transpose"
	for name, want := range map[string]string{
		"classic": common + attention + " Resize", "ddpm": common + attention + " Resize", "unconditional": common + attention + " Resize",
		"paper": common + attention + " Resize AveragePool", "lean": common + attention + " SpaceToDepth DepthToSpace",
	} {
		f, _ := exported(t, families(t)[name], Options{})
		ops := map[string]bool{}
		for _, n := range f.nodes {
			ops[n.op] = true
			if n.op == "DepthToSpace" && n.texts["mode"] != "DCR" {
				t.Errorf("%s unfolds in the order %s", name, n.texts["mode"])
			}
			if n.op == "Resize" && (n.texts["mode"] != "nearest" || n.texts["nearest_mode"] != "floor" || n.texts["coordinate_transformation_mode"] != "asymmetric") {
				t.Errorf("%s enlarges by %v", name, n.texts)
			}
		}
		wanted := strings.Fields(want)
		slices.Sort(wanted)
		if got := slices.Sorted(maps.Keys(ops)); !slices.Equal(got, wanted) {
			t.Errorf("%s has %v, want %v", name, got, wanted)
		}
	}
}

// TestLargeModels checks that weights which do not fit go to a second file.
func TestLargeModels(t *testing.T) {
	m := families(t)["classic"]
	inside, _ := exported(t, m, Options{})
	path := filepath.Join(t.TempDir(), "m.onnx")
	r, err := export(path, m, Options{}, 120_000)
	if err != nil {
		t.Fatal(err)
	}
	if r.WeightsFile != "m.onnx.data" {
		t.Fatalf("weights in %q", r.WeightsFile)
	}
	data, err := os.ReadFile(path + ".data")
	if err != nil {
		t.Fatal(err)
	}
	outside := read(t, path)
	moved := 0
	for name, want := range inside.tensors {
		got := outside.tensors[name]
		if len(got.external) > 0 {
			moved++
			offset, _ := strconv.Atoi(got.external["offset"])
			length, _ := strconv.Atoi(got.external["length"])
			if got.external["location"] != "m.onnx.data" || offset+length > len(data) {
				t.Fatalf("%s is said to be at %v", name, got.external)
			}
			got.raw = data[offset : offset+length]
		}
		if string(got.raw) != string(want.raw) || !slices.Equal(got.dims, want.dims) {
			t.Errorf("%s differs", name)
		}
	}
	if moved < 10 {
		t.Errorf("%d tensors in the second file", moved)
	}
	small := filepath.Join(t.TempDir(), "s.onnx")
	if _, err := export(small, m, Options{}, 1000); err == nil || !strings.Contains(err.Error(), "ONNX files end at 1000") {
		t.Errorf("a model that cannot be written: %v", err)
	}
	if left, _ := os.ReadDir(filepath.Dir(small)); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestExportRefuses(t *testing.T) {
	good := families(t)["lean"]
	missing := *good
	missing.Weights = maps.Clone(good.Weights)
	delete(missing.Weights, "head.conv.bias")
	for _, c := range []struct {
		m    *model.Model
		o    Options
		want string
	}{
		{good, Options{Height: 18}, "multiples of 4"},
		{good, Options{Batch: -1}, "want positive"},
		{good, Options{Width: 1 << 20}, "at most"},
		{&missing, Options{}, "head.conv.bias"},
	} {
		dir := t.TempDir()
		if _, err := Export(filepath.Join(dir, "m.onnx"), c.m, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q", c.o, err, c.want)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("%+v: left behind %v", c.o, left)
		}
	}
}

// TestWhatHasNoTranslation checks that graphs beyond networks give errors.
func TestWhatHasNoTranslation(t *testing.T) {
	for want, build := range map[string]func(g *graph.Graph, x *graph.Node) *graph.Node{
		"no translation": func(g *graph.Graph, x *graph.Node) *graph.Node { return g.Sum(x) },
		"are computed": func(g *graph.Graph, x *graph.Node) *graph.Node {
			return g.Conv2D(x, g.SiLU(g.Constant(make([]float32, 16), 1, 1, 4, 4)), nil, 1, 0)
		},
		"change of axes": func(g *graph.Graph, x *graph.Node) *graph.Node { return g.Reshape(x, 16) },
		"something else": func(g *graph.Graph, x *graph.Node) *graph.Node {
			c := g.Constant([]float32{1, 1, 1, 1}, 4)
			return g.GroupNormWith(x, g.GroupStats(g.SiLU(x), 2, 1e-5), c, c, false)
		},
		"no such weights": func(g *graph.Graph, x *graph.Node) *graph.Node { return g.Mul(x, g.Variable("w", 1, 1, 1, 4)) },
	} {
		g := graph.New()
		x := g.Input("x", 1, 2, 2, 4)
		tr := newTranslator(nil)
		tr.values[x] = value{name: "x", shape: x.Shape, first: true}
		if err := tr.translate(g, build(g, x)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
