package imageio

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"unicode/utf8"
)

const (
	exifPrefix        = "Exif\x00\x00"
	xmpPrefix         = "http://ns.adobe.com/xap/1.0/\x00"
	extendedXMPPrefix = "http://ns.adobe.com/xmp/extension/\x00"
	iccPrefix         = "ICC_PROFILE\x00"

	markerRST0 = 0xd0
	markerRST7 = 0xd7
	markerEOI  = 0xd9
	markerDQT  = 0xdb
	markerSOS  = 0xda
	markerAPP1 = 0xe1
	markerAPP2 = 0xe2
	markerCOM  = 0xfe
)

func parseJPEG(data []byte) (*container, error) {
	config, err := jpeg.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, classifyBare(err)
	}
	if manyScans(data) {
		return nil, fmt.Errorf("%w: more than %d scans, each of which takes the time of a whole picture", ErrTooLarge, maxScans)
	}
	c := &container{width: config.Width, height: config.Height, depth: 8}
	c.gray = config.ColorModel == color.GrayModel
	readSegments(c, data)
	if config.ColorModel == color.CMYKModel {
		c.note("CMYK converted to RGB without its colour profile: colours are approximate")
		c.meta.ICC = nil
	}
	c.decode = func() (image.Image, error) { return jpeg.Decode(bytes.NewReader(data)) }
	return c, nil
}

// maxScans bounds the scans of a progressive picture. Encoders make about ten; a scan
// of a few bytes that changes nothing costs as much time as any other.
const maxScans = 500

// manyScans tells whether there are more than maxScans.
func manyScans(data []byte) bool {
	scans := 0
	for at := 2; ; {
		next := bytes.IndexByte(data[min(at, len(data)):], 0xff)
		if at += next; next < 0 || at+4 > len(data) {
			return false
		}
		switch marker := data[at+1]; {
		case marker == 0xff: // fill byte
			at++
		case marker == 0 || marker >= markerRST0 && marker <= markerRST7: // within a scan
			at += 2
		case marker == markerEOI:
			return false
		default:
			if marker == markerSOS {
				scans++
			}
			at += 2 + int(binary.BigEndian.Uint16(data[at+2:]))
		}
		if scans > maxScans {
			return true
		}
	}
}

// readSegments collects metadata from the segments before the first scan. It
// stops at the first thing that is no segment: the decoder judges that.
func readSegments(c *container, data []byte) {
	var icc iccParts
	for at := 2; at+4 <= len(data) && data[at] == 0xff; {
		marker := data[at+1]
		if marker == 0xff { // fill byte
			at++
			continue
		}
		n := int(binary.BigEndian.Uint16(data[at+2:]))
		if marker == markerSOS || n < 2 || at+2+n > len(data) {
			break
		}
		readSegment(c, &icc, marker, data[at+4:at+2+n])
		at += 2 + n
	}
	if profile, err := icc.join(); err != nil {
		c.note("colour profile dropped: %v", err)
	} else {
		c.meta.ICC = profile
	}
}

func readSegment(c *container, icc *iccParts, marker byte, body []byte) {
	starts := func(prefix string) bool { return bytes.HasPrefix(body, []byte(prefix)) }
	switch {
	case marker == markerDQT:
		if q := jpegQuality(body); q > 0 && c.quality == 0 {
			c.quality = q
		}
	case marker == markerAPP1 && starts(exifPrefix):
		if block := body[len(exifPrefix):]; c.meta.EXIF == nil && tiffOrder(block) != nil {
			c.meta.EXIF = bytes.Clone(block)
		}
	case marker == markerAPP1 && starts(xmpPrefix):
		if c.meta.XMP == nil {
			c.meta.XMP = bytes.Clone(body[len(xmpPrefix):])
		}
	case marker == markerAPP1 && starts(extendedXMPPrefix):
		const note = "extended XMP dropped; the main packet is kept"
		if len(c.notes) == 0 || c.notes[len(c.notes)-1] != note {
			c.note(note)
		}
	case marker == markerAPP2 && starts(iccPrefix):
		icc.add(body[len(iccPrefix):])
	case marker == markerCOM:
		text := string(bytes.TrimRight(body, "\x00"))
		if !utf8.ValidString(text) {
			text = latin1([]byte(text))
		}
		if text != "" {
			c.meta.addText("Comment", text)
		}
	}
}

// iccParts puts a profile together that is spread over segments, each with its
// number and the total (ICC.1:2022, annex B.4).
type iccParts struct {
	parts [256][]byte
	total int
	bad   bool
}

func (p *iccParts) add(body []byte) {
	if len(body) < 2 || body[0] == 0 || p.total != 0 && p.total != int(body[1]) || p.parts[body[0]] != nil {
		p.bad = true
		return
	}
	p.total = int(body[1])
	p.parts[body[0]] = body[2:]
}

func (p *iccParts) join() ([]byte, error) {
	if p.total == 0 && !p.bad {
		return nil, nil
	}
	var profile []byte
	for i := 1; i <= p.total && !p.bad; i++ {
		if p.parts[i] == nil {
			p.bad = true
		}
		profile = append(profile, p.parts[i]...)
	}
	if p.bad {
		return nil, fmt.Errorf("its segments do not fit together")
	}
	return profile, nil
}
