package upscale

import (
	"math"
	"slices"
	"testing"

	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/model"
)

// TestDefaultModelHasNoSeams compares the default model's result by small windows
// with its result by one window: what differs must not gather at the windows'
// borders.
func TestDefaultModelHasNoSeams(t *testing.T) {
	if !slices.Contains(model.Embedded(), model.DefaultName) {
		t.Skip("no model is built in")
	}
	m, err := model.Open("")
	if err != nil {
		t.Fatal(err)
	}
	u, err := New(m)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	img, err := imageio.ReadFile("../testdata/coffee.png", imageio.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	// What the image leaves open is not spread evenly: other draws show where. They differ,
	// too, so several of them count.
	const draws = 3
	var whole, tiled [draws]*imageio.Image
	var plan *Plan
	for i := range draws {
		if whole[i], _, err = u.Upscale(t.Context(), img, Options{Tile: 512, Seed: uint64(i)}); err != nil {
			t.Fatal(err)
		}
		var report *Report
		tiled[i], report, err = u.Upscale(t.Context(), img, Options{Tile: 128, Overlap: largestOverlap, Seed: uint64(i)}) // as large windows have it
		if err != nil {
			t.Fatal(err)
		}
		if report.Windows < 4 {
			t.Fatalf("%d windows have too few borders", report.Windows)
		}
		plan, err = NewPlan(Geometry{Height: whole[i].Height, Width: whole[i].Width, Multiple: m.Config.Network.Multiple(), Window: report.Tile,
			Overlap: report.Overlap, Least: m.Config.Network.ImageSize, Fit: m.Config.Network.Local()})
		if err != nil {
			t.Fatal(err)
		}
	}
	var near, far, openNear, openFar float64
	for i := range draws {
		n, f := borderDifferences(plan, whole[i], tiled[i])
		on, of := borderDifferences(plan, whole[i], whole[(i+1)%draws])
		near, far, openNear, openFar = near+n/draws, far+f/draws, openNear+on/draws, openFar+of/draws
	}
	t.Logf("mean difference %.5f within 8 pixels of a border, %.5f elsewhere; between draws %.5f and %.5f", near, far, openNear, openFar)
	if near/openNear > 1.1*far/openFar {
		t.Errorf("the mean difference is %.5f at the windows' borders and %.5f elsewhere, between draws %.5f and %.5f", near, far, openNear, openFar)
	}
}

// borderDifferences gives the mean absolute difference within 8 pixels of a
// window's border that lies inside the image, and elsewhere.
func borderDifferences(p *Plan, a, b *imageio.Image) (near, far float64) {
	rows, cols := nearBorders(p.y), nearBorders(p.x)
	var sum, count [2]float64
	for i := range a.Pix {
		k := 0
		if rows[i/3/a.Width] || cols[i/3%a.Width] {
			k = 1
		}
		sum[k] += math.Abs(float64(a.Pix[i] - b.Pix[i]))
		count[k]++
	}
	return sum[1] / count[1], sum[0] / count[0]
}

// nearBorders marks the pixels of an axis within 8 of a border between windows.
func nearBorders(a axis) []bool {
	near := make([]bool, a.size)
	for _, origin := range a.origins {
		for _, border := range []int{origin, origin + a.window} {
			for i := border - 8; i < border+8 && border > 0 && border < a.padded; i++ {
				if i >= 0 && i < a.size {
					near[i] = true
				}
			}
		}
	}
	return near
}
