package nets

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sr3-go/sr3/checkpoint"
	"github.com/sr3-go/sr3/internal/netfile"
)

// stored is a tensor of a file.
type stored struct {
	shape []int
	// read gives elements lo to hi, row-major. The shape was checked before.
	read func(lo, hi int) ([]float32, error)
}

// weightFile is the contents of a file of weights, by the names of PyTorch.
type weightFile struct {
	tensors map[string]stored
	// caffe says that the network takes B, G, R; onnx that there may be tensors that
	// are no weights.
	caffe, onnx bool
}

// spareBytes is what a file may have beside 4 bytes for each number: names,
// statistics of normalisations, layers that only training needs.
const spareBytes = 64 << 20

// readWeights reads a file that is to have these layers, and perhaps more. Only a
// network with a known Caffe model takes one.
func readWeights(path string, layers []layer, caffe bool) (*weightFile, error) {
	limit := int64(spareBytes)
	for _, l := range layers {
		limit += 4 * int64(l.parameters())
	}
	start, err := inspect(path, limit)
	if err != nil {
		return nil, err
	}
	switch ext := strings.ToLower(filepath.Ext(path)); {
	case len(start) > 8 && start[8] == '{': // behind a length, which may begin as anything
		return fromSafetensors(path)
	case strings.HasPrefix(start, "PK\x03\x04"), strings.HasPrefix(start, "\x80"):
		return fromPyTorch(path)
	case ext == ".onnx":
		return fromONNX(path)
	case ext == ".caffemodel" && caffe:
		return fromCaffe(path, layers)
	case ext == ".caffemodel":
		return nil, fmt.Errorf("no Caffe model is known for this network or this use of it")
	}
	return nil, fmt.Errorf("the format is not known: neither PyTorch's (.pth), safetensors, .onnx nor .caffemodel")
}

// inspect gives the first bytes of a regular file that is not larger than limit.
func inspect(path string, limit int64) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("not a regular file")
	}
	if info.Size() > limit {
		return "", fmt.Errorf("%d MB, while this network's weights have at most %d", info.Size()>>20, limit>>20)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	start := make([]byte, 9)
	n, err := io.ReadFull(f, start)
	if err != nil && err != io.ErrUnexpectedEOF {
		return "", fmt.Errorf("read its first bytes: %w", err)
	}
	return string(start[:n]), nil
}

// fromPyTorch reads a state dict.
func fromPyTorch(path string) (*weightFile, error) {
	dict, err := checkpoint.StateDict(path)
	if err != nil {
		return nil, err
	}
	w := &weightFile{tensors: make(map[string]stored, len(dict))}
	parallel := len(dict) > 0 // as saved from a network on several devices
	for _, t := range dict {
		parallel = parallel && strings.HasPrefix(t.Name, "module.")
	}
	for _, t := range dict {
		if parallel {
			t.Name = strings.TrimPrefix(t.Name, "module.")
		}
		w.tensors[t.Name] = fromTensor(t.Tensor)
	}
	return w, nil
}

func fromSafetensors(path string) (*weightFile, error) {
	file, err := checkpoint.Read(path)
	if err != nil {
		return nil, err
	}
	w := &weightFile{tensors: make(map[string]stored, len(file.Tensors))}
	for name, t := range file.Tensors {
		w.tensors[name] = fromTensor(t)
	}
	return w, nil
}

func fromTensor(t *checkpoint.Tensor) stored {
	return stored{t.Shape, func(lo, hi int) ([]float32, error) {
		size := t.DType.Size()
		part := checkpoint.Tensor{DType: t.DType, Shape: []int{hi - lo}, Data: t.Data[lo*size : hi*size]}
		return part.Float32s()
	}}
}

// fromONNX reads the initialisers of a model.
func fromONNX(path string) (*weightFile, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m, err := netfile.ParseONNX(data)
	if err != nil {
		return nil, err
	}
	if err := refuseTransposed(m); err != nil {
		return nil, err
	}
	w := &weightFile{tensors: make(map[string]stored, len(m.Tensors)), onnx: true}
	for name, t := range m.Tensors {
		shape := ints(t.Dims)
		w.tensors[name] = stored{shape, once(func() ([]float32, error) { return t.Float32s(shape...) })}
	}
	return w, nil
}

// refuseTransposed finds linear layers whose weights do not lie as in a state dict,
// which the shape of a square matrix does not tell.
func refuseTransposed(m *netfile.Model) error {
	for _, n := range m.Nodes {
		if n.Op != "Gemm" && n.Op != "MatMul" || len(n.Inputs) < 2 || m.Tensors[n.Inputs[1]] == nil {
			continue
		}
		if !slices.Equal(n.Attributes["transB"].Ints, []int64{1}) {
			return fmt.Errorf("tensor %q is stored transposed; export the network with PyTorch", n.Inputs[1])
		}
	}
	return nil
}

// caffeNames are the layers of VGG16 in the order of computation.
var caffeNames = strings.Fields("conv1_1 conv1_2 conv2_1 conv2_2 conv3_1 conv3_2 conv3_3 " +
	"conv4_1 conv4_2 conv4_3 conv5_1 conv5_2 conv5_3 fc6 fc7 fc8")

// fromCaffe reads the Caffe model of VGG16.
func fromCaffe(path string, layers []layer) (*weightFile, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	found, err := netfile.ParseCaffe(data)
	if err != nil {
		return nil, err
	}
	names := map[string]layer{}
	for i, l := range layers {
		names[caffeNames[i]] = l
	}
	w := &weightFile{tensors: map[string]stored{}, caffe: true}
	for _, c := range found {
		l, ok := names[c.Name]
		if !ok || len(c.Blobs) != 2 {
			return nil, fmt.Errorf("layer %q with %d arrays does not belong to VGG16", c.Name, len(c.Blobs))
		}
		w.tensors[l.weightLabel()] = fromBlob(c.Blobs[0], l.fileShape())
		w.tensors[l.biasLabel()] = fromBlob(c.Blobs[1], []int{l.out})
	}
	return w, nil
}

// fromBlob takes leading axes of extent 1 away, which old files fill up with.
func fromBlob(b *netfile.CaffeBlob, want []int) stored {
	shape := ints(b.Shape)
	for len(shape) > len(want) && shape[0] == 1 {
		shape = shape[1:]
	}
	return stored{shape, once(func() ([]float32, error) { return b.Float32s(want...) })}
}

// once reads all of a tensor when some of it is first asked for.
func once(all func() ([]float32, error)) func(lo, hi int) ([]float32, error) {
	var values []float32
	return func(lo, hi int) ([]float32, error) {
		if values == nil {
			var err error
			if values, err = all(); err != nil {
				return nil, err
			}
		}
		return values[lo:hi], nil
	}
}

func ints(dims []int64) []int {
	out := make([]int, len(dims))
	for i, d := range dims {
		out[i] = int(d)
	}
	return out
}
