package dataset

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// ManifestName is the name under which a manifest is looked for beside images.
const ManifestName = "manifest.tsv"

// maxManifest bounds the size of a manifest in bytes, maxRows its rows, maxColumns its columns.
const (
	maxManifest = 128 << 20
	maxRows     = 1_500_000
	maxColumns  = 1000
)

// ManifestRow says where an image comes from.
type ManifestRow struct {
	File    string // path in some folder, with slashes
	Source  string // what it was there
	Where   string // who publishes it
	Licence string
	SHA256  string // 64 hexadecimal digits, lower case; empty if not known
}

// Manifest lists images: a text file with a header and a row for each image,
// columns separated by tabs. The columns "file" and "sha256" must be there,
// "source", "where" and "licence" may be; others are left out.
type Manifest struct {
	Path string
	// SHA256 is that of the manifest itself.
	SHA256 string
	Rows   []ManifestRow

	byDigest map[string]int
	byBase   map[string][]int
}

// ReadManifest reads a manifest.
func ReadManifest(file string) (*Manifest, error) {
	info, err := os.Stat(file)
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxManifest) {
		err = fmt.Errorf("want a text file of at most %d bytes", maxManifest)
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, fmt.Errorf("read manifest %s: %w", file, err)
	}
	m, err := parseManifest(text)
	if err != nil {
		return nil, fmt.Errorf("read manifest %s: %w", file, err)
	}
	m.Path = file
	return m, nil
}

func parseManifest(text []byte) (*Manifest, error) {
	sum := sha256.Sum256(text)
	m := &Manifest{SHA256: hex.EncodeToString(sum[:]), byDigest: map[string]int{}, byBase: map[string][]int{}}
	column := map[string]int{}
	header := 0
	n := 0
	for line := range bytes.Lines(bytes.TrimPrefix(text, []byte("\ufeff"))) {
		n++
		if bytes.Count(line, []byte("\t")) >= maxColumns {
			return nil, fmt.Errorf("line %d has more than %d columns", n, maxColumns)
		}
		cells := strings.Split(strings.TrimRight(string(line), "\r\n"), "\t")
		if n == 1 {
			for i, name := range cells {
				column[strings.ToLower(strings.TrimSpace(name))] = i
			}
			header = len(cells)
			if err := checkColumns(column); err != nil {
				return nil, err
			}
			continue
		}
		if len(cells) == 1 && cells[0] == "" {
			continue
		}
		if len(cells) != header {
			return nil, fmt.Errorf("line %d has %d columns, the header %d", n, len(cells), header)
		}
		if err := m.add(cells, column); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	if n == 0 {
		return nil, errors.New("it is empty; want a header with the columns file and sha256")
	}
	return m, nil
}

func checkColumns(column map[string]int) error {
	if i, ok := column["license"]; ok {
		column["licence"] = i
	}
	for _, name := range []string{"file", "sha256"} {
		if _, ok := column[name]; !ok {
			return fmt.Errorf("no column %q; want a header with the columns file and sha256, separated by tabs", name)
		}
	}
	return nil
}

func (m *Manifest) add(cells []string, column map[string]int) error {
	cell := func(name string) string {
		if i, ok := column[name]; ok {
			return strings.TrimSpace(cells[i])
		}
		return ""
	}
	r := ManifestRow{File: filepath.ToSlash(cell("file")), Source: cell("source"), Where: cell("where"), Licence: cell("licence"),
		SHA256: strings.ToLower(cell("sha256"))}
	if _, err := hex.DecodeString(r.SHA256); err != nil || r.SHA256 != "" && len(r.SHA256) != 2*sha256.Size {
		return fmt.Errorf("%q is not the 64 hexadecimal digits of a SHA-256", r.SHA256)
	}
	if r.File == "" {
		return errors.New("the file has no name")
	}
	i := len(m.Rows)
	if i == maxRows {
		return fmt.Errorf("more than %d images", maxRows)
	}
	m.Rows = append(m.Rows, r)
	if _, ok := m.byDigest[r.SHA256]; !ok && r.SHA256 != "" {
		m.byDigest[r.SHA256] = i
	}
	base := path.Base(r.File)
	m.byBase[base] = append(m.byBase[base], i)
	return nil
}

// ByDigest returns the row of an image by its contents.
func (m *Manifest) ByDigest(sum [sha256.Size]byte) (ManifestRow, bool) {
	i, ok := m.byDigest[hex.EncodeToString(sum[:])]
	if !ok {
		return ManifestRow{}, false
	}
	return m.Rows[i], true
}

// ByName returns the row of an image by its place: the file's path ends with the
// row's. Images in tar files are found by their path there, which may be the end of
// the row's too.
func (m *Manifest) ByName(f File) (ManifestRow, bool) {
	name, err := filepath.Abs(f.Path)
	if err != nil {
		return ManifestRow{}, false
	}
	name = filepath.ToSlash(name)
	_, member, inTar := strings.Cut(f.Name, ".tar:")
	if inTar {
		name = member
	}
	for _, i := range m.byBase[path.Base(name)] {
		if row := m.Rows[i].File; endsAs(name, row) || inTar && endsAs(row, name) {
			return m.Rows[i], true
		}
	}
	return ManifestRow{}, false
}

// endsAs reports whether the last parts of a path are those of another.
func endsAs(whole, end string) bool {
	end = strings.TrimPrefix(end, "./")
	return whole == end || strings.HasSuffix(whole, "/"+strings.TrimPrefix(end, "/"))
}

// FindManifests returns the files named [ManifestName] in the folders of data
// paths and in their parents, each once.
func FindManifests(paths []string) []string {
	var found []string
	for _, p := range paths {
		dir := filepath.Clean(p)
		if info, err := os.Stat(dir); err == nil && !info.IsDir() {
			dir = filepath.Dir(dir)
		}
		for _, d := range []string{dir, filepath.Join(dir, "..")} {
			file := filepath.Join(d, ManifestName)
			info, err := os.Stat(file)
			if errors.Is(err, fs.ErrNotExist) || err != nil || !info.Mode().IsRegular() {
				continue
			}
			if !slices.ContainsFunc(found, func(f string) bool { return sameFile(f, info) }) {
				found = append(found, file)
			}
		}
	}
	return found
}

func sameFile(path string, info fs.FileInfo) bool {
	other, err := os.Stat(path)
	return err == nil && os.SameFile(other, info)
}
