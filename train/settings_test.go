package train

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestChangedSettings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.toml")
	if got := changedSettings(path, "a = 1\n"); got != nil {
		t.Errorf("without a file: %v", got)
	}
	if err := os.WriteFile(path, []byte("[train]\nrate = 1\nbatch = 2\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if got := changedSettings(path, "[train]\nrate = 3\nbatch = 2\n"); !slices.Equal(got, []string{"rate = 3"}) {
		t.Errorf("got %v, want the new rate", got)
	}
}
