package imageio

import (
	"bytes"
	"image"
	"image/jpeg"
	"image/png"
	"testing"
)

// TestQualityIsThatOfTheEncoder reads every quality back from a file.
func TestQualityIsThatOfTheEncoder(t *testing.T) {
	img := image.NewRGBA(image.Rect(0, 0, 9, 9))
	for quality := 1; quality <= 100; quality++ {
		var b bytes.Buffer
		if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: quality}); err != nil {
			t.Fatal(err)
		}
		m, err := Decode(b.Bytes(), "test", Limits{})
		if err != nil {
			t.Fatal(err)
		}
		info, err := Inspect(b.Bytes(), "test", Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if m.Quality != quality || info.Quality != quality {
			t.Errorf("quality %d is read as %d and %d", quality, m.Quality, info.Quality)
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	if m, err := Decode(b.Bytes(), "test", Limits{}); err != nil || m.Quality != 0 {
		t.Errorf("a PNG has quality %d (%v)", m.Quality, err)
	}
}

// TestTablesOfFiles: wide tables, several in a segment, tables of other programs, and damage.
func TestTablesOfFiles(t *testing.T) {
	table := func(number byte, quality, more int) []byte {
		out := []byte{number}
		for _, step := range luminanceTable {
			out = append(out, byte(scaledStep(step, quality)+more))
		}
		return out
	}
	wide := []byte{0x10}
	for _, step := range luminanceTable {
		v := scaledStep(step, 35)
		wide = append(wide, byte(v>>8), byte(v))
	}
	for name, c := range map[string]struct {
		segment []byte
		want    int
	}{
		"one": {table(0, 80, 0), 80}, "second": {append(table(1, 20, 0), table(0, 64, 0)...), 64}, "wide": {wide, 35},
		"not quite": {table(0, 75, 1), 74}, "colour alone": {table(1, 50, 0), 0}, "empty": {nil, 0},
		"cut": {table(0, 50, 0)[:40], 0}, "cut wide": {wide[:100], 0},
	} {
		if got := jpegQuality(c.segment); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
