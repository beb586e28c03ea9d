package imageio

import (
	"bytes"
	"encoding/binary"
)

const tagOrientation = 0x0112

// tiffOrder returns the byte order of a TIFF or EXIF block, or nil when it is none.
func tiffOrder(block []byte) binary.ByteOrder {
	switch {
	case len(block) < 8:
		return nil
	case bytes.HasPrefix(block, []byte("II*\x00")):
		return binary.LittleEndian
	case bytes.HasPrefix(block, []byte("MM\x00*")):
		return binary.BigEndian
	}
	return nil
}

// orientationAt returns the offset of the orientation's value in an EXIF block,
// or -1. Only the first directory may hold it.
func orientationAt(block []byte) int {
	order := tiffOrder(block)
	if order == nil {
		return -1
	}
	at := int64(order.Uint32(block[4:]))
	if at+2 > int64(len(block)) {
		return -1
	}
	n := int64(order.Uint16(block[at:]))
	for i := range n {
		e := at + 2 + 12*i
		if e+12 > int64(len(block)) {
			return -1
		}
		const typeShort = 3
		entry := block[e : e+12]
		if order.Uint16(entry) == tagOrientation && order.Uint16(entry[2:]) == typeShort && order.Uint32(entry[4:]) == 1 {
			return int(e + 8)
		}
	}
	return -1
}

// exifOrientation returns the orientation an EXIF block states, if it is from 1 to 8.
func exifOrientation(block []byte) (int, bool) {
	at := orientationAt(block)
	if at < 0 {
		return 0, false
	}
	o := int(tiffOrder(block).Uint16(block[at:]))
	return o, o >= 1 && o <= 8
}

// resetOrientation returns the block with orientation 1; a block that says
// nothing else is returned as it is.
func resetOrientation(block []byte) []byte {
	at := orientationAt(block)
	if at < 0 || tiffOrder(block).Uint16(block[at:]) == 1 {
		return block
	}
	block = bytes.Clone(block)
	tiffOrder(block).PutUint16(block[at:], 1)
	return block
}
