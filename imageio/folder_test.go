package imageio_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/imageio"
)

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	touch := func(name string) {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"in/b.PNG", "in/sub/a.b.jpg", "in/.hidden.png", "in/.git/c.png", "in/note.txt", "twice/a.png", "twice/a.jpg", "none/x.txt"} {
		touch(name)
	}
	if err := os.Symlink("in", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"in", "link"} {
		got, err := imageio.Folder(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, []string{"b", "sub/a.b"}) {
			t.Errorf("%s: names %v", name, names)
		}
		if got["b"] != filepath.Join(dir, name, "b.PNG") {
			t.Errorf("%s: path %s", name, got["b"])
		}
	}
	for name, want := range map[string]string{"twice": "one name", "none": "no images in", "in/b.PNG": "it is a file", "absent": "no such file"} {
		if _, err := imageio.Folder(filepath.Join(dir, name)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v does not say %q", name, err, want)
		}
	}
}
