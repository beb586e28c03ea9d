package checkpoint

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// sample is a small file with several types, an empty tensor and a scalar.
func sample() *File {
	return &File{
		Tensors: map[string]*Tensor{
			"conv.weight": FromFloat32([]int{2, 3}, []float32{1, -2, 3.5, 0, 1e-8, -1e9}),
			"betas":       FromFloat64s([]int{2}, []float64{1e-6, 1e-2}),
			"step":        FromInt64s(nil, []int64{640000}),
			"mask":        FromBytes([]int{3}, []byte{1, 0, 255}),
			"empty":       FromFloat32([]int{0, 7}, nil),
		},
		Meta: map[string]string{"sr3.card": "# Model\n<b>&\" \u00e9\x00", "origin": "test"},
	}
}

func encodeFile(t testing.TB, f *File) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := Encode(&b, f); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func decodeBytes(data []byte) (*File, error) {
	return Decode("test", bytes.NewReader(data), int64(len(data)))
}

func TestWriteRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.safetensors")
	want := sample()
	digest, err := Write(path, want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.Tensors, got.Tensors, cmp.Transformer("shape", func(s []int) []int { return append([]int{}, s...) })); diff != "" {
		t.Error(diff)
	}
	if got.Meta["sr3.card"] != want.Meta["sr3.card"] || got.Meta["origin"] != "test" || got.Meta[DigestKey] != digest {
		t.Errorf("metadata %q", got.Meta)
	}
	if again, err := got.Digest(); err != nil || again != digest {
		t.Errorf("digest %s, %v; want %s", again, err, digest)
	}
	info, err := ReadInfo(path)
	if err != nil || len(info.Tensors) != 5 || info.Tensors[0].Name != "betas" || info.Meta[DigestKey] != digest {
		t.Errorf("info %+v, %v", info, err)
	}
	data, _ := os.ReadFile(path)
	if n := binary.LittleEndian.Uint64(data); n%8 != 0 {
		t.Errorf("header of %d bytes is not aligned", n)
	}
	if !bytes.Equal(data, encodeFile(t, want)) {
		t.Error("two writings differ")
	}
}

func TestWriteReadAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := &File{Tensors: map[string]*Tensor{}, Meta: rapid.MapOfN(rapid.String(), rapid.String(), 0, 3).Draw(t, "meta")}
		for _, name := range rapid.SliceOfNDistinct(rapid.String(), 0, 5, rapid.ID[string]).Draw(t, "names") {
			if name == metadataKey {
				continue
			}
			d := rapid.SampledFrom([]DType{Bool, U8, I16, F16, BF16, I32, F32, I64, F64}).Draw(t, "dtype")
			shape := rapid.SliceOfN(rapid.IntRange(0, 4), 0, 4).Draw(t, "shape")
			size, _ := byteSize(d, shape)
			f.Tensors[name] = &Tensor{d, shape, rapid.SliceOfN(rapid.Byte(), size, size).Draw(t, "data")}
		}
		var b bytes.Buffer
		digest, err := Encode(&b, f)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeBytes(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if got.Meta[DigestKey] != digest {
			t.Fatalf("digest %s, want %s", got.Meta[DigestKey], digest)
		}
		for name, want := range f.Tensors {
			g := got.Tensors[name]
			if g == nil || g.DType != want.DType || !cmp.Equal(g.Shape, want.Shape) || !bytes.Equal(g.Data, want.Data) {
				t.Fatalf("%q: got %v, want %v", name, g, want)
			}
		}
		for key, want := range f.Meta {
			if key != DigestKey && key != formatKey && got.Meta[key] != want {
				t.Fatalf("metadata %q: %q, want %q", key, got.Meta[key], want)
			}
		}
	})
}

// TestEveryBitFlip flips each bit of a file of ours: every one must be noticed.
func TestEveryBitFlip(t *testing.T) {
	data := encodeFile(t, sample())
	for i := range 8 * len(data) {
		data[i/8] ^= 1 << (i % 8)
		if _, err := decodeBytes(data); err == nil {
			t.Fatalf("bit %d of byte %d (%q) flipped without an error", i%8, i/8, data[i/8])
		}
		data[i/8] ^= 1 << (i % 8)
	}
	if _, err := decodeBytes(data); err != nil {
		t.Fatal(err)
	}
}

func TestEveryTruncation(t *testing.T) {
	data := encodeFile(t, sample())
	for n := range data {
		if _, err := decodeBytes(data[:n]); err == nil {
			t.Fatalf("%d of %d bytes read without an error", n, len(data))
		}
	}
}

// raw builds a file from a header as it stands and n bytes of data.
func raw(header string, n int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, n)...)
}

func TestReadRefuses(t *testing.T) {
	huge := binary.LittleEndian.AppendUint64(nil, 1<<62)
	tests := []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "not a safetensors file"},
		{"text", []byte("hello, this is no checkpoint"), "exceeds the file"},
		{"huge header", append(huge, "{}"...), "exceeds the file"},
		{"leading space", raw(` {}`, 0), "does not start with '{'"},
		{"not JSON", raw(`{"a":`, 0), "EOF"},
		{"not UTF-8", raw("{\"\xff\":1}", 0), "UTF-8"},
		{"trailing text", raw(`{} {}`, 0), "after the closing"},
		{"duplicate tensor", raw(`{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`, 0), "duplicate key"},
		{"duplicate field", raw(`{"a":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}}`, 0), "duplicate key"},
		{"duplicate metadata", raw(`{"__metadata__":{"k":"1","k":"2"}}`, 0), "duplicate key"},
		{"metadata of a number", raw(`{"__metadata__":{"k":1}}`, 0), "want a string"},
		{"unknown field", raw(`{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"x":1}}`, 0), "unknown key"},
		{"missing field", raw(`{"a":{"dtype":"U8","shape":[0]}}`, 0), "want dtype, shape"},
		{"unknown type", raw(`{"a":{"dtype":"F7","shape":[0],"data_offsets":[0,0]}}`, 0), `"F7" is not supported`},
		{"negative", raw(`{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,0]}}`, 0), "not an integer"},
		{"fraction", raw(`{"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}}`, 1), "not an integer"},
		{"overflow", raw(`{"a":{"dtype":"F64","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,0]}}`, 0), "too large"},
		{"absurd size", raw(`{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}`, 8), "has 8"},
		{"hole", raw(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}`, 3), "starts at byte 2"},
		{"overlap", raw(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, 3), "starts at byte 1"},
		{"reversed", raw(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,-1]}}`, 0), "not an integer"},
		{"wrong size", raw(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, 4), "another size"},
		{"data left over", raw(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 2), "describes 1 bytes"},
		{"own metadata without digest", raw(`{"__metadata__":{"sr3.format":"1"}}`, 0), "no \"sr3.digest\""},
		{"digest of another form", raw(`{"__metadata__":{"sr3.digest":"12"}}`, 0), "64 lower-case"},
		{"many dimensions", raw(`{"a":{"dtype":"U8","shape":[`+strings.Repeat("1,", 40)+`1],"data_offsets":[0,1]}}`, 1), "dimensions"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "bad.safetensors")
			if err := os.WriteFile(path, tt.data, 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := Read(path)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %v, want the path and %q", err, tt.want)
			}
		})
	}
	if _, err := Read(t.TempDir()); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("directory: %v", err)
	}
}

func TestForeignFileNeedsNoDigest(t *testing.T) {
	f, err := decodeBytes(raw(`{"__metadata__":{"format":"pt"},"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}  `, 2))
	if err != nil || f.Meta["format"] != "pt" || f.Tensors["a"].Len() != 2 {
		t.Errorf("%v, %v", f, err)
	}
}

func TestWriteRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, f := range map[string]*File{
		"shape":    {Tensors: map[string]*Tensor{"a": {F32, []int{3}, make([]byte, 8)}}},
		"type":     {Tensors: map[string]*Tensor{"a": {"F7", []int{3}, make([]byte, 8)}}},
		"name":     {Tensors: map[string]*Tensor{metadataKey: {U8, nil, make([]byte, 1)}}},
		"metadata": {Meta: map[string]string{"a": "\xff"}},
	} {
		if _, err := Write(filepath.Join(dir, name), f); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestHalf(t *testing.T) {
	for h := range 1 << 16 {
		v := HalfToFloat32(uint16(h))
		if v != v {
			if back := HalfToFloat32(Float32ToHalf(v)); back == back {
				t.Fatalf("%#04x: NaN became %g", h, back)
			}
			continue
		}
		if back := Float32ToHalf(v); back != uint16(h) {
			t.Fatalf("%#04x -> %g -> %#04x", h, v, back)
		}
		// Halfway to the next value rounds to the even one, a little more rounds up.
		if h&0x7fff >= 0x7bff {
			continue
		}
		mid := float32((float64(v) + float64(HalfToFloat32(uint16(h+1)))) / 2)
		if got := Float32ToHalf(mid); got&1 != 0 || (got != uint16(h) && got != uint16(h+1)) {
			t.Fatalf("halfway above %#04x rounds to %#04x", h, got)
		}
		if got := Float32ToHalf(math.Nextafter32(mid, HalfToFloat32(uint16(h+1)))); got != uint16(h+1) {
			t.Fatalf("above halfway of %#04x rounds to %#04x", h, got)
		}
	}
	if Float32ToHalf(65519.9) != 0x7bff || Float32ToHalf(65520) != 0x7c00 || Float32ToHalf(float32(math.Inf(-1))) != 0xfc00 {
		t.Error("range ends")
	}
}

func TestConversions(t *testing.T) {
	half, err := FromFloat32As(F16, []int{2}, []float32{0.5, -3})
	if err != nil {
		t.Fatal(err)
	}
	brain, err := FromFloat32As(BF16, []int{2}, []float32{0.5, -3})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []*Tensor{half, brain, FromFloat64s([]int{2}, []float64{0.5, -3})} {
		if v, err := x.Float32s(); err != nil || v[0] != 0.5 || v[1] != -3 {
			t.Errorf("%s: %v, %v", x.DType, v, err)
		}
		if _, err := x.Int64s(); err == nil {
			t.Errorf("%s read as integers", x.DType)
		}
	}
	if _, err := FromFloat32As(F16, []int{1}, []float32{70000}); err == nil {
		t.Error("70000 stored as F16")
	}
	if v, err := (&Tensor{I16, []int{2}, []byte{0xff, 0xff, 2, 0}}).Int64s(); err != nil || v[0] != -1 || v[1] != 2 {
		t.Errorf("I16: %v, %v", v, err)
	}
	if _, err := (&Tensor{Bool, []int{1}, []byte{1}}).Float32s(); err == nil {
		t.Error("Bool read as numbers")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encodeFile(f, sample()))
	f.Add(raw(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8))
	f.Add(raw(`{"__metadata__":{"k":"v"}}`, 0))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := decodeBytes(data)
		if err != nil {
			return
		}
		// What was accepted is whole, and survives a round trip.
		again, err := decodeBytes(encodeFile(t, file))
		if err != nil {
			t.Fatal(err)
		}
		if len(again.Tensors) != len(file.Tensors) {
			t.Fatalf("%d tensors, want %d", len(again.Tensors), len(file.Tensors))
		}
		for name, want := range file.Tensors {
			if got := again.Tensors[name]; got == nil || !bytes.Equal(got.Data, want.Data) || got.check() != nil {
				t.Fatalf("%q differs", name)
			}
		}
	})
}
