package eval

import (
	"path/filepath"
	"slices"
	"testing"
)

// TestSheetShowsCropsOfResults finds every tile of the contact sheet in the images that it was cut from.
func TestSheetShowsCropsOfResults(t *testing.T) {
	dir, out := folder(t, 3), t.TempDir()
	c := config(dir, out, fake{name: "one", shift: 3}, fake{name: "two", shift: 9, costly: true})
	c.Sheet = Sheet{Path: filepath.Join(out, "sheet.png"), Crops: 5}
	mustRun(t, c)
	sheet, err := readRGB(c.Sheet.Path)
	if err != nil {
		t.Fatal(err)
	}
	side := cropSide + sheetGap
	if w, h := c.Sheet.Size(2); w != sheet.Width || h != sheet.Height {
		t.Errorf("announced as %dx%d", w, h)
	}
	if sheet.Width != 3*side-sheetGap || sheet.Height != sheetTitle+5*side-sheetGap {
		t.Fatalf("%dx%d pixels", sheet.Width, sheet.Height)
	}
	at := func(row, column, y, x int) int { // red
		return int(sheet.Pix[3*((sheetTitle+row*side+y)*sheet.Width+column*side+x)])
	}
	for row := range 5 {
		same := 0
		for y := range 16 {
			for x := range 16 {
				if at(row, 1, y, x)-at(row, 0, y, x) == 6 { // the shifts of the two methods differ by it
					same++
				}
			}
		}
		if same != 256 {
			t.Errorf("row %d: %d of 256 pixels are those of the results", row, same)
		}
		if at(row, 2, 0, 0) == 255 && at(row, 2, 5, 5) == 255 {
			t.Errorf("row %d: no truth", row)
		}
	}
	c.Sheet.Side = 200 // more than the images have
	mustRun(t, c)
	whole, err := readRGB(c.Sheet.Path)
	if err != nil {
		t.Fatal(err)
	}
	for row := range 5 {
		truth, err := readRGB(filepath.Join(dir, "aabbc"[row:row+1]+".png"))
		if err != nil {
			t.Fatal(err)
		}
		truth = cut(truth, 0, 0, truth.Height/4*4, truth.Width/4*4)
		tile := cut(whole, sheetTitle+row*204, 2*204, truth.Height, truth.Width)
		if !slices.Equal(tile.Pix, truth.Pix) {
			t.Errorf("row %d does not show the whole image", row)
		}
	}
	c.Sheet.Path = filepath.Join(out, "missing", "sheet.png")
	if r, err := Run(t.Context(), c); err == nil || r != nil {
		t.Errorf("a sheet that cannot be written is found out late: %v", err)
	}
}

// TestReportWithoutSheet: where nothing can be on the sheet, the report comes with the error.
func TestReportWithoutSheet(t *testing.T) {
	dir, out := folder(t, 2), t.TempDir()
	c := config(dir, out, fake{name: "one", lacks: "a"}, fake{name: "two", lacks: "b"})
	c.Own, c.Sheet = true, Sheet{Path: filepath.Join(out, "sheet.png"), Crops: 1}
	r, err := Run(t.Context(), c)
	if err == nil || r == nil || len(r.Methods) != 2 {
		t.Errorf("report %v, error %v", r, err)
	}
}
