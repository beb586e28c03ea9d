package imageio

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"

	"golang.org/x/image/webp"
)

// riffChunk is one chunk of a WebP file.
type riffChunk struct {
	id   string
	body []byte
}

// riffChunks splits data into chunks; what is cut off at the end is left out
// and reported.
func riffChunks(data []byte) (chunks []riffChunk, cut bool) {
	for len(data) >= 8 {
		n := int64(binary.LittleEndian.Uint32(data[4:]))
		if n > int64(len(data)-8) {
			return chunks, true
		}
		chunks = append(chunks, riffChunk{string(data[:4]), data[8 : 8+n]})
		data = data[min(8+n+n%2, int64(len(data))):]
	}
	return chunks, false
}

// webpFrame is the picture inside a WebP file: a whole still file, or the first
// frame of an animation, which may cover a part of the canvas only.
type webpFrame struct {
	alpha, pixels *riffChunk
	x, y          int
}

func parseWebP(data []byte) (*container, error) {
	if len(data) < 12 {
		return nil, fmt.Errorf("%w: it ends inside its header", ErrCorrupt)
	}
	size := int64(binary.LittleEndian.Uint32(data[4:]))
	body := data[12:min(int64(len(data)), max(size+8, 12))]
	chunks, cut := riffChunks(body)
	c := &container{depth: 8}
	var frame webpFrame
	for _, ch := range chunks {
		if err := frame.read(c, ch); err != nil {
			return nil, err
		}
	}
	if frame.pixels == nil {
		if cut {
			return nil, fmt.Errorf("%w: it is cut off", ErrCorrupt)
		}
		return nil, fmt.Errorf("%w: there is no picture in it", ErrCorrupt)
	}
	if cut {
		c.note("the file is cut off after the picture; metadata there is lost")
	}
	return c, frame.prepare(c)
}

// read takes in one chunk of the file.
func (f *webpFrame) read(c *container, ch riffChunk) error {
	switch ch.id {
	case "VP8X":
		if len(ch.body) < 10 {
			return fmt.Errorf("%w: bad VP8X chunk", ErrCorrupt)
		}
		c.width, c.height = 1+le24(ch.body[4:]), 1+le24(ch.body[7:])
	case "ALPH", "VP8 ", "VP8L":
		f.keep(ch)
	case "ANMF":
		if f.pixels != nil || len(ch.body) < 16 {
			break
		}
		f.x, f.y = 2*le24(ch.body), 2*le24(ch.body[3:])
		parts, _ := riffChunks(ch.body[16:])
		for _, part := range parts {
			f.keep(part)
		}
		c.note("animated WebP: only the first frame is read")
	case "ICCP":
		c.meta.ICC = bytes.Clone(ch.body)
	case "EXIF":
		if block := bytes.TrimPrefix(ch.body, []byte(exifPrefix)); tiffOrder(block) != nil {
			c.meta.EXIF = bytes.Clone(block)
		}
	case "XMP ":
		c.meta.XMP = bytes.Clone(ch.body)
	}
	return nil
}

func (f *webpFrame) keep(ch riffChunk) {
	switch {
	case f.pixels != nil:
	case ch.id == "ALPH":
		f.alpha = &ch
	case ch.id == "VP8 ", ch.id == "VP8L":
		f.pixels = &ch
	}
}

// prepare finds the frame's size and sets up its decoding.
func (f *webpFrame) prepare(c *container) error {
	w, h, err := f.size()
	if err != nil {
		return err
	}
	if c.width == 0 {
		c.width, c.height = w, h
	}
	if f.x+w > c.width || f.y+h > c.height {
		return fmt.Errorf("%w: a frame of %dx%d pixels at %d,%d does not fit the canvas of %dx%d", ErrCorrupt, w, h, f.x, f.y, c.width, c.height)
	}
	c.studio = f.pixels.id == "VP8 "
	still := f.file(w, h)
	c.decode = func() (image.Image, error) {
		img, err := webp.Decode(bytes.NewReader(still))
		if err != nil {
			return nil, err
		}
		if w == c.width && h == c.height {
			return img, nil
		}
		canvas := onCanvas(newSource(img, c.studio), c.width, c.height, f.x, f.y)
		c.studio = false
		return canvas, nil
	}
	return nil
}

// size reads the size from the pixels' own header.
func (f *webpFrame) size() (w, h int, err error) {
	b := f.pixels.body
	switch {
	case f.pixels.id == "VP8L" && len(b) >= 5 && b[0] == 0x2f:
		bits := binary.LittleEndian.Uint32(b[1:])
		return 1 + int(bits&0x3fff), 1 + int(bits>>14&0x3fff), nil
	case f.pixels.id == "VP8 " && len(b) >= 10 && string(b[3:6]) == "\x9d\x01\x2a":
		return int(binary.LittleEndian.Uint16(b[6:]) & 0x3fff), int(binary.LittleEndian.Uint16(b[8:]) & 0x3fff), nil
	}
	return 0, 0, fmt.Errorf("%w: bad %s chunk", ErrCorrupt, f.pixels.id)
}

// file returns the smallest WebP file of the frame. The decoder wants no alpha
// flag with lossless pixels, whatever the original says.
func (f *webpFrame) file(w, h int) []byte {
	if f.alpha == nil || f.pixels.id == "VP8L" {
		return riffFile(*f.pixels)
	}
	return riffFile(vp8x(w, h, flagAlpha), *f.alpha, *f.pixels)
}

const (
	flagXMP   = 1 << 2
	flagEXIF  = 1 << 3
	flagAlpha = 1 << 4
	flagICC   = 1 << 5
)

// vp8x returns the header chunk of the extended format.
func vp8x(w, h int, flags byte) riffChunk {
	b := make([]byte, 10)
	b[0] = flags
	putLE24(b[4:], w-1)
	putLE24(b[7:], h-1)
	return riffChunk{"VP8X", b}
}

// riffFile puts chunks together.
func riffFile(chunks ...riffChunk) []byte {
	out := []byte("RIFF\x00\x00\x00\x00WEBP")
	for _, ch := range chunks {
		out = append(out, ch.id...)
		out = binary.LittleEndian.AppendUint32(out, uint32(len(ch.body)))
		out = append(out, ch.body...)
		if len(ch.body)%2 != 0 {
			out = append(out, 0)
		}
	}
	binary.LittleEndian.PutUint32(out[4:], uint32(len(out)-8))
	return out
}

func le24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

func putLE24(b []byte, v int) { b[0], b[1], b[2] = byte(v), byte(v>>8), byte(v>>16) }

// onCanvas puts a picture on a transparent canvas.
func onCanvas(src source, w, h, x0, y0 int) *image.NRGBA {
	canvas := image.NewNRGBA(image.Rect(0, 0, w, h))
	rgb, alpha := make([]float32, 3*src.width), make([]float32, src.width)
	for y := range src.height {
		src.row(y, rgb, alpha)
		row := canvas.Pix[canvas.PixOffset(x0, y0+y):]
		for x := range src.width {
			row[4*x], row[4*x+1], row[4*x+2] = to8(rgb[3*x]), to8(rgb[3*x+1]), to8(rgb[3*x+2])
			row[4*x+3] = alphaTo8(alpha[x])
		}
	}
	return canvas
}
