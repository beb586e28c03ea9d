package model

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// CurvePoint is a point of a training curve. Zero values were not measured.
type CurvePoint struct {
	Step int     `json:"step"`
	Loss float64 `json:"loss,omitempty"`     // mean since the point before
	Val  float64 `json:"loss_val,omitempty"` // of held-out images
	PSNR float64 `json:"psnr_val,omitempty"` // of held-out images, of regressions
}

// curveRows is about how many rows the table of a curve has.
const curveRows = 10

// CurveTable is the curve in ten rows or fewer, nil if there is none.
func (r CardRun) CurveTable() *CardTable {
	rows := ThinCurve(r.Curve, curveRows)
	if len(rows) == 0 {
		return nil
	}
	has := func(f func(CurvePoint) float64) bool {
		return slices.ContainsFunc(rows, func(p CurvePoint) bool { return f(p) != 0 })
	}
	t := &CardTable{Header: []string{"step"}, Rows: make([][]string, len(rows))}
	for i, p := range rows {
		t.Rows[i] = []string{strconv.Itoa(p.Step)}
	}
	for _, c := range []struct {
		title string
		value func(CurvePoint) float64
	}{
		{"loss, mean since the row before", func(p CurvePoint) float64 { return p.Loss }},
		{"loss of held-out images", func(p CurvePoint) float64 { return p.Val }},
		{"PSNR of held-out images, dB", func(p CurvePoint) float64 { return p.PSNR }},
	} {
		if !has(c.value) {
			continue
		}
		t.Header = append(t.Header, c.title)
		for i, p := range rows {
			text := ""
			if v := c.value(p); v != 0 {
				text = strconv.FormatFloat(v, 'g', 4, 64)
			}
			t.Rows[i] = append(t.Rows[i], text)
		}
	}
	return t
}

// ThinCurve joins neighbours, so that at most n points over equal stretches of
// steps are left: losses become their means, held-out numbers the last of each.
// The points are in order of steps; the last step stays.
func ThinCurve(points []CurvePoint, n int) []CurvePoint {
	if len(points) == 0 || n < 1 {
		return nil
	}
	last := max(points[len(points)-1].Step, 1)
	var out []CurvePoint
	var count int
	bin := -1
	for _, p := range points {
		// The stretch that holds p: (bin, bin+1] * last/n.
		at := min(max((p.Step-1)*n/last, 0), n-1)
		if at != bin {
			bin, count = at, 0
			out = append(out, CurvePoint{})
		}
		q := &out[len(out)-1]
		q.Step = p.Step
		if p.Loss != 0 {
			count++
			q.Loss += (p.Loss - q.Loss) / float64(count)
		}
		if p.Val != 0 {
			q.Val = p.Val
		}
		if p.PSNR != 0 {
			q.PSNR = p.PSNR
		}
	}
	return out
}

// The drawing of a curve, in pixels.
const (
	curveWidth, curveHeight = 720.0, 320.0
	curveLeft, curveRight   = 64.0, 692.0
	curveTop, curveBottom   = 28.0, 276.0
)

// CurveSVG draws the losses over the steps, on a logarithmic scale, as an SVG
// file; "" if there is nothing to draw.
func (r CardRun) CurveSVG() string {
	low, high, last := math.Inf(1), 0.0, 0
	for _, p := range r.Curve {
		for _, v := range []float64{p.Loss, p.Val} {
			if v > 0 && !math.IsInf(v, 0) {
				low, high = min(low, v), max(high, v)
			}
		}
		last = max(last, p.Step)
	}
	if high == 0 || last == 0 {
		return ""
	}
	if high < low*1.05 {
		low, high = low/1.05, high*1.05
	}
	x := func(step int) float64 { return curveLeft + float64(step)/float64(last)*(curveRight-curveLeft) }
	y := func(v float64) float64 {
		return curveBottom - math.Log(v/low)/math.Log(high/low)*(curveBottom-curveTop)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" font-family="sans-serif" font-size="12">`+"\n", curveWidth, curveHeight)
	fmt.Fprintf(&b, `<rect width="%g" height="%g" fill="#fff"/>`+"\n", curveWidth, curveHeight)
	curveAxes(&b, x, y, last, low, high)
	curveLine(&b, r.Curve, "#1f6fb4", func(p CurvePoint) (float64, float64) { return x(p.Step), y(p.Loss) }, func(p CurvePoint) float64 { return p.Loss })
	curveLine(&b, r.Curve, "#c8501e", func(p CurvePoint) (float64, float64) { return x(p.Step), y(p.Val) }, func(p CurvePoint) float64 { return p.Val })
	fmt.Fprintf(&b, `<text x="%g" y="18" fill="#1f6fb4">loss, training</text><text x="%g" y="18" fill="#c8501e">loss, held-out images</text>`+"\n",
		curveLeft, curveLeft+110)
	fmt.Fprintf(&b, `<text x="%g" y="%g" text-anchor="middle" fill="#333">steps</text>`+"\n</svg>\n", (curveLeft+curveRight)/2, curveHeight-10)
	return b.String()
}

// curveAxes draws grid lines with their numbers.
func curveAxes(b *strings.Builder, x func(int) float64, y func(float64) float64, last int, low, high float64) {
	for k := range 6 {
		v := low * math.Pow(high/low, float64(k)/5)
		fmt.Fprintf(b, `<path d="M%g %.1fH%g" stroke="#ddd"/><text x="%g" y="%.1f" text-anchor="end" fill="#333">%s</text>`+"\n",
			curveLeft, y(v), curveRight, curveLeft-6, y(v)+4, strconv.FormatFloat(v, 'g', 3, 64))
		step := int(float64(last) * float64(k) / 5)
		fmt.Fprintf(b, `<path d="M%.1f %gV%g" stroke="#eee"/><text x="%.1f" y="%g" text-anchor="middle" fill="#333">%d</text>`+"\n",
			x(step), curveTop, curveBottom, x(step), curveBottom+18, step)
	}
}

// curveLine joins the points that have a value.
func curveLine(b *strings.Builder, points []CurvePoint, colour string, at func(CurvePoint) (x, y float64), value func(CurvePoint) float64) {
	var path strings.Builder
	n := 0
	var px, py float64
	for _, p := range points {
		if v := value(p); v > 0 && !math.IsInf(v, 0) {
			px, py = at(p)
			fmt.Fprintf(&path, "%.1f,%.1f ", px, py)
			n++
		}
	}
	switch {
	case n == 1:
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", px, py, colour)
	case n > 1:
		fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="1.5"/>`+"\n", strings.TrimSpace(path.String()), colour)
	}
}
