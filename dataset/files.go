package dataset

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
)

// File is where an image of a set lies.
type File struct {
	// Name is the path within the folder or tar file that was listed, as in
	// [Set.Names]. Path is the file itself or the tar file that holds it.
	Name, Path string
	// Bytes is the encoded size, -1 if the file is gone.
	Bytes int64
}

// Files returns the listed images in order.
func (s *Set) Files() []File {
	files := make([]File, len(s.sources))
	for i, src := range s.sources {
		files[i] = File{Name: src.name, Path: src.path, Bytes: src.size}
		if src.member {
			continue
		}
		files[i].Bytes = -1
		if info, err := os.Stat(src.path); err == nil {
			files[i].Bytes = info.Size()
		}
	}
	return files
}

// SHA256 returns the digest of image i as it is stored, which tells it from every
// other. It may be called while batches are made.
func (s *Set) SHA256(i int) (sum [sha256.Size]byte, err error) {
	src := s.sources[i]
	f, err := os.Open(src.path)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	var r io.Reader = f
	if src.member {
		r = io.NewSectionReader(f, src.offset, src.size)
	}
	h := sha256.New()
	n, err := io.Copy(h, r)
	if err == nil && src.member && n != src.size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return sum, fmt.Errorf("%s: %w", src.name, err)
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}
