package imageio

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// readExtensions are the file names that folders are searched for.
var readExtensions = []string{".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif"}

// Folder finds the images below a folder: their paths by their path in the
// folder without extension, with forward slashes. Hidden files and folders are
// left out. A folder without images is an error, and so are two files that differ
// in their extension alone.
func Folder(dir string) (map[string]string, error) {
	found, err := searchFolder(dir)
	if err != nil {
		return nil, fmt.Errorf("imageio: %w", err)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("imageio: no images in %s: looked for names ending in %s", dir, strings.Join(readExtensions, " "))
	}
	return found, nil
}

func searchFolder(dir string) (map[string]string, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("read folder %s: %w", dir, withoutPath(err))
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("read folder %s: it is a file", dir)
	}
	root, err := filepath.EvalSymlinks(dir) // a walk does not follow links
	if err != nil {
		return nil, fmt.Errorf("read folder %s: %w", dir, withoutPath(err))
	}
	found := map[string]string{}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("read folder %s: %w", path, withoutPath(err))
		}
		hidden := strings.HasPrefix(d.Name(), ".") && path != root
		if d.IsDir() {
			if hidden {
				return filepath.SkipDir
			}
			return nil
		}
		if hidden || !slices.Contains(readExtensions, strings.ToLower(filepath.Ext(path))) {
			return nil
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(strings.TrimSuffix(rel, filepath.Ext(rel)))
		path = filepath.Join(dir, rel)
		if other := found[name]; other != "" {
			return fmt.Errorf("%s and %s have one name; remove one of them", other, path)
		}
		found[name] = path
		return nil
	})
	return found, err
}

// withoutPath takes the operation and the path off an error of package os, where
// the message names them already.
func withoutPath(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
