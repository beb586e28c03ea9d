package dataset

import (
	"archive/tar"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// extensions are the file names that are taken for images; what a file really holds is found out by decoding it.
var extensions = []string{".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif"}

// maxFile bounds the encoded size of one image, in bytes.
const maxFile = 512 << 20

// source is where one image lies: a file, or a range of bytes in a tar file.
type source struct {
	name   string // for messages; a member is FILE.tar:MEMBER
	path   string
	member bool
	offset int64
	size   int64
}

// read returns the encoded image.
func (s source) read() ([]byte, error) {
	f, err := os.Open(s.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size := s.size
	if !s.member {
		info, err := f.Stat()
		if err != nil {
			return nil, err
		}
		size = info.Size()
	}
	if size > maxFile {
		return nil, fmt.Errorf("%d bytes are more than the limit of %d", size, maxFile)
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(io.NewSectionReader(f, s.offset, size), data); err != nil {
		return nil, fmt.Errorf("shorter than it was when listed: %w", err)
	}
	return data, nil
}

// list finds the images under every path: folders are searched recursively for images and tar files, a file is an
// image or a tar file. Within one path the order is that of the names, so it does not depend on the file system. A name
// belongs to one image, which may be listed more than once, to be seen more often.
func list(paths []string) ([]source, error) {
	var all []source
	var folders []string // of each source
	for _, path := range paths {
		found, err := listPath(path)
		if err != nil {
			return nil, err
		}
		slices.SortStableFunc(found, func(a, b source) int { return cmp.Compare(a.name, b.name) })
		folder := path
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			folder = filepath.Dir(path)
		}
		folders = append(folders, slices.Repeat([]string{folder}, len(found))...)
		all = append(all, found...)
	}
	short := names(all)
	tellApart(all, func(i int) string { return filepath.ToSlash(filepath.Join(filepath.Base(folders[i]), short[i])) })
	tellApart(all, func(i int) string { return filepath.ToSlash(filepath.Join(folders[i], short[i])) })
	if len(all) == 0 {
		return nil, fmt.Errorf("no images in %s: looked in folders, and in the .tar files there, for names ending in %s",
			strings.Join(paths, ", "), strings.Join(extensions, " "))
	}
	return all, nil
}

func names(sources []source) []string {
	names := make([]string, len(sources))
	for i, s := range sources {
		names[i] = s.name
	}
	return names
}

// tellApart gives longer names to images that share one.
func tellApart(all []source, longer func(i int) string) {
	type place struct {
		path   string
		offset int64
	}
	first, shared := map[string]place{}, map[string]bool{}
	for _, s := range all {
		here := place{s.path, s.offset}
		if there, seen := first[s.name]; seen && there != here {
			shared[s.name] = true
		}
		first[s.name] = here
	}
	for i := range all {
		if shared[all[i].name] {
			all[i].name = longer(i)
		}
	}
}

// listPath lists one folder, image or tar file. Symbolic links are followed for path itself and for files.
func listPath(path string) ([]source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		found, err := listFile(path, filepath.Base(path))
		if err == nil && found == nil {
			err = fmt.Errorf("%s is neither a folder, nor a .tar file, nor an image (%s)", path, strings.Join(extensions, " "))
		}
		return found, err
	}
	root, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	var all []source
	err = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		hidden := strings.HasPrefix(d.Name(), ".") && p != root
		if d.IsDir() {
			if hidden {
				return fs.SkipDir
			}
			return nil
		}
		if hidden || !isFile(p, d) {
			return nil
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		found, err := listFile(p, filepath.ToSlash(rel))
		all = append(all, found...)
		return err
	})
	return all, err
}

// isFile reports whether an entry is a regular file or a link to one.
func isFile(path string, d fs.DirEntry) bool {
	if d.Type()&fs.ModeSymlink == 0 {
		return d.Type().IsRegular()
	}
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// listFile returns the file as an image, the images in it if it is a tar file, or nothing.
func listFile(path, name string) ([]source, error) {
	if strings.EqualFold(filepath.Ext(name), ".tar") {
		found, err := listTar(path, name)
		if err != nil {
			return nil, fmt.Errorf("tar file %s: %w; make it again, or take it out of the folder", path, err)
		}
		return found, nil
	}
	if !isImage(name) {
		return nil, nil
	}
	return []source{{name: name, path: path}}, nil
}

func isImage(name string) bool {
	return slices.Contains(extensions, strings.ToLower(filepath.Ext(name)))
}

// listTar lists the members of a tar file that are images, by where their bytes lie. Nothing is unpacked.
func listTar(path, name string) ([]source, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	found := []source{}
	r := tar.NewReader(f)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		if h.Typeflag != tar.TypeReg || isSparse(h) || !isImage(h.Name) || strings.HasPrefix(filepath.Base(h.Name), ".") {
			continue
		}
		// The reader does not read ahead, so the file stands at the member's first byte.
		offset, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		found = append(found, source{name: name + ":" + h.Name, path: path, member: true, offset: offset, size: h.Size})
	}
}

// isSparse reports a member whose stored bytes are not its contents.
func isSparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}
