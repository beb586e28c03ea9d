package nets

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/checkpoint"
)

// Each case breaks the weights of ResNet-50 in one way.
func TestWeightsThatDoNotFit(t *testing.T) {
	type dict = map[string]*checkpoint.Tensor
	scalar := func(values ...float32) *checkpoint.Tensor {
		return checkpoint.FromFloat32([]int{len(values)}, values)
	}
	for want, change := range map[string]func(d dict){
		`"layer2.0.conv1.weight" of shape [8 16 1 1] is missing`: func(d dict) { delete(d, "layer2.0.conv1.weight") },
		`"fc.bias" has shape [3], want [10]`:                     func(d dict) { d["fc.bias"] = scalar(1, 2, 3) },
		`"conv1.weight" has shape [10 64]`:                       func(d dict) { d["conv1.weight"] = checkpoint.FromFloat32([]int{10, 64}, make([]float32, 640)) },
		`"bn1.running_mean" of shape [4] is missing`:             func(d dict) { delete(d, "bn1.running_mean") },
		`"bn1.bias": element 2 is NaN`:                           func(d dict) { d["bn1.bias"] = scalar(1, 2, float32(math.NaN()), 4) },
		`"bn1.running_var": element 1 is -1`:                     func(d dict) { d["bn1.running_var"] = scalar(1, -1, 2, 3) },
		`"layer3.22.conv1.weight" of shape [1] does not belong`:  func(d dict) { d["layer3.22.conv1.weight"] = scalar(1) },
		`"conv1.bias" of shape [4] does not belong`:              func(d dict) { d["conv1.bias"] = scalar(1, 2, 3, 4) },
	} {
		d := stateDict(t, ResNet50)
		change(d)
		if _, err := load(small(ResNet50), writeSafetensors(t, d)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want words %q", err, want)
		}
	}
}

// Weights of another network, and those at another width, are refused by name.
func TestOtherNetworks(t *testing.T) {
	for _, kind := range Kinds() {
		for _, other := range Kinds() {
			if kind == other || kind.Features() == 2048 && other.Features() == 2048 && kind.Side() == other.Side() {
				continue // the two Inceptions at this width differ in nothing that a file shows
			}
			if _, err := load(small(kind), smallFile(other)); err == nil || !strings.Contains(err.Error(), "tensor") {
				t.Errorf("%s from the file of %s: %v", kind, other, err)
			}
		}
		path := smallFile(kind)
		_, err := Load(kind, path)
		for _, want := range []string{path, "tensor", "shape", kind.Weights()} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %v, want words %q", kind, err, want)
			}
		}
	}
}

func TestFilesThatAreRefused(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	large := write("large.pth", nil)
	if err := os.Truncate(large, 1<<40); err != nil {
		t.Skip(err)
	}
	onnx, err := os.ReadFile("testdata/alexnet.onnx")
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "missing.pth"): "no such file",
		dir:                               "not a regular file",
		write("empty.pth", nil):           "first bytes",
		write("text.txt", []byte("hello, no weights")):                                   "format is not known",
		write("text.onnx", []byte("hello, no weights")):                                  "not an ONNX model",
		write("turned.onnx", bytes.Replace(onnx, []byte("transB"), []byte("transX"), 1)): `"classifier.1.weight" is stored transposed`,
		write("cut.onnx", onnx[:len(onnx)/2]):                                            "not an ONNX model",
		write("a.caffemodel", []byte("hello, a model")):                                  "no Caffe model is known",
		large: "1048576 MB",
	} {
		if _, err := Load(AlexNet, path); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("error %v, want %q and the path", err, want)
		}
	}
	if _, err := Load(VGG16, write("b.caffemodel", []byte("hello, a model"))); err == nil || !strings.Contains(err.Error(), "not a Caffe model") {
		t.Errorf("error %v", err)
	}
	if _, err := Load("resnet18", large); err == nil || !strings.Contains(err.Error(), "unknown network") {
		t.Errorf("error %v", err)
	}
}
