package checkpoint

import (
	"errors"
	"fmt"
	"io"
)

// Dict is a Python dictionary that was read, in its order. Keys are nil, bool,
// int64, float64 or string; values as [ReadPyTorch] describes.
type Dict struct {
	Entries []DictEntry
	index   map[any]int
}

// DictEntry is one key and its value.
type DictEntry struct {
	Key, Value any
}

// Get returns the value of key, or nil and false.
func (d *Dict) Get(key any) (any, bool) {
	i, ok := d.index[key]
	if !ok {
		return nil, false
	}
	return d.Entries[i].Value, true
}

// ReadPyTorch reads what torch.save wrote, in the zip container (PyTorch 1.6
// and later) or the stream before it, without executing anything. The result is
// plain data: nil, bool, int64, float64, string, []any (lists and tuples),
// *[Dict] (dictionaries, ordered or not) and *[Tensor], whose Data may be
// shared between tensors. A pickle that refers to anything else is a
// [ForeignGlobalError]. Errors name the file.
func ReadPyTorch(path string) (any, error) {
	f, size, err := openRegular(path)
	if err != nil {
		return nil, fmt.Errorf("read PyTorch file: %w", err)
	}
	defer f.Close()
	obj, err := decodePyTorch(f, size)
	if err != nil {
		return nil, fmt.Errorf("read PyTorch file %s: %w", path, err)
	}
	return obj, nil
}

// decodePyTorch reads the object in a PyTorch file of size bytes.
func decodePyTorch(r io.ReaderAt, size int64) (any, error) {
	var start [2]byte
	if _, err := r.ReadAt(start[:], 0); err != nil {
		return nil, fmt.Errorf("only %d bytes, not a PyTorch file", size)
	}
	var archive *archive
	var err error
	switch {
	case start == [2]byte{'P', 'K'}:
		archive, err = openZip(r, size)
	case start[0] == 0x80:
		archive, err = openLegacy(r, size)
	default:
		err = errors.New("neither a zip archive nor a pickle, so not a file of torch.save; files from PyTorch before 0.2 must be saved again with a newer one")
	}
	if err != nil {
		return nil, err
	}
	t := treeBuilder{archive: archive, loaded: map[string]loadedStorage{}, spare: size}
	return t.build(archive.object, 0)
}

// archive is an opened PyTorch file: the unpickled object, and access to the
// storages that it refers to.
type archive struct {
	object any
	// read returns the bytes of a storage. It is called once for each.
	read func(s *storage) ([]byte, error)
}

// NamedTensor is one entry of a state dict.
type NamedTensor struct {
	Name string
	*Tensor
}

// StateDict reads a state dict: a dictionary from names to tensors, in the
// order of the file. One that is wrapped as {"state_dict": ...} is unwrapped.
func StateDict(path string) ([]NamedTensor, error) {
	obj, err := ReadPyTorch(path)
	if err != nil {
		return nil, err
	}
	out, err := stateDict(obj)
	if err != nil {
		return nil, fmt.Errorf("read state dict %s: %w", path, err)
	}
	return out, nil
}

func stateDict(obj any) ([]NamedTensor, error) {
	d, ok := obj.(*Dict)
	if !ok {
		return nil, fmt.Errorf("the file holds %s, not a dictionary; save model.state_dict()", describe(obj))
	}
	if inner, ok := d.Get("state_dict"); ok {
		if d, ok = inner.(*Dict); !ok {
			return nil, fmt.Errorf(`"state_dict" is %s, not a dictionary`, describe(inner))
		}
	}
	if _, ok := d.Get("optimizer"); ok {
		return nil, errors.New(`this is an optimiser's state, not a network's; the weights are in the "_gen.pth" beside it`)
	}
	out := make([]NamedTensor, 0, len(d.Entries))
	for _, e := range d.Entries {
		name, ok1 := e.Key.(string)
		t, ok2 := e.Value.(*Tensor)
		if !ok1 || !ok2 {
			return nil, fmt.Errorf("entry %.200v is %s, not a tensor; save model.state_dict() alone", e.Key, describe(e.Value))
		}
		out = append(out, NamedTensor{name, t})
	}
	return out, nil
}

// describe names the kind of a value in the words of a Python user.
func describe(obj any) string {
	switch obj.(type) {
	case nil:
		return "None"
	case bool:
		return "a bool"
	case int64, float64:
		return "a number"
	case string:
		return "a string"
	case []any:
		return "a list"
	case *Dict:
		return "a dictionary"
	case *Tensor:
		return "a tensor"
	}
	return "an object"
}
