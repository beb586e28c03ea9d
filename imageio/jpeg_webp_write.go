package imageio

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"

	"github.com/HugoSmits86/nativewebp"
)

const (
	defaultQuality = 92
	maxSegment     = 65535 - 2 // payload of a JPEG segment
)

// writeJPEG encodes the pixels and puts the metadata behind the start marker.
func (e *encoder) writeJPEG(w *bufio.Writer) error {
	quality := e.o.Quality
	if quality == 0 {
		quality = defaultQuality
	}
	var pixels bytes.Buffer
	if err := jpeg.Encode(&pixels, e.jpegImage(), &jpeg.Options{Quality: quality}); err != nil {
		return err
	}
	out := []byte{0xff, 0xd8}
	out = e.segment(out, markerAPP1, "EXIF", exifPrefix, e.meta.EXIF)
	out = e.jpegXMP(out)
	out = e.jpegICC(out)
	if _, err := w.Write(out); err != nil {
		return err
	}
	_, err := w.Write(pixels.Bytes()[2:])
	return err
}

// jpegXMP writes the packet; when it is too long with the text in it, the text goes.
func (e *encoder) jpegXMP(out []byte) []byte {
	packet := e.meta.XMP
	if len(packet)+len(xmpPrefix) > maxSegment {
		if rest, text := splitXMP(packet); text != nil {
			e.note("text dropped: with it the XMP packet is too long for JPEG")
			packet = rest
		}
	}
	return e.segment(out, markerAPP1, "XMP", xmpPrefix, packet)
}

// segment appends one segment, or a note when it is too long.
func (e *encoder) segment(out []byte, marker byte, what, prefix string, body []byte) []byte {
	if body == nil {
		return out
	}
	n := len(prefix) + len(body)
	if n > maxSegment {
		e.note("%s dropped: it has %d bytes, and JPEG holds %d", what, len(body), maxSegment-len(prefix))
		return out
	}
	out = append(out, 0xff, marker)
	out = binary.BigEndian.AppendUint16(out, uint16(n+2))
	return append(append(out, prefix...), body...)
}

// jpegICC spreads the profile over numbered segments.
func (e *encoder) jpegICC(out []byte) []byte {
	const part = maxSegment - len(iccPrefix) - 2
	icc := e.meta.ICC
	total := (len(icc) + part - 1) / part
	if total > 255 {
		e.note("colour profile dropped: it is too long for JPEG")
		return out
	}
	for i := range total {
		body := icc[i*part : min((i+1)*part, len(icc))]
		out = e.segment(out, markerAPP2, "colour profile", iccPrefix+string([]byte{byte(i + 1), byte(total)}), body)
	}
	return out
}

// jpegImage returns the pixels as the encoder's fast types, over the background.
func (e *encoder) jpegImage() image.Image {
	background := [3]float32{1, 1, 1}
	if e.o.Background != nil {
		background = *e.o.Background
	}
	if e.m.Alpha != nil {
		e.note("JPEG has no transparency: flattened on a plain background")
	}
	flat := func(at int) [3]float32 {
		p := [3]float32(e.m.Pix[3*at : 3*at+3])
		if e.m.Alpha != nil {
			for c, b := range background {
				p[c] = b + e.m.Alpha[at]*(p[c]-b)
			}
		}
		return p
	}
	r := image.Rect(0, 0, e.m.Width, e.m.Height)
	grayBackground := background[0] == background[1] && background[1] == background[2]
	if e.m.Gray && (e.m.Alpha == nil || grayBackground) {
		img := image.NewGray(r)
		for i := range img.Pix {
			p := flat(i)
			img.Pix[i] = to8(grayOf(p[:]))
		}
		return img
	}
	img := image.NewRGBA(r)
	for i := range e.m.Width * e.m.Height {
		p := flat(i)
		d := img.Pix[4*i : 4*i+4 : 4*i+4]
		d[0], d[1], d[2], d[3] = to8(p[0]), to8(p[1]), to8(p[2]), 255
	}
	return img
}

// writeWebP encodes the pixels without loss and wraps them in the extended
// format when there is metadata.
func (e *encoder) writeWebP(w *bufio.Writer) error {
	var b bytes.Buffer
	if err := nativewebp.Encode(&b, webpPixels{e.m}, nil); err != nil {
		return err
	}
	if b.Len() < 20 || string(b.Bytes()[12:16]) != "VP8L" {
		return fmt.Errorf("the encoder gave no VP8L chunk")
	}
	pixels := riffChunk{"VP8L", b.Bytes()[20:]}
	var flags byte
	var before, after []riffChunk
	if e.meta.ICC != nil {
		flags |= flagICC
		before = append(before, riffChunk{"ICCP", e.meta.ICC})
	}
	if e.meta.EXIF != nil {
		flags |= flagEXIF
		after = append(after, riffChunk{"EXIF", e.meta.EXIF})
	}
	if e.meta.XMP != nil {
		flags |= flagXMP
		after = append(after, riffChunk{"XMP ", e.meta.XMP})
	}
	chunks := []riffChunk{pixels}
	if flags != 0 {
		if e.m.Alpha != nil {
			flags |= flagAlpha
		}
		chunks = append([]riffChunk{vp8x(e.m.Width, e.m.Height, flags)}, before...)
		chunks = append(append(chunks, pixels), after...)
	}
	_, err := w.Write(riffFile(chunks...))
	return err
}

// webpPixels shows the picture to the encoder pixel by pixel. It must not have
// the faster methods of image.NRGBA: through those colours are multiplied by
// alpha on the way, which loses low bits.
type webpPixels struct{ m *Image }

func (p webpPixels) ColorModel() color.Model { return color.NRGBAModel }
func (p webpPixels) Bounds() image.Rectangle { return image.Rect(0, 0, p.m.Width, p.m.Height) }
func (p webpPixels) At(x, y int) color.Color {
	at := y*p.m.Width + x
	v := p.m.Pix[3*at : 3*at+3 : 3*at+3]
	c := color.NRGBA{R: to8(v[0]), G: to8(v[1]), B: to8(v[2]), A: 255}
	if p.m.Gray {
		c.R = to8(grayOf(v))
		c.G, c.B = c.R, c.R
	}
	if p.m.Alpha != nil {
		c.A = alphaTo8(p.m.Alpha[at])
	}
	return c
}
