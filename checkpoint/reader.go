package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// Reader reads one tensor of a safetensors file at a time, for programs that do not
// want all of a large file in memory. The digest is not verified: that takes all of
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

// Tensor reads one tensor. Without one of that name it is an error.
func (r *Reader) Tensor(name string) (*Tensor, error) {
	e, ok := r.entries[name]
	if !ok {
		return nil, fmt.Errorf("read checkpoint %s: no tensor %q", r.file.Name(), name)
	}
	data := make([]byte, e.end-e.begin)
	if _, err := io.ReadFull(io.NewSectionReader(r.file, r.data+int64(e.begin), int64(len(data))), data); err != nil {
		return nil, fmt.Errorf("read checkpoint %s: tensor %q: %w", r.file.Name(), name, noEOF(err))
	}
	return &Tensor{DType: e.dtype, Shape: e.shape, Data: data}, nil
}

// Close closes the file.
func (r *Reader) Close() error { return r.file.Close() }
