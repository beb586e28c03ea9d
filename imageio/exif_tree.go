package imageio

import (
	"encoding/binary"
	"maps"
	"slices"
)

// In TIFF files the EXIF directories are woven into the file, with offsets from
// its start; elsewhere they are a block of their own. Moving between the two
// means to lift the directories out and to lay them down again. Values are kept
// as they are; only a MakerNote with offsets of its own may break, as it does in
// every program that moves EXIF.

const (
	tagExifIFD    = 34665
	tagGPSIFD     = 34853
	tagInteropIFD = 40965

	maxEXIF = 4 << 20 // bytes of values that are moved
)

// cameraTags are the entries of a TIFF's first directory that describe the
// photo and not the layout of the file.
var cameraTags = []uint16{271, 272, 282, 283, 296, 305, 306, 315, 316, 33432}

// directory is a TIFF directory with the ones it points to.
type directory struct {
	entries map[uint16]ifdEntry
	subs    map[uint16]*directory
}

// lift copies the EXIF part of a first directory, or returns nil when there is none.
func lift(block []byte, order binary.ByteOrder, entries map[uint16]ifdEntry) *directory {
	d := &directory{entries: make(map[uint16]ifdEntry), subs: make(map[uint16]*directory)}
	for _, tag := range cameraTags {
		if e, ok := entries[tag]; ok {
			d.entries[tag] = e
		}
	}
	exif := d.liftSub(block, order, entries, tagExifIFD)
	d.liftSub(block, order, entries, tagGPSIFD)
	if exif != nil {
		exif.liftSub(block, order, exif.entries, tagInteropIFD)
		delete(exif.entries, tagInteropIFD)
	}
	if len(d.entries) == 0 && len(d.subs) == 0 || d.size() > maxEXIF {
		return nil
	}
	return d
}

// liftSub reads the directory that entry tag of from points to.
func (d *directory) liftSub(block []byte, order binary.ByteOrder, from map[uint16]ifdEntry, tag uint16) *directory {
	at, ok := from[tag].number(order)
	if !ok {
		return nil
	}
	entries, _ := readIFD(block, order, at)
	if len(entries) == 0 {
		return nil
	}
	sub := &directory{entries: entries, subs: make(map[uint16]*directory)}
	d.subs[tag] = sub
	return sub
}

// size returns the bytes of all values: entries may overlap in a hostile file,
// so that the copy would be far larger than the file.
func (d *directory) size() (n int) {
	for _, e := range d.entries {
		n += len(e.value) + 12
	}
	for _, s := range d.subs {
		n += s.size()
	}
	return n
}

// appendTo lays the directory down at the end of out, whose first byte has
// offset base in the file. Values and sub-directories follow it.
func (d *directory) appendTo(out []byte, base int, order binary.ByteOrder) []byte {
	tags := slices.Concat(slices.Collect(maps.Keys(d.entries)), slices.Collect(maps.Keys(d.subs)))
	slices.Sort(tags)
	tags = slices.Compact(tags)
	start := len(out)
	out = append(out, make([]byte, 2+12*len(tags)+4)...)
	order.PutUint16(out[start:], uint16(len(tags)))
	for i, tag := range tags {
		at := start + 2 + 12*i
		if len(out)%2 != 0 {
			out = append(out, 0)
		}
		if sub, ok := d.subs[tag]; ok {
			putEntry(out[at:], order, tag, 4, 1)
			order.PutUint32(out[at+8:], uint32(base+len(out)))
			out = sub.appendTo(out, base, order)
			continue
		}
		e := d.entries[tag]
		putEntry(out[at:], order, tag, e.kind, e.count)
		if len(e.value) <= 4 {
			copy(out[at+8:at+12], e.value)
			continue
		}
		order.PutUint32(out[at+8:], uint32(base+len(out)))
		out = append(out, e.value...)
	}
	return out
}

func putEntry(at []byte, order binary.ByteOrder, tag, kind uint16, count uint32) {
	order.PutUint16(at, tag)
	order.PutUint16(at[2:], kind)
	order.PutUint32(at[4:], count)
}

// tiffHeader returns the eight bytes before the first directory at offset.
func tiffHeader(order binary.ByteOrder, offset uint32) []byte {
	h := []byte("II*\x00\x00\x00\x00\x00")
	if order == binary.BigEndian {
		copy(h, "MM\x00*")
	}
	order.PutUint32(h[4:], offset)
	return h
}

// exifOfTIFF returns the EXIF block of a TIFF file, or nil.
func exifOfTIFF(data []byte, order binary.ByteOrder, entries map[uint16]ifdEntry) []byte {
	d := lift(data, order, entries)
	if d == nil || len(d.subs) == 0 {
		return nil
	}
	return d.appendTo(tiffHeader(order, 8), 0, order)
}

// directoryOfEXIF returns the directories of an EXIF block for a TIFF file, or nil.
func directoryOfEXIF(block []byte) *directory {
	order := tiffOrder(block)
	if order == nil {
		return nil
	}
	entries, _ := readIFD(block, order, int64(order.Uint32(block[4:])))
	return lift(block, order, entries)
}
