package imageio

import (
	"errors"
	"fmt"
	"math"
)

// Errors that callers may want to tell apart with errors.Is.
var (
	// ErrUnknownFormat means that the data begins like no format that is read here.
	ErrUnknownFormat = errors.New("unknown image format")
	// ErrUnsupported means that the format is known, but not this variant of it.
	ErrUnsupported = errors.New("unsupported image")
	// ErrTooLarge means that a limit on pixels or bytes was exceeded.
	ErrTooLarge = errors.New("image too large")
	// ErrCorrupt means that picture data is damaged or cut off.
	ErrCorrupt = errors.New("image is damaged or truncated")
	// ErrNotFinite means that samples are NaN or infinite.
	ErrNotFinite = errors.New("image holds values that are not finite")
)

// maxSide bounds a side of an Image; products of two sides fit in an int64.
const maxSide = 1 << 30

// Image is a picture in memory.
type Image struct {
	// Width and Height are in pixels, after the orientation was applied.
	Width, Height int
	// Pix holds R, G and B in rows (Height x Width x 3) in [-1, 1]: v/127.5-1 of
	// an 8-bit sample v. Colours are not multiplied by alpha. All three channels
	// are there in a grey image too.
	Pix []float32
	// Alpha holds the opacity (Height x Width) in [0, 1]; nil means opaque.
	Alpha []float32
	// Gray says that R = G = B and that grey should be written.
	Gray bool
	// Depth is the number of bits per sample in the file: 8 or 16.
	Depth int
	// Format is the name of the format it was read from: png, jpeg, webp, tiff, bmp or gif.
	Format string
	// Quality is that of the compression of a JPEG file, 1 (worst) to 100, as the
	// widely used encoders count it: the one whose luminance quantisation table is
	// nearest to the file's. It is 0 for other formats.
	Quality int
	// Meta is carried over to the output.
	Meta Metadata
	// Notes say what was dropped or decided while reading, for people.
	Notes []string
}

// Metadata is what a file says beside its pixels.
type Metadata struct {
	// ICC is the colour profile.
	ICC []byte
	// EXIF is the EXIF block, beginning with its TIFF header ("II*\0" or "MM\0*").
	// The orientation in it is 1, because it has been applied.
	EXIF []byte
	// XMP is the XMP packet.
	XMP []byte
	// Text holds keyword and text pairs. Keywords follow PNG's rules: 1 to 79
	// printable Latin-1 characters.
	Text map[string]string
	// Color holds PNG's colour chunks (gAMA, cHRM, sRGB, cICP) as they were.
	Color []Chunk
}

// Chunk is a PNG chunk: its four-letter type and its payload.
type Chunk struct {
	Type string
	Data []byte
}

// New returns a black opaque 8-bit image. Sides must be positive.
func New(width, height int) *Image {
	m := &Image{Width: width, Height: height, Depth: 8, Pix: make([]float32, 3*width*height)}
	for i := range m.Pix {
		m.Pix[i] = -1
	}
	return m
}

// FromRGB8 returns an image of 8-bit samples (height x width x 3).
func FromRGB8(width, height int, pix []uint8) (*Image, error) {
	if width < 1 || height < 1 || width > maxSide || height > maxSide || len(pix)%3 != 0 || len(pix)/3 != width*height {
		return nil, fmt.Errorf("imageio: %d samples are no %dx%d RGB image", len(pix), width, height)
	}
	m := &Image{Width: width, Height: height, Depth: 8, Pix: make([]float32, len(pix))}
	for i, v := range pix {
		m.Pix[i] = from8[v]
	}
	return m, nil
}

// RGB8 returns the colours as 8-bit samples (Height x Width x 3): x becomes
// round((x+1)*127.5), clamped. NaN becomes 0; see [Image.Validate].
func (m *Image) RGB8() []uint8 {
	out := make([]uint8, len(m.Pix))
	for i, v := range m.Pix {
		out[i] = to8(v)
	}
	return out
}

// Validate checks that the sizes fit together and that every sample is finite.
func (m *Image) Validate() error {
	if m == nil {
		return errors.New("there is no image: it is nil")
	}
	if m.Width < 1 || m.Height < 1 || m.Width > maxSide || m.Height > maxSide {
		return fmt.Errorf("image of %dx%d pixels: both sides must be from 1 to %d", m.Width, m.Height, maxSide)
	}
	n := m.Width * m.Height
	if len(m.Pix)%3 != 0 || len(m.Pix)/3 != n {
		return fmt.Errorf("image of %dx%d pixels has %d samples; it must have 3 for each pixel", m.Width, m.Height, len(m.Pix))
	}
	if m.Alpha != nil && len(m.Alpha) != n {
		return fmt.Errorf("image of %dx%d pixels has %d alpha samples", m.Width, m.Height, len(m.Alpha))
	}
	if i := firstNotFinite(m.Pix); i >= 0 {
		return fmt.Errorf("%w: %v at column %d, row %d", ErrNotFinite, m.Pix[i], i/3%m.Width, i/3/m.Width)
	}
	if i := firstNotFinite(m.Alpha); i >= 0 {
		return fmt.Errorf("%w: alpha %v at column %d, row %d", ErrNotFinite, m.Alpha[i], i%m.Width, i/m.Width)
	}
	return nil
}

func firstNotFinite(s []float32) int {
	for i, v := range s {
		if v-v != 0 { // true of NaN and both infinities
			return i
		}
	}
	return -1
}

// Flatten draws the image over an opaque background (R, G, B in [-1, 1]) and
// drops its alpha. It does nothing to an opaque image.
func (m *Image) Flatten(background [3]float32) {
	if m.Alpha == nil {
		return
	}
	for i, a := range m.Alpha {
		for c, b := range background {
			v := &m.Pix[3*i+c]
			*v = b + a*(*v-b)
		}
	}
	m.Alpha = nil
}

// from8 maps 8-bit samples to [-1, 1].
var from8 = func() (t [256]float32) {
	for v := range t {
		t[v] = float32(float64(v)/127.5 - 1)
	}
	return t
}()

func from16(v uint16) float32 { return float32(float64(v)/32767.5 - 1) }

func to8(v float32) uint8   { return uint8(quantize(float64(v)+1, 127.5, 255)) }
func to16(v float32) uint16 { return uint16(quantize(float64(v)+1, 32767.5, 65535)) }

func alphaTo8(v float32) uint8   { return uint8(quantize(float64(v), 255, 255)) }
func alphaTo16(v float32) uint16 { return uint16(quantize(float64(v), 65535, 65535)) }

// quantize rounds v*scale to an integer from 0 to limit; NaN gives 0.
func quantize(v, scale, limit float64) int {
	v = math.Floor(v*scale + 0.5)
	if !(v > 0) {
		return 0
	}
	return int(min(v, limit))
}
