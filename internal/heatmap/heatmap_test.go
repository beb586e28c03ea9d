package heatmap

import (
	"math"
	"slices"
	"strings"
	"testing"
)

// TestColors: within sRGB, ever lighter, at even distances.
func TestColors(t *testing.T) {
	for i := range 1001 {
		for _, v := range linear(path(float64(i) / 1000).lab()) {
			if v < -1e-3 || v > 1 {
				t.Fatalf("at %d of 1000 the path leaves sRGB: %v", i, v)
			}
		}
	}
	var before [3]float64
	low, high := math.Inf(1), 0.0
	for k, c := range colors {
		lab := toOklab(c)
		if k > 0 {
			if lab[0] <= before[0] {
				t.Errorf("colour %d is not lighter than the one before", k)
			}
			d := distance(lab, before)
			low, high = min(low, d), max(high, d)
		}
		before = lab
	}
	if high > 1.15*low {
		t.Errorf("neighbours are from %g to %g apart", low, high)
	}
	if first, last := toOklab(colors[0])[0], before[0]; first > 0.1 || last < 0.95 {
		t.Errorf("lightness from %g to %g", first, last)
	}
}

// toOklab is Ottosson's conversion from sRGB, written from his description.
func toOklab(c [3]float32) [3]float64 {
	var r [3]float64
	for i, v := range c {
		s := (float64(v) + 1) / 2
		r[i] = s / 12.92
		if s > 0.04045 {
			r[i] = math.Pow((s+0.055)/1.055, 2.4)
		}
	}
	l := math.Cbrt(0.4122214708*r[0] + 0.5363325363*r[1] + 0.0514459929*r[2])
	m := math.Cbrt(0.2119034982*r[0] + 0.6806995451*r[1] + 0.1073969566*r[2])
	s := math.Cbrt(0.0883024619*r[0] + 0.2817188376*r[1] + 0.6299787005*r[2])
	return [3]float64{
		0.2104542553*l + 0.7936177850*m - 0.0040720468*s,
		1.9779984951*l - 2.4285922050*m + 0.4505937099*s,
		0.0259040371*l + 0.7827717662*m - 0.8086757660*s,
	}
}

func TestDraw(t *testing.T) {
	const w, h = 300, 40
	field := make([]float32, w*h)
	for i := range field {
		field[i] = float32(i%w) / 4 // 0 to 75
	}
	o := Options{Full: 32, Titles: []string{strings.Repeat("long ", 20), "deviation in 1/255"}, Threads: 1}
	img, err := Draw(field, w, h, o)
	if err != nil || img.Validate() != nil || img.Width != w || img.Height <= h+10 {
		t.Fatalf("%v", err)
	}
	at := func(x, y int) [3]float32 { return [3]float32(img.Pix[3*(y*w+x):]) }
	for _, c := range []struct{ x, color int }{{0, 0}, {64, 128}, {128, 255}, {299, 255}} {
		if at(c.x, 17) != colors[c.color] {
			t.Errorf("column %d has %v, want colour %d", c.x, at(c.x, 17), c.color)
		}
	}
	bar := h + pad + barHeight/2
	if at(pad, bar) != colors[0] || at(w-pad-1, bar) != colors[255] || at(pad-1, bar) != [3]float32{1, 1, 1} {
		t.Error("the bar does not hold all colours")
	}
	ink := func(top, rows, from, to int) (n int) {
		for y := top; y < top+rows; y++ {
			for x := from; x < to; x++ {
				if at(x, y) == [3]float32{-1, -1, -1} {
					n++
				}
			}
		}
		return n
	}
	numbers := bar + barHeight/2 + 2
	if ink(numbers, textHeight, 0, 12) == 0 || ink(numbers, textHeight, w-24, w) == 0 || ink(numbers, textHeight, w/2-14, w/2+14) == 0 {
		t.Error("numbers are missing")
	}
	if n := ink(numbers+textHeight, textHeight, 0, w); n < 18*5 || ink(numbers+textHeight, textHeight, pad+18*charWidth, w) > 0 {
		t.Errorf("the title has %d dots", n)
	}
	o.Threads = 3
	again, err := Draw(field, w, h, o)
	if err != nil || !slices.Equal(again.Pix, img.Pix) {
		t.Errorf("threads matter (%v)", err)
	}
}

// TestNumbers: they fit, however narrow the image.
func TestNumbers(t *testing.T) {
	for _, full := range []float64{32, 8, 0.5, 255, 33.3} {
		for _, w := range []int{1, 40, 64, 90, 200, 1000, 5000} {
			l := newLegend(w, w, Options{Full: full, Titles: []string{"one two three", "one"}})
			var texts []string
			wide := 0
			for k := range l.parts + 1 {
				texts = append(texts, l.number(k, l.parts))
				wide += charWidth * (len(texts[k]) + 1) * l.dot
			}
			if wide-charWidth*l.dot > l.width-2*pad*l.dot || !strings.HasSuffix(texts[l.parts], "+") || texts[0] != "0" || l.title == "" {
				t.Errorf("full %v on %d pixels: %q, title %q", full, w, texts, l.title)
			}
		}
	}
	if l := newLegend(320, 256, Options{Full: 32}); l.parts != 8 || l.number(3, 8) != "12" {
		t.Errorf("%+v", l)
	}
	img, err := Draw(make([]float32, 6), 2, 3, Options{Full: 1, Titles: []string{"x"}})
	if err != nil || img.Width != leastWidth || img.Pix[0] != colors[0][0] || img.Pix[3*2] != 1 {
		t.Errorf("a tiny field: %v", err)
	}
}

func TestDrawRefuses(t *testing.T) {
	for name, err := range map[string]error{
		"size":     second(Draw(make([]float32, 5), 2, 3, Options{Full: 1})),
		"empty":    second(Draw(nil, 0, 0, Options{Full: 1})),
		"no scale": second(Draw(make([]float32, 6), 2, 3, Options{})),
		"NaN":      second(Draw(make([]float32, 6), 2, 3, Options{Full: math.NaN()})),
		"infinite": second(Draw(make([]float32, 6), 2, 3, Options{Full: math.Inf(1)})),
	} {
		if err == nil {
			t.Errorf("%s was not refused", name)
		}
	}
}

func second[T any](_ T, err error) error { return err }
