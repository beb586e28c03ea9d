package netfile

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// message appends an embedded message.
func message(b []byte, number protowire.Number, content []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), content)
}

func integer(b []byte, number protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, number, protowire.VarintType), v)
}

func packed(values ...uint64) []byte {
	var b []byte
	for _, v := range values {
		b = protowire.AppendVarint(b, v)
	}
	return b
}

func float32Bytes(values ...float32) []byte {
	var b []byte
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

func float64Bytes(values ...float64) []byte {
	var b []byte
	for _, v := range values {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	return b
}

func onnxTensor(name string, kind uint64, raw []byte, dims ...uint64) []byte {
	return message(message(integer(message(nil, 1, packed(dims...)), 2, kind), 8, []byte(name)), 9, raw)
}

// onnx wraps the fields of a GraphProto.
func onnx(graph []byte) []byte { return message(integer(nil, 1, 8), 7, graph) }

func TestONNX(t *testing.T) {
	conv := message(message(message(nil, 1, []byte("image")), 1, []byte("w")), 2, []byte("y"))
	conv = message(conv, 4, []byte("Conv"))
	conv = message(conv, 5, integer(integer(message(nil, 1, []byte("strides")), 8, 2), 8, 3))
	conv = message(conv, 5, message(message(nil, 1, []byte("auto_pad")), 4, []byte("SAME")))
	graph := message(nil, 1, conv)
	graph = message(graph, 5, onnxTensor("w", 1, float32Bytes(1, 2, -3, 0.5, 5, 6), 2, 3))
	graph = message(graph, 5, onnxTensor("h", 10, []byte{0, 0x3c, 0, 0xc0}, 2))
	graph = message(message(graph, 11, message(nil, 1, []byte("image"))), 12, message(nil, 1, []byte("y")))
	m, err := ParseONNX(onnx(graph))
	if err != nil {
		t.Fatal(err)
	}
	n := m.Nodes[0]
	if n.Op != "Conv" || !slices.Equal(n.Inputs, []string{"image", "w"}) || !slices.Equal(n.Attributes["strides"].Ints, []int64{2, 3}) ||
		n.Attributes["auto_pad"].Text != "SAME" || n.String() != `Conv -> ["y"]` || m.Inputs[0] != "image" || m.Outputs[0] != "y" {
		t.Errorf("read %+v of %+v", n, m)
	}
	w, err := m.Tensors["w"].Float32s(2, 3)
	if err != nil || !slices.Equal(w, []float32{1, 2, -3, 0.5, 5, 6}) {
		t.Errorf("float: %v, %v", w, err)
	}
	h, err := m.Tensors["h"].Float32s(2)
	if err != nil || !slices.Equal(h, []float32{1, -2}) {
		t.Errorf("float16: %v, %v", h, err)
	}
	if _, err := m.Tensors["w"].Float32s(3, 2); err == nil || !strings.Contains(err.Error(), "[2 3], want [3 2]") {
		t.Errorf("wrong shape: %v", err)
	}
}

func TestTensorsThatAreRefused(t *testing.T) {
	whole := onnxTensor("w", 1, float32Bytes(1, 2), 2)
	for want, data := range map[string][]byte{
		"outside":                  message(slices.Clone(whole), 13, []byte("weights.bin")),
		"keeps its elements":       integer(slices.Clone(whole), 14, 1),
		"element type 7":           onnxTensor("w", 7, make([]byte, 8), 2),
		"4 bytes, want 8":          onnxTensor("w", 1, float32Bytes(1), 2),
		"element 1 is NaN":         onnxTensor("w", 1, float32Bytes(1, float32(math.NaN())), 2),
		"[1152921504606846976], w": onnxTensor("w", 1, float32Bytes(1), 1<<60),
	} {
		m, err := ParseONNX(onnx(message(nil, 5, data)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Tensors["w"].Float32s(2); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want words %q", err, want)
		}
	}
}

// caffeBlob writes a blob with a shape of its own or, for the old format, with
// its four numbers.
func caffeBlob(old bool, data []byte, dims ...uint64) []byte {
	var b []byte
	if !old {
		return message(message(b, 5, data), 7, message(nil, 1, packed(dims...)))
	}
	for i := range 4 {
		v := uint64(1)
		if k := i - 4 + len(dims); k >= 0 {
			v = dims[k]
		}
		b = integer(b, protowire.Number(i+1), v)
	}
	return message(b, 5, data)
}

func TestCaffe(t *testing.T) {
	for _, old := range []bool{false, true} {
		number, name, blobs := protowire.Number(100), protowire.Number(1), protowire.Number(7)
		if old {
			number, name, blobs = 2, 4, 6
		}
		l := message(nil, name, []byte("conv1_1"))
		l = message(l, blobs, caffeBlob(old, float32Bytes(1, 2, 3, 4), 2, 1, 1, 2))
		l = message(l, blobs, caffeBlob(old, float32Bytes(7, 8), 2))
		data := message(nil, 1, []byte("VGG"))
		data = message(data, number, message(nil, name, []byte("relu"))) // without weights
		layers, err := ParseCaffe(message(data, number, l))
		if err != nil || len(layers) != 1 || layers[0].Name != "conv1_1" || len(layers[0].Blobs) != 2 {
			t.Fatalf("old %v: %v, %v", old, layers, err)
		}
		w, err := layers[0].Blobs[0].Float32s(2, 1, 1, 2)
		if err != nil || !slices.Equal(w, []float32{1, 2, 3, 4}) {
			t.Errorf("old %v: weights %v, %v", old, w, err)
		}
		bias, err := layers[0].Blobs[1].Float32s(2)
		if err != nil || !slices.Equal(bias, []float32{7, 8}) {
			t.Errorf("old %v: bias %v, %v", old, bias, err)
		}
		if _, err := layers[0].Blobs[0].Float32s(4); err == nil {
			t.Errorf("old %v: shape [2 1 1 2] passes as [4]", old)
		}
	}
}

func TestCaffeDoubles(t *testing.T) {
	blob := message(message(nil, 8, float64Bytes(1.5, -2)), 7, message(nil, 1, packed(2)))
	layers, err := ParseCaffe(message(nil, 100, message(message(nil, 1, []byte("fc")), 7, blob)))
	if err != nil {
		t.Fatal(err)
	}
	if v, err := layers[0].Blobs[0].Float32s(2); err != nil || !slices.Equal(v, []float32{1.5, -2}) {
		t.Errorf("%v, %v", v, err)
	}
}

func TestFilesThatAreRefused(t *testing.T) {
	unpacked := protowire.AppendFixed32(protowire.AppendTag(nil, 5, protowire.Fixed32Type), 0)
	tensor := onnxTensor("w", 1, float32Bytes(1, 2), 2)
	for _, c := range []struct {
		want  string
		parse func() error
	}{
		{"no layer has weights", func() error { _, err := ParseCaffe(nil); return err }},
		{"not a Caffe model", func() error { _, err := ParseCaffe([]byte("hello, this is no model")); return err }},
		{"one packed list", func() error { _, err := ParseCaffe(message(nil, 100, message(nil, 7, unpacked))); return err }},
		{"more than 1024 layers", func() error { _, err := ParseCaffe(bytes.Repeat(message(nil, 100, nil), 1025)); return err }},
		{"not an ONNX model", func() error { _, err := ParseONNX([]byte("hello, this is no model")); return err }},
		{"0 graphs", func() error { _, err := ParseONNX(nil); return err }},
		{"two tensors", func() error { _, err := ParseONNX(onnx(message(message(nil, 5, tensor), 5, tensor))); return err }},
		{"more than 1024 nodes", func() error { _, err := ParseONNX(onnx(bytes.Repeat(message(nil, 1, nil), 1025))); return err }},
		{"more than 64 integers", func() error {
			_, err := ParseONNX(onnx(message(nil, 5, message(nil, 1, make([]byte, 65)))))
			return err
		}},
	} {
		if err := c.parse(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want words %q", err, c.want)
		}
	}
}

// FuzzParse feeds the readers anything: they must neither panic nor hold on to
// more than they were given.
func FuzzParse(f *testing.F) {
	tensor := onnxTensor("w", 1, float32Bytes(1, 2), 2)
	f.Add(onnx(message(message(nil, 5, tensor), 1, message(message(nil, 1, []byte("w")), 4, []byte("Conv")))))
	f.Add(message(nil, 100, message(message(nil, 1, []byte("fc")), 7, caffeBlob(false, float32Bytes(1, 2), 2))))
	f.Add(message(nil, 2, message(message(nil, 4, []byte("fc")), 6, caffeBlob(true, float32Bytes(1, 2), 2))))
	f.Add(bytes.Repeat([]byte{0x3b}, 100))
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := ParseONNX(data); err == nil {
			for name, tensor := range m.Tensors {
				if v, err := tensor.Float32s(2); name != tensor.Name || len(tensor.raw) > len(data) || err == nil && len(v) != 2 {
					t.Errorf("tensor %q is kept as %q with %d bytes", tensor.Name, name, len(tensor.raw))
				}
			}
		}
		if layers, err := ParseCaffe(data); err == nil {
			for _, l := range layers {
				for _, b := range l.Blobs {
					if v, err := b.Float32s(2); err == nil && (len(v) != 2 || len(b.raw) > len(data)) {
						t.Errorf("blob of %q has %d bytes", l.Name, len(b.raw))
					}
				}
			}
		}
	})
}
