package train

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

func readStats(t testing.TB, dir string) []record {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, statsFile))
	if err != nil {
		t.Fatal(err)
	}
	var all []record
	for line := range bytes.Lines(data) {
		var r record
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		all = append(all, r)
	}
	return all
}

func TestStatsForgetWhatWasLost(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, statsFile)
	text := "{\"step\":10,\"loss\":1}\n{\"step\":20,\"loss\":2}\n{\"step\":30,\"loss\":3}\n{\"step\":20,\"los"
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := truncateStats(path, 20); err != nil {
		t.Fatal(err)
	}
	got := readStats(t, dir)
	if len(got) != 2 || got[1].Step != 20 || got[1].Loss != 2 {
		t.Errorf("left are %+v", got)
	}
	if err := truncateStats(filepath.Join(dir, "missing"), 5); err != nil {
		t.Error(err)
	}
}
