package nets

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/sr3-go/sr3/internal/cpu"
)

// store puts all layers into vars as the graph wants them, and refuses a file that has
// more. Tensors are forgotten on the way, so that their memory can be used again.
func (w *weightFile) store(vars *cpu.Variables, layers []layer) error {
	for i, l := range layers {
		if err := w.storeLayer(vars, l, w.caffe && i == 0); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.tensors)) {
		if !w.ignored(name) {
			return fmt.Errorf("tensor %q of shape %v does not belong to this network", name, w.tensors[name].shape)
		}
	}
	return nil
}

// ignored says whether a tensor that was not asked for may be there.
func (w *weightFile) ignored(name string) bool {
	return strings.HasSuffix(name, ".num_batches_tracked") || strings.HasPrefix(name, "AuxLogits.") ||
		w.onnx && !strings.HasSuffix(name, ".weight")
}

// drop forgets all tensors whose names begin so.
func (w *weightFile) drop(prefix string) {
	maps.DeleteFunc(w.tensors, func(name string, _ stored) bool { return strings.HasPrefix(name, prefix) })
}

// find takes a tensor out of the file; its shape must be this one.
func (w *weightFile) find(name string, shape ...int) (stored, error) {
	t, ok := w.tensors[name]
	if !ok {
		return stored{}, w.missing(name, shape)
	}
	delete(w.tensors, name)
	if !slices.Equal(t.shape, shape) {
		return stored{}, fmt.Errorf("tensor %q has shape %v, want %v", name, t.shape, shape)
	}
	read := t.read
	t.read = func(lo, hi int) ([]float32, error) {
		values, err := read(lo, hi)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		for i, v := range values {
			if x := float64(v); math.IsNaN(x) || math.IsInf(x, 0) {
				return nil, fmt.Errorf("tensor %q: element %d is %v; the file is damaged", name, lo+i, v)
			}
		}
		return values, nil
	}
	return t, nil
}

func (w *weightFile) missing(name string, shape []int) error {
	if len(w.tensors) == 0 {
		return fmt.Errorf("tensor %q of shape %v is missing", name, shape)
	}
	names := slices.Sorted(maps.Keys(w.tensors))
	hint := ""
	if w.onnx {
		hint = "; an ONNX file must keep the names of the state dict, which an export that merges batch normalisation does not"
	}
	return fmt.Errorf("tensor %q of shape %v is missing, the file has %.100q and %d more%s", name, shape, names[0], len(names)-1, hint)
}

// vector reads a tensor of one axis.
func (w *weightFile) vector(name string, n int) ([]float32, error) {
	t, err := w.find(name, n)
	if err != nil {
		return nil, err
	}
	return t.read(0, n)
}

// turnedRows is how many output channels are turned at a time: that many numbers
// are written side by side.
const turnedRows = 16

// storeLayer turns a layer's weights from [out, in, kh, kw] to [kh, kw, in, out],
// multiplied by the scale of its normalisation. mirrored says that the input
// channels are in the opposite order.
func (w *weightFile) storeLayer(vars *cpu.Variables, l layer, mirrored bool) error {
	t, err := w.find(l.weightLabel(), l.fileShape()...)
	if err != nil {
		return err
	}
	scale, shift, err := w.fold(l)
	if err != nil {
		return err
	}
	taps, row := l.kh*l.kw, l.in*l.kh*l.kw
	dst := vars.Ensure(l.weightLabel(), l.out*row)
	for lo := 0; lo < l.out; lo += turnedRows {
		hi := min(lo+turnedRows, l.out)
		src, err := t.read(lo*row, hi*row)
		if err != nil {
			return err
		}
		for k := range row {
			in, tap := k/taps, k%taps
			if mirrored {
				in = l.in - 1 - in
			}
			to := dst[(tap*l.in+in)*l.out+lo:]
			for o := range hi - lo {
				to[o] = float32(float64(src[o*row+k]) * scale[lo+o])
			}
		}
	}
	vars.Touch(l.weightLabel())
	vars.Set(l.biasLabel(), shift)
	return nil
}

// fold gives the factors of a layer's outputs and what is added to them. A file in
// which the normalisation is part of the convolution already has a bias in place of
// its tensors.
func (w *weightFile) fold(l layer) (scale []float64, shift []float32, err error) {
	_, whole := w.tensors[l.biasLabel()]
	_, apart := w.tensors[l.norm+".running_var"]
	if l.norm != "" && (apart || !whole) {
		return w.foldNorm(l)
	}
	scale = make([]float64, l.out)
	for i := range scale {
		scale[i] = 1
	}
	shift, err = w.vector(l.biasLabel(), l.out)
	return scale, slices.Clone(shift), err
}

// foldNorm is fold for a batch normalisation at inference:
//
//	(x - mean) / sqrt(variance + epsilon) * weight + bias
func (w *weightFile) foldNorm(l layer) (scale []float64, shift []float32, err error) {
	var parts [4][]float32
	var errs [4]error
	for i, name := range []string{"weight", "bias", "running_mean", "running_var"} {
		parts[i], errs[i] = w.vector(l.norm+"."+name, l.out)
	}
	if err := errors.Join(errs[:]...); err != nil {
		return nil, nil, err
	}
	weight, bias, mean, variance := parts[0], parts[1], parts[2], parts[3]
	scale, shift = make([]float64, l.out), make([]float32, l.out)
	for i := range scale {
		if variance[i] < 0 {
			return nil, nil, fmt.Errorf("tensor %q: element %d is %v, a variance below zero", l.norm+".running_var", i, variance[i])
		}
		scale[i] = float64(weight[i]) / math.Sqrt(float64(variance[i])+l.epsilon)
		shift[i] = float32(float64(bias[i]) - float64(mean[i])*scale[i])
	}
	return scale, shift, nil
}
