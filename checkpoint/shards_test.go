package checkpoint

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// bulky is a file of several shards, with a tensor larger than one.
func bulky() *File {
	rng := rand.New(rand.NewPCG(3, 4))
	f := sample()
	for name, n := range map[string]int{"large": 50000, "small.1": 300, "small.2": 7000} {
		v := make([]float32, 2*n)
		for i := range v {
			v[i] = rng.Float32()
		}
		f.Tensors[name] = FromFloat32([]int{n, 2}, v)
	}
	return f
}

func TestShards(t *testing.T) {
	want := bulky()
	digest, err := want.Digest()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	prefix := filepath.Join(dir, "state")
	// The second writing has fewer shards than the first and must replace them.
	for _, limit := range []int64{20_000, 64_000, 10 << 20} {
		paths, err := WriteShards(prefix, want, limit)
		if err != nil {
			t.Fatal(err)
		}
		if files, _ := os.ReadDir(dir); len(files) != len(paths) {
			t.Errorf("%d files in the folder, %d written", len(files), len(paths))
		}
		if limit == 20_000 && len(paths) < 20 || limit == 10<<20 && len(paths) != 1 {
			t.Errorf("limit %d: %d shards", limit, len(paths))
		}
		for _, p := range paths {
			info, err := os.Stat(p)
			if err != nil || info.Size() > limit {
				t.Errorf("%s: %v bytes, limit %d, %v", p, info.Size(), limit, err)
			}
			if _, err := Read(p); err != nil {
				t.Error(err)
			}
		}
		got, err := ReadShards(prefix)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want.Tensors, got.Tensors, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("limit %d: %s", limit, diff)
		}
		if got.Meta[DigestKey] != digest || got.Meta["sr3.card"] != want.Meta["sr3.card"] || got.Meta[shardKey] != "" {
			t.Errorf("limit %d: metadata %q", limit, got.Meta)
		}
	}
}

func TestShardsRefuse(t *testing.T) {
	dir := t.TempDir()
	prefix := filepath.Join(dir, "state")
	if _, err := WriteShards(prefix, bulky(), 1000); err == nil || !strings.Contains(err.Error(), "too few") {
		t.Errorf("tiny shards: %v", err)
	}
	if _, err := ReadShards(prefix); err == nil || !strings.Contains(err.Error(), "no files") {
		t.Errorf("nothing there: %v", err)
	}
	paths, err := WriteShards(prefix, bulky(), 64_000)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(paths[1])
	if err != nil {
		t.Fatal(err)
	}
	fails := func(name, want string) {
		t.Helper()
		if _, err := ReadShards(prefix); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", name, err, want)
		}
	}
	if err := os.Remove(paths[1]); err != nil {
		t.Fatal(err)
	}
	fails("missing shard", "missing")
	flipped := append([]byte{}, data...)
	flipped[len(data)/2] ^= 1
	os.WriteFile(paths[1], flipped, 0o644)
	fails("damaged shard", "digest")
	third, _ := os.ReadFile(paths[2])
	os.WriteFile(paths[1], third, 0o644)
	fails("wrong order", "belongs")
	// A shard of another writing with the same layout.
	other := bulky()
	other.Tensors["large"].Data[0] ^= 1
	otherPaths, err := WriteShards(filepath.Join(t.TempDir(), "state"), other, 64_000)
	if err != nil {
		t.Fatal(err)
	}
	foreign, _ := os.ReadFile(otherPaths[1])
	os.WriteFile(paths[1], foreign, 0o644)
	fails("other writing", "another writing")
	os.WriteFile(paths[1], data, 0o644)
	if _, err := ReadShards(prefix); err != nil {
		t.Errorf("restored: %v", err)
	}
}
