package runfiles

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// put returns a write function for WriteAtomic.
func put(s string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, s)
		return err
	}
}

// wantOnly fails unless dir holds exactly the named files.
func wantOnly(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(names, " ") {
		t.Errorf("directory holds %v, want %v", got, names)
	}
}

func wantContent(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("%s holds %q (%v), want %q", path, got, err, want)
	}
}

func TestCreateAndReplace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, strings.Repeat("n", 250)) // a long name must not make the temporary one too long
	for _, content := range []string{"one", "", "three"} {
		if err := WriteAtomic(path, put(content)); err != nil {
			t.Fatal(err)
		}
		wantContent(t, path, content)
	}
	wantOnly(t, dir, filepath.Base(path))
}

func TestOldContentStaysUntilTheEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := WriteAtomic(path, put("old")); err != nil {
		t.Fatal(err)
	}
	err := WriteAtomic(path, func(w io.Writer) error {
		if _, err := w.Write(bytes.Repeat([]byte("x"), 3*bufferSize)); err != nil {
			return err
		}
		wantContent(t, path, "old")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantContent(t, path, strings.Repeat("x", 3*bufferSize))
}

func TestErrorLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	sentinel := errors.New("encoder failed")
	fail := func(w io.Writer) error {
		if _, err := w.Write(make([]byte, 2*bufferSize)); err != nil {
			return err
		}
		return sentinel
	}
	err := WriteAtomic(path, fail)
	if !errors.Is(err, sentinel) || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v does not wrap the cause or name the file", err)
	}
	wantOnly(t, dir)

	if err := WriteAtomic(path, put("kept")); err != nil {
		t.Fatal(err)
	}
	if err := WriteAtomic(path, fail); !errors.Is(err, sentinel) {
		t.Errorf("error %v", err)
	}
	wantContent(t, path, "kept")
	wantOnly(t, dir, "f")
}

func TestPanicLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = WriteAtomic(filepath.Join(dir, "f"), func(io.Writer) error { panic("boom") })
	}()
	wantOnly(t, dir)
}

func TestRefusesWhatIsNotAFile(t *testing.T) {
	dir := t.TempDir()
	if err := WriteAtomic(dir, put("x")); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("directory: %v", err)
	}
	if err := WriteAtomic(filepath.Join(dir, "missing", "f"), put("x")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing directory: %v", err)
	}
	if runtime.GOOS != "windows" {
		if err := WriteAtomic(os.DevNull, put("x")); err == nil {
			t.Error("replaced a device")
		}
	}
}

func TestPermissionsAndLinks(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("permissions and links differ there")
	}
	dir := t.TempDir()
	path, link := filepath.Join(dir, "f"), filepath.Join(dir, "link")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("f", link); err != nil {
		t.Fatal(err)
	}
	if err := WriteAtomic(link, put("new")); err != nil {
		t.Fatal(err)
	}
	wantContent(t, path, "new")
	if info, _ := os.Lstat(link); info.Mode()&os.ModeSymlink == 0 {
		t.Error("the link was replaced")
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("permissions became %v", info.Mode().Perm())
	}
	dangling := filepath.Join(dir, "dangling")
	if err := os.Symlink("nowhere", dangling); err != nil {
		t.Fatal(err)
	}
	if err := WriteAtomic(dangling, put("x")); err == nil {
		t.Error("wrote through a dangling link")
	}
}

func TestRemoveLeftovers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "[a]*")
	if err := os.MkdirAll(filepath.Join(dir, ".sr3-folder.tmp"), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".sr3-1x.tmp", ".sr3-1x", "a.tmp", "checkpoint.safetensors"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	RemoveLeftovers(dir)
	RemoveLeftovers(filepath.Join(dir, "missing"))
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if want := []string{".sr3-1x", ".sr3-folder.tmp", "a.tmp", "checkpoint.safetensors"}; !slices.Equal(left, want) {
		t.Errorf("left are %q, want %q", left, want)
	}
}

func TestCheckWritable(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("old"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, filepath.Join(dir, "new"), filepath.Join(dir, "a", "b", "new")} {
		if err := CheckWritable(path); err != nil {
			t.Error(err)
		}
	}
	for _, path := range []string{dir, filepath.Join(file, "new"), filepath.Join(file, "a", "new")} {
		if err := CheckWritable(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left are %v, %v", entries, err)
	}
}
