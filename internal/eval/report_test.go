package eval

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/baseline"
	"github.com/sr3-go/sr3/internal/philox"
	"github.com/sr3-go/sr3/metric"
)

// The interval of the mean of many normal values is that of the textbook.
func TestBootstrap(t *testing.T) {
	const n = 400
	normal := make([]float32, n)
	philox.New(7, 1).Normal(normal, 0)
	values, shifted, constant := make([]float64, n), make([]float64, n), make([]float64, n)
	var square float64
	for i, v := range normal {
		values[i], shifted[i], constant[i] = float64(v), 3+float64(v), 2.5
		square += float64(v) * float64(v)
	}
	m := mean(values)
	half := 1.96 * math.Sqrt((square/n-m*m)/n)
	draws := bootstrap([][]float64{values, shifted, constant})
	low, high := interval(draws[0])
	if math.Abs(m-low-half) > 0.08*half || math.Abs(high-m-half) > 0.08*half {
		t.Errorf("interval %v to %v about %v, want a half width of %v", low, high, m, half)
	}
	if low, high := interval(draws[2]); low != 2.5 || high != 2.5 {
		t.Errorf("interval of a constant: %v to %v", low, high)
	}
	// Series that differ by a constant are drawn alike.
	if low, high := difference(draws[1], draws[0]); math.Abs(low-3) > 1e-12 || math.Abs(high-3) > 1e-12 {
		t.Errorf("difference %v to %v, want 3", low, high)
	}
	again := bootstrap([][]float64{values})
	if l, h := interval(again[0]); l != low || h != high {
		t.Error("the bootstrap depends on other series")
	}
}

// A small difference in every image is seen though images differ much more; one
// that changes its sign is not.
func TestTies(t *testing.T) {
	c := Column{HigherIsBetter: true}
	var series [3][]float64
	for i := range 20 {
		base := float64(i * i)
		series[0] = append(series[0], base+1)
		series[1] = append(series[1], base+0.9+0.01*float64(i%3))
		series[2] = append(series[2], base+0.9+float64(i%2*8-4))
	}
	cells := make([]Cell, 3)
	draws := bootstrap(series[:])
	for m := range cells {
		cells[m] = Cell{Mean: Number(mean(series[m])), N: 20, Low: none(), High: none()}
		cells[m].setInterval(draws[m])
	}
	markBest(c, cells, draws)
	setWithin(cells, draws)
	if !cells[0].Best || cells[1].Best || cells[1].Tied || !cells[2].Tied {
		t.Errorf("cells %+v", cells)
	}
	for m, cell := range cells {
		if w := cell.within; !(w[0] < float64(cell.Mean) && float64(cell.Mean) < w[1]) || w[1]-w[0] > float64(cell.High-cell.Low)/10 {
			t.Errorf("method %d: interval within images %v beside %v to %v", m, w, cell.Low, cell.High)
		}
	}
}

func TestPage(t *testing.T) {
	dir, out := folder(t, 6), t.TempDir()
	name := `<b>x & "y"</b>`
	c := config(dir, out, fake{name: "bicubic"}, fake{name: name, shift: 4, steps: 4, costly: true},
		fake{name: "ten", shift: 6, steps: 10, costly: true}, fake{name: "some", shift: 5, lacks: "b", steps: 1})
	c.Measures = append(c.Measures, FeatureDistance(func(hr, sr metric.Image, _ int) (float64, error) {
		return math.Abs(float64(hr.Pix[0])-float64(sr.Pix[0])) / 10, nil
	}, "v"))
	mustRun(t, c)
	data, err := os.ReadFile(filepath.Join(out, PageFile))
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for _, want := range []string{"&lt;b&gt;x &amp; &#34;y&#34;&lt;/b&gt;", "Perception and distortion", "Against the number of steps",
		"Best and worst cases", "b with some: ", "prefers-color-scheme: dark", "SqueezeNet 1.1 feature distance"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	for _, bad := range []string{"<b>x", "ZgotmplZ", "http:", "https:", "NaN", "%!"} {
		if strings.Contains(text, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	for _, src := range regexp.MustCompile(`(?:src|href)="([^"]{0,30})`).FindAllStringSubmatch(text, -1) {
		if !strings.HasPrefix(src[1], "data:image/") {
			t.Errorf("the page needs %q", src[1])
		}
	}
	for _, svg := range regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAllString(text, -1) {
		d := xml.NewDecoder(strings.NewReader(svg))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%v in %s", err, svg)
			}
		}
	}
	// One plot of both kinds of measures and one of steps for each of four columns.
	if n := strings.Count(text, "<svg"); n != 5 {
		t.Errorf("%d plots, want 5", n)
	}
}

// Every part of the drawing lies in it.
func TestPlotsStayInside(t *testing.T) {
	r := &Report{Columns: []Column{{Key: "a", Title: "A", HigherIsBetter: true, Digits: 2}, {Key: "b", Title: "B", Perceptual: true, Digits: 3}}}
	for m := range 9 {
		cell := func(v float64) Cell {
			return Cell{Mean: Number(v), N: 5, Low: Number(v - 1), High: Number(v + 1), within: [2]float64{v - 0.1, v + 0.1}}
		}
		method := MethodResult{Name: fmt.Sprint("method ", m), Cells: []Cell{cell(20 + float64(m%4)), cell(3 - float64(m%5)*0.01)}}
		if m > 4 {
			method.Steps, method.series = 1<<(m-5), "s"
		}
		r.Methods = append(r.Methods, method)
	}
	plots := append(r.bySteps(), r.tradeoff())
	if len(plots) != 3 {
		t.Fatalf("%d plots, want 3", len(plots))
	}
	for _, p := range plots {
		if len(p.XTicks) < 2 || len(p.YTicks) < 2 || len(p.Lines) != 1 {
			t.Errorf("%s: %d and %d ticks, %d lines", p.Title, len(p.XTicks), len(p.YTicks), len(p.Lines))
		}
		for _, m := range p.Marks {
			if m.X < p.Left || m.X > p.Right || m.Y < p.Top || m.Y > p.Bottom || m.LabelY < 0 || m.LabelY > p.Height {
				t.Errorf("%s: mark %+v is outside", p.Title, m)
			}
		}
		for _, x := range p.XTicks {
			if x.At < p.Left || x.At > p.Right {
				t.Errorf("%s: tick %+v is outside", p.Title, x)
			}
		}
	}
	// Better is right and up.
	t0, t1 := r.tradeoff().Marks[0], r.tradeoff().Marks[1]
	if !(t1.X > t0.X && t1.Y < t0.Y) {
		t.Errorf("the better method stands at %v, %v, the other at %v, %v", t1.X, t1.Y, t0.X, t0.Y)
	}
}

func TestNames(t *testing.T) {
	var methods []baseline.Method
	for _, name := range []string{"photo-x4, 4 steps", "../..", "Photo-x4 4 steps", "雪", ""} {
		methods = append(methods, fake{name: name})
	}
	got := strings.Join(folderNames(methods), "|")
	if want := "photo-x4-4-steps|_2|photo-x4-4-steps_2|_3|_4"; got != want {
		t.Errorf("folders %s, want %s", got, want)
	}
}

// A row that names a file outside the report is not followed.
func TestStoredStaysInside(t *testing.T) {
	e := &evaluation{Config: Config{Out: t.TempDir()}}
	for _, name := range []string{"../x.png", "/etc/passwd"} {
		if _, err := e.stored(&Row{File: name}); err == nil || !strings.Contains(err.Error(), "outside") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzJournal(f *testing.F) {
	f.Add([]byte(`{"image":"a","method":"m","key":"k","measures":{"psnr":"inf","ssim":null,"x":1e-3}}` + "\n{\"image\":"))
	f.Add([]byte("{}\n{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), ResultsFile)
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		j, err := openJournal(path)
		if err != nil {
			return
		}
		row := &Row{Image: "new", Key: "new", Measures: map[string]Number{"psnr": 1}}
		if err := j.add(row); err != nil {
			t.Fatal(err)
		}
		if err := j.compact([]*Row{row}); err != nil {
			t.Fatal(err)
		}
		if err := j.close(); err != nil {
			t.Fatal(err)
		}
		again, err := openJournal(path)
		if err != nil || again.find("new", "new") == nil {
			t.Fatalf("a row that was written is not there: %v", err)
		}
		again.close()
	})
}
