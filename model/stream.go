package model

import (
	"fmt"

	"github.com/sr3-go/sr3/checkpoint"
)

// Stream is a model whose weights stay in its file until they are asked for, so that
// a program which packs them for its kernels holds them once. The digest of the file
// is not verified.
type Stream struct {
	Config Config
	file   *checkpoint.Reader
}

// OpenStream opens a model file. Configuration, names and shapes are verified now,
// weights when they are read.
func OpenStream(path string) (*Stream, error) {
	file, err := checkpoint.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open model: %w", err)
	}
	config, err := parseMeta(file.Meta)
	if err == nil {
		err = checkTensors(config, file.Tensors)
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("open model %s: %w", path, err)
	}
	return &Stream{config, file}, nil
}

// Digest is the file's, as its header has it.
func (s *Stream) Digest() string { return s.file.Meta[checkpoint.DigestKey] }

// Parameters returns the number of weights, with those of the predictor.
func (s *Stream) Parameters() int64 {
	var n int64
	for _, t := range s.file.Tensors {
		count := int64(1)
		for _, d := range t.Shape {
			count *= int64(d)
		}
		n += count
	}
	return n
}

// ReadWeights reads the values of a parameter into dst, row-major in the shape that
// unet.Parameters gives. It may be called by several goroutines.
func (s *Stream) ReadWeights(name string, dst []float32) error {
	if err := s.file.ReadFloat32s(name, dst); err != nil {
		return err
	}
	return checkFinite(name, dst)
}

// Close closes the file.
func (s *Stream) Close() error { return s.file.Close() }
