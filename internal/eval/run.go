package eval

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sr3-go/sr3/baseline"
	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/internal/runfiles"
	"github.com/sr3-go/sr3/metric"
)

// Names in the folder of a report.
const (
	ResultsFile = "results.jsonl"
	TableFile   = "table.md"
	PageFile    = "index.html"
	imagesDir   = "images"
)

// Config says what to evaluate.
type Config struct {
	Data    Data
	Methods []baseline.Method // rows of the table, at least one, of different names
	// Measures and SetMeasures are columns of the table, at least one of Measures.
	Measures    []Measure
	SetMeasures []SetMeasure
	// Classification, if set, adds a table of a classifier's errors.
	Classification *Classification
	// Out is the folder of the report. What an earlier run left there is used.
	Out     string
	Threads int
	// Own measures each method on all images it has results for and marks those
	// that have fewer. Otherwise all are measured on the images common to all.
	Own bool
	// Sheet, if its path is not empty, asks for a contact sheet.
	Sheet Sheet

	// OnProgress, if set, is told how far the work is.
	OnProgress func(Progress)
	// OnRow, if set, is told what became of each image and method; again says that
	// an earlier run did it.
	OnRow func(row Row, again bool)
}

// Progress is how far an evaluation is.
type Progress struct {
	// Stage is empty while results are made and measured; then it names the measure
	// of whole sets that is being computed.
	Stage         string
	Share         float64 // 0 to 1: of the stage, in the first of what earlier runs have not done
	Image, Images int     // from 1
	Method        string  // the row of the table
}

// evaluation is a run on its way.
type evaluation struct {
	Config
	sources  []source
	folders  []string // names of the methods' folders of images
	journal  *journal
	rows     [][]*Row // by image and method; nil where there is no result
	report   []*Row   // in order, failures too
	problems []Problem

	classified *classifications

	done, reused int // pairs finished, pairs of those that an earlier run did
}

// Problem is an image, or an image with a method, that the table lacks.
type Problem struct {
	Image  string `json:"image"`
	Method string `json:"method,omitempty"` // empty: no method could be tried
	Reason string `json:"reason"`
}

// Run evaluates and writes the report. Images that cannot be read, and results
// that are missing or have the wrong size, are listed in the report and left out.
// It fails when nothing could be measured or the report cannot be written. When
// ctx is cancelled it returns ctx's error; what was done is on the disk. A report
// beside an error is whole, and written: only the contact sheet behind it is not.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	e := &evaluation{Config: cfg}
	if err := e.open(); err != nil {
		return nil, fmt.Errorf("eval: %w", err)
	}
	r, err := e.run(ctx)
	if err := errors.Join(err, e.journal.close()); err != nil {
		return r, fmt.Errorf("eval: %w", err)
	}
	return r, nil
}

// open checks the settings and opens the report.
func (e *evaluation) open() error {
	if err := e.Data.Validate(); err != nil {
		return err
	}
	if len(e.Methods) == 0 || len(e.Measures) == 0 || e.Out == "" {
		return errors.New("methods, measures and a folder for the report are needed")
	}
	seen := map[string]bool{}
	for _, m := range e.Methods {
		name := m.Info().Name
		if seen[name] {
			return fmt.Errorf("two methods are called %q; give one of them another name", name)
		}
		seen[name] = true
	}
	e.folders = folderNames(e.Methods)
	var err error
	if e.sources, err = e.Data.sources(); err != nil {
		return err
	}
	if err := os.MkdirAll(e.Out, 0o777); err != nil {
		return fmt.Errorf("make folder of the report: %w", err)
	}
	if err := errors.Join(runfiles.CheckWritable(filepath.Join(e.Out, PageFile)), e.Sheet.checkPath()); err != nil {
		return err
	}
	e.journal, err = openJournal(filepath.Join(e.Out, ResultsFile))
	return err
}

// folderNames makes names of folders of the methods' names.
func folderNames(methods []baseline.Method) []string {
	used := map[string]bool{}
	var names []string
	for _, m := range methods {
		name := strings.Trim(strings.Map(func(r rune) rune {
			switch {
			case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '.', r == '_', r == '-':
				return r
			case r >= 'A' && r <= 'Z':
				return r - 'A' + 'a'
			case r == ' ':
				return '-'
			}
			return -1
		}, m.Info().Name), ".-")
		base := name
		for n := 2; name == "" || used[name]; n++ {
			name = fmt.Sprintf("%s_%d", base, n)
		}
		used[name] = true
		names = append(names, name)
	}
	return names
}

// run does all pairs and writes the report.
func (e *evaluation) run(ctx context.Context) (*Report, error) {
	for i := range e.sources {
		if err := e.image(ctx, i); err != nil {
			return nil, err
		}
	}
	if e.Classification != nil {
		if err := e.classifyAll(ctx); err != nil {
			return nil, err
		}
	}
	if err := e.journal.compact(e.report); err != nil {
		return nil, err
	}
	r, err := e.summarise(ctx)
	if err != nil {
		return nil, err
	}
	if err := e.write(ctx, r); err != nil {
		return nil, err
	}
	if e.Sheet.Path == "" {
		return r, nil
	}
	return r, e.drawSheet(ctx)
}

// image does one image with every method.
func (e *evaluation) image(ctx context.Context, i int) error {
	rows := make([]*Row, len(e.Methods))
	e.rows = append(e.rows, rows)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	s, err := e.Data.load(e.sources[i], e.Threads)
	if err != nil {
		e.done += len(e.Methods)
		return e.fail(&Row{Image: e.sources[i].name, Error: err.Error()})
	}
	for m := range e.Methods {
		e.progress(i, m, 0)
		row, err := e.pair(ctx, s, i, m)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			info := e.Methods[m].Info()
			err = e.fail(&Row{Image: s.name, Method: info.Name, Settings: info.Settings, Model: info.Model, Error: err.Error()})
		default:
			rows[m] = row
			e.report = append(e.report, row)
		}
		if err != nil {
			return err
		}
		e.done++
		e.progress(i, m, 0)
	}
	return nil
}

// fail records a failure, once.
func (e *evaluation) fail(r *Row) error {
	r.Key = "none " + r.Method
	e.problems = append(e.problems, Problem{r.Image, r.Method, r.Error})
	old := e.journal.find(r.Image, r.Key)
	again := old != nil && old.Error == r.Error
	if again {
		r = old
	} else if err := e.journal.add(r); err != nil {
		return err
	}
	e.report = append(e.report, r)
	if e.OnRow != nil {
		e.OnRow(*r, again)
	}
	return nil
}

func (e *evaluation) progress(image, method int, share float64) {
	if e.OnProgress == nil {
		return
	}
	p := Progress{Image: image + 1, Images: len(e.sources), Method: e.Methods[method].Info().Name, Share: 1}
	if todo := len(e.sources)*len(e.Methods) - e.reused; todo > 0 {
		p.Share = min((float64(e.done-e.reused)+share)/float64(todo), 1)
	}
	e.OnProgress(p)
}

// pair does one image with one method, as far as an earlier run has not.
func (e *evaluation) pair(ctx context.Context, s *sample, i, m int) (*Row, error) {
	method, info := e.Methods[m], e.Methods[m].Info()
	lr, err := s.input()
	if err != nil {
		return nil, err
	}
	in := baseline.Input{Name: s.name, LR: lr, Width: s.hr.Width, Height: s.hr.Height,
		OnShare: func(share float64) { e.progress(i, m, share) }}
	version, err := method.Version(in)
	if err != nil {
		return nil, err
	}
	key := keyOf(s.digest, version)
	old := e.journal.find(s.name, key)
	if old != nil && old.Method == info.Name && e.complete(old) {
		e.reused++
		e.told(old, true)
		return old, nil
	}
	row := &Row{Image: s.name, Method: info.Name, Key: key, Settings: info.Settings, Model: info.Model,
		Width: s.hr.Width, Height: s.hr.Height, Measures: map[string]Number{}}
	sr, err := e.result(ctx, row, old, in, m, imagesDir)
	if err != nil {
		return nil, err
	}
	e.measure(row, old, &Pair{Name: s.name, HR: s.hr, SR: sr, LR: s.lr, Scale: s.scale, Threads: e.Threads})
	if err := e.journal.add(row); err != nil {
		return nil, err
	}
	e.told(row, false)
	return row, nil
}

func (e *evaluation) told(row *Row, again bool) {
	if e.OnRow != nil {
		e.OnRow(*row, again)
	}
}

// keyOf identifies a piece of work.
func keyOf(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\n")))
	return hex.EncodeToString(sum[:16])
}

// complete reports whether a row has all that is asked for.
func (e *evaluation) complete(r *Row) bool {
	for _, m := range e.Measures {
		if !r.has(m.Column) {
			return false
		}
	}
	if r.File == "" {
		return true
	}
	_, err := os.Stat(filepath.Join(e.Out, filepath.FromSlash(r.File)))
	return err == nil
}

// result is the method's image, from the report's folder if it is there. Costly
// results are kept in its folder dir.
func (e *evaluation) result(ctx context.Context, row, old *Row, in baseline.Input, m int, dir string) (metric.Image, error) {
	if old != nil && old.File != "" {
		if sr, err := e.stored(old); err == nil {
			row.File, row.Digest, row.Seconds = old.File, old.Digest, old.Seconds
			return sr, nil
		}
	}
	start := time.Now()
	out, err := e.Methods[m].Upscale(ctx, in)
	if err != nil {
		return metric.Image{}, err
	}
	sr := metric.Image{Height: out.Height, Width: out.Width, Pix: out.RGB8()}
	if !e.Methods[m].Info().Costly {
		return sr, nil
	}
	row.Seconds = time.Since(start).Seconds()
	row.File = dir + "/" + e.folders[m] + "/" + in.Name + ".png"
	row.Digest = digestOf(sr)
	path := filepath.Join(e.Out, filepath.FromSlash(row.File))
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return sr, fmt.Errorf("make folder of results: %w", err)
	}
	_, err = imageio.WriteFile(path, out, imageio.Options{})
	return sr, err
}

// stored reads a result from the report's folder.
func (e *evaluation) stored(r *Row) (metric.Image, error) {
	if !filepath.IsLocal(filepath.FromSlash(r.File)) {
		return metric.Image{}, fmt.Errorf("%s: outside the report's folder", r.File)
	}
	path := filepath.Join(e.Out, filepath.FromSlash(r.File))
	sr, err := readRGB(path)
	if err != nil {
		return sr, err
	}
	if sr.Width != r.Width || sr.Height != r.Height || digestOf(sr) != r.Digest {
		return sr, fmt.Errorf("%s is not what was written there; remove it", path)
	}
	return sr, nil
}

// measure fills in the measures, those of an earlier run included.
func (e *evaluation) measure(row, old *Row, p *Pair) {
	put := func(m *map[string]string, key, value string) {
		if *m == nil {
			*m = map[string]string{}
		}
		(*m)[key] = value
	}
	for _, m := range e.Measures {
		key := m.Key
		if m.Version != "" {
			put(&row.With, key, m.Version)
		}
		if old != nil && old.has(m.Column) {
			if v, ok := old.Measures[key]; ok {
				row.Measures[key] = v
			} else {
				put(&row.Failed, key, old.Failed[key])
			}
			continue
		}
		v, err := m.Of(p)
		if err != nil {
			put(&row.Failed, key, err.Error())
			continue
		}
		row.Measures[key] = Number(v)
	}
}
