package checkpoint

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxZipEntries bounds the members of an archive: one storage each.
const maxZipEntries = 1 << 17

// zipFile is the zip container of PyTorch 1.6 and later: NAME/data.pkl, and
// NAME/data/KEY for every storage. torch.save never compresses; refusing
// compressed members leaves no way to make much out of little.
type zipFile struct {
	root    string
	members map[string]*zip.File
	unread  int64 // bytes of the file that members may still claim
}

// openZip opens the container and unpickles its object.
func openZip(r io.ReaderAt, size int64) (*archive, error) {
	z, err := zip.NewReader(r, size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return nil, fmt.Errorf("%w; the file is truncated or damaged, copy it again", err)
	}
	file, err := indexZip(z, size)
	if err != nil {
		return nil, err
	}
	if order, err := file.read("byteorder", 16); err == nil && strings.TrimSpace(string(order)) != "little" {
		return nil, fmt.Errorf("byte order %q is not supported; save it on a little-endian machine", order)
	}
	data, err := file.read("data.pkl", maxPickle)
	if err != nil {
		return nil, err
	}
	n, err := scanPickle(data)
	if err != nil {
		return nil, err
	}
	object, err := unpickle(data[:n], func(id any) (any, error) { return storageID(id) })
	if err != nil {
		return nil, err
	}
	return &archive{object: object, read: file.storage}, nil
}

// indexZip finds the object's folder and maps the members.
func indexZip(z *zip.Reader, size int64) (*zipFile, error) {
	if len(z.File) > maxZipEntries {
		return nil, fmt.Errorf("%d members in the archive, the limit is %d", len(z.File), maxZipEntries)
	}
	file := &zipFile{members: make(map[string]*zip.File, len(z.File)), unread: size}
	found := 0
	for _, m := range z.File {
		if file.members[m.Name] != nil {
			return nil, fmt.Errorf("two members called %.200q in the archive", m.Name)
		}
		file.members[m.Name] = m
		if root, ok := strings.CutSuffix(m.Name, "data.pkl"); ok && strings.Count(root, "/") <= 1 {
			file.root = root
			found++
		}
	}
	if found != 1 {
		return nil, errors.New(`no single "data.pkl" in the archive; this is a zip file, but not one of torch.save`)
	}
	if file.members[file.root+"constants.pkl"] != nil {
		return nil, errors.New("this is a TorchScript program, not a state dict; save model.state_dict() with torch.save")
	}
	return file, nil
}

// storage reads the bytes of a storage.
func (f *zipFile) storage(s *storage) ([]byte, error) {
	want := s.len * s.dtype.Size()
	data, err := f.read("data/"+s.key, int64(want))
	if err == nil && len(data) != want {
		err = fmt.Errorf("%d bytes, want %d; the file is damaged", len(data), want)
	}
	return data, err
}

// read returns a member of at most limit bytes. Members that overlap would
// together claim more than the file has, and are refused.
func (f *zipFile) read(name string, limit int64) ([]byte, error) {
	m := f.members[f.root+name]
	if m == nil {
		return nil, fmt.Errorf("%.200q is missing from the archive; the file is damaged", f.root+name)
	}
	size := m.UncompressedSize64
	if m.Method != zip.Store || size != m.CompressedSize64 {
		return nil, fmt.Errorf("%.200q is compressed, which torch.save never does; save it again with torch.save", m.Name)
	}
	if size > uint64(limit) || size > uint64(f.unread) {
		return nil, fmt.Errorf("%.200q claims %d bytes, more than there can be", m.Name, size)
	}
	f.unread -= int64(size)
	r, err := m.Open()
	if err != nil {
		return nil, fmt.Errorf("%.200q: %w; the file is damaged, copy it again", m.Name, err)
	}
	defer r.Close()
	data := make([]byte, size)
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, fmt.Errorf("%.200q: %w; the file is truncated", m.Name, noEOF(err))
	}
	// The checksum is compared when the end is met.
	if _, err := r.Read(make([]byte, 1)); err != io.EOF {
		return nil, fmt.Errorf("%.200q: %w; the file is damaged, copy it again", m.Name, err)
	}
	return data, nil
}
