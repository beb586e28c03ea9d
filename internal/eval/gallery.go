package eval

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"html/template"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"slices"
	"strings"

	"github.com/sr3-go/sr3/baseline"
	"github.com/sr3-go/sr3/metric"
	"github.com/sr3-go/sr3/resample"
)

const (
	typicalImages = 6   // strips of ordinary images
	extremeCases  = 2   // best and worst images of a method
	tilesInRow    = 5   // at most
	cropSide      = 96  // of zoomed parts, in pixels of the truth
	previewSide   = 320 // longest side of whole images
)

// strip shows one image: the whole of it and the part where methods differ most,
// from the input, each method and the truth.
type strip struct {
	Name    string
	Preview template.URL
	Width   int
	Height  int
	// The part, in percent of the sides.
	X, Y, W, H float64
	Tiles      []tile
	Note       string // why it is shown
}

// Columns is how many tiles stand in a row, so that rows are about equally long.
func (s strip) Columns() int {
	rows := (len(s.Tiles) + tilesInRow - 1) / tilesInRow
	return max((len(s.Tiles)+rows-1)/max(rows, 1), 2)
}

// tile is the part as one method has it.
type tile struct {
	Title   string
	Caption string
	Image   template.URL
	Hue     int // below 0: input and truth
}

// gallery chooses and makes strips.
type gallery struct {
	*evaluation
	report *Report
	made   map[int]*strip
}

// cases shows, for each model and each folder of results, where it does best and
// worst beside the first method.
func (g *gallery) cases(ctx context.Context) ([]caseGroup, error) {
	var groups []caseGroup
	measure := g.deciding()
	reference := slices.IndexFunc(g.Methods, func(m baseline.Method) bool { return m.Info().Kind == baseline.KindFilter })
	for m, method := range g.Methods {
		if method.Info().Kind == baseline.KindFilter {
			continue
		}
		order := g.ranked(m, reference, measure)
		if len(order) < 2*extremeCases {
			continue
		}
		c := caseGroup{Title: method.Info().Name, About: fmt.Sprintf("By %s", measure.Title)}
		if reference >= 0 {
			c.About += " beside " + g.Methods[reference].Info().Name
		}
		c.About += "."
		for k := range 2 * extremeCases {
			at, note := k, "best"
			if k >= extremeCases {
				at, note = len(order)-2*extremeCases+k, "worst"
			}
			s, err := g.strip(ctx, order[at].image)
			if err != nil {
				return nil, err
			}
			s.Note = note + ": " + g.gain(order[at], reference, measure)
			s.Tiles = onlyTiles(s.Tiles, g.tileOf(reference), g.tileOf(m))
			c.Strips = append(c.Strips, s)
		}
		groups = append(groups, c)
	}
	return groups, nil
}

// ranking is an image with what a method gains there.
type ranking struct {
	image int
	gain  Number // positive is better
	value Number
}

// gain says in words how much a method gained.
func (g *gallery) gain(r ranking, reference int, m Measure) string {
	if reference < 0 {
		return r.value.text(m.Digits)
	}
	delta := r.gain
	if !m.HigherIsBetter {
		delta = -delta
	}
	sign := ""
	switch {
	case delta > 0:
		sign = "+"
	case delta < 0:
		sign, delta = "−", -delta
	}
	return strings.TrimSpace(sign + delta.text(m.Digits) + " " + m.Unit)
}

// ranked orders images from the best to the worst for a method.
func (g *gallery) ranked(m, reference int, measure Measure) []ranking {
	var list []ranking
	for i, rows := range g.rows {
		if !g.measured(i, m, measure.Column) || reference >= 0 && !g.measured(i, reference, measure.Column) {
			continue
		}
		r := ranking{image: i, value: rows[m].Measures[measure.Key]}
		r.gain = r.value
		if reference >= 0 {
			r.gain -= rows[reference].Measures[measure.Key]
		}
		if !measure.HigherIsBetter {
			r.gain = -r.gain
		}
		if r.gain.Finite() {
			list = append(list, r)
		}
	}
	slices.SortStableFunc(list, func(a, b ranking) int {
		switch {
		case a.gain > b.gain:
			return -1
		case a.gain < b.gain:
			return 1
		}
		return 0
	})
	return list
}

// tileOf is the index of a method's tile.
func (g *gallery) tileOf(m int) int {
	if m < 0 {
		return -1
	}
	return m + 1
}

// onlyTiles keeps the input, two methods and the truth.
func onlyTiles(tiles []tile, a, b int) []tile {
	var out []tile
	for k, t := range tiles {
		if k == 0 || k == len(tiles)-1 || k == a || k == b {
			out = append(out, t)
		}
	}
	return out
}

// typical shows images from easy to hard, evenly, with all methods.
func (g *gallery) typical(ctx context.Context) ([]strip, error) {
	measure := g.deciding()
	order := g.ranked(g.fullest(), -1, measure)
	n := min(typicalImages, len(order))
	var strips []strip
	for k := range n {
		at := 0
		if n > 1 {
			at = k * (len(order) - 1) / (n - 1)
		}
		s, err := g.strip(ctx, order[at].image)
		if err != nil {
			return nil, err
		}
		strips = append(strips, s)
	}
	return strips, nil
}

// fullest is the method with the most results.
func (g *gallery) fullest() int {
	best := 0
	for m, r := range g.report.Methods {
		if r.Images > g.report.Methods[best].Images {
			best = m
		}
	}
	return best
}

// strip makes the strip of an image, or a copy of the one made before.
func (g *gallery) strip(ctx context.Context, i int) (strip, error) {
	if s := g.made[i]; s != nil {
		return *s, nil
	}
	sample, results, err := g.results(ctx, i)
	if err != nil {
		return strip{}, err
	}
	s, err := g.draw(i, sample, results)
	if err != nil {
		return strip{}, fmt.Errorf("page: %s: %w", sample.name, err)
	}
	g.made[i] = s
	return *s, nil
}

// results returns what an image was and what each method made of it; nil for a
// method without a result.
func (g *gallery) results(ctx context.Context, i int) (*sample, []*metric.Image, error) {
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	sample, err := g.Data.load(g.sources[i], g.Threads)
	if err != nil {
		return nil, nil, err
	}
	results := make([]*metric.Image, len(g.Methods))
	for m, row := range g.rows[i] {
		if row == nil {
			continue
		}
		sr, err := g.again(ctx, sample, row, m)
		if err != nil {
			return nil, nil, err
		}
		results[m] = &sr
	}
	return sample, results, nil
}

// draw makes the strip's pictures.
func (g *gallery) draw(i int, s *sample, results []*metric.Image) (*strip, error) {
	h, w := s.window(cropSide, 2)
	y, x := part(s, results, h, w)
	out := &strip{Name: s.name, Width: s.hr.Width, Height: s.hr.Height}
	percent := func(v, of int) float64 { return math.Round(float64(v)/float64(of)*10000) / 100 }
	out.X, out.Y, out.W, out.H = percent(x, s.hr.Width), percent(y, s.hr.Height), percent(w, s.hr.Width), percent(h, s.hr.Height)
	var err error
	if out.Preview, err = preview(s.hr, g.Threads); err != nil {
		return nil, err
	}
	add := func(title, caption string, hue int, m metric.Image) {
		var uri template.URL
		if uri, err = pngURI(m); err == nil {
			out.Tiles = append(out.Tiles, tile{title, caption, uri, hue})
		}
	}
	// The part lies on pixels of the input.
	ly, lx := y*s.lr.Height/s.hr.Height, x*s.lr.Width/s.hr.Width
	lh, lw := max(h*s.lr.Height/s.hr.Height, 1), max(w*s.lr.Width/s.hr.Width, 1)
	add("input", fmt.Sprintf("%d × %d pixels", lw, lh), -1, cut(s.lr, ly, lx, lh, lw))
	for m, sr := range results {
		if sr == nil {
			out.Tiles = append(out.Tiles, tile{Title: g.Methods[m].Info().Name, Caption: "no result", Hue: m % hues})
			continue
		}
		add(g.Methods[m].Info().Name, values(g.rows[i][m], g.shown()), m%hues, cut(*sr, y, x, h, w))
	}
	add("truth", "", -1, cut(s.hr, y, x, h, w))
	return out, err
}

// window is the size of a part of the truth, in whole pixels of the input: side, or
// less where that is more than a share 1/of of the image.
func (s *sample) window(side, of int) (h, w int) {
	grid := max(s.scale, 1)
	fit := func(n int) int { return min(max(min(side, n/of)/grid*grid, min(grid, n)), n) }
	return fit(s.hr.Height), fit(s.hr.Width)
}

// part finds where results differ most from one another and the truth: the
// window with the largest sum of squared deviations. It lies on whole pixels of
// the input.
func part(s *sample, results []*metric.Image, h, w int) (y, x int) {
	grid := max(s.scale, 1)
	sum := integral(s.hr, results)
	stride := s.hr.Width + 1
	best := math.Inf(-1)
	step := grid * max(1, 8/grid)
	for top := 0; top+h <= s.hr.Height; top += step {
		for left := 0; left+w <= s.hr.Width; left += step {
			v := sum[(top+h)*stride+left+w] - sum[top*stride+left+w] - sum[(top+h)*stride+left] + sum[top*stride+left]
			if v > best {
				best, y, x = v, top, left
			}
		}
	}
	return y, x
}

// integral is the summed-area table of the squared errors of all results.
func integral(hr metric.Image, results []*metric.Image) []float64 {
	stride := hr.Width + 1
	sum := make([]float64, (hr.Height+1)*stride)
	for y := range hr.Height {
		row := 0.0
		for x := range hr.Width {
			for _, sr := range results {
				if sr == nil {
					continue
				}
				for c := range 3 {
					at := 3*(y*hr.Width+x) + c
					d := float64(hr.Pix[at]) - float64(sr.Pix[at])
					row += d * d
				}
			}
			sum[(y+1)*stride+x+1] = sum[y*stride+x+1] + row
		}
	}
	return sum
}

// preview is the whole image, small.
func preview(m metric.Image, threads int) (template.URL, error) {
	h, w := m.Height, m.Width
	if longest := max(h, w); longest > previewSide {
		h, w = max(h*previewSide/longest, 1), max(w*previewSide/longest, 1)
	}
	small, err := resized(m, h, w, resample.Bicubic, threads)
	if err != nil {
		return "", err
	}
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, picture(small), &jpeg.Options{Quality: 85}); err != nil {
		return "", err
	}
	return dataURI("image/jpeg", buf.Bytes()), nil
}

func pngURI(m metric.Image) (template.URL, error) {
	var buf bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&buf, picture(m)); err != nil {
		return "", err
	}
	return dataURI("image/png", buf.Bytes()), nil
}

func dataURI(kind string, data []byte) template.URL {
	return template.URL("data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(data))
}

// picture converts for encoders.
func picture(m metric.Image) image.Image {
	out := image.NewRGBA(image.Rect(0, 0, m.Width, m.Height))
	for i := range m.Height * m.Width {
		out.SetRGBA(i%m.Width, i/m.Width, color.RGBA{m.Pix[3*i], m.Pix[3*i+1], m.Pix[3*i+2], 255})
	}
	return out
}
