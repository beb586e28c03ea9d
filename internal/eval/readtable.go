package eval

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Table is a table of a written report.
type Table struct {
	Title  string
	Header []string
	Rows   [][]string // as many cells as Header
	// Notes are the paragraphs around the table: what was done, what signs mean,
	// and what each method and each measure is.
	Notes []string
}

// maxTableFile bounds the size of a table.md in bytes.
const maxTableFile = 8 << 20

// ReadTables reads the tables of a report: those of table.md in its folder, or of a
// file like it.
func ReadTables(report string) ([]Table, error) {
	path := report
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		path = filepath.Join(report, TableFile)
		info, err = os.Stat(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read report %s: there is no %s; give the folder that \"sr3 eval --out\" wrote", report, TableFile)
	}
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxTableFile) {
		err = fmt.Errorf("want a text file of at most %d bytes", maxTableFile)
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read report: %w", err)
	}
	tables, err := parseTables(string(text))
	if err != nil {
		return nil, fmt.Errorf("read report %s: %w", path, err)
	}
	return tables, nil
}

// parseTables reads what Report.Markdown writes: headings, paragraphs, tables,
// lists.
func parseTables(text string) ([]Table, error) {
	var tables []Table
	for block := range strings.SplitSeq(strings.ReplaceAll(text, "\r\n", "\n"), "\n\n") {
		block = strings.Trim(block, "\n")
		title, heading := strings.CutPrefix(strings.TrimLeft(block, "#"), " ")
		switch {
		case block == "":
		case strings.HasPrefix(block, "#") && heading:
			tables = append(tables, Table{Title: title})
		case len(tables) == 0:
			return nil, errors.New("it does not begin with a heading, so it is no report")
		case strings.HasPrefix(block, "|"):
			t := &tables[len(tables)-1]
			if t.Header != nil {
				return nil, fmt.Errorf("two tables under %q", t.Title)
			}
			if err := t.parse(block); err != nil {
				return nil, err
			}
		default:
			t := &tables[len(tables)-1]
			t.Notes = append(t.Notes, block)
		}
	}
	tables = slices.DeleteFunc(tables, func(t Table) bool { return t.Header == nil })
	if len(tables) == 0 {
		return nil, errors.New("there is no table in it")
	}
	return tables, nil
}

// parse reads the lines of a table.
func (t *Table) parse(block string) error {
	for i, line := range strings.Split(block, "\n") {
		cells, err := splitRow(line)
		switch {
		case err != nil:
			return fmt.Errorf("table %q, line %d: %w", t.Title, i+1, err)
		case i == 0:
			t.Header = cells
		case len(cells) != len(t.Header):
			return fmt.Errorf("table %q, line %d has %d cells, the header %d", t.Title, i+1, len(cells), len(t.Header))
		case i > 1: // below the rule
			t.Rows = append(t.Rows, cells)
		}
	}
	return nil
}

// splitRow is the inverse of joining cells after escapeCell.
func splitRow(line string) ([]string, error) {
	line, opened := strings.CutPrefix(strings.TrimSpace(line), "|")
	line, closed := strings.CutSuffix(line, "|")
	if !opened || !closed {
		return nil, fmt.Errorf("%q is no row of a table", line)
	}
	const bar = "\x00"
	cells := strings.Split(strings.ReplaceAll(line, `\|`, bar), "|")
	for i, c := range cells {
		cells[i] = strings.TrimSpace(strings.ReplaceAll(c, bar, "|"))
	}
	return cells, nil
}
