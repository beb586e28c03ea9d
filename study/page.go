package study

import (
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"

	"github.com/sr3-go/sr3/foolrate"
	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/resample"
)

// Of each method so many images that fooled most and least are shown, at most so
// large.
const (
	extremes  = 4
	thumbSide = 112
)

// reportPage is what the template of a report shows.
type reportPage struct {
	*Report
	Chart   chart
	Extreme []extremeRows
}

// extremeRows are the images of a method that fooled most and least.
type extremeRows struct {
	Method      string
	Hue         int
	Most, Least []extremeImage
}

// extremeImage is a pair in small.
type extremeImage struct {
	Name, Rate, Of   string
	Original, Result template.URL
}

// WriteHTML writes the report as one page that needs no other file: the paper's bar
// chart, the table, the images that fooled most and least.
func (f *Folder) WriteHTML(w io.Writer, r *Report) error {
	t, err := template.New("report.html").Funcs(template.FuncMap{"percent": percent, "mean": meanText, "times": timesText,
		"hue": func(i int) int { return i % 8 }}).ParseFS(assets, "assets/report.html")
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	p := reportPage{Report: r, Chart: newChart(r)}
	for i := range r.Analysis.Methods {
		rows, err := f.extremes(i, r.Analysis.Methods[i])
		if err != nil {
			return fmt.Errorf("write report: %w", err)
		}
		if len(rows.Most) > 0 {
			p.Extreme = append(p.Extreme, rows)
		}
	}
	if err := t.Execute(w, p); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// extremes picks images; no image is among both the most and the least fooling.
func (f *Folder) extremes(method int, m foolrate.MethodResult) (extremeRows, error) {
	rows := extremeRows{Method: m.Method, Hue: method % 8}
	index := map[string]int{}
	for i, e := range f.Manifest.Images {
		index[e.Name] = i
	}
	n := min(extremes, (len(m.Images)+1)/2)
	for k := range n {
		img, err := f.pair(index, method, m.Images[k])
		if err != nil {
			return rows, err
		}
		rows.Most = append(rows.Most, img)
	}
	for k := range min(n, len(m.Images)-n) {
		img, err := f.pair(index, method, m.Images[len(m.Images)-1-k])
		if err != nil {
			return rows, err
		}
		rows.Least = append(rows.Least, img)
	}
	return rows, nil
}

func (f *Folder) pair(index map[string]int, method int, r foolrate.ImageResult) (extremeImage, error) {
	out := extremeImage{Name: r.Image, Rate: percent(r.Rate), Of: fmt.Sprintf("%d of %d", r.Fooled, r.Trials)}
	i, ok := index[r.Image]
	if !ok {
		return out, fmt.Errorf("answers speak of an image %q that the study does not have", r.Image)
	}
	var err error
	if out.Original, err = f.thumbnail(i, fileOriginal); err != nil {
		return out, err
	}
	out.Result, err = f.thumbnail(i, firstMethod+method)
	return out, err
}

// thumbnail is an image in small, as a data: URL.
func (f *Folder) thumbnail(image, kind int) (template.URL, error) {
	data, err := f.image(image, kind)
	if err != nil {
		return "", err
	}
	img, err := imageio.Decode(data, f.imagePath(image, kind), ReadLimits)
	if err != nil {
		return "", err
	}
	if side := max(img.Width, img.Height); side > thumbSide {
		w, h := max(1, img.Width*thumbSide/side), max(1, img.Height*thumbSide/side)
		pix := make([]uint8, 3*w*h)
		if err := resample.Resize8(pix, img.RGB8(), h, w, img.Height, img.Width, 3, resample.Bicubic, 1); err != nil {
			return "", err
		}
		if img, err = imageio.FromRGB8(w, h, pix); err != nil {
			return "", err
		}
	}
	small, err := plainPNG(img)
	if err != nil {
		return "", err
	}
	return template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(small)), nil
}

// chart is the paper's figure: a bar for each method with its standard error, and a
// line at 50 %. Numbers are in the units of its viewBox.
type chart struct {
	Width, Height, Left, Right, Top, Bottom float64
	Half                                    float64 // the line at 50 %
	Ticks                                   []chartTick
	Bars                                    []chartBar
}

type chartTick struct {
	Y    float64
	Text string
}

type chartBar struct {
	X, Y, W, H, Middle float64
	Low, High          float64 // ends of the error bar
	Error, Known       bool
	Text               string
	Name               []string // in lines
	TextY              float64
	Hue                int
	Tip                string
}

// Sizes of the chart.
const (
	chartHeight, chartTop, chartBottom = 352, 22, 286
	chartLeft, chartStep, chartBar0    = 58, 118, 66
)

func newChart(r *Report) chart {
	methods := r.Analysis.Methods
	c := chart{Width: chartLeft + chartStep*float64(max(3, len(methods))) + 70, Height: chartHeight, Left: chartLeft, Top: chartTop, Bottom: chartBottom}
	c.Right = c.Width - 62
	most := 0.6
	for _, m := range methods {
		if !math.IsNaN(m.Mean) {
			most = max(most, m.Mean+nothing(m.StandardError)+0.06)
		}
	}
	most = min(1, math.Ceil(most*10)/10)
	y := func(share float64) float64 { return c.Bottom - (c.Bottom-c.Top)*share/most }
	for k := 0; float64(k)/10 <= most+1e-9; k++ {
		c.Ticks = append(c.Ticks, chartTick{y(float64(k) / 10), fmt.Sprintf("%d %%", 10*k)})
	}
	c.Half = y(0.5)
	step := (c.Right - c.Left) / float64(max(1, len(methods)))
	for i, m := range methods {
		b := chartBar{W: chartBar0, Middle: c.Left + step*(float64(i)+0.5), Name: nameLines(m.Method), Hue: i % 8, Text: "no answers", TextY: c.Bottom - 8}
		b.X = b.Middle - b.W/2
		if !math.IsNaN(m.Mean) {
			b.Known, b.Text = true, percent(m.Mean)+" %"
			b.Y, b.H = y(m.Mean), c.Bottom-y(m.Mean)
			b.Error = !math.IsNaN(m.StandardError)
			b.Low, b.High = y(max(0, m.Mean-nothing(m.StandardError))), y(min(most, m.Mean+nothing(m.StandardError)))
			b.TextY = b.High - 7
			b.Tip = fmt.Sprintf("%s: %s, %d subjects, %d answers", m.Method, meanText(m), m.Subjects, m.Trials)
		}
		c.Bars = append(c.Bars, b)
	}
	return c
}

// nothing is the number, or 0 for one that is not known.
func nothing(v float64) float64 {
	if math.IsNaN(v) {
		return 0
	}
	return v
}

// Of a method's name the chart shows so many lines of so many letters.
const nameRows, nameColumns = 3, 17

// nameLines breaks a name at its spaces; what is too long is cut.
func nameLines(name string) []string {
	var lines []string
	for _, word := range strings.Fields(name) {
		last := len(lines) - 1
		if last >= 0 && len([]rune(lines[last]))+1+len([]rune(word)) <= nameColumns {
			lines[last] += " " + word
			continue
		}
		lines = append(lines, word)
	}
	for i, line := range lines {
		if r := []rune(line); len(r) > nameColumns {
			lines[i] = string(r[:nameColumns-1]) + "…"
		}
	}
	if len(lines) > nameRows {
		lines = lines[:nameRows]
		lines[nameRows-1] += " …"
	}
	return lines
}
