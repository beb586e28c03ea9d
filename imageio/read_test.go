package imageio_test

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/imageio"
)

func mustRead(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func mustDecode(t testing.TB, data []byte, name string) *imageio.Image {
	t.Helper()
	m, err := imageio.Decode(data, name, imageio.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// rgba returns the picture as 8-bit or big-endian 16-bit RGBA.
func rgba(m *imageio.Image, depth int) (out []byte) {
	limit := float64(int(1)<<depth - 1)
	put := func(v float64) {
		n := uint16(math.Round(v * limit))
		if depth == 16 {
			out = binary.BigEndian.AppendUint16(out, n)
		} else {
			out = append(out, byte(n))
		}
	}
	for i := range m.Width * m.Height {
		for c := range 3 {
			put((float64(m.Pix[3*i+c]) + 1) / 2)
		}
		if m.Alpha == nil {
			put(1)
		} else {
			put(float64(m.Alpha[i]))
		}
	}
	return out
}

// TestReadsWhatOthersWrite compares variants of all formats, written by other
// programs, with what other programs see in them; testdata/make.py made both.
func TestReadsWhatOthersWrite(t *testing.T) {
	lines := strings.Fields(string(mustRead(t, "testdata/expected.csv")))
	if len(lines) < 40 {
		t.Fatalf("only %d files", len(lines))
	}
	for _, line := range lines {
		f := strings.Split(line, ",")
		name, kind := f[0], f[1]
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("testdata", "read", name)
			m, err := imageio.ReadFile(path, imageio.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if strconv.Itoa(m.Width) != f[2] || strconv.Itoa(m.Height) != f[3] {
				t.Fatalf("%dx%d pixels, want %sx%s", m.Width, m.Height, f[2], f[3])
			}
			if wantGray := strings.Contains(name, "gray") || name == "tiff_g4.tif"; m.Gray != wantGray {
				t.Errorf("Gray = %v", m.Gray)
			}
			if err := m.Validate(); err != nil {
				t.Error(err)
			}
			if kind == "lossy" {
				compareLossy(t, m, mustDecode(t, mustRead(t, path+".png"), path+".png"))
				return
			}
			depth, _ := strconv.Atoi(kind)
			if m.Depth != depth {
				t.Errorf("depth %d, want %d", m.Depth, depth)
			}
			want, _ := strconv.ParseUint(f[4], 16, 32)
			if got := crc32.ChecksumIEEE(rgba(m, depth)); got != uint32(want) {
				t.Errorf("pixels have checksum %08x, want %08x", got, want)
			}
		})
	}
}

// compareLossy allows what inverse transforms of different programs differ by.
// Without smooth colour or with the wrong YCbCr range the mean would be far above it.
func compareLossy(t *testing.T, got, want *imageio.Image) {
	t.Helper()
	a, b := rgba(got, 8), rgba(want, 8)
	if len(a) != len(b) {
		t.Fatalf("%d samples, want %d", len(a), len(b))
	}
	var sum, worst float64
	for i := range a {
		d := math.Abs(float64(a[i]) - float64(b[i]))
		sum, worst = sum+d, max(worst, d)
	}
	mean := sum / float64(len(a))
	t.Logf("mean difference %.4f, largest %v", mean, worst)
	if mean > 0.3 || worst > 4 {
		t.Errorf("mean difference %.3f, largest %v of 255", mean, worst)
	}
}

func TestNotes(t *testing.T) {
	for name, want := range map[string]string{
		"gif_animated.gif": "first frame", "webp_animated.webp": "first frame", "jpeg_cmyk.jpg": "CMYK",
	} {
		m := mustDecode(t, mustRead(t, filepath.Join("testdata", "read", name)), name)
		if !strings.Contains(strings.Join(m.Notes, "\n"), want) {
			t.Errorf("%s: notes %q do not say %q", name, m.Notes, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	png := mustRead(t, "testdata/read/png_gray_alpha.png")
	huge := append([]byte(nil), png...)
	binary.BigEndian.PutUint32(huge[16:], 100000)
	binary.BigEndian.PutUint32(huge[20:], 100000)
	fixCRC(huge, 8)
	wide := append([]byte(nil), png...)
	binary.BigEndian.PutUint32(wide[16:], 5000)
	binary.BigEndian.PutUint32(wide[20:], 6000)
	fixCRC(wide, 8)
	for _, test := range []struct {
		name   string
		data   []byte
		limits imageio.Limits
		want   error
		says   string
	}{
		{"empty", nil, imageio.Limits{}, imageio.ErrUnknownFormat, "no data"},
		{"text", []byte("hello there"), imageio.Limits{}, imageio.ErrUnknownFormat, "PNG, JPEG"},
		{"heic", []byte("\x00\x00\x00\x18ftypheic...."), imageio.Limits{}, imageio.ErrUnsupported, "HEIC"},
		{"huge", huge, imageio.Limits{}, nil, "100000x100000"},
		{"more than its data", wide, imageio.Limits{}, imageio.ErrCorrupt, "cannot hold"},
		{"pixels", png, imageio.Limits{MaxPixels: 100}, imageio.ErrTooLarge, "37x23"},
		{"bytes", png, imageio.Limits{MaxBytes: 100}, imageio.ErrTooLarge, "limit"},
		{"no end", png[:len(png)-12], imageio.Limits{}, imageio.ErrCorrupt, "IEND"},
	} {
		_, err := imageio.Decode(test.data, "some/file.xyz", test.limits)
		switch {
		case err == nil:
			t.Errorf("%s: no error", test.name)
		case test.want != nil && !errors.Is(err, test.want):
			t.Errorf("%s: %v is not %v", test.name, err, test.want)
		case !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), "some/file.xyz"):
			t.Errorf("%s: %v does not name the file and %q", test.name, err, test.says)
		}
	}
}

// fixCRC recomputes the checksum of the chunk at offset.
func fixCRC(png []byte, at int) {
	n := int(binary.BigEndian.Uint32(png[at:]))
	binary.BigEndian.PutUint32(png[at+8+n:], crc32.ChecksumIEEE(png[at+4:at+8+n]))
}

func TestReadFileNamesTheFile(t *testing.T) {
	_, err := imageio.ReadFile(filepath.Join(t.TempDir(), "absent.png"), imageio.Limits{})
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "absent.png") {
		t.Errorf("error %v", err)
	}
	_, err = imageio.ReadFile("testdata/expected.csv", imageio.Limits{MaxBytes: 10})
	if !errors.Is(err, imageio.ErrTooLarge) || !strings.Contains(err.Error(), "expected.csv") {
		t.Errorf("error %v", err)
	}
}
