package dataset

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

const someDigest = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"

func TestManifest(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, ManifestName)
	text := "\ufeffsource\tfile\tLicense\tsha256\tmore\r\nhome\tphotos/train/a.png\tCC0\t" + someDigest + "\tx\r\n\nother\tb.png\t\t\t\n"
	write(t, path, []byte(text))
	m, err := ReadManifest(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(text))
	if m.SHA256 != hex.EncodeToString(sum[:]) || len(m.Rows) != 2 || m.Rows[0].Licence != "CC0" || m.Rows[0].Source != "home" || m.Rows[1].SHA256 != "" {
		t.Errorf("%+v", m)
	}
	id, err := hex.DecodeString(someDigest)
	if err != nil {
		t.Fatal(err)
	}
	if row, ok := m.ByDigest([32]byte(id)); !ok || row.File != "photos/train/a.png" {
		t.Errorf("by digest: %+v, %v", row, ok)
	}
	if row, ok := m.ByDigest([32]byte{}); ok {
		t.Errorf("a digest that is in no row: %+v", row)
	}
	for _, c := range []struct {
		name, path string
		want       bool
	}{
		{"a.png", "/data/photos/train/a.png", true},
		{"train/a.png", "photos/train/a.png", true},
		{"a.png", "train/a.png", false}, // the working folder is another
		{"a.png", "/data/photos/val/a.png", false},
		{"a.png", "/data/photos/train/xa.png", false},
		{"b.png", "/anywhere/b.png", true},
		{"set.tar:train/a.png", "/data/set.tar", true},
		{"set.tar:val/a.png", "/data/set.tar", false},
	} {
		if _, ok := m.ByName(File{Name: c.name, Path: c.path}); ok != c.want {
			t.Errorf("%s in %s: found %v, want %v", c.name, c.path, ok, c.want)
		}
	}
}

func TestManifestMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "empty",
		"file\tsource\n":               `"sha256"`,
		"sha256\n":                     `"file"`,
		"file\tsha256\na.png\n":        "line 2 has 1 columns",
		"file\tsha256\na.png\t12\n":    "line 2",
		"file\tsha256\na.png\tzz\n":    "line 2",
		"file\tsha256\n\t\n":           "no name",
		"file\tsha256\na\t\t" + "\n\n": "line 2 has 3",
		"file\tsha256" + strings.Repeat("\t", 1000): "line 1 has more than 1000 columns",
	} {
		path := filepath.Join(t.TempDir(), "m.tsv")
		write(t, path, []byte(text))
		if _, err := ReadManifest(path); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := ReadManifest(t.TempDir()); err == nil {
		t.Error("a folder is read as a manifest")
	}
}

func TestFindManifests(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"a/train", "a/val", "b"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	at := func(parts ...string) string { return filepath.Join(append([]string{root}, parts...)...) }
	for _, file := range []string{at("a", ManifestName), at("b", ManifestName), at("b", "x.tar")} {
		write(t, file, nil)
	}
	got := FindManifests([]string{at("a", "train"), at("a", "val"), at("b", "x.tar"), at("missing")})
	if len(got) != 2 || filepath.Clean(got[0]) != at("a", ManifestName) || got[1] != at("b", ManifestName) {
		t.Errorf("found %v", got)
	}
}

// Digests are those of the images as they are stored, in folders and in tar files.
func TestFilesAndDigests(t *testing.T) {
	dir := folder(t)
	for _, paths := range [][]string{{dir}, {tarred(t, dir)}} {
		set, err := Open(paths, Options{Size: 16, Scale: 4, Batch: 1})
		if err != nil {
			t.Fatal(err)
		}
		files := set.Files()
		if len(files) != set.Len() {
			t.Fatalf("%d files of %d images", len(files), set.Len())
		}
		for i, f := range files {
			_, name, ok := strings.Cut(f.Name, ".tar:")
			if !ok {
				name = f.Name
			}
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			sum, err := set.SHA256(i)
			if err != nil || sum != sha256.Sum256(data) || f.Bytes != int64(len(data)) {
				t.Errorf("%s: %x, %d bytes, %v", f.Name, sum, f.Bytes, err)
			}
		}
		if err := os.Remove(files[0].Path); err != nil {
			t.Fatal(err)
		}
		if _, err := set.SHA256(0); err == nil {
			t.Error("a file that is gone has a digest")
		}
		if f := set.Files()[0]; !strings.Contains(f.Name, ".tar:") && f.Bytes != -1 {
			t.Errorf("a file that is gone has %d bytes", f.Bytes)
		}
		dir = folder(t)
	}
}

// tarred puts the images of a folder into a tar file.
func tarred(t *testing.T, dir string) string {
	t.Helper()
	set, err := Open([]string{dir}, Options{Size: 16, Scale: 4, Batch: 1})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "set.tar")
	writeTar(t, path, dir, set.Names())
	return path
}

func FuzzManifest(f *testing.F) {
	f.Add("file\tsha256\na\t" + someDigest + "\n")
	f.Add("file\tsource\twhere\tlicence\tsha256\nx/a.png\ts\tw\tl\t\n")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := parseManifest([]byte(text))
		if err != nil {
			return
		}
		for _, row := range m.Rows {
			if _, ok := m.ByName(File{Path: "/root/" + row.File}); !ok && row.File == path.Clean(row.File) && filepath.IsLocal(row.File) {
				t.Fatalf("%q is not found by its own name", row.File)
			}
		}
	})
}
