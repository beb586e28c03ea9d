package imageio

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
)

// Limits bound what reading may cost. Zero fields mean the defaults.
type Limits struct {
	// MaxPixels is the largest Width*Height. The default 1<<25 (33.5 million)
	// keeps even 16-bit pictures with alpha below 1 GiB: 8 bytes a pixel in the
	// decoder and 16 as floats.
	MaxPixels int64
	// MaxBytes is the largest file. The default is 256 MiB.
	MaxBytes int64
}

func (l Limits) withDefaults() Limits {
	if l.MaxPixels <= 0 {
		l.MaxPixels = 1 << 25
	}
	if l.MaxBytes <= 0 {
		l.MaxBytes = 256 << 20
	}
	return l
}

// check refuses a picture before memory is committed to it.
func (l Limits) check(width, height int) error {
	if width < 1 || height < 1 {
		return fmt.Errorf("%w: its header says %dx%d pixels", ErrCorrupt, width, height)
	}
	if width > maxSide || height > maxSide || int64(width)*int64(height) > l.MaxPixels {
		return fmt.Errorf("%w: %dx%d pixels; the limit is %.1f megapixels: crop or reduce it first",
			ErrTooLarge, width, height, float64(l.MaxPixels)/1e6)
	}
	return nil
}

// collectAbove is the picture size from which the decoder's leavings are
// collected before the float copy is made, so that both are never held at once.
const collectAbove = 4 << 20

// Info describes a file without its pixels.
type Info struct {
	Format        string
	Width, Height int // after orientation
	Depth         int
	Orientation   int // of the file: 1 to 8
	Quality       int // of JPEG compression, see Image; 0 for other formats
	Meta          Metadata
	Notes         []string
}

// container is a parsed file: everything but pixels, and how to get those.
type container struct {
	format        string
	width, height int // as stored, before orientation
	depth         int
	gray          bool
	studio        bool // YCbCr has video range
	orientation   int
	quality       int // of JPEG, 0 where it is not known
	meta          Metadata
	notes         []string
	decode        func() (image.Image, error)
}

func (c *container) note(format string, args ...any) {
	c.notes = append(c.notes, fmt.Sprintf(format, args...))
}

// ReadFile reads the picture in a file. Errors name the file.
func ReadFile(path string, limits Limits) (*Image, error) {
	data, err := readAll(path, limits.withDefaults().MaxBytes)
	if err != nil {
		return nil, err
	}
	return Decode(data, path, limits)
}

// readAll reads a file of at most limit bytes.
func readAll(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("imageio: %w", err)
	}
	defer f.Close()
	var size int64 // only a hint: it is 0 for pipes
	if st, err := f.Stat(); err == nil && st.Mode().IsRegular() {
		size = st.Size()
	}
	return readUpTo(f, path, size, limit)
}

// ReadAll reads r to its end for [Decode] and fails when it is longer than the
// limit. name stands in errors; use "stdin" or the like for a stream.
func ReadAll(r io.Reader, name string, limits Limits) ([]byte, error) {
	return readUpTo(r, name, 0, limits.withDefaults().MaxBytes)
}

// readPart is how much is read at once when the size is not known.
const readPart = 1 << 20

func readUpTo(r io.Reader, name string, size, limit int64) ([]byte, error) {
	var parts [][]byte // joined at the end: one growing buffer would take four times the limit
	var total int64
	for next := size + bytes.MinRead; max(size, total) <= limit; next = readPart {
		part := make([]byte, min(next, limit+1-total))
		n, err := fill(part, r)
		if err != nil && err != io.EOF {
			return nil, fmt.Errorf("imageio: read %s: %w", name, err)
		}
		parts, total = append(parts, part[:n]), total+int64(n)
		if err == io.EOF {
			break
		}
	}
	if max(size, total) > limit {
		return nil, fmt.Errorf("imageio: read %s: %w: the limit is %d bytes", name, ErrTooLarge, limit)
	}
	if len(parts) == 1 {
		return parts[0], nil
	}
	return slices.Concat(parts...), nil
}

// fill reads from r until p is full or r fails; the end of r is io.EOF. With
// io.ReadFull the end would look like a reader's own io.ErrUnexpectedEOF.
func fill(p []byte, r io.Reader) (n int, err error) {
	for n < len(p) && err == nil {
		var k int
		k, err = r.Read(p[n:])
		n += k
	}
	return n, err
}

// Decode reads a picture; its format is found from its content. name stands in
// errors. Orientation is applied to the pixels. Errors wrap ErrUnknownFormat,
// ErrUnsupported, ErrTooLarge or ErrCorrupt; panics of decoders are errors too.
func Decode(data []byte, name string, limits Limits) (*Image, error) {
	c, err := parse(data, limits)
	if err == nil {
		var img *Image
		if img, err = c.image(); err == nil {
			return img, nil
		}
	}
	return nil, fmt.Errorf("imageio: decode %s: %w", name, err)
}

// Inspect reads sizes and metadata without decoding pixels. name stands in errors.
func Inspect(data []byte, name string, limits Limits) (*Info, error) {
	c, err := parse(data, limits)
	if err != nil {
		return nil, fmt.Errorf("imageio: inspect %s: %w", name, err)
	}
	w, h := c.width, c.height
	if c.orientation >= 5 {
		w, h = h, w
	}
	return &Info{Format: c.format, Width: w, Height: h, Depth: c.depth, Orientation: c.orientation, Quality: c.quality, Meta: c.meta, Notes: c.notes}, nil
}

// ReadText returns the text pairs of a file of any format that [Encode] writes, of
// any size: pixels are not looked at. It returns an empty map when there are none.
func ReadText(data []byte, name string) (map[string]string, error) {
	info, err := Inspect(data, name, Limits{MaxPixels: math.MaxInt64, MaxBytes: math.MaxInt64})
	if err != nil {
		return nil, err
	}
	if info.Meta.Text == nil {
		return map[string]string{}, nil
	}
	return info.Meta.Text, nil
}

// parse reads everything but the pixels and checks limits.
func parse(data []byte, limits Limits) (c *container, err error) {
	limits = limits.withDefaults()
	if int64(len(data)) > limits.MaxBytes {
		return nil, fmt.Errorf("%w: %d MiB; the limit is %d MiB", ErrTooLarge, len(data)>>20, limits.MaxBytes>>20)
	}
	format, err := sniff(data)
	if err != nil {
		return nil, err
	}
	defer recoverInto(&err, format)
	if c, err = parsers[format](data); err != nil {
		return nil, fmt.Errorf("%s: %w", format, err)
	}
	c.format = format
	if err := limits.check(c.width, c.height); err != nil {
		return nil, fmt.Errorf("%s: %w", format, err)
	}
	c.finish()
	return c, nil
}

var parsers = map[string]func([]byte) (*container, error){
	"png": parsePNG, "jpeg": parseJPEG, "webp": parseWebP, "tiff": parseTIFF, "bmp": parseBMP, "gif": parseGIF,
}

// finish does what is common to all formats: orientation, text hidden in XMP,
// and profiles that do not fit.
func (c *container) finish() {
	if o, ok := exifOrientation(c.meta.EXIF); ok && c.orientation == 0 {
		c.orientation = o
	}
	c.meta.EXIF = resetOrientation(c.meta.EXIF)
	if c.orientation < 1 || c.orientation > 8 {
		c.orientation = 1
	}
	xmp, text := splitXMP(c.meta.XMP)
	c.meta.XMP = resetXMPOrientation(xmp)
	for k, v := range text {
		c.meta.addText(k, v)
	}
	if err := checkICC(c.meta.ICC, c.gray); err != nil {
		c.note("colour profile dropped: %v", err)
		c.meta.ICC = nil
	}
}

// addText stores a pair; the first of a keyword wins. A pair that could not be
// written again is left out.
func (m *Metadata) addText(key, value string) {
	if checkText(map[string]string{key: value}) != nil {
		return
	}
	if m.Text == nil {
		m.Text = make(map[string]string)
	}
	if _, ok := m.Text[key]; !ok {
		m.Text[key] = value
	}
}

// image decodes the pixels.
func (c *container) image() (*Image, error) {
	src, err := c.decodePixels()
	if err != nil {
		return nil, err
	}
	if c.width*c.height > collectAbove {
		runtime.GC()
	}
	m := &Image{Width: src.width, Height: src.height, Depth: src.depth, Gray: c.gray || src.gray,
		Format: c.format, Quality: c.quality, Meta: c.meta, Notes: c.notes, Pix: make([]float32, 3*src.width*src.height)}
	if !src.opaque {
		m.Alpha = make([]float32, src.width*src.height)
	}
	if c.orientation >= 5 {
		m.Width, m.Height = m.Height, m.Width
	}
	m.fill(src, c.orientation)
	return m, nil
}

// decodePixels runs the format's decoder with its panics caught.
func (c *container) decodePixels() (src source, err error) {
	defer recoverInto(&err, c.format)
	img, err := c.decode()
	if err != nil {
		return source{}, classify(c.format, err)
	}
	src = newSource(img, c.studio)
	if src.width != c.width || src.height != c.height {
		return source{}, fmt.Errorf("%s: %w: %dx%d pixels where the header says %dx%d", c.format, ErrCorrupt, src.width, src.height, c.width, c.height)
	}
	return src, nil
}

// classify wraps a decoder's error, which is about damaged data unless it says otherwise.
func classify(format string, err error) error {
	if errors.Is(err, ErrUnsupported) || errors.Is(err, ErrTooLarge) || errors.Is(err, ErrCorrupt) {
		return fmt.Errorf("%s: %w", format, err)
	}
	if isUnsupported(err) {
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return fmt.Errorf("%w: %w", ErrCorrupt, err)
}

// recoverInto turns a panic of a third-party decoder into an error. Running out
// of memory is no panic; limits are there against that.
func recoverInto(err *error, format string) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%s: %w: the decoder failed: %v", format, ErrCorrupt, p)
	}
}

// fill converts all rows, putting each pixel where the orientation wants it.
func (m *Image) fill(src source, orientation int) {
	rgb := make([]float32, 3*src.width)
	var alpha []float32
	if m.Alpha != nil {
		alpha = make([]float32, src.width)
	}
	for y := range src.height {
		if orientation == 1 {
			n := y * src.width
			if m.Alpha != nil {
				alpha = m.Alpha[n:][:src.width]
			}
			src.row(y, m.Pix[3*n:][:3*src.width], alpha)
			continue
		}
		src.row(y, rgb, alpha)
		start, step := place(orientation, y, src.width, src.height)
		for x := range src.width {
			at := start + x*step
			copy(m.Pix[3*at:3*at+3], rgb[3*x:])
			if alpha != nil {
				m.Alpha[at] = alpha[x]
			}
		}
	}
}

// place returns the index in the upright picture of the first pixel of stored
// row y, and the step from one pixel of that row to the next, for a stored
// picture of w x h pixels. Orientations are those of EXIF 2.3, tag 0x0112.
func place(orientation, y, w, h int) (start, step int) {
	switch orientation {
	case 2: // mirrored left to right
		return y*w + w - 1, -1
	case 3: // upside down
		return (h-1-y)*w + w - 1, -1
	case 4: // mirrored top to bottom
		return (h - 1 - y) * w, 1
	case 5: // transposed
		return y, h
	case 6: // to be turned clockwise
		return h - 1 - y, h
	case 7: // transposed about the other diagonal
		return (w-1)*h + h - 1 - y, -h
	case 8: // to be turned counterclockwise
		return (w-1)*h + y, -h
	default:
		return y * w, 1
	}
}
