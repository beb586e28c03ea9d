package tune

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/sr3-go/sr3/refine"
)

// Journal is a file of everything that was scored, a line for each, so that a search that was interrupted goes on: it
// asks for the same candidates again, and known scores cost nothing. The first line says what the scores belong to.
type Journal struct {
	file  *os.File // nil for a journal in memory
	known map[string]Entry
}

// Entry is a line of a journal. Failed tells that the candidate's results made no sense; there is no score then.
type Entry struct {
	refine.Candidate
	Score
	Failed bool `json:"failed,omitempty"`
}

// heading is the first line.
type heading struct {
	Search string `json:"search"`
}

// maxJournal bounds the file, in bytes.
const maxJournal = 64 << 20

// OpenJournal opens or begins a file. what names the search in words: model, crops, noise. A file of another search is
// an error, a last line that was cut off is dropped. An empty path keeps the journal in memory alone.
func OpenJournal(path, what string) (*Journal, error) {
	j := &Journal{known: map[string]Entry{}}
	if path == "" {
		return j, nil
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return j, j.begin(path, what)
	}
	if err == nil && info.Size() > maxJournal {
		err = fmt.Errorf("%d bytes, more than any log of a search has", info.Size())
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(path)
	}
	if err == nil {
		err = j.read(path, data, what)
	}
	if err != nil {
		return nil, fmt.Errorf("log %s: %w", path, err)
	}
	return j, nil
}

// begin writes the first line of a new file.
func (j *Journal) begin(path, what string) (err error) {
	if j.file, err = os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666); err != nil {
		return fmt.Errorf("log: %w", err)
	}
	return j.line(heading{what})
}

// read takes over the entries of a file and opens it for more.
func (j *Journal) read(path string, data []byte, what string) error {
	whole := data[:bytes.LastIndexByte(data, '\n')+1]
	first, rest, _ := bytes.Cut(whole, []byte("\n"))
	var h heading
	if err := json.Unmarshal(first, &h); err != nil || h.Search == "" {
		return errors.New("it is not the log of a search; name another file")
	}
	if h.Search != what {
		return fmt.Errorf("it belongs to another search (%s; this one is %s); name another file", h.Search, what)
	}
	for n := 2; len(rest) > 0; n++ {
		var text []byte
		text, rest, _ = bytes.Cut(rest, []byte("\n"))
		var e Entry
		if err := json.Unmarshal(text, &e); err != nil {
			return fmt.Errorf("line %d: %w; remove the file or name another", n, err)
		}
		j.known[key(e.Candidate)] = e
	}
	var err error
	if j.file, err = os.OpenFile(path, os.O_WRONLY, 0o666); err != nil {
		return err
	}
	if err := j.file.Truncate(int64(len(whole))); err != nil {
		return err
	}
	_, err = j.file.Seek(int64(len(whole)), 0)
	return err
}

// key tells candidates apart. JSON gives float64 back as they were.
func key(c refine.Candidate) string { return fmt.Sprint(c.Sampler, c.Gammas, c.Eta, c.Temperature) }

// Find returns the entry of a candidate.
func (j *Journal) Find(c refine.Candidate) (Entry, bool) {
	e, ok := j.known[key(c)]
	return e, ok
}

// Add appends an entry.
func (j *Journal) Add(e Entry) error {
	j.known[key(e.Candidate)] = e
	if j.file == nil {
		return nil
	}
	return j.line(e)
}

func (j *Journal) line(v any) error {
	text, err := json.Marshal(v)
	if err == nil {
		_, err = j.file.Write(append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	return nil
}

// Close closes the file.
func (j *Journal) Close() error {
	if j.file == nil {
		return nil
	}
	return j.file.Close()
}
