package checkpoint

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestReader checks that tensors read one by one are those of the whole file.
func TestReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.safetensors")
	long := make([]float32, 50_001) // more than one buffer
	for i := range long {
		long[i] = float32(i%2048) / 8
	}
	half, err := FromFloat32As(F16, []int{len(long)}, long)
	if err != nil {
		t.Fatal(err)
	}
	file := &File{Tensors: map[string]*Tensor{
		"a": FromFloat32([]int{2, 3}, []float32{1, 2, 3, 4, 5, 6}), "half": half, "long": FromFloat32([]int{len(long)}, long),
		"integers": FromInt64s([]int{2}, []int64{3, -4}),
	}, Meta: map[string]string{"note": "x"}}
	if _, err := Write(path, file); err != nil {
		t.Fatal(err)
	}
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if len(r.Tensors) != len(file.Tensors) || r.Meta["note"] != "x" {
		t.Errorf("header %+v", r.Info)
	}
	for name, tensor := range file.Tensors {
		want, err := tensor.Float32s()
		if err != nil {
			t.Fatal(err)
		}
		got := make([]float32, len(want))
		if err := r.ReadFloat32s(name, got); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s differs (%v)", name, err)
		}
		if err := r.ReadFloat32s(name, got[1:]); err == nil {
			t.Errorf("%s fits where it does not", name)
		}
	}
	if err := r.ReadFloat32s("c", nil); err == nil || !strings.Contains(err.Error(), `"c": there is none`) {
		t.Errorf("a tensor that is not there: %v", err)
	}
	if err := os.Truncate(path, r.Size-4); err != nil {
		t.Fatal(err)
	}
	last := r.Tensors[len(r.Tensors)-1]
	if err := r.ReadFloat32s(last.Name, make([]float32, (&Tensor{Shape: last.Shape}).Len())); err == nil {
		t.Error("a file that was cut off is read whole")
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a missing file is opened")
	}
	bad := filepath.Join(t.TempDir(), "bad")
	if err := os.WriteFile(bad, []byte("not a checkpoint"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(bad); err == nil || !strings.Contains(err.Error(), bad) {
		t.Errorf("got %v", err)
	}
}
