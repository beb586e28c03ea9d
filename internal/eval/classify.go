package eval

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sr3-go/sr3/baseline"
	"github.com/sr3-go/sr3/metric"
	"github.com/sr3-go/sr3/metric/accuracy"
	"github.com/sr3-go/sr3/resample"
)

// Classification asks for the errors of a classifier by the protocol of the
// paper's table 3, beside the other columns: every true image is reduced to 64
// pixels, enlarged to 256 by every method and classified.
type Classification struct {
	Network string // its name
	Side    int    // of the images that it takes, in pixels
	Weights Weights
	// Classify gives a score for each class.
	Classify func(img metric.Image, threads int) ([]float32, error)
	// Labels are the true classes by the images' names.
	Labels map[string]int
}

// Accuracy is what became of a [Classification].
type Accuracy struct {
	Network string        `json:"network"`
	Weights string        `json:"weights"`
	Images  int           `json:"images"`               // that were asked for
	Own     bool          `json:"own_images,omitempty"` // see [Report]
	Rows    []AccuracyRow `json:"rows"`                 // first the true images themselves, then the methods
}

// AccuracyRow has the errors, 0 to 1, of one method.
type AccuracyRow struct {
	Method string `json:"method"`
	Top1   Cell   `json:"top1_error"`
	Top5   Cell   `json:"top5_error"`
}

const (
	// referenceRow is the row of the true images.
	referenceRow = "reference: the crops themselves"
	// classifiedDir has the results that were classified.
	classifiedDir = "classified"
	// taskClassify marks rows of the journal.
	taskClassify = "classification"
)

// accuracyColumns are the two errors.
func accuracyColumns() [2]Column {
	return [2]Column{{Key: "top1_error", Title: "top-1 error", Digits: 3}, {Key: "top5_error", Title: "top-5 error", Digits: 3}}
}

// classifications is an evaluation's classification on its way.
type classifications struct {
	*evaluation
	rows [][]*Row // by image; first the reference, then the methods
	// problems of methods, which are told apart from those of single images: some
	// methods have no result of this protocol at all.
	failed [][]Problem
	tried  int
}

// classifyAll classifies all images with all methods.
func (e *evaluation) classifyAll(ctx context.Context) error {
	c := &classifications{evaluation: e, failed: make([][]Problem, len(e.Methods))}
	for i := range e.sources {
		if err := c.image(ctx, i); err != nil {
			return err
		}
	}
	for m, list := range c.failed {
		if c.tried > 1 && len(list) == c.tried {
			list = []Problem{{"all images", e.Methods[m].Info().Name, list[0].Reason}}
		}
		e.problems = append(e.problems, list...)
	}
	e.classified = c
	return nil
}

// image classifies one true image and what methods make of it.
func (c *classifications) image(ctx context.Context, i int) error {
	rows := make([]*Row, 1+len(c.Methods))
	c.rows = append(c.rows, rows)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	name := c.sources[i].name
	img, err := readRGB(c.sources[i].hr)
	if err != nil {
		return nil // it is among the problems already
	}
	class, known := c.Classification.Labels[name]
	if !known {
		err = errors.New("the labels have no class for it")
	}
	var crop metric.Image
	if err == nil {
		crop, err = accuracy.Crop(img)
	}
	if err == nil {
		rows[0], err = c.reference(name, crop, class)
	}
	if err != nil {
		rows[0] = nil
		c.evaluation.problems = append(c.evaluation.problems, Problem{Image: name, Reason: taskClassify + ": " + err.Error()})
		return nil
	}
	c.tried++
	return c.methods(ctx, i, crop, class)
}

// methods classifies the results of all methods for one image.
func (c *classifications) methods(ctx context.Context, i int, crop metric.Image, class int) error {
	low, err := accuracy.Input(crop)
	if err != nil {
		return err
	}
	lr, err := toImage(low)
	if err != nil {
		return err
	}
	for m := range c.Methods {
		c.progress(i, m, 0)
		in := baseline.Input{Name: c.sources[i].name, LR: lr, Width: accuracy.OutputSide, Height: accuracy.OutputSide,
			OnShare: func(share float64) { c.progress(i, m, share) }}
		row, err := c.method(ctx, m, in, digestOf(crop), class)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			c.failed[m] = append(c.failed[m], Problem{in.Name, c.Methods[m].Info().Name, taskClassify + ": " + err.Error()})
		default:
			c.rows[i][1+m] = row
		}
	}
	return nil
}

func (c *classifications) progress(i, m int, share float64) {
	if c.OnProgress == nil {
		return
	}
	part := (float64(m) + share) / float64(len(c.Methods))
	c.OnProgress(Progress{Stage: "classify", Share: min((float64(i)+part)/float64(len(c.sources)), 1), Image: i + 1, Images: len(c.sources),
		Method: c.Methods[m].Info().Name})
}

// version changes when the errors of a row would.
func (c *classifications) version(class int) string {
	return keyOf(c.Classification.Network, c.Classification.Weights.Digest, fmt.Sprint(class))
}

// reference classifies the crop itself.
func (c *classifications) reference(name string, crop metric.Image, class int) (*Row, error) {
	row := &Row{Image: name, Method: referenceRow, Task: taskClassify, Key: keyOf(taskClassify, digestOf(crop)), Width: crop.Width, Height: crop.Height}
	return c.finish(row, class, func() (metric.Image, error) {
		if c.Classification.Side == accuracy.CropSide {
			return crop, nil
		}
		return resized(crop, c.Classification.Side, c.Classification.Side, resample.Bicubic, c.Threads)
	})
}

// method enlarges and classifies, as far as an earlier run has not.
func (c *classifications) method(ctx context.Context, m int, in baseline.Input, crop string, class int) (*Row, error) {
	version, err := c.Methods[m].Version(in)
	if err != nil {
		return nil, err
	}
	info := c.Methods[m].Info()
	row := &Row{Image: in.Name, Method: info.Name, Task: taskClassify, Key: keyOf(taskClassify, crop, version), Settings: info.Settings,
		Model: info.Model, Width: in.Width, Height: in.Height}
	return c.finish(row, class, func() (metric.Image, error) {
		sr, err := c.result(ctx, row, c.journal.find(row.Image, row.Key), in, m, classifiedDir)
		if err != nil {
			return sr, err
		}
		return accuracy.Output(sr, c.Classification.Side)
	})
}

// finish gives the row of an earlier run if it has the errors, or classifies the
// image and keeps the new row.
func (c *classifications) finish(row *Row, class int, prepare func() (metric.Image, error)) (*Row, error) {
	version := c.version(class)
	old := c.journal.find(row.Image, row.Key)
	again := old != nil && old.Method == row.Method
	for _, column := range accuracyColumns() {
		column.Version = version
		again = again && old.has(column)
	}
	if again {
		row = old
	} else {
		img, err := prepare()
		if err != nil {
			return nil, err
		}
		if err := c.tally(row, img, class, version); err != nil {
			return nil, err
		}
		if err := c.journal.add(row); err != nil {
			return nil, err
		}
	}
	c.report = append(c.report, row)
	c.told(row, again)
	return row, nil
}

// tally classifies an image and notes the errors.
func (c *classifications) tally(row *Row, img metric.Image, class int, version string) error {
	scores, err := c.Classification.Classify(img, c.Threads)
	if err != nil {
		return err
	}
	var t accuracy.Tally
	if err := t.Add(scores, class); err != nil {
		return err
	}
	row.Measures, row.With = map[string]Number{}, map[string]string{}
	for k, v := range []float64{t.Top1Error(), t.Top5Error()} {
		key := accuracyColumns()[k].Key
		row.Measures[key], row.With[key] = Number(v), version
	}
	return nil
}

// table is the classification's table: the reference and the methods on the images
// that all of them have, or each on its own.
func (c *classifications) table() *Accuracy {
	a := &Accuracy{Network: c.Classification.Network, Weights: c.Classification.Weights.String(), Images: len(c.sources), Own: c.Own}
	a.Rows = []AccuracyRow{{Method: referenceRow}}
	for _, m := range c.Methods {
		a.Rows = append(a.Rows, AccuracyRow{Method: m.Info().Name})
	}
	for k, column := range accuracyColumns() {
		series := make([][]float64, len(a.Rows))
		for r := range series {
			for _, i := range c.imagesOfRow(r) {
				series[r] = append(series[r], float64(c.rows[i][r].Measures[column.Key]))
			}
		}
		// The reference competes with no method.
		cells := append(c.cells(column, series[:1]), c.cells(column, series[1:])...)
		cells[0].Best = false
		most := 0
		for _, cell := range cells {
			most = max(most, cell.N)
		}
		for r, cell := range cells {
			cell.Fewer = cell.Mean.Valid() && cell.N < most
			*[]*Cell{&a.Rows[r].Top1, &a.Rows[r].Top5}[k] = cell
		}
	}
	return a
}

// imagesOfRow are the images that a row of the table is about.
func (c *classifications) imagesOfRow(r int) (list []int) {
	needed := []int{r}
	for other := range 1 + len(c.Methods) {
		if !c.Own && slices.ContainsFunc(c.rows, func(rows []*Row) bool { return rows[other] != nil }) {
			needed = append(needed, other)
		}
	}
	for i, rows := range c.rows {
		if !slices.ContainsFunc(needed, func(k int) bool { return rows[k] == nil }) {
			list = append(list, i)
		}
	}
	return list
}
