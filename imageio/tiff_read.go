package imageio

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"

	"golang.org/x/image/tiff"
)

// Tags of TIFF 6.0 and its extensions that are read or written here.
const (
	tagWidth           = 256
	tagHeight          = 257
	tagBits            = 258
	tagCompression     = 259
	tagPhotometric     = 262
	tagDescription     = 270
	tagStripOffsets    = 273
	tagSamples         = 277
	tagRowsPerStrip    = 278
	tagStripByteCounts = 279
	tagPlanar          = 284
	tagPredictor       = 317
	tagTileWidth       = 322
	tagTileLength      = 323
	tagExtraSamples    = 338
	tagXMP             = 700
	tagICC             = 34675
)

// maxBlockPixels bounds a compressed strip or tile: the decoder expands a whole
// block into memory, beside the picture, before it knows how long it is.
const maxBlockPixels = 1 << 24

// ifdEntry is one entry of a TIFF directory with its value, which is a part of
// the file.
type ifdEntry struct {
	kind  uint16
	count uint32
	value []byte
}

// typeSize holds the bytes of one value of each TIFF type.
var typeSize = [...]int64{0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4}

// readIFD returns the entries of the directory at offset and the offset of the
// next one. Entries whose value lies outside the block are left out.
func readIFD(block []byte, order binary.ByteOrder, offset int64) (entries map[uint16]ifdEntry, next int64) {
	entries = make(map[uint16]ifdEntry)
	if offset < 8 || offset+2 > int64(len(block)) {
		return entries, 0
	}
	n := int64(order.Uint16(block[offset:]))
	for i := range n {
		at := offset + 2 + 12*i
		if at+12 > int64(len(block)) {
			return entries, 0
		}
		e := block[at : at+12]
		entry := ifdEntry{kind: order.Uint16(e[2:]), count: order.Uint32(e[4:])}
		if int(entry.kind) >= len(typeSize) {
			continue
		}
		size := typeSize[entry.kind] * int64(entry.count)
		entry.value = e[8:]
		if size > 4 {
			from := int64(order.Uint32(e[8:]))
			if from > int64(len(block)) {
				continue
			}
			entry.value = block[from:]
		}
		if size > int64(len(entry.value)) {
			continue
		}
		entry.value = entry.value[:size]
		entries[order.Uint16(e)] = entry
	}
	if end := offset + 2 + 12*n; end+4 <= int64(len(block)) {
		next = int64(order.Uint32(block[end:]))
	}
	return entries, next
}

// number returns the first value of a BYTE, SHORT or LONG entry.
func (e ifdEntry) number(order binary.ByteOrder) (int64, bool) {
	switch {
	case e.kind == 1 && len(e.value) >= 1:
		return int64(e.value[0]), true
	case e.kind == 3 && len(e.value) >= 2:
		return int64(order.Uint16(e.value)), true
	case (e.kind == 4 || e.kind == 13) && len(e.value) >= 4:
		return int64(order.Uint32(e.value)), true
	}
	return 0, false
}

func parseTIFF(data []byte) (*container, error) {
	config, err := tiff.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, classifyBare(err)
	}
	c := &container{width: config.Width, height: config.Height, depth: 8}
	switch config.ColorModel {
	case color.Gray16Model:
		c.gray, c.depth = true, 16
	case color.GrayModel:
		c.gray = true
	case color.RGBA64Model, color.NRGBA64Model:
		c.depth = 16
	}
	order := tiffOrder(data)
	entries, next := readIFD(data, order, int64(order.Uint32(data[4:])))
	if next != 0 {
		c.note("TIFF of several pages: only the first is read")
	}
	if err := checkBlocks(c, data, order, entries); err != nil {
		return nil, err
	}
	c.readTIFFMeta(data, order, entries)
	c.decode = func() (image.Image, error) { return tiff.Decode(bytes.NewReader(data)) }
	return c, nil
}

// checkBlocks refuses layouts that cost the decoder far more memory than the picture.
func checkBlocks(c *container, data []byte, order binary.ByteOrder, entries map[uint16]ifdEntry) error {
	number := func(tag uint16, otherwise int64) int64 {
		if v, ok := entries[tag].number(order); ok && v > 0 {
			return v
		}
		return otherwise
	}
	w, h := int64(c.width), int64(c.height)
	if number(tagCompression, 1) == 1 {
		// At least one bit for every pixel.
		if (w+7)/8 > int64(len(data))/h {
			return fmt.Errorf("%w: %d bytes cannot hold %dx%d uncompressed pixels", ErrCorrupt, len(data), w, h)
		}
		return nil
	}
	blockW, blockH := number(tagTileWidth, w), number(tagTileLength, h)
	if _, tiled := entries[tagTileWidth]; !tiled {
		blockW, blockH = w, min(number(tagRowsPerStrip, h), h)
	}
	if blockW > maxBlockPixels/blockH {
		return fmt.Errorf("%w: a compressed strip or tile of %dx%d pixels; at most %d megapixels are read: save it with smaller strips",
			ErrTooLarge, blockW, blockH, maxBlockPixels>>20)
	}
	return nil
}

func (c *container) readTIFFMeta(data []byte, order binary.ByteOrder, entries map[uint16]ifdEntry) {
	if o, ok := entries[tagOrientation].number(order); ok && o >= 1 && o <= 8 {
		c.orientation = int(o)
	}
	if e, ok := entries[tagICC]; ok {
		c.meta.ICC = bytes.Clone(e.value)
	}
	if e, ok := entries[tagXMP]; ok && len(e.value) > 0 {
		c.meta.XMP = bytes.Clone(e.value)
	}
	if e, ok := entries[tagDescription]; ok {
		if text := string(bytes.TrimRight(e.value, "\x00")); text != "" {
			c.meta.addText("Description", text)
		}
	}
	c.meta.EXIF = exifOfTIFF(data, order, entries)
}
