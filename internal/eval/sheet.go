package eval

import (
	"cmp"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"os"
	"path/filepath"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/internal/philox"
	"github.com/sr3-go/sr3/internal/runfiles"
	"github.com/sr3-go/sr3/metric"
)

// Sheet asks for a contact sheet: one picture of crops, a row each, as every method
// has them and as they are in truth.
type Sheet struct {
	Path  string // .png, .webp or .jpg
	Crops int    // rows, at least 1
	// Side is that of the crops in pixels, less what does not divide by the scale, which
	// it must not be below; smaller images are shown whole. 0 means 96, and at most half
	// of an image.
	Side int
}

// TileSide is how long and wide a crop may be.
func (s Sheet) TileSide() int { return cmp.Or(s.Side, cropSide) }

// Size is that of the whole sheet in pixels, of so many methods.
func (s Sheet) Size(methods int) (width, height int) {
	side := s.TileSide() + sheetGap
	return (methods+1)*side - sheetGap, sheetTitle + s.Crops*side - sheetGap
}

// checkPath finds out before long work is done what would keep the sheet from being
// written.
func (s Sheet) checkPath() error {
	if s.Path == "" {
		return nil
	}
	if _, err := os.Stat(filepath.Dir(s.Path)); err != nil {
		return fmt.Errorf("contact sheet %s: make its folder first: %w", s.Path, err)
	}
	return runfiles.CheckWritable(s.Path)
}

const (
	sheetGap   = 4  // between tiles, in pixels
	sheetTitle = 16 // height of the line of names
	sheetSeed  = 1  // of the windows that are drawn at random
)

// drawSheet writes the contact sheet. Images are taken evenly by name. In every
// other row the crop is where methods differ most, which is where they fail; in the
// rest it lies at random, so that easy parts are seen too.
func (e *evaluation) drawSheet(ctx context.Context) error {
	var whole []int
	for i, rows := range e.rows {
		if !lacks(rows) {
			whole = append(whole, i)
		}
	}
	if len(whole) == 0 {
		return fmt.Errorf("contact sheet: no image has results of all methods")
	}
	g := &gallery{evaluation: e}
	var tiles [][]metric.Image
	for k := range e.Sheet.Crops {
		i := whole[k*len(whole)/e.Sheet.Crops]
		row, err := g.sheetRow(ctx, i, k)
		if err != nil {
			return fmt.Errorf("contact sheet: %s: %w", e.sources[i].name, err)
		}
		tiles = append(tiles, row)
	}
	var names []string
	for _, m := range e.Methods {
		names = append(names, m.Info().Name)
	}
	picture := e.Sheet.paste(append(names, "truth"), tiles)
	img, err := imageio.FromImage(picture)
	if err != nil {
		return fmt.Errorf("contact sheet: %w", err)
	}
	_, err = imageio.WriteFile(e.Sheet.Path, img, imageio.Options{})
	return err
}

// lacks reports whether a method has no result.
func lacks(rows []*Row) bool {
	for _, r := range rows {
		if r == nil {
			return true
		}
	}
	return false
}

// sheetRow cuts row k of the sheet from image i.
func (g *gallery) sheetRow(ctx context.Context, i, k int) ([]metric.Image, error) {
	s, results, err := g.results(ctx, i)
	if err != nil {
		return nil, err
	}
	share := 1
	if g.Sheet.Side == 0 {
		share = 2
	}
	h, w := s.window(g.Sheet.TileSide(), share)
	y, x := part(s, results, h, w)
	if k%2 == 1 {
		random, grid := philox.New(sheetSeed, uint64(k)), max(s.scale, 1)
		y = random.Intn(0, (s.hr.Height-h)/grid+1) * grid
		x = random.Intn(1, (s.hr.Width-w)/grid+1) * grid
	}
	var row []metric.Image
	for _, sr := range results {
		row = append(row, cut(*sr, y, x, h, w))
	}
	return append(row, cut(s.hr, y, x, h, w)), nil
}

// paste lays out the tiles of all methods and the truth on white, under their names.
func (s Sheet) paste(names []string, rows [][]metric.Image) *image.RGBA {
	side := s.TileSide() + sheetGap
	width, height := s.Size(len(names) - 1)
	out := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.Draw(out, out.Bounds(), image.White, image.Point{}, draw.Src)
	for c, name := range names {
		text := font.Drawer{Dst: out, Src: image.NewUniform(color.Black), Face: basicfont.Face7x13, Dot: fixed.P(c*side, sheetTitle-4)}
		text.DrawString(name[:min(len(name), s.TileSide()/7)])
	}
	for r, row := range rows {
		for c, tile := range row {
			at := image.Rect(c*side, sheetTitle+r*side, c*side+tile.Width, sheetTitle+r*side+tile.Height)
			draw.Draw(out, at, picture(tile), image.Point{}, draw.Src)
		}
	}
	return out
}
