package imageio_test

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/sr3-go/sr3/imageio"
)

// samples returns every picture of testdata and one of each output format with
// all metadata, by name.
func samples(t testing.TB) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob("testdata/read/*")
	if err != nil || len(paths) < 40 {
		t.Fatalf("%d files, %v", len(paths), err)
	}
	files := make(map[string][]byte)
	for _, p := range paths {
		if !strings.Contains(filepath.Base(p), "lossy") || !strings.HasSuffix(p, ".png") {
			files[filepath.Base(p)] = mustRead(t, p)
		}
	}
	m := random(2, 40, 30, 8, false, true)
	m.Meta = someMeta()
	m.Meta.ICC = m.Meta.ICC[:3000]
	for _, format := range []string{"png", "jpeg", "webp", "tiff"} {
		files["meta."+format], _ = encode(t, m, imageio.Options{Format: format})
	}
	return files
}

// check decodes damaged data: it must give an error that names the file and
// has a known cause, or a valid picture.
func check(t testing.TB, data []byte) *imageio.Image {
	t.Helper()
	m, err := imageio.Decode(data, "damaged.file", imageio.Limits{})
	if err != nil {
		known := errors.Is(err, imageio.ErrCorrupt) || errors.Is(err, imageio.ErrUnsupported) ||
			errors.Is(err, imageio.ErrUnknownFormat) || errors.Is(err, imageio.ErrTooLarge)
		if !known || !strings.Contains(err.Error(), "damaged.file") {
			t.Fatalf("error %v", err)
		}
		return nil
	}
	if err := m.Validate(); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestTruncated(t *testing.T) {
	for name, data := range samples(t) {
		read := 0
		for i := range 200 {
			if check(t, data[:len(data)*i/200]) != nil {
				read++
			}
		}
		// Formats with metadata, trailers or padding at the end survive losing those.
		if limit := 140; read > limit {
			t.Errorf("%s: %d of 200 truncations are read", name, read)
		}
	}
}

func TestBitFlips(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	for name, data := range samples(t) {
		for range 200 {
			damaged := bytes.Clone(data)
			at := rng.IntN(len(data))
			damaged[at] ^= 1 << rng.IntN(8)
			// PNG has checksums everywhere: an error, or a note about metadata.
			if m := check(t, damaged); m != nil && m.Format == "png" && len(m.Notes) == 0 {
				t.Errorf("%s: a flipped bit of byte %d is not noticed", name, at)
			}
		}
	}
}

func chunk(name string, body []byte) []byte {
	out := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	out = append(append(append(out, name...), body...), 0, 0, 0, 0)
	fixCRC(out, 0)
	return out
}

// insert puts chunks behind IHDR.
func insert(png []byte, chunks ...[]byte) []byte {
	const at = 8 + 25
	return bytes.Join(append(append([][]byte{png[:at]}, chunks...), png[at:]), nil)
}

func TestDamagedAncillaryChunks(t *testing.T) {
	plain, _ := encode(t, random(2, 12, 9, 8, false, false), imageio.Options{})
	want := rgba(mustDecode(t, plain, "x"), 8)
	badCRC := chunk("tEXt", []byte("a\x00b"))
	badCRC[len(badCRC)-1] ^= 1
	var bomb bytes.Buffer
	z := zlib.NewWriter(&bomb)
	if _, err := z.Write(make([]byte, 40<<20)); err != nil {
		t.Fatal(err)
	}
	z.Close()
	for name, bad := range map[string][]byte{
		"checksum":         badCRC,
		"iCCP not zlib":    chunk("iCCP", []byte("GIMP\x00\x00garbage")),
		"iCCP no zero":     chunk("iCCP", []byte("GIMP")),
		"iCCP no profile":  chunk("iCCP", append([]byte("x\x00\x00"), 0x78, 0x9c, 3, 0, 0, 0, 0, 1)),
		"iCCP bomb":        chunk("iCCP", append([]byte("x\x00\x00"), bomb.Bytes()...)),
		"zTXt bomb":        chunk("zTXt", append([]byte("x\x00\x00"), bomb.Bytes()...)),
		"iTXt cut":         chunk("iTXt", []byte("x\x00")),
		"eXIf of rubbish":  chunk("eXIf", []byte("rubbish")),
		"tRNS too long":    chunk("tRNS", make([]byte, 40)),
		"tEXt no keyword":  chunk("tEXt", []byte("\x00b")),
		"iTXt not unicode": chunk("iTXt", []byte("x\x00\x00\x00\x00\x00\xff\xfe")),
	} {
		m, err := imageio.Decode(insert(plain, bad), "x", imageio.Limits{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		// An empty profile is no damage, only nothing.
		if len(m.Notes) != 1 && name != "iCCP no profile" {
			t.Errorf("%s: notes %q", name, m.Notes)
		}
		if !bytes.Equal(rgba(m, 8), want) {
			t.Errorf("%s: pixels differ", name)
		}
	}
	if _, err := imageio.Decode(insert(plain, chunk("CRIT", nil)), "x", imageio.Limits{}); !errors.Is(err, imageio.ErrUnsupported) {
		t.Errorf("unknown critical chunk: %v", err)
	}
}

func TestOldTextChunks(t *testing.T) {
	plain, _ := encode(t, random(2, 12, 9, 8, false, false), imageio.Options{})
	var z bytes.Buffer
	zw := zlib.NewWriter(&z)
	if _, err := zw.Write([]byte("compressed")); err != nil {
		t.Fatal(err)
	}
	zw.Close()
	data := insert(plain, chunk("tEXt", []byte("Author\x00J\xfcrgen")),
		chunk("zTXt", append([]byte("Z\x00\x00"), z.Bytes()...)),
		chunk("iTXt", append([]byte("I\x00\x01\x00de\x00\x00"), z.Bytes()...)))
	got := mustDecode(t, data, "x").Meta.Text
	if got["Author"] != "Jürgen" || got["Z"] != "compressed" || got["I"] != "compressed" {
		t.Errorf("got %q", got)
	}
}

// allocated returns the bytes that f allocates in all, freed or not.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Headers that promise large pictures over little data must not cost memory.
func TestSmallFilesCostLittle(t *testing.T) {
	const side = 5700 // just below the pixel limit
	png := emptyPNG(side)
	bmp := append([]byte("BM"), make([]byte, 52)...)
	binary.LittleEndian.PutUint32(bmp[10:], 54)
	binary.LittleEndian.PutUint32(bmp[14:], 40)
	binary.LittleEndian.PutUint32(bmp[18:], side)
	binary.LittleEndian.PutUint32(bmp[22:], side)
	bmp[26], bmp[28] = 1, 24
	tif := mustRead(t, "testdata/read/tiff_none.tif")
	tif = bytes.Clone(tif)
	for _, tag := range []string{"\x00\x01", "\x01\x01"} {
		for _, kind := range []byte{3, 4} {
			if at := bytes.Index(tif, append([]byte(tag), kind, 0, 1, 0, 0, 0)); at >= 0 {
				binary.LittleEndian.PutUint16(tif[at+8:], side)
			}
		}
	}
	for name, data := range map[string][]byte{"png": png, "bmp": bmp, "tiff": tif} {
		var err error
		cost := allocated(func() { _, err = imageio.Decode(data, "x", imageio.Limits{}) })
		if !errors.Is(err, imageio.ErrCorrupt) || !strings.Contains(err.Error(), "5700x5700") {
			t.Errorf("%s: error %v", name, err)
		}
		if cost > 1<<20 {
			t.Errorf("%s: %d bytes allocated", name, cost)
		}
	}
}

// emptyPNG returns a PNG header of a square picture, with next to no data.
func emptyPNG(side uint32) []byte {
	ihdr := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, side), side)
	return bytes.Join([][]byte{[]byte("\x89PNG\r\n\x1a\n"), chunk("IHDR", append(ihdr, 8, 2, 0, 0, 0)),
		chunk("IDAT", []byte{0x78, 0x9c, 3, 0, 0, 0, 0, 1}), chunk("IEND", nil)}, nil)
}

// TestBombs decodes the costliest pictures that the default limits let in and
// checks what they allocate in all, an upper bound of what they hold. It is slow.
// A stream without an end must not cost much more than the limit.
func TestEndlessStream(t *testing.T) {
	const limit = 32 << 20
	var err error
	cost := allocated(func() { _, err = imageio.ReadAll(endless{}, "stream", imageio.Limits{MaxBytes: limit}) })
	if !errors.Is(err, imageio.ErrTooLarge) {
		t.Errorf("error %v", err)
	}
	if cost > 3*limit/2 {
		t.Errorf("%d MiB allocated", cost>>20)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestReadAll(t *testing.T) {
	for _, n := range []int{0, 1, 511, 512, 513, 3 << 20, 3<<20 + 513} {
		want := bytes.Repeat([]byte("sr3"), n/3+1)[:n]
		got, err := imageio.ReadAll(iotest.HalfReader(bytes.NewReader(want)), "stream", imageio.Limits{MaxBytes: int64(n) + 1})
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: got %d, %v", n, len(got), err)
		}
		if n == 0 {
			continue
		}
		if _, err := imageio.ReadAll(bytes.NewReader(want), "stream", imageio.Limits{MaxBytes: int64(n) - 1}); n > 1 && !errors.Is(err, imageio.ErrTooLarge) {
			t.Errorf("%d bytes of %d allowed: %v", n, n-1, err)
		}
		if _, err := imageio.ReadAll(io.MultiReader(bytes.NewReader(want), iotest.ErrReader(io.ErrUnexpectedEOF)), "stream", imageio.Limits{}); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes and a failure: %v", n, err)
		}
	}
}

func TestBombs(t *testing.T) {
	if os.Getenv("SR3_SLOW_TESTS") == "" {
		t.Skip("set SR3_SLOW_TESTS=1 to run")
	}
	const w, h = 5792, 5792
	m := &imageio.Image{Width: w, Height: h, Depth: 16, Pix: make([]float32, 3*w*h), Alpha: make([]float32, w*h)}
	for _, format := range []string{"png", "tiff"} {
		data, _ := encode(t, m, imageio.Options{Format: format})
		t.Logf("%s: %d bytes", format, len(data))
		cost := allocated(func() { mustDecode(t, data, "bomb") })
		t.Logf("%s: %d MiB allocated in all", format, cost>>20)
		if cost > 1<<30 {
			t.Errorf("%s: %d MiB", format, cost>>20)
		}
	}
}

func FuzzPNG(f *testing.F)  { fuzzFormat(f, "png") }
func FuzzJPEG(f *testing.F) { fuzzFormat(f, "jp") }
func FuzzWebP(f *testing.F) { fuzzFormat(f, "webp") }
func FuzzTIFF(f *testing.F) { fuzzFormat(f, "tif") }
func FuzzBMP(f *testing.F)  { fuzzFormat(f, "bmp") }
func FuzzGIF(f *testing.F)  { fuzzFormat(f, "gif") }

// fuzzFormat starts from the files whose extension begins with ext.
func fuzzFormat(f *testing.F, ext string) {
	for name, data := range samples(f) {
		if strings.HasPrefix(filepath.Ext(name), "."+ext) {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := imageio.Decode(data, "damaged.file", imageio.Limits{MaxPixels: 1 << 20, MaxBytes: 1 << 20})
		if err != nil {
			return
		}
		if err := m.Validate(); err != nil {
			t.Fatal(err)
		}
		// Whatever was read can be written and read again with the same metadata.
		var b bytes.Buffer
		if _, err := imageio.Encode(&b, m, imageio.Options{}); err != nil {
			t.Fatal(err)
		}
		again, err := imageio.Decode(b.Bytes(), "again", imageio.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(rgba(again, 16), rgba(m, 16)) {
			t.Fatal("pixels differ after writing")
		}
	})
}

// TestScans reads a progressive JPEG of one grey component whose scans are a few bytes
// each: as many as are taken, and one more.
func TestScans(t *testing.T) {
	segment := func(marker byte, body ...byte) []byte {
		return append([]byte{0xff, marker, 0, byte(len(body) + 2)}, body...)
	}
	file := func(scans int) []byte {
		ones := bytes.Repeat([]byte{1}, 64)
		code := append([]byte{1}, make([]byte, 15)...) // one code of one bit
		data := []byte{0xff, 0xd8}
		data = append(data, segment(0xdb, append([]byte{0}, ones...)...)...)
		data = append(data, segment(0xc2, 8, 0, 8, 0, 8, 1, 1, 0x11, 0)...)
		data = append(data, segment(0xc4, append(append([]byte{0}, code...), 0)...)...)
		data = append(data, segment(0xc4, append(append([]byte{0x10}, code...), 0)...)...)
		data = append(append(data, segment(0xda, 1, 1, 0, 0, 0, 0)...), 0x7f)
		for range scans - 1 {
			data = append(append(data, segment(0xda, 1, 1, 0, 1, 63, 0)...), 0x7f)
		}
		// What looks like scans in a comment is none.
		data = append(data, segment(0xfe, bytes.Repeat([]byte{0xff, 0xda}, 100)...)...)
		return append(data, 0xff, 0xd9)
	}
	if m, err := imageio.Decode(file(500), "scans.jpg", imageio.Limits{}); err != nil || m.Width != 8 {
		t.Errorf("500 scans: %v", err)
	}
	for _, n := range []int{501, 5000} {
		if _, err := imageio.Inspect(file(n), "scans.jpg", imageio.Limits{}); !errors.Is(err, imageio.ErrTooLarge) || !strings.Contains(err.Error(), "scans.jpg") {
			t.Errorf("%d scans: %v", n, err)
		}
	}
}
