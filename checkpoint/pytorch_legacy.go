package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// legacyProtocol is the version of the stream format, the only one there was.
const legacyProtocol = 1001

// openLegacy opens the stream that PyTorch wrote before 1.6: five pickles (magic
// number, version, properties of the system, the object, the list of storage
// keys), then for each key the number of elements and the elements.
func openLegacy(r io.ReaderAt, size int64) (*archive, error) {
	head := make([]byte, min(size, maxPickle))
	if _, err := io.ReadFull(io.NewSectionReader(r, 0, size), head); err != nil {
		return nil, noEOF(err)
	}
	s := legacyStream{r: r, size: size, head: head, storages: map[string]*storage{}}
	object, err := s.pickles()
	if err != nil {
		return nil, err
	}
	places, err := s.places()
	if err != nil {
		return nil, err
	}
	read := func(st *storage) ([]byte, error) {
		at, ok := places[st.key]
		if !ok {
			return nil, errors.New("its data is not in the file; the file is damaged")
		}
		// places has checked that this many bytes are there.
		data := make([]byte, s.storages[st.key].len*s.storages[st.key].dtype.Size())
		_, err := r.ReadAt(data, at)
		return data, noEOF(err)
	}
	return &archive{object: object, read: read}, nil
}

// legacyStream reads the pickles, all of which lie in head.
type legacyStream struct {
	r        io.ReaderAt
	size     int64
	head     []byte
	at       int
	storages map[string]*storage // those that the object refers to
	keys     []string
}

// next interprets the next pickle.
func (s *legacyStream) next(load func(any) (any, error)) (any, error) {
	n, err := scanPickle(s.head[s.at:])
	if err != nil {
		return nil, err
	}
	data := s.head[s.at : s.at+n]
	s.at += n
	return unpickle(data, load)
}

// pickles reads all five and returns the object.
func (s *legacyStream) pickles() (any, error) {
	refuse := func(any) (any, error) { return nil, errors.New("a storage where none belongs") }
	if magic, err := s.next(refuse); err != nil {
		return nil, err
	} else if !isMagic(magic) {
		return nil, errors.New("a pickle, but not one of torch.save; save the weights with torch.save(model.state_dict(), ...)")
	}
	if version, err := s.next(refuse); err != nil {
		return nil, err
	} else if version != any(legacyProtocol) {
		return nil, fmt.Errorf("stream version %.20v, want %d", version, legacyProtocol)
	}
	if err := s.system(refuse); err != nil {
		return nil, err
	}
	object, err := s.next(func(id any) (any, error) {
		st, err := storageID(id)
		if err != nil {
			return nil, err
		}
		if known := s.storages[st.key]; known != nil && *known != *st {
			return nil, fmt.Errorf("two descriptions of storage %.100q", st.key)
		}
		s.storages[st.key] = st
		return st, nil
	})
	if err != nil {
		return nil, err
	}
	return object, s.keyList(refuse)
}

// system reads the properties of the machine that wrote the file.
func (s *legacyStream) system(load func(any) (any, error)) error {
	obj, err := s.next(load)
	if err != nil {
		return err
	}
	tree, err := (&treeBuilder{}).plain(obj)
	if err != nil {
		return err
	}
	if d, ok := tree.(*Dict); ok {
		if little, _ := d.Get("little_endian"); little == true {
			return nil
		}
	}
	return errors.New("not written on a little-endian machine; save it again on one")
}

// keyList reads the order in which the storages follow.
func (s *legacyStream) keyList(load func(any) (any, error)) error {
	obj, err := s.next(load)
	if err != nil {
		return err
	}
	tree, err := (&treeBuilder{}).plain(obj)
	if err != nil {
		return err
	}
	list, ok := tree.([]any)
	if !ok {
		return errors.New("the list of storages is not a list")
	}
	for _, item := range list {
		key, ok := item.(string)
		if !ok {
			return errors.New("the list of storages holds something else than keys")
		}
		s.keys = append(s.keys, key)
	}
	return nil
}

// places walks over the storages and returns where the elements of each begin.
func (s *legacyStream) places() (map[string]int64, error) {
	places := make(map[string]int64, len(s.keys))
	at := int64(s.at)
	for _, key := range s.keys {
		st := s.storages[key]
		if st == nil {
			return nil, fmt.Errorf("storage %.100q belongs to no tensor; the file is damaged", key)
		}
		if _, ok := places[key]; ok {
			return nil, fmt.Errorf("storage %.100q is listed twice", key)
		}
		var n [8]byte
		if _, err := s.r.ReadAt(n[:], at); err != nil {
			return nil, fmt.Errorf("storage %.100q: %w; the file is truncated", key, noEOF(err))
		}
		if got := binary.LittleEndian.Uint64(n[:]); got != uint64(st.len) {
			return nil, fmt.Errorf("storage %.100q has %d elements, its tensor says %d; the file is damaged", key, got, st.len)
		}
		at += 8
		size := int64(st.len) * int64(st.dtype.Size())
		if size > s.size-at {
			return nil, fmt.Errorf("storage %.100q runs past the end; the file is truncated", key)
		}
		places[key] = at
		at += size
	}
	if at != s.size {
		return nil, fmt.Errorf("%d bytes after the last storage; the file is damaged", s.size-at)
	}
	return places, nil
}
