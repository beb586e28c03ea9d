package eval

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/sr3-go/sr3/internal/runfiles"
)

// Row is what became of one image with one method: a line of results.jsonl.
// Where an image and a method have several, the last counts.
type Row struct {
	Image  string `json:"image"`
	Method string `json:"method"`
	// Task is "classification" of rows of the table of errors, which has images of
	// other sizes; empty of others.
	Task string `json:"task,omitempty"`
	// Key identifies the pixels of truth and input, the method with its settings,
	// and the model or file: rows of equal keys are the same work.
	Key      string            `json:"key"`
	Settings string            `json:"settings,omitempty"`
	Model    string            `json:"model,omitempty"`
	Width    int               `json:"width,omitempty"`
	Height   int               `json:"height,omitempty"`
	Measures map[string]Number `json:"measures,omitempty"`
	// With has the versions of measures that have one.
	With map[string]string `json:"with,omitempty"`
	// Failed says why measures have no value.
	Failed map[string]string `json:"failed,omitempty"`
	// File is the result in the report's folder, for methods that are costly;
	// Digest is that of its pixels.
	File    string  `json:"file,omitempty"`
	Digest  string  `json:"digest,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
	// Error says why there is no result.
	Error string `json:"error,omitempty"`
}

// has reports whether the row has a value, or a reason for none, of this version
// of a measure.
func (r *Row) has(c Column) bool {
	_, measured := r.Measures[c.Key]
	_, failed := r.Failed[c.Key]
	return (measured || failed) && r.With[c.Key] == c.Version
}

// rowID names a line.
type rowID struct{ image, key string }

// journal is results.jsonl: it grows by a line at a time.
type journal struct {
	path  string
	file  *os.File
	rows  map[rowID]*Row
	order []*Row // as in the file, with those that others replaced
}

// maxJournal bounds the file: a million lines of 2 kB.
const maxJournal = 2 << 30

// openJournal reads what is there and cuts off a line that a kill left unfinished.
func openJournal(path string) (*journal, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, fmt.Errorf("open results: %w", err)
	}
	j := &journal{path: path, file: f, rows: map[rowID]*Row{}}
	if err := j.read(); err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", path, err), f.Close())
	}
	return j, nil
}

func (j *journal) read() error {
	info, err := j.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() > maxJournal {
		return fmt.Errorf("%d bytes are more than any report has", info.Size())
	}
	in := bufio.NewReaderSize(j.file, 1<<16)
	var whole int64
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if err != nil && err != io.EOF {
			return err
		}
		if err == io.EOF { // a line without its end was not written to its end
			break
		}
		r := &Row{}
		if err := json.Unmarshal(line, r); err != nil {
			return fmt.Errorf("line %d is no result: %w; remove the line, or give another folder", n, err)
		}
		j.remember(r)
		whole += int64(len(line))
	}
	if err := j.file.Truncate(whole); err != nil {
		return err
	}
	_, err = j.file.Seek(whole, io.SeekStart)
	return err
}

func (j *journal) remember(r *Row) {
	j.rows[rowID{r.Image, r.Key}] = r
	j.order = append(j.order, r)
}

// find returns the row of an image and a key, or nil.
func (j *journal) find(image, key string) *Row { return j.rows[rowID{image, key}] }

// add appends a row and waits until the disk has it.
func (j *journal) add(r *Row) error {
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("write %s: %w", j.path, err)
	}
	if _, err := j.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write %s: %w", j.path, err)
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("write %s: %w", j.path, err)
	}
	j.remember(r)
	return nil
}

// compact brings the rows of a report to the front, in its order, and drops
// lines that later ones replaced. Rows of other runs stay: they may be asked for
// again. A file that needs no change is left alone.
func (j *journal) compact(report []*Row) error {
	mine := map[*Row]bool{}
	rows := make([]*Row, 0, len(j.order))
	for _, r := range report {
		rows, mine[r] = append(rows, r), true
	}
	for _, r := range j.order {
		if !mine[r] && j.rows[rowID{r.Image, r.Key}] == r {
			rows = append(rows, r)
		}
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	for _, r := range rows {
		if err := enc.Encode(r); err != nil {
			return fmt.Errorf("write %s: %w", j.path, err)
		}
	}
	old, err := os.ReadFile(j.path)
	if err == nil && bytes.Equal(old, buf.Bytes()) {
		return nil
	}
	return runfiles.WriteAtomic(j.path, func(w io.Writer) error {
		_, err := w.Write(buf.Bytes())
		return err
	})
}

func (j *journal) close() error { return j.file.Close() }
