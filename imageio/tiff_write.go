package imageio

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"math"
)

const stripBytes = 1 << 18 // about, before compression

// writeTIFF writes deflated strips with the horizontal predictor, then the
// directory. The byte order is that of the EXIF block, whose values can then
// stay as they are.
func (e *encoder) writeTIFF(w *bufio.Writer) error {
	dir := directoryOfEXIF(e.meta.EXIF)
	var order binary.ByteOrder = binary.LittleEndian
	if dir != nil {
		order = tiffOrder(e.meta.EXIF)
	} else {
		if e.meta.EXIF != nil {
			e.note("EXIF dropped: there is no directory in it that TIFF could take over")
		}
		dir = &directory{entries: make(map[uint16]ifdEntry)}
	}
	channels := e.channels()
	if e.m.Gray && e.m.Alpha != nil {
		channels = 4 // readers seldom know grey with alpha
	}
	rowBytes := e.m.Width * channels * e.depth / 8
	rows := max(1, min(stripBytes/rowBytes, e.m.Height))
	pixels, counts, err := e.tiffStrips(rows, rowBytes, channels, order)
	if err != nil {
		return err
	}
	e.describeTIFF(dir, order, rows, channels, counts)
	tail := dir.appendTo(nil, 8+len(pixels), order)
	if int64(len(pixels))+int64(len(tail)) > math.MaxUint32-8 {
		return fmt.Errorf("%w: a TIFF file ends at 4 GiB: write PNG", ErrTooLarge)
	}
	for _, part := range [][]byte{tiffHeader(order, uint32(8+len(pixels))), pixels, tail} {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// tiffStrips returns all strips, of an even total length, and their sizes.
func (e *encoder) tiffStrips(rows, rowBytes, channels int, order binary.ByteOrder) (pixels []byte, counts []uint32, err error) {
	var out bytes.Buffer
	z, err := zlib.NewWriterLevel(&out, pngLevel)
	if err != nil {
		return nil, nil, err
	}
	row := make([]byte, rowBytes)
	for y0 := 0; y0 < e.m.Height; y0 += rows {
		start := out.Len()
		z.Reset(&out)
		for y := y0; y < min(y0+rows, e.m.Height); y++ {
			e.samples(row, y, channels, order.PutUint16)
			differences(row, channels, e.depth, order)
			if _, err := z.Write(row); err != nil {
				return nil, nil, err
			}
		}
		if err := z.Close(); err != nil {
			return nil, nil, err
		}
		counts = append(counts, uint32(out.Len()-start))
	}
	if out.Len()%2 != 0 {
		out.WriteByte(0)
	}
	return out.Bytes(), counts, nil
}

// differences replaces samples by differences to the pixel before (predictor 2).
func differences(row []byte, channels, depth int, order binary.ByteOrder) {
	if depth == 8 {
		for i := len(row) - 1; i >= channels; i-- {
			row[i] -= row[i-channels]
		}
		return
	}
	for i := len(row) - 2; i >= 2*channels; i -= 2 {
		order.PutUint16(row[i:], order.Uint16(row[i:])-order.Uint16(row[i-2*channels:]))
	}
}

// describeTIFF fills in the entries that say how the pixels lie, and the metadata.
func (e *encoder) describeTIFF(d *directory, order binary.ByteOrder, rows, channels int, counts []uint32) {
	offsets := make([]uint32, len(counts))
	at := uint32(8)
	for i, n := range counts {
		offsets[i] = at
		at += n
	}
	bits := make([]uint16, channels)
	for i := range bits {
		bits[i] = uint16(e.depth)
	}
	photometric := uint16(2) // RGB
	if channels == 1 {
		photometric = 1 // black is zero
	}
	const deflate, horizontal, unassociated = 8, 2, 2
	for tag, values := range map[uint16][]uint32{
		tagWidth: {uint32(e.m.Width)}, tagHeight: {uint32(e.m.Height)},
		tagRowsPerStrip: {uint32(rows)}, tagStripOffsets: offsets, tagStripByteCounts: counts,
	} {
		d.entries[tag] = longs(order, values)
	}
	for tag, values := range map[uint16][]uint16{
		tagBits: bits, tagCompression: {deflate}, tagPhotometric: {photometric}, tagOrientation: {1},
		tagSamples: {uint16(channels)}, tagPlanar: {1}, tagPredictor: {horizontal},
	} {
		d.entries[tag] = shorts(order, values)
	}
	if e.m.Alpha != nil {
		d.entries[tagExtraSamples] = shorts(order, []uint16{unassociated})
	}
	if e.meta.ICC != nil {
		d.entries[tagICC] = ifdEntry{kind: 7, count: uint32(len(e.meta.ICC)), value: e.meta.ICC}
	}
	if e.meta.XMP != nil {
		d.entries[tagXMP] = ifdEntry{kind: 1, count: uint32(len(e.meta.XMP)), value: e.meta.XMP}
	}
}

func longs(order binary.ByteOrder, values []uint32) ifdEntry {
	e := ifdEntry{kind: 4, count: uint32(len(values)), value: make([]byte, 4*len(values))}
	for i, v := range values {
		order.PutUint32(e.value[4*i:], v)
	}
	return e
}

func shorts(order binary.ByteOrder, values []uint16) ifdEntry {
	e := ifdEntry{kind: 3, count: uint32(len(values)), value: make([]byte, 2*len(values))}
	for i, v := range values {
		order.PutUint16(e.value[2*i:], v)
	}
	return e
}
