package imageio

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sr3-go/sr3/internal/runfiles"
)

// Options say how a picture is written. The zero value gives PNG of the
// picture's own depth.
type Options struct {
	// Format is png, jpeg, webp or tiff; "" means png, or in WriteFile what the
	// file name says.
	Format string
	// Quality of JPEG, 1 to 100; 0 means 92. Colour is written at half
	// resolution (4:2:0) at every quality.
	Quality int
	// Depth is 8 or 16 bits a sample; 0 means the picture's. JPEG and WebP hold 8.
	Depth int
	// Background is what JPEG shows through transparency (R, G, B in [-1, 1]);
	// nil means white.
	Background *[3]float32
}

// extensions of the formats that can be written.
var extensions = map[string]string{
	".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp", ".tif": "tiff", ".tiff": "tiff",
}

// FormatOf returns the output format that a file name's extension asks for. Its
// error lists the known extensions.
func FormatOf(path string) (string, error) {
	ext := strings.ToLower(filepath.Ext(path))
	if f, ok := extensions[ext]; ok {
		return f, nil
	}
	known := strings.Join(slices.Sorted(maps.Keys(extensions)), ", ")
	if ext == "" {
		return "", fmt.Errorf("imageio: %s: no extension to tell the output format by; known are %s", path, known)
	}
	return "", fmt.Errorf("imageio: %s: cannot write %q files; known are %s", path, ext, known)
}

// WriteFile writes a picture to path, whole or not at all. The notes say what the
// format could not hold. It fails for samples that are not finite.
func WriteFile(path string, m *Image, o Options) (notes []string, err error) {
	if o.Format == "" {
		if o.Format, err = FormatOf(path); err != nil {
			return nil, err
		}
	}
	if err := o.check(m); err != nil {
		return nil, fmt.Errorf("imageio: write %s: %w", path, err)
	}
	err = runfiles.WriteAtomic(path, func(w io.Writer) error {
		notes, err = Encode(w, m, o)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("imageio: write %s: %w", path, err)
	}
	return notes, nil
}

// Encode writes a picture. The notes say what the format could not hold. It
// fails, before anything is written, for samples that are not finite, sizes that
// do not fit together or exceed the format, and text that cannot be stored.
func Encode(w io.Writer, m *Image, o Options) (notes []string, err error) {
	if o.Format == "" {
		o.Format = "png"
	}
	if err := o.check(m); err != nil {
		return nil, fmt.Errorf("encode %s: %w", o.Format, err)
	}
	e := &encoder{m: m, o: o, depth: o.depth(m), meta: m.Meta}
	e.fitMeta()
	buffered := bufio.NewWriterSize(w, 1<<16)
	if err := e.write(buffered); err != nil {
		return nil, fmt.Errorf("encode %s: %w", o.Format, err)
	}
	if err := buffered.Flush(); err != nil {
		return nil, fmt.Errorf("encode %s: %w", o.Format, err)
	}
	return e.notes, nil
}

// maxSides of the formats: PNG and TIFF have 31 bits, but 32-bit file offsets.
var maxSides = map[string]int{"png": 1 << 30, "jpeg": 65535, "webp": 16383, "tiff": 1 << 30}

// MaxSide is the longest side in pixels that files of an output format hold; 0 for
// formats that are not written.
func MaxSide(format string) int { return maxSides[format] }

func (o Options) check(m *Image) error {
	limit, ok := maxSides[o.Format]
	if !ok {
		return fmt.Errorf("%w %q; written are png, jpeg, webp and tiff", ErrUnknownFormat, o.Format)
	}
	if m.Width > limit || m.Height > limit {
		return fmt.Errorf("%w: %dx%d pixels; this format holds sides of at most %d: write PNG or TIFF", ErrTooLarge, m.Width, m.Height, limit)
	}
	if o.Quality < 0 || o.Quality > 100 {
		return fmt.Errorf("quality %d; it must be from 1 to 100, or 0 for the default", o.Quality)
	}
	if o.Depth != 0 && o.Depth != 8 && o.Depth != 16 {
		return fmt.Errorf("depth %d; it must be 8 or 16, or 0 for the picture's own", o.Depth)
	}
	if err := checkText(m.Meta.Text); err != nil {
		return err
	}
	return m.Validate()
}

func (o Options) depth(m *Image) int {
	d := o.Depth
	if d == 0 {
		d = m.Depth
	}
	if d != 16 || o.Format == "jpeg" || o.Format == "webp" {
		return 8
	}
	return 16
}

// encoder holds one picture on its way into a file.
type encoder struct {
	m     *Image
	o     Options
	depth int
	meta  Metadata // what is left of it
	notes []string
}

func (e *encoder) note(format string, args ...any) {
	e.notes = append(e.notes, fmt.Sprintf(format, args...))
}

// fitMeta drops or converts what the output cannot hold.
func (e *encoder) fitMeta() {
	if e.depth == 8 && e.m.Depth == 16 {
		e.note("written with 8 bits a sample; the picture has 16")
	}
	grayOut := e.m.Gray && e.o.Format != "webp" && !(e.o.Format == "tiff" && e.m.Alpha != nil)
	err := checkICC(e.meta.ICC, grayOut)
	if err == nil && grayOut && e.o.Format == "png" && len(e.meta.ICC) > 0 && string(e.meta.ICC[16:20]) != "GRAY" {
		err = fmt.Errorf("a grey PNG cannot hold an RGB profile")
	}
	if err != nil {
		e.note("colour profile dropped: %v", err)
		e.meta.ICC = nil
	}
	e.meta.EXIF = resetOrientation(e.meta.EXIF)
	if e.o.Format == "png" {
		return
	}
	if !ordinaryColor(e.meta.Color) && e.meta.ICC == nil {
		e.note("PNG colour chunks dropped: this format cannot hold them, and they are not sRGB's")
	}
	packet, err := joinXMP(e.meta.XMP, e.meta.Text)
	if err != nil {
		e.note("text dropped: %v", err)
		packet = e.meta.XMP
	}
	e.meta.XMP = packet
}

// ordinaryColor reports whether chunks say no more than that the picture is sRGB.
func ordinaryColor(chunks []Chunk) bool {
	srgb := slices.ContainsFunc(chunks, func(c Chunk) bool { return c.Type == "sRGB" })
	for _, c := range chunks {
		switch {
		case c.Type == "cICP":
			return false
		case c.Type == "gAMA" && !srgb && !bytes.Equal(c.Data, []byte{0, 0, 0xb1, 0x8f}): // 1/2.2
			return false
		}
	}
	return true
}

func (e *encoder) write(w *bufio.Writer) error {
	switch e.o.Format {
	case "jpeg":
		return e.writeJPEG(w)
	case "webp":
		return e.writeWebP(w)
	case "tiff":
		return e.writeTIFF(w)
	default:
		return e.writePNG(w)
	}
}

// channels returns the samples per pixel as PNG and TIFF store them.
func (e *encoder) channels() int {
	n := 3
	if e.m.Gray {
		n = 1
	}
	if e.m.Alpha != nil {
		n++
	}
	return n
}

// samples writes row y as integer samples: grey or R, G, B, then alpha; 16-bit
// ones in the byte order that put writes.
func (e *encoder) samples(dst []byte, y, channels int, put func([]byte, uint16)) {
	colors := channels
	if e.m.Alpha != nil {
		colors--
	}
	n := 0
	for x := range e.m.Width {
		at := y*e.m.Width + x
		p := e.m.Pix[3*at : 3*at+3 : 3*at+3]
		if colors == 1 {
			p = []float32{grayOf(p)}
		}
		for _, v := range p {
			if e.depth == 16 {
				put(dst[n:], to16(v))
				n += 2
			} else {
				dst[n] = to8(v)
				n++
			}
		}
		if e.m.Alpha == nil {
			continue
		}
		if e.depth == 16 {
			put(dst[n:], alphaTo16(e.m.Alpha[at]))
			n += 2
		} else {
			dst[n] = alphaTo8(e.m.Alpha[at])
			n++
		}
	}
}

// grayOf returns the mean of R, G and B, which is each of them in a grey picture.
func grayOf(p []float32) float32 {
	return float32((float64(p[0]) + float64(p[1]) + float64(p[2])) / 3)
}
