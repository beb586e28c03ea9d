package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// Reader reads one tensor of a safetensors file at a time, for programs that do not
// want all of a large file in memory beside what they make of it. The digest is not verified: that takes all of
// the data, and is what [Read] does. Its methods may be called by several goroutines.
type Reader struct {
	Info
	file    *os.File
	data    int64 // where the data begin
	entries map[string]entry
}

// Open reads the header of a safetensors file and leaves the file open.
func Open(path string) (*Reader, error) {
	f, size, err := openRegular(path)
	if err != nil {
		return nil, fmt.Errorf("open checkpoint: %w", err)
	}
	r, err := newReader(f, size)
	if err != nil {
		return nil, fmt.Errorf("open checkpoint %s: %w", path, errors.Join(err, f.Close()))
	}
	return r, nil
}

func newReader(f *os.File, size int64) (*Reader, error) {
	_, header, err := readHeader(f, size)
	if err != nil {
		return nil, err
	}
	data := 8 + int64(len(header))
	entries, meta, err := parseHeader(header, size-data)
	if err != nil {
		return nil, err
	}
	r := &Reader{Info: Info{Meta: meta, Size: size}, file: f, data: data, entries: make(map[string]entry, len(entries))}
	for _, e := range entries {
		r.Tensors = append(r.Tensors, TensorInfo{e.name, e.dtype, e.shape})
		r.entries[e.name] = e
	}
	return r, nil
}

// pieceBytes is how much of a tensor is in memory beside its values.
const pieceBytes = 64 << 10

// ReadFloat32s reads one tensor's elements into dst, converted as
// [Tensor.Float32s] does. A name that is not there, a type that is not a number and
// a dst of another length are errors.
func (r *Reader) ReadFloat32s(name string, dst []float32) error {
	if err := r.readFloat32s(name, dst); err != nil {
		return fmt.Errorf("read checkpoint %s: tensor %q: %w", r.file.Name(), name, err)
	}
	return nil
}

func (r *Reader) readFloat32s(name string, dst []float32) error {
	e, ok := r.entries[name]
	if !ok {
		return errors.New("there is none of that name")
	}
	if e.dtype == Bool {
		return errors.New("it holds no numbers")
	}
	if n := (&Tensor{Shape: e.shape}).Len(); n != len(dst) {
		return fmt.Errorf("it has %d elements, not %d", n, len(dst))
	}
	data := io.NewSectionReader(r.file, r.data+int64(e.begin), int64(e.end-e.begin))
	buffer := make([]byte, pieceBytes)
	for len(dst) > 0 {
		n := min(len(dst), pieceBytes/e.dtype.Size())
		if _, err := io.ReadFull(data, buffer[:n*e.dtype.Size()]); err != nil {
			return noEOF(err)
		}
		e.dtype.toFloat32(dst[:n], buffer)
		dst = dst[n:]
	}
	return nil
}

// Close closes the file.
func (r *Reader) Close() error { return r.file.Close() }
