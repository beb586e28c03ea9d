package checkpoint

import (
	"errors"
	"fmt"

	"github.com/nlpodyssey/gopickle/types"
)

const (
	// maxTreeDepth and maxTreeNodes bound what a small pickle that shares or
	// contains its own parts can unfold to.
	maxTreeDepth = 32
	maxTreeNodes = 1 << 20
)

// treeBuilder turns unpickled objects into plain data and loads the tensors.
type treeBuilder struct {
	archive *archive
	loaded  map[string]loadedStorage // by key
	nodes   int
	spare   int64 // bytes that copies of strided tensors may still take
}

// loadedStorage is a storage with its bytes.
type loadedStorage struct {
	storage
	data []byte
}

func (b *treeBuilder) build(obj any, depth int) (any, error) {
	if b.nodes++; depth > maxTreeDepth || b.nodes > maxTreeNodes {
		return nil, fmt.Errorf("the pickled object is deeper than %d or larger than %d values; this is no state dict", maxTreeDepth, maxTreeNodes)
	}
	switch v := obj.(type) {
	case nil, bool, float64, string:
		return v, nil
	case int:
		return int64(v), nil
	case *types.List:
		return b.list(*v, depth)
	case *types.Tuple:
		return b.list(*v, depth)
	case *types.Dict:
		return b.dict(*v, depth)
	case *types.OrderedDict:
		entries := make([]types.DictEntry, 0, v.Len())
		for e := v.List.Front(); e != nil; e = e.Next() {
			entry := e.Value.(*types.OrderedDictEntry)
			entries = append(entries, types.DictEntry{Key: entry.Key, Value: entry.Value})
		}
		return b.dict(entries, depth)
	case *view:
		return b.tensor(v)
	}
	return nil, errors.New("the pickle holds a value that no state dict has")
}

// plain builds an object that has no tensors.
func (b *treeBuilder) plain(obj any) (any, error) {
	b.archive = &archive{read: func(*storage) ([]byte, error) { return nil, errors.New("a tensor where none belongs") }}
	return b.build(obj, 0)
}

func (b *treeBuilder) list(items []any, depth int) ([]any, error) {
	out := make([]any, 0, min(len(items), maxTreeNodes))
	for _, item := range items {
		v, err := b.build(item, depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func (b *treeBuilder) dict(entries []types.DictEntry, depth int) (*Dict, error) {
	d := &Dict{index: make(map[any]int, len(entries))}
	for _, e := range entries {
		key := e.Key
		switch k := key.(type) {
		case nil, bool, float64, string:
		case int:
			key = int64(k)
		default:
			return nil, errors.New("a dictionary key is neither a string nor a number")
		}
		if _, ok := d.index[key]; ok {
			return nil, fmt.Errorf("duplicate key %.100v", key)
		}
		value, err := b.build(e.Value, depth+1)
		if err != nil {
			return nil, fmt.Errorf("%.200v: %w", key, err)
		}
		d.index[key] = len(d.Entries)
		d.Entries = append(d.Entries, DictEntry{key, value})
	}
	return d, nil
}

// tensor loads the storage of v, and copies the elements only if they do not
// lie in order.
func (b *treeBuilder) tensor(v *view) (*Tensor, error) {
	data, err := b.storage(v.storage)
	if err != nil {
		return nil, err
	}
	n, err := byteSize(v.storage.dtype, v.shape)
	if err != nil {
		return nil, err
	}
	t := &Tensor{DType: v.storage.dtype, Shape: v.shape}
	if n == 0 {
		return t, nil
	}
	if v.contiguous() {
		at := v.offset * v.storage.dtype.Size()
		t.Data = data[at : at+n : at+n]
		return t, nil
	}
	if b.spare -= int64(n); b.spare < 0 {
		return nil, errors.New("the tensors repeat more data than the file holds; save contiguous tensors")
	}
	t.Data = make([]byte, n)
	v.gather(t.Data, data)
	return t, nil
}

// storage loads a storage once. Two references to one key must agree.
func (b *treeBuilder) storage(s *storage) ([]byte, error) {
	if have, ok := b.loaded[s.key]; ok {
		if have.storage != *s {
			return nil, fmt.Errorf("storage %.100q is %d of %s for one tensor and %d of %s for another; the file is damaged", s.key, have.len, have.dtype, s.len, s.dtype)
		}
		return have.data, nil
	}
	data, err := b.archive.read(s)
	if err != nil {
		return nil, fmt.Errorf("storage %.100q: %w", s.key, err)
	}
	if want := s.len * s.dtype.Size(); len(data) != want {
		return nil, fmt.Errorf("storage %.100q has %d bytes, a tensor says %d; the file is damaged", s.key, len(data), want)
	}
	b.loaded[s.key] = loadedStorage{*s, data}
	return data, nil
}
