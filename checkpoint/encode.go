package checkpoint

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sr3-go/sr3/internal/runfiles"
)

// zeroDigest stands in the place of the digest while the digest is computed.
var zeroDigest = strings.Repeat("0", 2*sha256.Size)

// Write writes f to path as safetensors with its digest, and returns the digest.
// The same contents always give the same bytes. The file appears whole or not
// at all; an existing one is replaced.
func Write(path string, f *File) (digest string, err error) {
	header, digest, err := seal(f)
	if err != nil {
		return "", fmt.Errorf("write checkpoint %s: %w", path, err)
	}
	err = runfiles.WriteAtomic(path, func(w io.Writer) error {
		return encodeTo(w, header, f)
	})
	if err != nil {
		return "", fmt.Errorf("write checkpoint %s: %w", path, err)
	}
	return digest, nil
}

// Encode writes f to w as [Write] does to a file.
func Encode(w io.Writer, f *File) (digest string, err error) {
	header, digest, err := seal(f)
	if err == nil {
		err = encodeTo(w, header, f)
	}
	if err != nil {
		return "", fmt.Errorf("encode checkpoint: %w", err)
	}
	return digest, nil
}

// Digest returns the digest that writing f gives.
func (f *File) Digest() (string, error) {
	_, digest, err := seal(f)
	if err != nil {
		return "", fmt.Errorf("checkpoint digest: %w", err)
	}
	return digest, nil
}

// seal returns the length prefix and header of f with the digest filled in.
func seal(f *File) (header []byte, digest string, err error) {
	header, err = encodeHeader(f)
	if err != nil {
		return nil, "", err
	}
	h := sha256.New()
	if err := encodeTo(h, header, f); err != nil {
		return nil, "", err
	}
	digest = hex.EncodeToString(h.Sum(nil))
	mark := []byte(`"` + DigestKey + `":"`)
	at := bytes.Index(header, append(mark, zeroDigest...))
	copy(header[at+len(mark):], digest)
	return header, digest, nil
}

// encodeTo writes the header, then the data of the tensors in file order.
func encodeTo(w io.Writer, header []byte, f *File) error {
	if _, err := w.Write(header); err != nil {
		return err
	}
	for _, name := range f.fileOrder() {
		if _, err := w.Write(f.Tensors[name].Data); err != nil {
			return err
		}
	}
	return nil
}

// fileOrder sorts the names by element size, largest first, then by name, as
// the reference writer does: so all data is aligned to its type.
func (f *File) fileOrder() []string {
	return slices.SortedFunc(maps.Keys(f.Tensors), func(a, b string) int {
		return cmp.Or(
			cmp.Compare(f.Tensors[b].DType.Size(), f.Tensors[a].DType.Size()),
			cmp.Compare(a, b))
	})
}

// encodeHeader returns the length prefix and the JSON header of f, padded with
// spaces to a multiple of 8, with zeroDigest for a digest. The reserved keys
// come first, so that the search for the digest cannot meet other text.
func encodeHeader(f *File) ([]byte, error) {
	var b bytes.Buffer
	b.Write(make([]byte, 8))
	fmt.Fprintf(&b, `{"%s":{"%s":"%s","%s":"%s"`, metadataKey, DigestKey, zeroDigest, formatKey, formatVersion)
	for _, key := range slices.Sorted(maps.Keys(f.Meta)) {
		if key == DigestKey || key == formatKey {
			continue
		}
		if err := writeStrings(&b, ",", key, ":", f.Meta[key]); err != nil {
			return nil, fmt.Errorf("metadata %q: %w", key, err)
		}
	}
	b.WriteByte('}')
	at := 0
	for _, name := range f.fileOrder() {
		t := f.Tensors[name]
		if err := t.check(); err != nil {
			return nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		if name == metadataKey {
			return nil, fmt.Errorf("a tensor cannot be called %q", name)
		}
		if err := writeStrings(&b, ",", name, ":{\"dtype\":", string(t.DType)); err != nil {
			return nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		shape, _ := json.Marshal(append([]int{}, t.Shape...))
		fmt.Fprintf(&b, `,"shape":%s,"data_offsets":[%d,%d]}`, shape, at, at+len(t.Data))
		at += len(t.Data)
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	if b.Len()-8 > maxHeader || len(f.Tensors) > maxTensors {
		return nil, fmt.Errorf("header of %d bytes for %d tensors exceeds the limits (%d bytes, %d tensors)",
			b.Len()-8, len(f.Tensors), maxHeader, maxTensors)
	}
	binary.LittleEndian.PutUint64(b.Bytes(), uint64(b.Len()-8))
	return b.Bytes(), nil
}

// writeStrings writes sep, key as JSON, then mid, then value as JSON.
func writeStrings(b *bytes.Buffer, sep, key, mid, value string) error {
	if !utf8.ValidString(key) || !utf8.ValidString(value) {
		return fmt.Errorf("not valid UTF-8")
	}
	b.WriteString(sep)
	b.Write(jsonString(key))
	b.WriteString(mid)
	b.Write(jsonString(value))
	return nil
}

// jsonString quotes s without the escapes that are only for HTML.
func jsonString(s string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string always encodes
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
