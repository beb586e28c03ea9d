package imageio

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/png"
	"io"
)

const (
	pngSignature = "\x89PNG\r\n\x1a\n"
	xmpKeyword   = "XML:com.adobe.xmp"
	maxICC       = 16 << 20
)

// pngReader walks the chunks of a PNG file. Ancillary chunks that are damaged
// are dropped with a note, as libpng does; only what carries pixels is handed to
// the decoder, so it never sees the others.
type pngReader struct {
	c         *container
	clean     []io.Reader // signature and the chunks that carry pixels
	colorType byte
	idatBytes int64
	ended     bool
}

func parsePNG(data []byte) (*container, error) {
	r := &pngReader{c: &container{}}
	r.clean = append(r.clean, bytes.NewReader(data[:len(pngSignature)]))
	rest := data[len(pngSignature):]
	for !r.ended {
		var err error
		if rest, err = r.chunk(rest); err != nil {
			return nil, err
		}
	}
	if err := r.plausible(); err != nil {
		return nil, err
	}
	r.c.decode = func() (image.Image, error) { return png.Decode(io.MultiReader(r.clean...)) }
	return r.c, nil
}

// chunk takes one chunk off the front of data.
func (r *pngReader) chunk(data []byte) (rest []byte, err error) {
	if len(data) < 12 {
		return nil, fmt.Errorf("%w: it ends before its IEND chunk", ErrCorrupt)
	}
	n := int64(binary.BigEndian.Uint32(data))
	name := string(data[4:8])
	if r.c.width == 0 && name != "IHDR" {
		return nil, fmt.Errorf("%w: the first chunk is %q, not IHDR", ErrCorrupt, name)
	}
	if n+12 > int64(len(data)) {
		return nil, fmt.Errorf("%w: chunk %q says %d bytes, %d are left", ErrCorrupt, name, n, len(data)-12)
	}
	body, raw := data[8:8+n], data[:12+n]
	rest = data[12+n:]
	good := crc32.ChecksumIEEE(data[4:8+n]) == binary.BigEndian.Uint32(data[8+n:])
	switch name {
	case "IHDR", "PLTE", "IDAT", "IEND":
		if !good {
			return nil, fmt.Errorf("%w: the checksum of chunk %s is wrong", ErrCorrupt, name)
		}
		return rest, r.critical(name, body, raw)
	}
	if name[0]&0x20 == 0 {
		return nil, fmt.Errorf("%w: critical chunk %q is unknown", ErrUnsupported, name)
	}
	err = errors.New("its checksum is wrong")
	if good {
		err = r.ancillary(name, body, raw)
	}
	if err != nil {
		r.c.note("PNG chunk %s dropped: %v", name, err)
	}
	return rest, nil
}

func (r *pngReader) critical(name string, body, raw []byte) error {
	r.clean = append(r.clean, bytes.NewReader(raw))
	switch name {
	case "IHDR":
		if len(body) != 13 || r.c.width != 0 {
			return fmt.Errorf("%w: bad IHDR chunk", ErrCorrupt)
		}
		w, h := binary.BigEndian.Uint32(body), binary.BigEndian.Uint32(body[4:])
		if w == 0 || h == 0 || w > 1<<31-1 || h > 1<<31-1 {
			return fmt.Errorf("%w: its header says %dx%d pixels", ErrCorrupt, w, h)
		}
		r.c.width, r.c.height = int(w), int(h)
		r.c.depth = 8
		if body[8] == 16 {
			r.c.depth = 16
		}
		r.colorType = body[9]
		r.c.gray = r.colorType == 0 || r.colorType == 4
	case "IDAT":
		r.idatBytes += int64(len(body))
	case "IEND":
		r.ended = true
	}
	return nil
}

// plausible refuses a header that promises more pixels than the data can hold:
// deflate expands by at most 1032. A row takes at least a filter byte and one more.
func (r *pngReader) plausible() error {
	least := int64(r.c.height) * (1 + (int64(r.c.width)+7)/8)
	if r.idatBytes*1032 < least {
		return fmt.Errorf("%w: %d bytes of data cannot hold %dx%d pixels", ErrCorrupt, r.idatBytes, r.c.width, r.c.height)
	}
	return nil
}

// ancillary keeps metadata. Its error means that the chunk is useless.
func (r *pngReader) ancillary(name string, body, raw []byte) error {
	m := &r.c.meta
	switch name {
	case "tRNS":
		if !r.fitsTransparency(len(body)) {
			return fmt.Errorf("%d bytes do not fit the colour type", len(body))
		}
		r.clean = append(r.clean, bytes.NewReader(raw))
	case "gAMA", "cHRM", "sRGB", "cICP":
		m.Color = append(m.Color, Chunk{Type: name, Data: bytes.Clone(body)})
	case "eXIf":
		body = bytes.TrimPrefix(body, []byte(exifPrefix))
		if tiffOrder(body) == nil {
			return errors.New("it is no EXIF block")
		}
		m.EXIF = bytes.Clone(body)
	case "iCCP":
		_, rest, ok := bytes.Cut(body, []byte{0})
		if !ok || len(rest) < 1 || rest[0] != 0 {
			return errors.New("it is malformed")
		}
		icc, err := inflate(rest[1:], maxICC)
		if err != nil {
			return err
		}
		m.ICC = icc
	case "tEXt", "zTXt", "iTXt":
		return r.text(name, body)
	case "acTL":
		r.c.note("animated PNG: only the still picture is read")
	}
	return nil
}

func (r *pngReader) fitsTransparency(n int) bool {
	switch r.colorType {
	case 0:
		return n == 2
	case 2:
		return n == 6
	case 3:
		return n >= 1 && n <= 256
	default:
		return false
	}
}

// text reads a text chunk; Latin-1 becomes UTF-8.
func (r *pngReader) text(name string, body []byte) error {
	key, rest, ok := bytes.Cut(body, []byte{0})
	if !ok || !validKeyword(latin1(key)) {
		return errors.New("it has no proper keyword")
	}
	value := rest
	var err error
	switch name {
	case "zTXt":
		if len(rest) < 1 || rest[0] != 0 {
			return errors.New("its compression is unknown")
		}
		if value, err = inflate(rest[1:], maxText); err != nil {
			return err
		}
	case "iTXt":
		if value, err = internationalText(rest); err != nil {
			return err
		}
	}
	switch {
	case name == "iTXt" && string(key) == xmpKeyword:
		r.c.meta.XMP = bytes.Clone(value)
		return nil
	case name != "iTXt":
		value = []byte(latin1(value))
	}
	pair := map[string]string{latin1(key): string(value)}
	if err := checkText(pair); err != nil {
		return err
	}
	r.c.meta.addText(latin1(key), string(value))
	return nil
}

// internationalText returns the text of an iTXt chunk after its keyword:
// compression flag, method, language, translated keyword, text.
func internationalText(rest []byte) ([]byte, error) {
	if len(rest) < 2 {
		return nil, errors.New("it is cut off")
	}
	compressed := rest[0] == 1
	parts := bytes.SplitN(rest[2:], []byte{0}, 3)
	if len(parts) != 3 || compressed && rest[1] != 0 {
		return nil, errors.New("it is malformed")
	}
	if compressed {
		return inflate(parts[2], maxText)
	}
	return parts[2], nil
}

func latin1(b []byte) string {
	runes := make([]rune, len(b))
	for i, v := range b {
		runes[i] = rune(v)
	}
	return string(runes)
}

// inflate expands a zlib stream to at most limit bytes.
func inflate(data []byte, limit int64) ([]byte, error) {
	z, err := zlib.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("inflate: %w", err)
	}
	defer z.Close()
	out, err := io.ReadAll(io.LimitReader(z, limit+1))
	if err != nil {
		return nil, fmt.Errorf("inflate: %w", err)
	}
	if int64(len(out)) > limit {
		return nil, fmt.Errorf("it expands to more than %d MiB", limit>>20)
	}
	return out, nil
}
