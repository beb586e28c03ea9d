package checkpoint

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"unicode/utf8"
)

const (
	// maxHeader is the longest header that the reference reader accepts.
	maxHeader = 100_000_000
	// maxTensors bounds the memory that a header of tiny entries can claim.
	maxTensors = 1 << 18
	// maxMetadata does for entries of the metadata.
	maxMetadata = 1 << 16
	// metadataKey is the one header entry that is not a tensor.
	metadataKey = "__metadata__"
)

// entry is one tensor of a safetensors header; begin and end are offsets into
// the data section.
type entry struct {
	name       string
	dtype      DType
	shape      []int
	begin, end int64
}

// parseHeader reads the JSON header of a safetensors file whose data section
// has dataSize bytes, and returns the tensors in the order of their data. It
// refuses what the reference reader refuses: anything that does not start with
// '{', duplicate keys, shapes that do not fit their ranges, holes and overlaps.
func parseHeader(header []byte, dataSize int64) ([]entry, map[string]string, error) {
	entries, meta, err := scanHeader(header)
	if err == nil {
		err = checkRanges(entries, dataSize)
	}
	if err != nil {
		return nil, nil, err
	}
	return entries, meta, nil
}

// scanHeader is parseHeader for a file whose data may be missing: where the tensors
// lie is not checked.
func scanHeader(header []byte) ([]entry, map[string]string, error) {
	if len(header) == 0 || header[0] != '{' {
		return nil, nil, errors.New("the header does not start with '{'")
	}
	if !utf8.Valid(header) {
		return nil, nil, errors.New("the header is not valid UTF-8")
	}
	p := headerParser{dec: json.NewDecoder(bytes.NewReader(header)), seen: map[string]bool{}}
	p.dec.UseNumber()
	if err := p.object(p.topLevel); err != nil {
		return nil, nil, fmt.Errorf("header: %w", err)
	}
	if _, err := p.dec.Token(); err != io.EOF {
		return nil, nil, errors.New("header: data after the closing '}'")
	}
	return p.entries, p.meta, nil
}

// checkRanges sorts the entries by their data and checks that they cover the
// data section exactly.
func checkRanges(entries []entry, dataSize int64) error {
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end), cmp.Compare(a.name, b.name))
	})
	at := int64(0)
	for _, e := range entries {
		if e.begin != at {
			return fmt.Errorf("tensor %q starts at byte %d of the data, want %d", e.name, e.begin, at)
		}
		size, err := byteSize(e.dtype, e.shape)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", e.name, err)
		}
		if e.end < e.begin || int64(size) != e.end-e.begin {
			return fmt.Errorf("tensor %q: shape %v of %s needs %d bytes, its range [%d, %d] has another size",
				e.name, e.shape, e.dtype, size, e.begin, e.end)
		}
		at = e.end
	}
	if at != dataSize {
		return fmt.Errorf("the header describes %d bytes of data, the file has %d; it is truncated or damaged", at, dataSize)
	}
	return nil
}

// headerParser walks the header token by token, because decoding into a map
// would silently drop duplicate keys.
type headerParser struct {
	dec     *json.Decoder
	seen    map[string]bool
	entries []entry
	meta    map[string]string
}

// object reads '{', then calls field for every key, then reads '}'.
func (p *headerParser) object(field func(key string) error) error {
	if err := p.delim('{'); err != nil {
		return err
	}
	for p.dec.More() {
		key, err := p.str()
		if err != nil {
			return err
		}
		if err := field(key); err != nil {
			return fmt.Errorf("%.200q: %w", key, err)
		}
	}
	return p.delim('}')
}

func (p *headerParser) topLevel(key string) error {
	if p.seen[key] {
		return errors.New("duplicate key")
	}
	p.seen[key] = true
	if key == metadataKey {
		return p.metadata()
	}
	if len(p.entries) == maxTensors {
		return fmt.Errorf("more than %d tensors", maxTensors)
	}
	e, err := p.tensor()
	if err != nil {
		return err
	}
	e.name = key
	p.entries = append(p.entries, e)
	return nil
}

func (p *headerParser) metadata() error {
	p.meta = map[string]string{}
	return p.object(func(key string) error {
		if _, ok := p.meta[key]; ok {
			return errors.New("duplicate key")
		}
		if len(p.meta) == maxMetadata {
			return fmt.Errorf("more than %d entries", maxMetadata)
		}
		value, err := p.str()
		p.meta[key] = value
		return err
	})
}

// tensor reads {"dtype":..,"shape":[..],"data_offsets":[begin,end]}.
func (p *headerParser) tensor() (entry, error) {
	var e entry
	var dtype string
	var offsets []int
	var got [3]bool
	mark := func(i int) error {
		if got[i] {
			return errors.New("duplicate key")
		}
		got[i] = true
		return nil
	}
	err := p.object(func(key string) (err error) {
		switch key {
		case "dtype":
			dtype, err = p.str()
			return errors.Join(err, mark(0))
		case "shape":
			e.shape, err = p.ints()
			return errors.Join(err, mark(1))
		case "data_offsets":
			offsets, err = p.ints()
			return errors.Join(err, mark(2))
		}
		return errors.New("unknown key")
	})
	if err != nil {
		return e, err
	}
	if got != [3]bool{true, true, true} || len(offsets) != 2 {
		return e, errors.New("want dtype, shape and data_offsets [begin, end]")
	}
	e.dtype = DType(dtype)
	if e.dtype.Size() == 0 {
		return e, fmt.Errorf("element type %q is not supported", dtype)
	}
	e.begin, e.end = int64(offsets[0]), int64(offsets[1])
	return e, nil
}

// ints reads an array of non-negative integers, at most maxRank of them.
func (p *headerParser) ints() ([]int, error) {
	if err := p.delim('['); err != nil {
		return nil, err
	}
	out := []int{}
	for p.dec.More() {
		tok, err := p.dec.Token()
		if err != nil {
			return nil, err
		}
		num, ok := tok.(json.Number)
		if !ok {
			return nil, fmt.Errorf("want a number, got %v", tok)
		}
		v, err := strconv.ParseUint(num.String(), 10, 63)
		if err != nil || v > uint64(^uint(0)>>1) {
			return nil, fmt.Errorf("%.40s is not an integer in range", num)
		}
		if len(out) == maxRank {
			return nil, fmt.Errorf("more than %d dimensions", maxRank)
		}
		out = append(out, int(v))
	}
	return out, p.delim(']')
}

func (p *headerParser) delim(want json.Delim) error {
	tok, err := p.dec.Token()
	if err != nil {
		return noEOF(err)
	}
	if tok != want {
		return fmt.Errorf("want %q, got %.40v", want.String(), tok)
	}
	return nil
}

func (p *headerParser) str() (string, error) {
	tok, err := p.dec.Token()
	if err != nil {
		return "", noEOF(err)
	}
	s, ok := tok.(string)
	if !ok {
		return "", fmt.Errorf("want a string, got %.40v", tok)
	}
	return s, nil
}

// noEOF turns the end of the input inside a structure into an error that says so.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
