package eval

import (
	"context"
	"fmt"
	"iter"
	"math"
	"slices"

	"github.com/sr3-go/sr3/baseline"
	"github.com/sr3-go/sr3/metric"
)

// Report is the outcome of an evaluation.
type Report struct {
	Data     string         `json:"data"`
	Degraded string         `json:"degraded"` // how inputs were made
	Images   int            `json:"images"`   // that were asked for
	Columns  []Column       `json:"columns"`
	Methods  []MethodResult `json:"methods"`
	Problems []Problem      `json:"problems,omitempty"`
	// Inputs is the folder that the inputs were read from; empty where they were made from the true images.
	Inputs string `json:"inputs,omitempty"`
	// Own says that methods are measured on different images, each on its own.
	Own bool `json:"own_images,omitempty"`
	// Accuracy is the table of a classifier's errors, if one was asked for.
	Accuracy *Accuracy `json:"accuracy,omitempty"`
}

// MethodResult is a row of the table.
type MethodResult struct {
	Name     string `json:"name"`
	Kind     string `json:"kind"`
	Settings string `json:"settings,omitempty"`
	Model    string `json:"model,omitempty"`
	Steps    int    `json:"steps,omitempty"`
	Images   int    `json:"images"` // that it has results for
	Cells    []Cell `json:"cells"`  // one for each column
	// Seconds is the mean time for an image, null where it means nothing.
	Seconds Number `json:"seconds"`

	series string
}

// Cell is a measure of a method: the mean over N images with the 95 % interval
// that the choice of the images leaves.
type Cell struct {
	Mean Number `json:"mean"`
	Low  Number `json:"low"`
	High Number `json:"high"`
	N    int    `json:"n"`
	// Best says that no other method's mean is better.
	Best bool `json:"best,omitempty"`
	// Tied says that the difference from the best, image by image, may be chance:
	// its interval has 0 in it.
	Tied bool `json:"tied,omitempty"`
	// Fewer says that other methods were measured on more images.
	Fewer bool `json:"fewer,omitempty"`

	// within is the interval after what images have in common for all methods is
	// taken out: the one to compare methods by (Cousineau 2005). Zero: none.
	within [2]float64
}

// summarise computes the table.
func (e *evaluation) summarise(ctx context.Context) (*Report, error) {
	r := &Report{Data: e.Data.Dir, Degraded: e.Data.describe(), Inputs: e.Data.LRDir, Images: len(e.sources), Problems: e.problems, Own: e.Own}
	for m, method := range e.Methods {
		info := method.Info()
		r.Methods = append(r.Methods, MethodResult{Name: info.Name, Kind: info.Kind, Settings: info.Settings, Model: info.Model,
			Steps: info.Steps, series: info.Series, Seconds: e.seconds(m), Images: e.count(m)})
	}
	measured := false
	for _, c := range e.Measures {
		measured = addColumn(r, c.Column, e.meanCells(c.Column)) || measured
	}
	if !measured {
		return nil, e.nothing()
	}
	for _, c := range e.SetMeasures {
		cells, err := e.setCells(ctx, c)
		if err != nil {
			return nil, err
		}
		addColumn(r, c.Column, cells)
	}
	if e.classified != nil {
		r.Accuracy = e.classified.table()
	}
	e.addMeasureProblems(r)
	return r, nil
}

// nothing is the error of a table without a number.
func (e *evaluation) nothing() error {
	if len(e.problems) == 0 {
		return fmt.Errorf("no image was measured with every method; measure each on its own images, or leave methods out")
	}
	p := e.problems[0]
	if p.Method == "" {
		return fmt.Errorf("none of %d images could be measured; %s: %s", len(e.sources), p.Image, p.Reason)
	}
	some := false
	for _, rows := range e.rows {
		for _, r := range rows {
			some = some || r != nil
		}
	}
	if some {
		return fmt.Errorf("no image was measured with every method; %s: %s", p.Image, p.Reason)
	}
	return fmt.Errorf("none of %d images could be measured; %s with %s: %s", len(e.sources), p.Image, p.Method, p.Reason)
}

func (e *evaluation) count(m int) (n int) {
	for _, rows := range e.rows {
		if rows[m] != nil {
			n++
		}
	}
	return n
}

// seconds is the mean time of a method's results.
func (e *evaluation) seconds(m int) Number {
	sum, n := 0.0, 0
	for _, rows := range e.rows {
		if rows[m] != nil && rows[m].Seconds > 0 {
			sum, n = sum+rows[m].Seconds, n+1
		}
	}
	if n == 0 {
		return none()
	}
	return Number(sum / float64(n))
}

// addColumn appends a column, unless it has no value, and reports whether it has.
func addColumn(r *Report, c Column, cells []Cell) bool {
	most := 0
	for _, cell := range cells {
		most = max(most, cell.N)
	}
	if most == 0 {
		return false
	}
	r.Columns = append(r.Columns, c)
	for m := range cells {
		cells[m].Fewer = cells[m].Mean.Valid() && cells[m].N < most
		r.Methods[m].Cells = append(r.Methods[m].Cells, cells[m])
	}
	return true
}

// meanCells are the means of a measure.
func (e *evaluation) meanCells(c Column) []Cell {
	series := make([][]float64, len(e.Methods))
	for m := range e.Methods {
		for _, i := range e.imagesOf(m, c) {
			series[m] = append(series[m], float64(e.rows[i][m].Measures[c.Key]))
		}
	}
	return e.cells(c, series)
}

// cells are the means of series of values by image, one for each method. Those that
// are not empty are of the same images, unless each method has its own.
func (e *evaluation) cells(c Column, series [][]float64) []Cell {
	cells := make([]Cell, len(series))
	var common [][]float64
	for m := range cells {
		cells[m] = Cell{Mean: none(), Low: none(), High: none()}
		if n := len(series[m]); n > 0 {
			cells[m].Mean, cells[m].N = Number(mean(series[m])), n
		}
	}
	if e.Own {
		for m := range cells {
			cells[m].setInterval(bootstrap([][]float64{series[m]})[0])
		}
		markBest(c, cells, nil)
		return cells
	}
	var at []int
	for m, values := range series {
		if len(values) > 0 {
			common, at = append(common, values), append(at, m)
		}
	}
	draws := make([][]float64, len(cells))
	for k, means := range bootstrap(common) {
		draws[at[k]] = means
		cells[at[k]].setInterval(means)
	}
	markBest(c, cells, draws)
	setWithin(cells, draws)
	return cells
}

// setWithin computes the intervals for comparisons from one bootstrap: each draw
// less the methods' mean in that draw, about the methods' mean of all images.
func setWithin(cells []Cell, draws [][]float64) {
	var use []int
	centre, positive := 0.0, true
	for m, c := range cells {
		if c.Low.Valid() {
			use, centre, positive = append(use, m), centre+float64(c.Mean), positive && c.Low >= 0
		}
	}
	for _, m := range use {
		shifted := make([]float64, resamples)
		for k := range shifted {
			sum := 0.0
			for _, other := range use {
				sum += draws[other][k]
			}
			shifted[k] = draws[m][k] - (sum-centre)/float64(len(use))
		}
		cells[m].within[0], cells[m].within[1] = interval(shifted)
		if positive {
			cells[m].within[0] = max(cells[m].within[0], 0)
		}
	}
}

// setInterval needs at least two images, and finite values.
func (c *Cell) setInterval(means []float64) {
	if c.N < 2 || !c.Mean.Finite() {
		return
	}
	low, high := interval(means)
	c.Low, c.High = Number(low), Number(high)
}

// markBest finds the best mean and what may be as good.
func markBest(c Column, cells []Cell, draws [][]float64) {
	best := -1
	for m, cell := range cells {
		if cell.Mean.Valid() && (best < 0 || c.better(cell.Mean, cells[best].Mean)) {
			best = m
		}
	}
	if best < 0 {
		return
	}
	for m := range cells {
		cells[m].Best = cells[m].Mean == cells[best].Mean
		if cells[m].Best || draws == nil || !cells[m].Low.Valid() || !cells[best].Low.Valid() {
			continue
		}
		low, high := difference(draws[best], draws[m])
		cells[m].Tied = low <= 0 && high >= 0
	}
}

// imagesOf are the images that a method is measured on: its own, or those that
// all methods with any value have.
func (e *evaluation) imagesOf(m int, c Column) []int {
	needed := []int{m}
	for other := range e.Methods {
		if !e.Own && e.anyMeasured(other, c) {
			needed = append(needed, other)
		}
	}
	var list []int
	for i := range e.rows {
		if !slices.ContainsFunc(needed, func(m int) bool { return !e.measured(i, m, c) }) {
			list = append(list, i)
		}
	}
	return list
}

func (e *evaluation) measured(i, m int, c Column) bool {
	if e.rows[i][m] == nil {
		return false
	}
	v, ok := e.rows[i][m].Measures[c.Key]
	return ok && v.Valid()
}

func (e *evaluation) anyMeasured(m int, c Column) bool {
	for i := range e.rows {
		if e.measured(i, m, c) {
			return true
		}
	}
	return false
}

// setCells are the values of a measure of whole sets, on the images of the first
// measure.
func (e *evaluation) setCells(ctx context.Context, s SetMeasure) ([]Cell, error) {
	cells := make([]Cell, len(e.Methods))
	for m, method := range e.Methods {
		cells[m] = Cell{Mean: none(), Low: none(), High: none()}
		images := e.imagesOf(m, e.Measures[0].Column)
		if len(images) == 0 {
			continue
		}
		e.stage(s, m)
		v, err := s.Of(ctx, e.pairs(ctx, m, images))
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err != nil:
			e.problems = append(e.problems, Problem{"all images", method.Info().Name, s.Title + ": " + err.Error()})
		default:
			cells[m].Mean, cells[m].N = Number(v), len(images)
		}
	}
	markBest(s.Column, cells, nil)
	return cells, nil
}

// stage reports that a measure of whole sets has come to a method.
func (e *evaluation) stage(s SetMeasure, m int) {
	if e.OnProgress != nil {
		e.OnProgress(Progress{Stage: s.Title, Share: float64(m) / float64(len(e.Methods)), Image: len(e.sources), Images: len(e.sources),
			Method: e.Methods[m].Info().Name})
	}
}

// pairs reads images with a method's results.
func (e *evaluation) pairs(ctx context.Context, m int, images []int) iter.Seq2[*Pair, error] {
	return func(yield func(*Pair, error) bool) {
		for _, i := range images {
			p, err := e.reload(ctx, i, m)
			if !yield(p, err) || err != nil {
				return
			}
		}
	}
}

// reload reads an image and a result again.
func (e *evaluation) reload(ctx context.Context, i, m int) (*Pair, error) {
	s, err := e.Data.load(e.sources[i], e.Threads)
	if err != nil {
		return nil, err
	}
	sr, err := e.again(ctx, s, e.rows[i][m], m)
	if err != nil {
		return nil, err
	}
	return &Pair{Name: s.name, HR: s.hr, SR: sr, LR: s.lr, Scale: s.scale, Threads: e.Threads}, nil
}

// again is a result that was made before: the stored one, or a new one of a
// method that is not costly.
func (e *evaluation) again(ctx context.Context, s *sample, row *Row, m int) (metric.Image, error) {
	if row.File != "" {
		return e.stored(row)
	}
	lr, err := s.input()
	if err != nil {
		return metric.Image{}, err
	}
	out, err := e.Methods[m].Upscale(ctx, baseline.Input{Name: s.name, LR: lr, Width: s.hr.Width, Height: s.hr.Height})
	if err != nil {
		return metric.Image{}, err
	}
	return metric.Image{Height: out.Height, Width: out.Width, Pix: out.RGB8()}, nil
}

// addMeasureProblems lists measures that failed on results that exist.
func (e *evaluation) addMeasureProblems(r *Report) {
	for _, rows := range e.rows {
		for _, row := range rows {
			if row == nil {
				continue
			}
			for _, m := range e.Measures {
				if reason, ok := row.Failed[m.Key]; ok {
					e.problems = append(e.problems, Problem{row.Image, row.Method, reason})
				}
			}
		}
	}
	r.Problems = e.problems
}

// common is how many images a column is about, and whether that differs among
// methods.
func (r *Report) common(column int) (n int, differs bool) {
	low := math.MaxInt
	for _, m := range r.Methods {
		if c := m.Cells[column]; c.Mean.Valid() {
			n, low = max(n, c.N), min(low, c.N)
		}
	}
	return n, n > 0 && low != n
}
