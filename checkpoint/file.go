package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

// DigestKey is the metadata entry that holds the digest of a file: lower-case
// hexadecimal SHA-256 over the whole file, with these 64 digits taken as '0'.
const DigestKey = "sr3.digest"

const (
	// formatKey stands beside the digest, so that no single damaged byte can hide
	// that a file is one of ours and must have a digest.
	formatKey     = "sr3.format"
	formatVersion = "1"
	// ownPrefix marks the metadata keys that only this project writes.
	ownPrefix = "sr3."
)

// File is the contents of a safetensors file: named tensors, and metadata that
// maps strings to strings.
type File struct {
	Tensors map[string]*Tensor
	// Meta may be nil. [DigestKey] and "sr3.format" are set by reading and
	// replaced by writing.
	Meta map[string]string
}

// Names returns the names of the tensors, sorted.
func (f *File) Names() []string {
	return slices.Sorted(maps.Keys(f.Tensors))
}

// Info is what the header of a safetensors file tells.
type Info struct {
	Tensors []TensorInfo // in the order of their data
	Meta    map[string]string
	Size    int64 // bytes of the whole file
}

// TensorInfo is a tensor without its data.
type TensorInfo struct {
	Name  string
	DType DType
	Shape []int
}

// Read reads a safetensors file. If the file carries a digest, or any metadata
// key starting with "sr3.", the digest is verified. Errors name the file.
func Read(path string) (*File, error) {
	f, size, err := openRegular(path)
	if err != nil {
		return nil, fmt.Errorf("read checkpoint: %w", err)
	}
	defer f.Close()
	return Decode(path, f, size)
}

// Decode reads a safetensors file of size bytes from r; name is what errors call it.
func Decode(name string, r io.Reader, size int64) (*File, error) {
	file, err := decode(r, size)
	if err != nil {
		return nil, fmt.Errorf("read checkpoint %s: %w", name, err)
	}
	return file, nil
}

// ReadInfo reads only the header of a safetensors file. The digest cannot be
// verified without the data; [Read] does that.
func ReadInfo(path string) (*Info, error) {
	header, size, err := headerOf(path)
	if err != nil {
		return nil, err
	}
	entries, meta, err := parseHeader(header, size-8-int64(len(header)))
	if err != nil {
		return nil, fmt.Errorf("read checkpoint %s: %w", path, err)
	}
	info := &Info{Meta: meta, Size: size}
	for _, e := range entries {
		info.Tensors = append(info.Tensors, TensorInfo{e.name, e.dtype, e.shape})
	}
	return info, nil
}

// ReadMeta reads only the metadata of a safetensors file. Its header must be whole; the
// tensors behind it may be damaged or missing.
func ReadMeta(path string) (map[string]string, error) {
	header, _, err := headerOf(path)
	if err != nil {
		return nil, err
	}
	_, meta, err := scanHeader(header)
	if err != nil {
		return nil, fmt.Errorf("read checkpoint %s: %w", path, err)
	}
	return meta, nil
}

// headerOf reads the JSON at the beginning of a safetensors file of so many bytes.
func headerOf(path string) (header []byte, size int64, err error) {
	f, size, err := openRegular(path)
	if err != nil {
		return nil, 0, fmt.Errorf("read checkpoint: %w", err)
	}
	defer f.Close()
	if _, header, err = readHeader(f, size); err != nil {
		return nil, 0, fmt.Errorf("read checkpoint %s: %w", path, err)
	}
	return header, size, nil
}

// openRegular opens path and returns its size. Anything but a regular file is
// an error: the size of a pipe or a device says nothing. It is asked twice, before
// opening, which waits for ever at a pipe, and of what was opened: the file may have
// been replaced between the two.
func openRegular(path string) (*os.File, int64, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = notRegular(path)
	}
	if err != nil {
		return nil, 0, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	if info, err = f.Stat(); err == nil && !info.Mode().IsRegular() {
		err = notRegular(path)
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

func notRegular(path string) error {
	return fmt.Errorf("%s is not a regular file; give the path of a checkpoint file", path)
}

func decode(r io.Reader, size int64) (*File, error) {
	prefix, header, err := readHeader(r, size)
	if err != nil {
		return nil, err
	}
	entries, meta, err := parseHeader(header, size-8-int64(len(header)))
	if err != nil {
		return nil, err
	}
	check, err := newDigestCheck(prefix, header, meta)
	if err != nil {
		return nil, err
	}
	file := &File{Tensors: make(map[string]*Tensor, len(entries)), Meta: meta}
	for _, e := range entries {
		data := make([]byte, e.end-e.begin)
		if _, err := io.ReadFull(r, data); err != nil {
			return nil, fmt.Errorf("tensor %q: %w", e.name, noEOF(err))
		}
		check.Write(data)
		file.Tensors[e.name] = &Tensor{DType: e.dtype, Shape: e.shape, Data: data}
	}
	return file, check.verify()
}

// readHeader reads the 8-byte length and the JSON header of a file of size bytes.
func readHeader(r io.Reader, size int64) (prefix, header []byte, err error) {
	if size < 8 {
		return nil, nil, fmt.Errorf("only %d bytes, not a safetensors file", size)
	}
	prefix = make([]byte, 8)
	if _, err := io.ReadFull(r, prefix); err != nil {
		return nil, nil, noEOF(err)
	}
	n := binary.LittleEndian.Uint64(prefix)
	if n > maxHeader || n > uint64(size-8) {
		return nil, nil, fmt.Errorf("header length %d exceeds the file (%d bytes) or the limit (%d); not a safetensors file, or truncated", n, size, maxHeader)
	}
	header = make([]byte, n)
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, nil, noEOF(err)
	}
	return prefix, header, nil
}

// digestCheck hashes a file as it is read. With no digest to verify it does
// nothing.
type digestCheck struct {
	hash hash.Hash
	want string
}

func newDigestCheck(prefix, header []byte, meta map[string]string) (*digestCheck, error) {
	want, ok := meta[DigestKey]
	if !ok {
		for key := range meta {
			if strings.HasPrefix(key, ownPrefix) {
				return nil, fmt.Errorf("metadata has %q but no %q; the file is damaged", key, DigestKey)
			}
		}
		return &digestCheck{}, nil
	}
	if raw, err := hex.DecodeString(want); err != nil || len(raw) != sha256.Size || want != strings.ToLower(want) {
		return nil, fmt.Errorf("%s is not 64 lower-case hexadecimal digits; the file is damaged", DigestKey)
	}
	if bytes.Count(header, []byte(want)) != 1 {
		return nil, fmt.Errorf("the digits of %s do not appear once in the header; the file is damaged", DigestKey)
	}
	c := &digestCheck{hash: sha256.New(), want: want}
	c.Write(prefix)
	c.Write(bytes.Replace(header, []byte(want), []byte(zeroDigest), 1))
	return c, nil
}

func (c *digestCheck) Write(p []byte) {
	if c.hash != nil {
		c.hash.Write(p)
	}
}

func (c *digestCheck) verify() error {
	if c.hash == nil || hex.EncodeToString(c.hash.Sum(nil)) == c.want {
		return nil
	}
	return errDigest
}

// errDigest is what a damaged file of ours gives.
var errDigest = errors.New("the contents do not match the file's digest: it is damaged, or another program changed it; copy it again from its source")
