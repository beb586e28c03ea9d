package imageio

import (
	"bytes"
	"encoding/binary"
	"maps"
	"testing"
)

// FuzzEXIF runs everything that reads EXIF and TIFF directories.
func FuzzEXIF(f *testing.F) {
	f.Add([]byte("II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("MM\x00*\x00\x00\x00\x08\x00\x02\x01\x12\x00\x03\x00\x00\x00\x01\x00\x08\x00\x00\x87\x69\x00\x04\x00\x00\x00\x01\x00\x00\x00\x08"))
	f.Fuzz(func(t *testing.T, block []byte) {
		before := bytes.Clone(block)
		o, ok := exifOrientation(block)
		reset := resetOrientation(block)
		if !bytes.Equal(block, before) {
			t.Fatal("the block was changed in place")
		}
		if after, still := exifOrientation(reset); ok && (!still || after != 1) {
			t.Fatalf("orientation %d became %d, %v", o, after, still)
		}
		d := directoryOfEXIF(block)
		if d == nil {
			return
		}
		order := tiffOrder(block)
		laid := d.appendTo(tiffHeader(order, 8), 0, order)
		again := directoryOfEXIF(laid)
		if again == nil || !sameDirectory(d, again) {
			t.Fatal("directories differ after they were laid down")
		}
	})
}

func sameDirectory(a, b *directory) bool {
	return maps.EqualFunc(a.entries, b.entries, func(x, y ifdEntry) bool {
		return x.kind == y.kind && x.count == y.count && bytes.Equal(x.value, y.value)
	}) && maps.EqualFunc(a.subs, b.subs, sameDirectory)
}

func FuzzXMP(f *testing.F) {
	f.Add([]byte(xmpHead+xmpTail), "key", "value")
	f.Add([]byte("<a:RDF></a:RDF>"), "key", "\x01 & <x> \u2028")
	f.Fuzz(func(t *testing.T, packet []byte, key, value string) {
		splitXMP(packet) // must not panic on anything
		text := map[string]string{key: value}
		if checkText(text) != nil || bytes.Contains(packet, []byte(xmpBlockStart)) {
			return
		}
		joined, err := joinXMP(packet, text)
		if err != nil {
			return
		}
		rest, got := splitXMP(joined)
		empty := len(packet) == 0 || string(packet) == xmpHead+xmpTail
		if !maps.Equal(got, text) || !empty && !bytes.Equal(rest, packet) {
			t.Fatalf("got %q and %q", rest, got)
		}
	})
}

func TestXMPOrientationIsReset(t *testing.T) {
	for in, want := range map[string]string{
		`<a tiff:Orientation="6"/>`:                      `<a tiff:Orientation="1"/>`,
		`<a tiff:Orientation = '8' b="6"/>`:              `<a tiff:Orientation = '1' b="6"/>`,
		`<tiff:Orientation>3</tiff:Orientation><b>3</b>`: `<tiff:Orientation>1</tiff:Orientation><b>3</b>`,
		`<a exif:Orientation="6">tiff:Orientation 6</a>`: `<a exif:Orientation="6">tiff:Orientation 6</a>`,
	} {
		c := &container{meta: Metadata{XMP: []byte(in)}}
		c.finish()
		if got := string(c.meta.XMP); got != want {
			t.Errorf("%s became %s, want %s", in, got, want)
		}
	}
	if err := (*Image)(nil).Validate(); err == nil {
		t.Error("no image is a valid image")
	}
}

// Entries that overlap must not make a small file into a large copy.
func TestOverlappingEntries(t *testing.T) {
	const n = 60000
	order := binary.LittleEndian
	block := tiffHeader(order, 8)
	block = append(block, 1, 0)
	block = append(block, 0x69, 0x87, 4, 0, 1, 0, 0, 0, 26, 0, 0, 0) // Exif directory at 26
	block = append(block, 0, 0, 0, 0)
	block = order.AppendUint16(block, n)
	for i := range n {
		block = order.AppendUint16(block, uint16(i+1))
		block = append(block, 7, 0)
		block = order.AppendUint32(block, 12*n)
		block = order.AppendUint32(block, 8)
	}
	if d := directoryOfEXIF(block); d != nil {
		t.Errorf("%d bytes of values from %d bytes", d.size(), len(block))
	}
}
