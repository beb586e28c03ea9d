package imageio_test

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/sr3-go/sr3/imageio"
	"golang.org/x/image/tiff"
	"pgregory.net/rapid"
)

// random returns a picture of samples that 8 or 16 bits hold exactly.
func random(seed uint64, w, h, depth int, gray, alpha bool) *imageio.Image {
	rng := rand.New(rand.NewPCG(seed, 7))
	limit := 1<<depth - 1
	m := imageio.New(w, h)
	m.Depth, m.Gray = depth, gray
	if alpha {
		m.Alpha = make([]float32, w*h)
	}
	for i := range w * h {
		smooth := i % 40 * limit / 40 // so that all PNG filters and WebP matches come up
		for c := range 3 {
			if gray && c > 0 {
				m.Pix[3*i+c] = m.Pix[3*i]
				continue
			}
			v := (smooth + rng.IntN(1+limit/8)) % (limit + 1)
			m.Pix[3*i+c] = float32(float64(v)/float64(limit)*2 - 1)
		}
		if alpha {
			m.Alpha[i] = float32(float64(rng.IntN(limit+1)) / float64(limit))
		}
	}
	return m
}

func encode(t testing.TB, m *imageio.Image, o imageio.Options) ([]byte, []string) {
	t.Helper()
	var b bytes.Buffer
	notes, err := imageio.Encode(&b, m, o)
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), notes
}

// Every lossless format gives back every sample, at every size.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		format := rapid.SampledFrom([]string{"png", "tiff", "webp"}).Draw(rt, "format")
		depth := 8
		if format != "webp" && rapid.Bool().Draw(rt, "deep") {
			depth = 16
		}
		w, h := rapid.IntRange(1, 60).Draw(rt, "w"), rapid.IntRange(1, 30).Draw(rt, "h")
		gray, alpha := rapid.Bool().Draw(rt, "gray"), rapid.Bool().Draw(rt, "alpha")
		m := random(rapid.Uint64().Draw(rt, "seed"), w, h, depth, gray, alpha)
		data, _ := encode(t, m, imageio.Options{Format: format})
		got, err := imageio.Decode(data, "x", imageio.Limits{})
		if err != nil {
			rt.Fatal(err)
		}
		if got.Width != w || got.Height != h || got.Depth != depth || got.Format != format {
			rt.Fatalf("%dx%d, %d bits, %s", got.Width, got.Height, got.Depth, got.Format)
		}
		if keeps := gray && (format == "png" || format == "tiff" && !alpha); got.Gray != keeps {
			rt.Errorf("gray is %v", got.Gray)
		}
		if !bytes.Equal(rgba(got, depth), rgba(m, depth)) {
			rt.Fatal("pixels differ")
		}
	})
}

// Other decoders must agree on what was written.
func TestStandardDecodersAgree(t *testing.T) {
	decoders := map[string]func([]byte) (image.Image, error){
		"png":  func(b []byte) (image.Image, error) { return png.Decode(bytes.NewReader(b)) },
		"tiff": func(b []byte) (image.Image, error) { return tiff.Decode(bytes.NewReader(b)) },
	}
	for format, decode := range decoders {
		for _, depth := range []int{8, 16} {
			m := random(5, 33, 19, depth, false, true)
			m.Meta = someMeta()
			data, _ := encode(t, m, imageio.Options{Format: format})
			img, err := decode(data)
			if err != nil {
				t.Fatal(err)
			}
			var got []byte
			switch img := img.(type) {
			case *image.NRGBA:
				got = img.Pix
			case *image.NRGBA64:
				got = img.Pix
			default:
				t.Fatalf("%s decodes to %T", format, img)
			}
			if !bytes.Equal(got, rgba(m, depth)) {
				t.Errorf("%s, %d bits: pixels differ", format, depth)
			}
		}
	}
}

func TestEightBitValuesAreExact(t *testing.T) {
	m := imageio.New(256, 1)
	for i := range 256 {
		for c := range 3 {
			m.Pix[3*i+c] = float32(i)/127.5 - 1 // in float32, as other code may compute it
		}
	}
	for i, v := range m.RGB8() {
		if int(v) != i/3 {
			t.Fatalf("sample %d became %d", i/3, v)
		}
	}
	back, err := imageio.FromRGB8(256, 1, m.RGB8())
	if err != nil || !bytes.Equal(back.RGB8(), m.RGB8()) {
		t.Errorf("FromRGB8: %v", err)
	}
	m.Pix[0], m.Pix[1], m.Pix[2] = -7, 7, 0.0001
	if got := m.RGB8()[:3]; got[0] != 0 || got[1] != 255 || got[2] != 128 {
		t.Errorf("clamped to %v", got)
	}
}

func TestJPEG(t *testing.T) {
	src := mustDecode(t, mustRead(t, "../resample/testdata/coffee_lr4.png"), "coffee")
	for _, gray := range []bool{false, true} {
		src.Gray = gray
		data, _ := encode(t, src, imageio.Options{Format: "jpeg"})
		config, err := jpeg.DecodeConfig(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		got := mustDecode(t, data, "x.jpg")
		if got.Gray != gray {
			t.Errorf("gray %v became %v (%v)", gray, got.Gray, config.ColorModel)
		}
		if gray {
			continue
		}
		var sum float64
		for i := range src.Pix {
			d := float64(src.Pix[i] - got.Pix[i])
			sum += d * d
		}
		if psnr := 10 * math.Log10(4*float64(len(src.Pix))/sum); psnr < 28 {
			t.Errorf("PSNR %.1f dB", psnr)
		}
	}
	low, _ := encode(t, src, imageio.Options{Format: "jpeg", Quality: 30})
	high, _ := encode(t, src, imageio.Options{Format: "jpeg", Quality: 99})
	if len(low) >= len(high) {
		t.Errorf("quality 30 has %d bytes, 99 has %d", len(low), len(high))
	}
}

func TestJPEGFlattens(t *testing.T) {
	m := imageio.New(16, 16)
	m.Alpha = make([]float32, 256) // black and wholly transparent
	data, notes := encode(t, m, imageio.Options{Format: "jpeg"})
	if got := mustDecode(t, data, "x").RGB8(); got[0] != 255 {
		t.Errorf("background %d, want white", got[0])
	}
	if !strings.Contains(strings.Join(notes, "\n"), "transparency") {
		t.Errorf("notes %q", notes)
	}
	data, _ = encode(t, m, imageio.Options{Format: "jpeg", Background: &[3]float32{1, -1, -1}})
	if got := mustDecode(t, data, "x").RGB8(); got[0] < 250 || got[1] > 5 {
		t.Errorf("background %v, want red", got[:3])
	}
	if m.Alpha == nil {
		t.Error("the picture itself was changed")
	}
}

func TestRefusesWhatIsNotFinite(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		for _, format := range []string{"png", "jpeg", "webp", "tiff"} {
			m := random(1, 9, 7, 8, false, true)
			m.Pix[3*(2*9+4)+1] = float32(bad)
			var b bytes.Buffer
			_, err := imageio.Encode(&b, m, imageio.Options{Format: format})
			if !errors.Is(err, imageio.ErrNotFinite) || !strings.Contains(err.Error(), "column 4, row 2") {
				t.Errorf("%s: error %v", format, err)
			}
			if b.Len() != 0 {
				t.Errorf("%s: %d bytes were written", format, b.Len())
			}
			m.Pix[3*(2*9+4)+1], m.Alpha[3] = 0, float32(bad)
			if err := m.Validate(); !errors.Is(err, imageio.ErrNotFinite) {
				t.Errorf("alpha: error %v", err)
			}
		}
	}
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	m := random(3, 20, 10, 8, false, false)
	for ext, format := range map[string]string{".png": "png", ".JPG": "jpeg", ".jpeg": "jpeg", ".webp": "webp", ".tif": "tiff", ".tiff": "tiff"} {
		path := filepath.Join(dir, "out"+ext)
		if _, err := imageio.WriteFile(path, m, imageio.Options{}); err != nil {
			t.Fatal(err)
		}
		got, err := imageio.ReadFile(path, imageio.Limits{})
		if err != nil || got.Format != format {
			t.Errorf("%s: %v, %v", ext, got, err)
		}
	}
	for _, name := range []string{"a.xcf", "a"} {
		_, err := imageio.WriteFile(filepath.Join(dir, name), m, imageio.Options{})
		if err == nil || !strings.Contains(err.Error(), ".webp") {
			t.Errorf("%s: error %v does not list extensions", name, err)
		}
	}
	bad := random(3, 20, 10, 8, false, false)
	bad.Pix[5] = float32(math.NaN())
	path := filepath.Join(dir, "out.png")
	before := mustRead(t, path)
	if _, err := imageio.WriteFile(path, bad, imageio.Options{}); err == nil || !strings.Contains(err.Error(), "out.png") {
		t.Errorf("error %v", err)
	}
	if !bytes.Equal(mustRead(t, path), before) {
		t.Error("a failed write changed the file")
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 6 {
		t.Errorf("%d files, want 6", len(entries))
	}
}

func TestOptionErrors(t *testing.T) {
	m := random(3, 4, 4, 8, false, false)
	wide := &imageio.Image{Width: 16384, Height: 1, Pix: make([]float32, 3*16384)}
	short := &imageio.Image{Width: 4, Height: 4, Pix: make([]float32, 5)}
	texts := *m
	texts.Meta.Text = map[string]string{"bad\nkey": "x"}
	for _, test := range []struct {
		m    *imageio.Image
		o    imageio.Options
		want string
	}{
		{m, imageio.Options{Format: "gif"}, "gif"}, {m, imageio.Options{Quality: 101}, "quality 101"},
		{m, imageio.Options{Depth: 12}, "depth 12"}, {wide, imageio.Options{Format: "webp"}, "16383"},
		{short, imageio.Options{}, "5 samples"}, {&texts, imageio.Options{}, "keyword"},
	} {
		_, err := imageio.Encode(&bytes.Buffer{}, test.m, test.o)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("error %v does not say %q", err, test.want)
		}
	}
}

// someMeta has every kind of metadata, with a profile too long for one JPEG segment.
func someMeta() imageio.Metadata {
	icc := make([]byte, 150000)
	for i := range icc {
		icc[i] = byte(i * i >> 3)
	}
	copy(icc[16:], "RGB ")
	copy(icc[36:], "acsp")
	return imageio.Metadata{
		ICC: icc, EXIF: exifBlock(1),
		XMP:  []byte("<?xpacket begin='' id='W5M0MpCehiHzreSzNTczkc9d'?><x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'><rdf:Description/></rdf:RDF></x:xmpmeta><?xpacket end='w'?>"),
		Text: map[string]string{"parameters": "steps=8 & seed <7>\n\"naïve\" ✓ &lt;", "Software": "sr3", "Grün": ""},
	}
}

// exifBlock returns a little-endian EXIF block: make, orientation and an Exif
// directory with one value.
func exifBlock(orientation byte) []byte {
	return []byte("II*\x00\x08\x00\x00\x00" + "\x03\x00" +
		"\x0f\x01\x02\x00\x06\x00\x00\x00\x32\x00\x00\x00" + // Make, at 50
		"\x12\x01\x03\x00\x01\x00\x00\x00" + string([]byte{orientation, 0}) + "\x00\x00" +
		"\x69\x87\x04\x00\x01\x00\x00\x00\x38\x00\x00\x00" + // Exif directory, at 56
		"\x00\x00\x00\x00" + "Leica\x00" +
		"\x01\x00" + "\x9a\x82\x05\x00\x01\x00\x00\x00\x4a\x00\x00\x00" + "\x00\x00\x00\x00" + // ExposureTime, at 74
		"\x01\x00\x00\x00\xfa\x00\x00\x00")
}

// Metadata passes through every chain of formats, PNG -> JPEG -> WebP -> PNG -> TIFF -> PNG.
func TestMetadataCrossesFormats(t *testing.T) {
	m := random(2, 12, 9, 8, false, false)
	m.Meta = someMeta()
	want := someMeta()
	for _, format := range []string{"png", "jpeg", "webp", "png", "tiff", "png", "tiff", "jpeg"} {
		data, notes := encode(t, m, imageio.Options{Format: format})
		if len(notes) > 0 {
			t.Errorf("%s: notes %q", format, notes)
		}
		text, err := imageio.ReadText(data, "x")
		if err != nil || !maps.Equal(text, want.Text) {
			t.Errorf("%s: ReadText = %q, %v", format, text, err)
		}
		m = mustDecode(t, data, "x."+format)
		if format == "tiff" { // directories are laid down anew there
			if !bytes.Contains(m.Meta.EXIF, []byte("Leica")) || !bytes.Contains(m.Meta.EXIF, []byte("\x9a\x82\x05\x00")) {
				t.Errorf("EXIF from TIFF is %q", m.Meta.EXIF)
			}
			want.EXIF = m.Meta.EXIF
		}
		if diff := cmp.Diff(want, m.Meta); diff != "" {
			t.Fatalf("%s: %s", format, diff)
		}
		if len(m.Notes) > 0 {
			t.Errorf("%s: notes on reading %q", format, m.Notes)
		}
	}
}

func TestTextAlone(t *testing.T) {
	for _, format := range []string{"png", "jpeg", "webp", "tiff"} {
		m := random(2, 12, 9, 8, false, false)
		m.Meta.Text = map[string]string{"parameters": strings.Repeat("a long story ", 1000)}
		data, _ := encode(t, m, imageio.Options{Format: format})
		got := mustDecode(t, data, "x")
		if diff := cmp.Diff(m.Meta, got.Meta); diff != "" {
			t.Errorf("%s: %s", format, diff)
		}
		m.Meta.Text = nil
		data, _ = encode(t, m, imageio.Options{Format: format})
		if text, err := imageio.ReadText(data, "x"); err != nil || len(text) != 0 {
			t.Errorf("%s without text: %q, %v", format, text, err)
		}
	}
}

func TestWhatDoesNotFitIsNoted(t *testing.T) {
	cmyk := someMeta().ICC
	copy(cmyk[16:], "CMYK")
	for _, test := range []struct {
		name, format, want string
		change             func(*imageio.Image)
	}{
		{"CMYK profile", "png", "profile", func(m *imageio.Image) { m.Meta.ICC = cmyk }},
		{"long EXIF", "jpeg", "EXIF", func(m *imageio.Image) { m.Meta.EXIF = append(exifBlock(1), make([]byte, 70000)...) }},
		{"long XMP", "jpeg", "XMP", func(m *imageio.Image) { m.Meta.XMP = bytes.Repeat([]byte("x"), 70000) }},
		{"long text", "jpeg", "text", func(m *imageio.Image) {
			m.Meta = imageio.Metadata{XMP: someMeta().XMP, Text: map[string]string{"a": strings.Repeat("x", 70000)}}
		}},
		{"XMP without end", "webp", "text", func(m *imageio.Image) {
			m.Meta = imageio.Metadata{XMP: []byte("<x/>"), Text: map[string]string{"a": "b"}}
		}},
		{"16 bits", "jpeg", "8 bits", func(m *imageio.Image) { m.Depth = 16 }},
		{"gamma", "webp", "colour chunks", func(m *imageio.Image) {
			m.Meta.Color = []imageio.Chunk{{Type: "gAMA", Data: []byte{0, 1, 134, 160}}}
		}},
	} {
		m := random(2, 12, 9, 8, false, false)
		test.change(m)
		data, notes := encode(t, m, imageio.Options{Format: test.format})
		if !strings.Contains(strings.Join(notes, "\n"), test.want) {
			t.Errorf("%s: notes %q do not say %q", test.name, notes, test.want)
		}
		mustDecode(t, data, test.name)
	}
}

func TestPNGColorChunksStay(t *testing.T) {
	m := random(2, 12, 9, 8, false, false)
	m.Meta.Color = []imageio.Chunk{{Type: "gAMA", Data: []byte{0, 1, 134, 160}}, {Type: "cHRM", Data: make([]byte, 32)}}
	data, notes := encode(t, m, imageio.Options{})
	if diff := cmp.Diff(m.Meta, mustDecode(t, data, "x").Meta); diff != "" || len(notes) > 0 {
		t.Errorf("%s %q", diff, notes)
	}
}

// upright returns the pixels in the upright position by the definition of each
// orientation: where row 0 and column 0 of the stored picture are.
func upright(orientation, x, y, w, h int) (sx, sy int) {
	switch orientation {
	case 2: // row 0 top, column 0 right
		return w - 1 - x, y
	case 3: // bottom, right
		return w - 1 - x, h - 1 - y
	case 4: // bottom, left
		return x, h - 1 - y
	case 5: // row 0 left, column 0 top
		return y, x
	case 6: // row 0 right, column 0 top
		return y, h - 1 - x
	case 7: // row 0 right, column 0 bottom
		return w - 1 - y, h - 1 - x
	case 8: // row 0 left, column 0 bottom
		return w - 1 - y, x
	default:
		return x, y
	}
}

func TestOrientations(t *testing.T) {
	const w, h = 7, 4
	for _, format := range []string{"png", "webp", "tiff"} {
		for orientation := 1; orientation <= 8; orientation++ {
			t.Run(fmt.Sprint(format, orientation), func(t *testing.T) {
				m := random(4, w, h, 8, false, true)
				m.Meta.EXIF = exifBlock(1)
				data, _ := encode(t, m, imageio.Options{Format: format})
				data = reorient(t, data, format, byte(orientation))
				info, err := imageio.Inspect(data, "x", imageio.Limits{})
				if err != nil || info.Orientation != orientation {
					t.Fatalf("%+v, %v", info, err)
				}
				got := mustDecode(t, data, "x")
				if got.Width != info.Width || got.Height != info.Height || orientation >= 5 != (got.Width == h) {
					t.Fatalf("%dx%d, Inspect says %dx%d", got.Width, got.Height, info.Width, info.Height)
				}
				a, b := rgba(got, 8), rgba(m, 8)
				for y := range got.Height {
					for x := range got.Width {
						sx, sy := upright(orientation, x, y, w, h)
						if !slices.Equal(a[4*(y*got.Width+x):][:4], b[4*(sy*w+sx):][:4]) {
							t.Fatalf("pixel %d,%d is not stored pixel %d,%d", x, y, sx, sy)
						}
					}
				}
				again, _ := encode(t, got, imageio.Options{Format: "png"})
				if info, err := imageio.Inspect(again, "x", imageio.Limits{}); err != nil || info.Orientation != 1 {
					t.Errorf("the orientation is still %d, %v", info.Orientation, err)
				}
			})
		}
	}
}

// reorient patches the orientation tag of an encoded file.
func reorient(t *testing.T, data []byte, format string, orientation byte) []byte {
	t.Helper()
	tag := []byte("\x12\x01\x03\x00\x01\x00\x00\x00\x01")
	at := bytes.Index(data, tag)
	if at < 0 || bytes.Count(data, tag) != 1 {
		t.Fatalf("the orientation is there %d times", bytes.Count(data, tag))
	}
	data[at+8] = orientation
	if format == "png" {
		fixCRC(data, bytes.Index(data, []byte("eXIf"))-4)
	}
	return data
}

// In JPEG the orientation is applied after the loss, so compare with the unturned decode.
func TestJPEGOrientation(t *testing.T) {
	m := random(4, 24, 16, 8, false, false)
	m.Meta.EXIF = exifBlock(1)
	plain, _ := encode(t, m, imageio.Options{Format: "jpeg"})
	want := rgba(mustDecode(t, plain, "x"), 8)
	got := mustDecode(t, reorient(t, bytes.Clone(plain), "jpeg", 6), "x")
	if got.Width != 16 || got.Height != 24 {
		t.Fatalf("%dx%d", got.Width, got.Height)
	}
	a := rgba(got, 8)
	for y := range 24 {
		for x := range 16 {
			if sx, sy := upright(6, x, y, 24, 16); !slices.Equal(a[4*(y*16+x):][:4], want[4*(sy*24+sx):][:4]) {
				t.Fatalf("pixel %d,%d", x, y)
			}
		}
	}
}
