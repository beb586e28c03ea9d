package eval

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What a report writes is read back.
func TestReadTables(t *testing.T) {
	cell := func(v float64, best bool) Cell {
		return Cell{Mean: Number(v), Low: Number(v - 1), High: Number(v + 1), N: 2, Best: best}
	}
	r := &Report{Data: "sets/few", Inputs: "noisy/few-8", Degraded: "x4", Images: 2, Columns: []Column{{Key: "psnr", Title: "PSNR", Digits: 2, HigherIsBetter: true, About: "In decibels."}},
		Methods: []MethodResult{
			{Name: "a|b", Kind: "filter", Images: 2, Cells: []Cell{cell(25, true)}, Seconds: none()},
			{Name: "c", Kind: "sr3", Model: strings.Repeat("ab", 32), Images: 2, Cells: []Cell{cell(24, false)}, Seconds: 1},
		},
		Accuracy: &Accuracy{Rows: []AccuracyRow{{Method: "the crops themselves", Top1: cell(0.5, true), Top5: cell(0.25, true)}}},
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, TableFile), []byte(r.Markdown()), 0o666); err != nil {
		t.Fatal(err)
	}
	tables, err := ReadTables(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(tables) != 2 || tables[0].Title != "Super-resolution of few from few-8" || tables[1].Title != r.Accuracy.Title() {
		t.Fatalf("%+v", tables)
	}
	first := tables[0]
	if len(first.Header) != 3 || len(first.Rows) != 2 || !slices.Equal(first.Rows[0], []string{"a|b", "**25.00** [24.00, 26.00]", "–"}) {
		t.Errorf("%+v", first)
	}
	notes := strings.Join(first.Notes, "\n")
	for _, want := range []string{"2 images of sets/few: x4.", "model abababababab", "In decibels."} {
		if !strings.Contains(notes, want) {
			t.Errorf("notes lack %q: %s", want, notes)
		}
	}
	if len(tables[1].Rows) != 1 || tables[1].Rows[0][0] != "the crops themselves" {
		t.Errorf("%+v", tables[1])
	}
}

func TestReadTablesMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"":                                   "no table",
		"words":                              "heading",
		"# a\n\nwords\n":                     "no table",
		"# a\n\n| x | y |\n|---|\n":          "line 2 has 1 cells",
		"# a\n\n| x |\n|---|\n| 1 | 2 |\n":   "line 3 has 2 cells",
		"# a\n\n| x |\n|---|\nb\n":           "no row",
		"# a\n\n| x |\n|---|\n\n| y |\n|--|": "two tables",
	} {
		path := filepath.Join(t.TempDir(), "t.md")
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadTables(path); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := ReadTables(t.TempDir()); err == nil || !strings.Contains(err.Error(), TableFile) {
		t.Errorf("a folder without a report: %v", err)
	}
}
