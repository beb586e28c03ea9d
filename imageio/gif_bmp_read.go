package imageio

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/gif"

	"golang.org/x/image/bmp"
)

// classifyBare is classify for errors that get the format's name elsewhere.
func classifyBare(err error) error {
	if isUnsupported(err) {
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return fmt.Errorf("%w: %w", ErrCorrupt, err)
}

// parseGIF reads the first frame, on the transparent canvas of the whole picture.
func parseGIF(data []byte) (*container, error) {
	if len(data) < 13 {
		return nil, fmt.Errorf("%w: it ends inside its header", ErrCorrupt)
	}
	c := &container{depth: 8}
	c.width, c.height = int(binary.LittleEndian.Uint16(data[6:])), int(binary.LittleEndian.Uint16(data[8:]))
	if gifFrames(data) > 1 {
		c.note("animated GIF: only the first frame is read")
	}
	c.decode = func() (image.Image, error) {
		img, err := gif.Decode(bytes.NewReader(data))
		if err != nil {
			return nil, err
		}
		b := img.Bounds()
		if b.Min == (image.Point{}) && b.Dx() == c.width && b.Dy() == c.height {
			return img, nil
		}
		if !b.In(image.Rect(0, 0, c.width, c.height)) {
			return nil, fmt.Errorf("%w: a frame %v does not fit the canvas of %dx%d", ErrCorrupt, b, c.width, c.height)
		}
		return onCanvas(newSource(img, false), c.width, c.height, b.Min.X, b.Min.Y), nil
	}
	return c, nil
}

// gifFrames counts pictures without decoding them, up to two.
func gifFrames(data []byte) (frames int) {
	at := 13 + colorTable(data[10])
	for at < len(data) && frames < 2 {
		switch data[at] {
		case 0x21: // extension: label, then sub-blocks
			at = skipSubBlocks(data, at+2)
		case 0x2c: // picture: 9 bytes, colour table, code size, sub-blocks
			frames++
			if at+10 > len(data) {
				return frames
			}
			at = skipSubBlocks(data, at+10+colorTable(data[at+9])+1)
		default:
			return frames
		}
	}
	return frames
}

// colorTable returns the size of the colour table that a packed field announces.
func colorTable(packed byte) int {
	if packed&0x80 == 0 {
		return 0
	}
	return 3 << (packed&7 + 1)
}

func skipSubBlocks(data []byte, at int) int {
	for at < len(data) && data[at] != 0 {
		at += 1 + int(data[at])
	}
	return at + 1
}

func parseBMP(data []byte) (*container, error) {
	config, err := bmp.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, classifyBare(err)
	}
	// The decoder commits memory for all pixels first; the header must not
	// promise more of them than there are bytes.
	bits := int64(binary.LittleEndian.Uint16(data[28:]))
	row := (int64(config.Width)*bits + 31) / 32 * 4
	if row > int64(len(data)) || row*int64(config.Height) > int64(len(data)) {
		return nil, fmt.Errorf("%w: %d bytes cannot hold %dx%d pixels of %d bits", ErrCorrupt, len(data), config.Width, config.Height, bits)
	}
	c := &container{width: config.Width, height: config.Height, depth: 8}
	c.decode = func() (image.Image, error) { return bmp.Decode(bytes.NewReader(data)) }
	return c, nil
}
