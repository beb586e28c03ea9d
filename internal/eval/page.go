package eval

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sr3-go/sr3/internal/runfiles"
)

//go:embed page.html
var pageSource string

// page is what the template draws.
type page struct {
	*Report
	Title, Lead string
	Notes       []string
	Headings    []string
	Rows        []pageRow
	Tradeoff    *plot
	Steps       []*plot
	Cases       []caseGroup
	Strips      []strip
	ByImage     []imageRow
	Shown       string // measures below pictures
	Order       string // of the values in ByImage
}

// pageRow is a row of the table.
type pageRow struct {
	MethodResult
	Hue     int
	About   string
	Cells   []pageCell
	Seconds string
}

// pageCell is a cell with its interval as a small drawing, in percent of the
// column's range.
type pageCell struct {
	Cell
	Text, Range, Marks  string
	From, Width, Centre float64
	Bar                 bool
}

// caseGroup shows where a method does best and worst beside another.
type caseGroup struct {
	Title, About string
	Strips       []strip
}

// imageRow is an image in the list of all values.
type imageRow struct {
	Name  string
	Cells []string // by method: the values of all columns
}

// write writes the table and the page.
func (e *evaluation) write(ctx context.Context, r *Report) error {
	html, err := e.page(ctx, r)
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(e.Out, TableFile), []byte(r.Markdown())); err != nil {
		return err
	}
	return writeFile(filepath.Join(e.Out, PageFile), html)
}

func writeFile(path string, data []byte) error {
	return runfiles.WriteAtomic(path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// page renders the report.
func (e *evaluation) page(ctx context.Context, r *Report) ([]byte, error) {
	t, err := template.New("page").Parse(pageSource)
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	p := &page{Report: r, Title: r.title(), Lead: r.lead(), Notes: r.notes(), Tradeoff: r.tradeoff(), Steps: r.bySteps(), ByImage: e.byImage(),
		Shown: titles(e.shown(), " and "), Order: titles(e.Measures, " · ")}
	for _, c := range r.Columns {
		p.Headings = append(p.Headings, c.heading())
	}
	p.Rows = r.pageRows()
	g := &gallery{evaluation: e, report: r, made: map[int]*strip{}}
	if p.Cases, err = g.cases(ctx); err != nil {
		return nil, err
	}
	if p.Strips, err = g.typical(ctx); err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	if err := t.Execute(&buf, p); err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	return buf.Bytes(), nil
}

// pageRows are the table's rows with drawings of the intervals.
func (r *Report) pageRows() []pageRow {
	rows := make([]pageRow, len(r.Methods))
	for m, method := range r.Methods {
		rows[m] = pageRow{MethodResult: method, Hue: m % hues, About: method.describe(), Seconds: method.Seconds.text(2)}
	}
	for i, column := range r.Columns {
		low, high := math.Inf(1), math.Inf(-1)
		for _, m := range r.Methods {
			if c := m.Cells[i]; c.Low.Valid() {
				low, high = min(low, float64(c.Low)), max(high, float64(c.High))
			}
		}
		for m, method := range r.Methods {
			rows[m].Cells = append(rows[m].Cells, drawCell(method.Cells[i], column.Digits, low, high))
		}
	}
	return rows
}

// drawCell places a cell's interval in its column's range.
func drawCell(c Cell, digits int, low, high float64) pageCell {
	out := pageCell{Cell: c, Text: c.Mean.text(digits), Marks: c.marks()}
	if !c.Low.Valid() || !(high > low) {
		return out
	}
	percent := func(v Number) float64 { return math.Round((float64(v)-low)/(high-low)*1000) / 10 }
	out.Bar, out.Range = true, c.Low.text(digits)+" – "+c.High.text(digits)
	out.From, out.Centre = percent(c.Low), percent(c.Mean)
	out.Width = max(percent(c.High)-out.From, 1)
	return out
}

// byImage lists all values.
func (e *evaluation) byImage() []imageRow {
	var list []imageRow
	for i, rows := range e.rows {
		line := imageRow{Name: e.sources[i].name}
		for _, row := range rows {
			line.Cells = append(line.Cells, values(row, e.Measures))
		}
		list = append(list, line)
	}
	return list
}

// values are those of a row in the order of the measures.
func values(row *Row, measures []Measure) string {
	if row == nil {
		return "–"
	}
	var list []string
	for _, m := range measures {
		v, ok := row.Measures[m.Key]
		if !ok {
			v = none()
		}
		list = append(list, v.text(m.Digits))
	}
	return strings.Join(list, " · ")
}

// shown are the measures whose values stand below pictures: the first, and the
// one that cases are found by.
func (e *evaluation) shown() []Measure {
	if d := e.deciding(); d.Key != e.Measures[0].Key {
		return []Measure{e.Measures[0], d}
	}
	return e.Measures[:1]
}

// titles names measures.
func titles(measures []Measure, between string) string {
	var list []string
	for _, m := range measures {
		list = append(list, m.Title)
	}
	return strings.Join(list, between)
}

// deciding is the measure that best and worst cases are found by: one of looks
// if there is one.
func (e *evaluation) deciding() Measure {
	if k := slices.IndexFunc(e.Measures, func(m Measure) bool { return m.Perceptual }); k >= 0 {
		return e.Measures[k]
	}
	return e.Measures[0]
}
