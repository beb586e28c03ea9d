// Package runfiles writes files so that a reader, a crash or a kill sees the old content or the new, never a part.
package runfiles

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// bufferSize is the write buffer of WriteAtomic; checkpoints are written in many small pieces.
const bufferSize = 256 << 10

// Names of temporary files.
const tempPrefix, tempSuffix = ".sr3-", ".tmp"

// WriteAtomic makes write's output the content of path: it writes a temporary file in the same directory, syncs it
// to the disk, renames it over path and syncs the directory. On any error, or a panic in write, path is as it was
// and the temporary file is gone. An existing file keeps its permissions; a new one gets 0666 less the umask. A
// symbolic link is followed, so the link stays and its target is replaced. Something that is not a regular file (a
// device, a directory) is refused. Temporary names begin with ".sr3-" and end in ".tmp", so what a kill leaves behind
// can be recognised.
func WriteAtomic(path string, write func(io.Writer) error) error {
	target, mode, err := resolve(path)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := replace(target, mode, write); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// CheckWritable finds out, before long work is done, what would keep WriteAtomic from writing path. Folders that are
// missing may be made later: then it is the last one that exists that must be writable. Nothing stays behind.
func CheckWritable(path string) error {
	target, _, err := resolve(path)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	dir := filepath.Dir(target)
	for parent := filepath.Dir(dir); parent != dir; parent = filepath.Dir(dir) {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		dir = parent
	}
	f, err := createTemp(dir)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return fmt.Errorf("write %s: no file can be made in %s: %w", path, dir, err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// RemoveLeftovers removes the temporary files that killed processes left in dir. The caller knows that nobody writes
// there now. What cannot be removed stays.
func RemoveLeftovers(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.Type().IsRegular() && strings.HasPrefix(e.Name(), tempPrefix) && strings.HasSuffix(e.Name(), tempSuffix) {
			os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// resolve follows symbolic links and returns the file to replace with the permissions it has, or 0 for a new file.
func resolve(path string) (string, fs.FileMode, error) {
	target, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		if l, lerr := os.Lstat(path); lerr == nil && l.Mode()&fs.ModeSymlink != 0 {
			return "", 0, fmt.Errorf("is a symbolic link to a file that does not exist")
		}
		return path, 0, nil
	}
	if err != nil {
		return "", 0, err
	}
	info, err := os.Stat(target)
	if err != nil {
		return "", 0, err
	}
	if !info.Mode().IsRegular() {
		return "", 0, fmt.Errorf("exists and is not a regular file (%s)", info.Mode().Type())
	}
	return target, info.Mode().Perm(), nil
}

// replace writes the temporary file and renames it over target.
func replace(target string, mode fs.FileMode, write func(io.Writer) error) (err error) {
	dir := filepath.Dir(target)
	f, err := createTemp(dir)
	if err != nil {
		return err
	}
	renamed := false
	defer func() { // also on a panic in write
		if !renamed {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := fill(f, mode, write); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), target); err != nil {
		return err
	}
	renamed = true
	return syncDir(dir)
}

// fill writes, syncs and closes f.
func fill(f *os.File, mode fs.FileMode, write func(io.Writer) error) error {
	if mode != 0 {
		if err := f.Chmod(mode); err != nil {
			return err
		}
	}
	w := bufio.NewWriterSize(f, bufferSize)
	if err := write(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

// createTemp makes a new file of a random short name in dir. os.CreateTemp would make it private (0600), which the
// finished file must not be.
func createTemp(dir string) (*os.File, error) {
	for try := 0; ; try++ {
		name := filepath.Join(dir, tempPrefix+strconv.FormatUint(rand.Uint64(), 36)+tempSuffix)
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if errors.Is(err, fs.ErrExist) && try < 100 {
			continue
		}
		return f, err
	}
}
