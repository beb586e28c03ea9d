package cli

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/model"
)

// TestOpenModelNamesTheFolder: the error for an unknown model says what the folder of --models-dir has, or that it is gone.
func TestOpenModelNamesTheFolder(t *testing.T) {
	t.Setenv("SR3_MODELS", t.TempDir())
	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		if err := os.WriteFile(filepath.Join(dir, name+modelExtension), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ dir, want string }{
		{dir, "in --models-dir " + dir + ": a, b"},
		{t.TempDir(), ": none"},
		{filepath.Join(dir, "gone"), filepath.Join(dir, "gone") + ": no such file"},
		{"", "built in: "},
	} {
		_, err := openModel("nothing", c.dir)
		if !errors.Is(err, model.ErrUnknown) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "--models-dir") != (c.dir != "") {
			t.Errorf("%q: error %v, want %q", c.dir, err, c.want)
		}
	}
}
