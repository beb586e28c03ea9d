package imageio

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"html"
	"regexp"
	"unicode/utf8"
)

// Text travels in PNG as text chunks. The other formats have nothing like them,
// so there the pairs go as JSON into one element of the XMP packet. A packet that came with
// the picture gets that element spliced in, and reading cuts it out again, so
// such a packet survives any number of conversions byte for byte.
const (
	xmpBlockStart = `<rdf:Description xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" rdf:about="" xmlns:sr3="https://github.com/sr3-go/sr3/xmp/1.0/"><sr3:text>`
	xmpBlockEnd   = `</sr3:text></rdf:Description>`
	xmpHead       = "<?xpacket begin=\"\ufeff\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>" +
		`<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">`
	xmpTail = `</rdf:RDF></x:xmpmeta><?xpacket end="w"?>`

	maxText = 8 << 20 // bytes of text read from one place
)

var rdfEnd = regexp.MustCompile(`</[A-Za-z_][\w.-]*:RDF\s*>`)

// xmpOrientation finds tiff:Orientation, as an attribute or as an element.
var xmpOrientation = regexp.MustCompile(`(tiff:Orientation(?:\s*=\s*["']|>)\s*)[2-8]`)

// resetXMPOrientation says upright, as resetOrientation does in EXIF: the pixels are turned already, and a viewer
// that believes the packet would turn them again.
func resetXMPOrientation(packet []byte) []byte {
	return xmpOrientation.ReplaceAll(packet, []byte("${1}1"))
}

// joinXMP returns the packet with text in it. It fails when packet is not
// empty and has no place for the element.
func joinXMP(packet []byte, text map[string]string) ([]byte, error) {
	if len(text) == 0 {
		return packet, nil
	}
	encoded, err := json.Marshal(text)
	if err != nil {
		return nil, fmt.Errorf("text to JSON: %w", err)
	}
	var block bytes.Buffer
	block.WriteString(xmpBlockStart)
	if err := xml.EscapeText(&block, encoded); err != nil {
		return nil, fmt.Errorf("text to XML: %w", err)
	}
	block.WriteString(xmpBlockEnd)
	if len(packet) == 0 {
		return []byte(xmpHead + block.String() + xmpTail), nil
	}
	ends := rdfEnd.FindAllIndex(packet, -1)
	if len(ends) == 0 {
		return nil, errors.New("the picture's XMP packet has no closing RDF tag")
	}
	at := ends[len(ends)-1][0]
	return bytes.Join([][]byte{packet[:at], block.Bytes(), packet[at:]}, nil), nil
}

// splitXMP undoes joinXMP. A packet without the element comes back as it is.
func splitXMP(packet []byte) (rest []byte, text map[string]string) {
	from := bytes.Index(packet, []byte(xmpBlockStart))
	if from < 0 {
		return packet, nil
	}
	body := packet[from+len(xmpBlockStart):]
	n := bytes.Index(body, []byte(xmpBlockEnd))
	if n < 0 || n > maxText {
		return packet, nil
	}
	if err := json.Unmarshal([]byte(html.UnescapeString(string(body[:n]))), &text); err != nil {
		return packet, nil
	}
	rest = append(bytes.Clone(packet[:from]), body[n+len(xmpBlockEnd):]...)
	if string(rest) == xmpHead+xmpTail {
		rest = nil
	}
	return rest, text
}

// checkText verifies what every output format can hold.
func checkText(text map[string]string) error {
	for k, v := range text {
		if !validKeyword(k) {
			return fmt.Errorf("text keyword %q: it must be 1 to 79 printable Latin-1 characters without outer or double spaces", k)
		}
		if !utf8.ValidString(v) || bytes.IndexByte([]byte(v), 0) >= 0 {
			return fmt.Errorf("text %q is not UTF-8 without zero bytes", k)
		}
		if len(v) > maxText {
			return fmt.Errorf("text %q has %d bytes; at most %d can be read back", k, len(v), maxText)
		}
	}
	return nil
}

// validKeyword follows the PNG specification, section 11.3.3.2.
func validKeyword(k string) bool {
	n, last := 0, ' '
	for _, r := range k {
		printable := r >= 32 && r <= 126 || r >= 161 && r <= 255
		if !printable || r == ' ' && last == ' ' {
			return false
		}
		last = r
		n++
	}
	return n >= 1 && n <= 79 && last != ' '
}
