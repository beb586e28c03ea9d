package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

const (
	// shardKey holds the shardNote of a shard, as JSON.
	shardKey = "sr3.shard"
	// shardSlack is room for what a shard's header holds besides its tensors.
	shardSlack = 4096
	// maxShards bounds the number in the file names.
	maxShards = 99999
)

// shardNote is what a shard says about the whole file and about its pieces.
type shardNote struct {
	Index int    `json:"index"` // from 1
	Count int    `json:"count"`
	Whole string `json:"whole"` // digest of the unsplit file
	// Parts are the pieces of tensors that are not whole. A piece is a tensor of
	// one dimension under the tensor's own name.
	Parts map[string]shardPart `json:"parts,omitempty"`
}

// shardPart says which elements of a tensor a piece holds.
type shardPart struct {
	Shape []int `json:"shape"` // of the whole tensor
	Start int   `json:"start"` // first element, in row-major order
}

// WriteShards writes f as files PREFIX-00001-of-0000N.safetensors of at most
// maxBytes each, and returns their paths. Tensors that do not fit are cut into
// ranges of elements. Each shard has its digest, and names that of the whole, so
// that shards of different writings cannot be joined. Older shards of the same
// prefix are replaced, and those left over removed once the new ones are complete:
// where writing may be interrupted, take a new prefix. The metadata goes into
// every shard and must fit.
func WriteShards(prefix string, f *File, maxBytes int64) ([]string, error) {
	paths, err := writeShards(prefix, f, maxBytes)
	if err != nil {
		return nil, fmt.Errorf("write shards %s: %w", prefix, err)
	}
	return paths, nil
}

func writeShards(prefix string, f *File, maxBytes int64) ([]string, error) {
	whole, err := f.Digest()
	if err != nil {
		return nil, err
	}
	if f.Meta[shardKey] != "" {
		return nil, errors.New("this is a shard itself; join the shards first")
	}
	shards, err := split(f, maxBytes)
	if err != nil {
		return nil, err
	}
	for i, s := range shards { // all, before the first file is replaced
		s.note.Index, s.note.Count, s.note.Whole = i+1, len(shards), whole
		note, err := json.Marshal(s.note)
		if err != nil {
			return nil, err
		}
		s.file.Meta[shardKey] = string(note)
		header, _, err := seal(s.file)
		if err != nil {
			return nil, err
		}
		if size := int64(len(header) + s.bytes); size > maxBytes {
			return nil, fmt.Errorf("shard %d would have %d bytes, more than %d; allow larger shards", i+1, size, maxBytes)
		}
	}
	var paths []string
	for i, s := range shards {
		path := fmt.Sprintf("%s-%05d-of-%05d.safetensors", prefix, i+1, len(shards))
		if _, err := Write(path, s.file); err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	return paths, removeOldShards(prefix, paths)
}

// shard is a shard under construction.
type shard struct {
	file  *File
	note  shardNote
	bytes int // of data
	room  int64
}

// split distributes the tensors over shards in file order, cutting them where a
// shard is full.
func split(f *File, maxBytes int64) ([]*shard, error) {
	fixed := int64(shardSlack)
	for key, value := range f.Meta {
		fixed += int64(len(jsonString(key)) + len(jsonString(value)))
	}
	if maxBytes < 2*fixed {
		return nil, fmt.Errorf("%d bytes a shard are too few for the metadata; allow at least %d", maxBytes, 2*fixed)
	}
	open := func() *shard {
		s := &shard{file: &File{Tensors: map[string]*Tensor{}, Meta: map[string]string{}}, room: maxBytes - fixed}
		for key, value := range f.Meta {
			s.file.Meta[key] = value
		}
		s.note.Parts = map[string]shardPart{}
		return s
	}
	shards := []*shard{open()}
	for _, name := range f.fileOrder() {
		t := f.Tensors[name]
		// A piece is named in the header and, JSON inside JSON, in the note.
		cost := int64(6*len(jsonString(name)) + 48*len(t.Shape) + 256)
		for start := 0; ; {
			s := shards[len(shards)-1]
			n := int(min(max(s.room-cost, 0)/int64(t.DType.Size()), int64(t.Len()-start)))
			if n == 0 && (t.Len() > 0 || s.room < cost) {
				if len(s.file.Tensors) == 0 || len(shards) == maxShards {
					return nil, fmt.Errorf("%d bytes a shard are too few for tensor %q; allow larger shards", maxBytes, name)
				}
				shards = append(shards, open())
				continue
			}
			s.add(name, t, start, n, cost)
			if start += n; start == t.Len() {
				break
			}
		}
	}
	return shards, nil
}

// add puts n elements of t from start into the shard.
func (s *shard) add(name string, t *Tensor, start, n int, cost int64) {
	piece := t
	if n != t.Len() {
		size := t.DType.Size()
		piece = &Tensor{DType: t.DType, Shape: []int{n}, Data: t.Data[start*size : (start+n)*size]}
		s.note.Parts[name] = shardPart{Shape: append([]int{}, t.Shape...), Start: start}
	}
	s.file.Tensors[name] = piece
	s.bytes += len(piece.Data)
	s.room -= int64(len(piece.Data)) + cost
}

// ReadShards joins the shards PREFIX-*-of-*.safetensors. All must be there, whole
// and of one writing: the joined file has the digest that the shards name.
func ReadShards(prefix string) (*File, error) {
	f, err := readShards(prefix)
	if err != nil {
		return nil, fmt.Errorf("read shards %s: %w", prefix, err)
	}
	return f, nil
}

func readShards(prefix string) (*File, error) {
	paths, err := findShards(prefix)
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("no files %s-*-of-*.safetensors", filepath.Base(prefix))
	}
	join := joiner{file: &File{Tensors: map[string]*Tensor{}}, parts: map[string]int{}}
	for i, path := range paths {
		s, err := Read(path)
		if err != nil {
			return nil, err
		}
		if err := join.shard(s, i+1, len(paths)); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	if err := join.complete(); err != nil {
		return nil, err
	}
	return join.file, nil
}

// joiner puts shards back together, in order.
type joiner struct {
	file  *File
	parts map[string]int // elements that cut tensors have so far
	whole string
}

func (j *joiner) shard(s *File, index, count int) error {
	var note shardNote
	if err := json.Unmarshal([]byte(s.Meta[shardKey]), &note); err != nil {
		return fmt.Errorf("no shard, or a damaged one: %w", err)
	}
	if note.Count != count || note.Index != index {
		return fmt.Errorf("is shard %d of %d where %d of %d belongs; shards are missing or of different writings", note.Index, note.Count, index, count)
	}
	if index == 1 {
		j.whole = note.Whole
		j.file.Meta = s.Meta
		delete(j.file.Meta, shardKey)
	}
	if note.Whole != j.whole {
		return errors.New("belongs to another writing than the first shard; remove it or write all again")
	}
	for name, t := range s.Tensors {
		part, cut := note.Parts[name]
		if !cut {
			if j.file.Tensors[name] != nil {
				return fmt.Errorf("tensor %q appears twice", name)
			}
			j.file.Tensors[name] = t
			continue
		}
		if err := j.piece(name, t, part); err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
	}
	return nil
}

// piece appends the elements of a cut tensor. It grows by what was read, never
// by what a note claims.
func (j *joiner) piece(name string, t *Tensor, part shardPart) error {
	if part.Start != j.parts[name] {
		return fmt.Errorf("piece starts at element %d, want %d", part.Start, j.parts[name])
	}
	whole := j.file.Tensors[name]
	if whole == nil {
		if part.Start != 0 {
			return errors.New("its beginning is missing")
		}
		whole = &Tensor{DType: t.DType, Shape: part.Shape}
		j.file.Tensors[name] = whole
	}
	if whole.DType != t.DType || !slices.Equal(whole.Shape, part.Shape) {
		return errors.New("pieces of different types or shapes")
	}
	whole.Data = append(whole.Data, t.Data...)
	j.parts[name] += t.Len()
	return nil
}

// complete checks every tensor and the digest of the whole.
func (j *joiner) complete() error {
	digest, err := j.file.Digest()
	if err != nil {
		return fmt.Errorf("shards do not fit together: %w", err)
	}
	if digest != j.whole {
		return errDigest
	}
	j.file.Meta[DigestKey] = digest
	return nil
}

// findShards returns the shards of a prefix in order. Names with different
// counts are an error: they are of different writings.
func findShards(prefix string) ([]string, error) {
	dir, base := filepath.Split(prefix)
	entries, err := os.ReadDir(filepath.Clean(dir + "."))
	if err != nil {
		return nil, err
	}
	name := regexp.MustCompile(`^` + regexp.QuoteMeta(base) + `-(\d{5})-of-(\d{5})\.safetensors$`)
	var paths []string
	for _, e := range entries { // sorted by name
		if m := name.FindStringSubmatch(e.Name()); m != nil {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	for _, path := range paths {
		count, _ := strconv.Atoi(name.FindStringSubmatch(filepath.Base(path))[2])
		if count != len(paths) {
			return paths, fmt.Errorf("%d files where %s says %d; shards are missing or of different writings", len(paths), filepath.Base(path), count)
		}
	}
	return paths, nil
}

// removeOldShards removes shards of prefix that are not among keep.
func removeOldShards(prefix string, keep []string) error {
	paths, _ := findShards(prefix) // the error is what is being repaired
	for _, path := range paths {
		same := func(k string) bool { return filepath.Base(k) == filepath.Base(path) }
		if !slices.ContainsFunc(keep, same) {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	return nil
}
