package squeezenet

import (
	"encoding/binary"
	"math"
	"math/rand/v2"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sr3-go/sr3/checkpoint"
)

// onnxFile is an ONNX model that tests write, whole or with mistakes.
type onnxFile struct {
	inputs, outputs []string
	nodes           []writtenNode
	tensors         []writtenTensor
}

type writtenNode struct {
	op              string
	inputs, outputs []string
	ints            map[string][]int64
}

type writtenTensor struct {
	name   string
	dims   []int
	half   bool
	values []float32
	cut    int // bytes to leave out at the end
}

// message appends an embedded message.
func message(b []byte, number protowire.Number, content []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), content)
}

func integer(b []byte, number protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, number, protowire.VarintType), v)
}

func (f *onnxFile) bytes() []byte {
	var g []byte
	for _, n := range f.nodes {
		g = message(g, 1, n.bytes())
	}
	g = message(g, 2, []byte("graph"))
	for _, t := range f.tensors {
		g = message(g, 5, t.bytes())
	}
	for _, name := range f.inputs {
		g = message(g, 11, message(nil, 1, []byte(name)))
	}
	for _, name := range f.outputs {
		g = message(g, 12, message(nil, 1, []byte(name)))
	}
	return message(message(integer(nil, 1, 3), 2, []byte("test")), 7, g)
}

func (n writtenNode) bytes() []byte {
	var b []byte
	for _, name := range n.inputs {
		b = message(b, 1, []byte(name))
	}
	for _, name := range n.outputs {
		b = message(b, 2, []byte(name))
	}
	b = message(b, 4, []byte(n.op))
	for name, ints := range n.ints {
		a := message(nil, 1, []byte(name))
		for _, v := range ints {
			if name == "axis" {
				a = integer(a, 3, uint64(v))
			} else {
				a = integer(a, 8, uint64(v))
			}
		}
		b = message(b, 5, a)
	}
	return b
}

func (t writtenTensor) bytes() []byte {
	var dims, raw []byte
	for _, d := range t.dims {
		dims = protowire.AppendVarint(dims, uint64(d))
	}
	kind := uint64(1) // float
	for _, v := range t.values {
		if t.half {
			raw = binary.LittleEndian.AppendUint16(raw, checkpoint.Float32ToHalf(v))
		} else {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
		}
	}
	if t.half {
		kind = 10 // float16
	}
	b := integer(message(nil, 1, dims), 2, kind)
	b = message(b, 8, []byte(t.name))
	return message(b, 9, raw[:len(raw)-t.cut])
}

// node appends a node that gives one value and returns the value's name.
func (f *onnxFile) node(op, output string, ints map[string][]int64, inputs ...string) string {
	f.nodes = append(f.nodes, writtenNode{op, inputs, []string{output}, ints})
	return output
}

// conv appends a convolution with drawn weights and its ReLU.
func (f *onnxFile) conv(r *rand.Rand, input, label string, kernel, stride, pad, in, out int) string {
	draw := func(name string, scale float64, dims ...int) string {
		size := 1
		for _, d := range dims {
			size *= d
		}
		t := writtenTensor{name: name, dims: dims, half: len(f.tensors)%4 < 2, values: make([]float32, size)}
		for i := range t.values {
			// Values of float16, so that both types hold them exactly.
			t.values[i] = checkpoint.HalfToFloat32(checkpoint.Float32ToHalf(float32(scale * r.NormFloat64())))
		}
		f.tensors = append(f.tensors, t)
		return name
	}
	w := draw(label+"_w", math.Sqrt(2/float64(kernel*kernel*in)), out, in, kernel, kernel)
	b := draw(label+"_b", 0.05, out)
	k, s, p := int64(kernel), int64(stride), int64(pad)
	v := f.node("Conv", label, map[string][]int64{"kernel_shape": {k, k}, "strides": {s, s}, "pads": {p, p, p, p}}, input, w, b)
	return f.node("Relu", label+"_relu", nil, v)
}

// newONNX writes SqueezeNet 1.1 from its description, with drawn weights.
func newONNX(seed uint64) *onnxFile {
	f := &onnxFile{inputs: []string{"image"}}
	r := rand.New(rand.NewPCG(seed, 0))
	v := f.conv(r, "image", "c1", 3, 2, 0, 3, 64)
	in := 64
	pool := map[string][]int64{"kernel_shape": {3, 3}, "strides": {2, 2}}
	for i, width := range []int{16, 16, 32, 32, 48, 48, 64, 64} {
		label := string(rune('p' + i))
		if i%2 == 0 && i < 6 {
			v = f.node("MaxPool", label+"_pool", pool, v)
		}
		s := f.conv(r, v, label+"_s", 1, 1, 0, in, width)
		narrow := f.conv(r, s, label+"_n", 1, 1, 0, width, 4*width)
		wide := f.conv(r, s, label+"_w", 3, 1, 1, width, 4*width)
		v = f.node("Concat", label+"_cat", map[string][]int64{"axis": {1}}, narrow, wide)
		in = 8 * width
	}
	v = f.node("Dropout", "dropped", nil, v)
	v = f.conv(r, v, "c10", 1, 1, 0, 512, 1000)
	v = f.node("GlobalAveragePool", "mean", nil, v)
	f.outputs = []string{f.node("Softmax", "p", nil, v)}
	for _, t := range f.tensors { // as files of IR version 3 do
		f.inputs = append(f.inputs, t.name)
	}
	return f
}
