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
	file := &File{Tensors: map[string]*Tensor{
		"a": FromFloat32([]int{2, 3}, []float32{1, 2, 3, 4, 5, 6}), "b": FromFloat32([]int{1}, []float32{-7}),
	}, Meta: map[string]string{"note": "x"}}
	if _, err := Write(path, file); err != nil {
		t.Fatal(err)
	}
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if len(r.Tensors) != 2 || r.Meta["note"] != "x" {
		t.Errorf("header %+v", r.Info)
	}
	for name, want := range file.Tensors {
		got, err := r.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Shape, want.Shape) || got.DType != want.DType || !slices.Equal(got.Data, want.Data) {
			t.Errorf("%s is %+v, want %+v", name, got, want)
		}
	}
	if _, err := r.Tensor("c"); err == nil || !strings.Contains(err.Error(), `no tensor "c"`) {
		t.Errorf("a tensor that is not there: %v", err)
	}
	if err := os.Truncate(path, r.Size-4); err != nil {
		t.Fatal(err)
	}
	_, errA := r.Tensor("a")
	_, errB := r.Tensor("b")
	if errA == nil && errB == nil {
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
