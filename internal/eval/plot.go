package eval

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// plot is a drawing in the units of its viewBox, ready for the page's template.
type plot struct {
	Title, XTitle, YTitle    string
	Width, Height            float64
	Left, Right, Top, Bottom float64 // edges of the area of data
	XTicks, YTicks           []tick
	Lines                    []line
	Marks                    []mark
	Rules                    []rule
}

// tick is a place on an axis.
type tick struct {
	At   float64
	Text string
}

// line joins marks of one series.
type line struct {
	Points string // of a polyline
	Hue    int
}

// mark is a method's place, with its intervals.
type mark struct {
	X, Y, X1, X2, Y1, Y2 float64
	Across, Along        bool // there is an interval in x, in y
	Hue                  int
	Label, Tip           string
	LabelX, LabelY       float64
	Anchor               string
}

// rule is a horizontal line: a method without steps among those with.
type rule struct {
	Y, LabelX, LabelY float64
	Label             string
	Hue               int
}

// axis maps values to a stretch of the drawing.
type axis struct {
	low, high  float64
	from, to   float64
	digits     int
	log        bool
	tickValues []float64
}

// newAxis covers values with some room at the ends.
func newAxis(values []float64, from, to float64, digits int) axis {
	low, high := slices.Min(values), slices.Max(values)
	if high-low < 1e-12 {
		pad := max(math.Abs(low)*0.05, 1e-3)
		low, high = low-pad, high+pad
	}
	room := (high - low) * 0.09
	a := axis{low: low - room, high: high + room, from: from, to: to, digits: digits}
	if low >= 0 {
		a.low = max(a.low, 0)
	}
	step := niceStep((a.high - a.low) / 5)
	a.digits = max(0, int(math.Ceil(-math.Log10(step)-1e-9)))
	for k := math.Ceil(a.low / step); k*step <= a.high; k++ {
		a.tickValues = append(a.tickValues, k*step)
	}
	return a
}

// newLogAxis is an axis of numbers of steps.
func newLogAxis(values []float64, from, to float64) axis {
	low, high := math.Log(slices.Min(values)), math.Log(slices.Max(values))
	room := max((high-low)*0.08, 0.1)
	a := axis{low: low - room, high: high + room, from: from, to: to, log: true}
	for _, v := range values {
		if !slices.Contains(a.tickValues, v) {
			a.tickValues = append(a.tickValues, v)
		}
	}
	slices.Sort(a.tickValues)
	return a
}

// niceStep rounds a distance of ticks up to 1, 2 or 5 times a power of ten.
func niceStep(x float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(x)))
	for _, m := range []float64{1, 2, 5} {
		if m*power >= x*(1-1e-9) {
			return m * power
		}
	}
	return 10 * power
}

func (a axis) at(v float64) float64 {
	if a.log {
		v = math.Log(v)
	}
	v = min(max(v, a.low), a.high) // intervals may reach below 0 where values cannot
	return a.from + (v-a.low)/(a.high-a.low)*(a.to-a.from)
}

func (a axis) ticks() []tick {
	var list []tick
	for _, v := range a.tickValues {
		list = append(list, tick{a.at(v), Number(v + 0).text(a.digits)})
	}
	return list
}

// hues is how many colours the page has.
const hues = 8

// tradeoff is the perception-distortion plane (Blau and Michaeli 2018, arXiv
// 1711.06077): a measure of the distance to the truth across, one of looks
// upwards, drawn so that better is right and up. It is nil without both kinds of
// measures or with fewer than two methods that have both.
func (r *Report) tradeoff() *plot {
	x := slices.IndexFunc(r.Columns, func(c Column) bool { return !c.Perceptual })
	y := slices.IndexFunc(r.Columns, func(c Column) bool { return c.Perceptual })
	if x < 0 || y < 0 {
		return nil
	}
	var xs, ys []float64
	var methods []int
	for m, method := range r.Methods {
		if cx, cy := method.Cells[x], method.Cells[y]; cx.Mean.Finite() && cy.Mean.Finite() {
			methods = append(methods, m)
			xs, ys = append(xs, cx.span()...), append(ys, cy.span()...)
		}
	}
	if len(methods) < 2 {
		return nil
	}
	p := &plot{Title: "Perception and distortion", XTitle: r.Columns[x].heading(), YTitle: r.Columns[y].heading(),
		Width: 640, Height: 400, Left: 56, Right: 616, Top: 28, Bottom: 352}
	ax := newAxis(xs, p.Left, p.Right, r.Columns[x].Digits)
	if !r.Columns[x].HigherIsBetter {
		ax.from, ax.to = ax.to, ax.from
	}
	ay := newAxis(ys, p.Top, p.Bottom, r.Columns[y].Digits)
	if r.Columns[y].HigherIsBetter {
		ay.from, ay.to = ay.to, ay.from
	}
	p.XTicks, p.YTicks = ax.ticks(), ay.ticks()
	for _, m := range methods {
		p.Marks = append(p.Marks, r.mark(m, x, y, ax, ay))
	}
	p.joinSeries(r, methods)
	p.placeLabels()
	return p
}

// span is the interval for comparisons, or the mean where there is none.
func (c Cell) span() []float64 {
	if c.within != [2]float64{} {
		return c.within[:]
	}
	return []float64{float64(c.Mean)}
}

// mark is a method's place by two columns.
func (r *Report) mark(m, x, y int, ax, ay axis) mark {
	cx, cy := r.Methods[m].Cells[x], r.Methods[m].Cells[y]
	out := mark{X: ax.at(float64(cx.Mean)), Y: ay.at(float64(cy.Mean)), Hue: m % hues, Label: r.Methods[m].Name,
		Tip: fmt.Sprintf("%s: %s %s, %s %s", r.Methods[m].Name, r.Columns[x].Title, cx.plain(r.Columns[x].Digits),
			r.Columns[y].Title, cy.plain(r.Columns[y].Digits))}
	if s := cx.span(); len(s) == 2 {
		out.Across, out.X1, out.X2 = true, ax.at(s[0]), ax.at(s[1])
	}
	if s := cy.span(); len(s) == 2 {
		out.Along, out.Y1, out.Y2 = true, ay.at(s[0]), ay.at(s[1])
	}
	return out
}

// plain is the mean with its interval.
func (c Cell) plain(digits int) string {
	c.Best, c.Tied, c.Fewer = false, false, false
	return c.markdown(digits)
}

// joinSeries draws a line through methods that differ in steps alone. methods
// are those of the marks.
func (p *plot) joinSeries(r *Report, methods []int) {
	for _, group := range r.stepGroups(methods) {
		l := line{Hue: group[0] % hues}
		for _, m := range group {
			k := p.Marks[slices.Index(methods, m)]
			l.Points += fmt.Sprintf("%.1f,%.1f ", k.X, k.Y)
		}
		p.Lines = append(p.Lines, l)
	}
}

// stepGroups finds methods that differ in their number of steps alone, in order
// of steps.
func (r *Report) stepGroups(methods []int) [][]int {
	var order []string
	groups := map[string][]int{}
	for _, m := range methods {
		s := r.Methods[m].series
		if s == "" || r.Methods[m].Steps == 0 {
			continue
		}
		if groups[s] == nil {
			order = append(order, s)
		}
		groups[s] = append(groups[s], m)
	}
	var list [][]int
	for _, s := range order {
		g := groups[s]
		slices.SortFunc(g, func(a, b int) int { return r.Methods[a].Steps - r.Methods[b].Steps })
		if len(g) > 1 && r.Methods[g[0]].Steps != r.Methods[g[len(g)-1]].Steps {
			list = append(list, g)
		}
	}
	return list
}

const (
	labelHeight = 15.0
	glyphWidth  = 6.6 // of the page's labels, on average
)

// placeLabels puts each label beside its mark, where it covers no other label
// and no mark if there is such a place.
func (p *plot) placeLabels() {
	type box struct{ x1, y1, x2, y2 float64 }
	var taken []box
	for _, m := range p.Marks {
		taken = append(taken, box{m.X - 6, m.Y - 6, m.X + 6, m.Y + 6})
	}
	for i := range p.Marks {
		m := &p.Marks[i]
		width := glyphWidth * float64(len([]rune(m.Label)))
		best := math.Inf(1)
		for _, dy := range []float64{-10, 18, 4, -26, 34, -42, 50, -58, 66} {
			for _, anchor := range []string{"start", "end"} {
				x1 := m.X + 9
				if anchor == "end" {
					x1 = m.X - 9 - width
				}
				b := box{x1, m.Y + dy - labelHeight + 3, x1 + width, m.Y + dy + 3}
				cost := math.Abs(dy) / 100
				if b.x1 < p.Left || b.x2 > p.Width-2 || b.y1 < 0 || b.y2 > p.Bottom {
					cost += 50
				}
				for k, t := range taken {
					if k != i && b.x1 < t.x2 && t.x1 < b.x2 && b.y1 < t.y2 && t.y1 < b.y2 {
						cost += 10
					}
				}
				if cost < best {
					best, m.LabelX, m.LabelY, m.Anchor = cost, m.X+9, m.Y+dy, anchor
					if anchor == "end" {
						m.LabelX = m.X - 9
					}
				}
			}
		}
		x1 := m.LabelX
		if m.Anchor == "end" {
			x1 -= width
		}
		taken = append(taken, box{x1, m.LabelY - labelHeight + 3, x1 + width, m.LabelY + 3})
	}
}

// placeRuleLabels puts labels of lines that lie close side by side.
func (p *plot) placeRuleLabels() {
	slices.SortStableFunc(p.Rules, func(a, b rule) int { return cmp.Compare(a.Y, b.Y) })
	slots := []float64{0.5, 0.25, 0.75}
	at := 0
	for i := range p.Rules {
		at = (at + 1) % len(slots)
		if i == 0 || p.Rules[i].Y-p.Rules[i-1].Y > labelHeight {
			at = 0
		}
		p.Rules[i].LabelX = p.Left + slots[at]*(p.Right-p.Left)
	}
}

// bySteps draws each measure against the number of steps, with the methods that
// have none as lines across. It is empty where no methods differ in steps alone.
func (r *Report) bySteps() []*plot {
	all := make([]int, len(r.Methods))
	for m := range all {
		all[m] = m
	}
	groups := r.stepGroups(all)
	if len(groups) == 0 {
		return nil
	}
	var plots []*plot
	for c := range r.Columns {
		if p := r.stepsPlot(c, groups); p != nil {
			plots = append(plots, p)
		}
	}
	return plots
}

func (r *Report) stepsPlot(c int, groups [][]int) *plot {
	var xs, ys []float64
	var kept [][]int
	for _, g := range groups {
		g = slices.DeleteFunc(slices.Clone(g), func(m int) bool { return !r.Methods[m].Cells[c].Mean.Finite() })
		if len(g) < 2 {
			continue
		}
		kept = append(kept, g)
		for _, m := range g {
			xs, ys = append(xs, float64(r.Methods[m].Steps)), append(ys, r.Methods[m].Cells[c].span()...)
		}
	}
	if len(kept) == 0 {
		return nil
	}
	var others []int
	for m, method := range r.Methods {
		if method.series == "" && method.Cells[c].Mean.Finite() {
			others, ys = append(others, m), append(ys, float64(method.Cells[c].Mean))
		}
	}
	p := &plot{Title: r.Columns[c].heading(), XTitle: "steps", Width: 300, Height: 226, Left: 42, Right: 290, Top: 12, Bottom: 184}
	ax := newLogAxis(xs, p.Left, p.Right)
	ay := newAxis(ys, p.Bottom, p.Top, r.Columns[c].Digits)
	p.XTicks, p.YTicks = ax.ticks(), ay.ticks()
	for _, m := range others {
		y := ay.at(float64(r.Methods[m].Cells[c].Mean))
		p.Rules = append(p.Rules, rule{Y: y, LabelY: y - 4, Label: r.Methods[m].Name, Hue: m % hues})
	}
	p.placeRuleLabels()
	for _, g := range kept {
		l := line{Hue: g[0] % hues}
		for _, m := range g {
			cell := r.Methods[m].Cells[c]
			k := mark{X: ax.at(float64(r.Methods[m].Steps)), Y: ay.at(float64(cell.Mean)), Hue: g[0] % hues,
				Tip: fmt.Sprintf("%s: %s", r.Methods[m].Name, cell.plain(r.Columns[c].Digits))}
			if s := cell.span(); len(s) == 2 {
				k.Along, k.Y1, k.Y2 = true, ay.at(s[0]), ay.at(s[1])
			}
			l.Points += fmt.Sprintf("%.1f,%.1f ", k.X, k.Y)
			p.Marks = append(p.Marks, k)
		}
		p.Lines = append(p.Lines, l)
	}
	return p
}
