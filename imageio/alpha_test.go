package imageio_test

import (
	"math"
	"testing"

	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/resample"
	"pgregory.net/rapid"
)

func TestBleedAlphaKeepsVisibleColours(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, h := rapid.IntRange(1, 40).Draw(t, "w"), rapid.IntRange(1, 40).Draw(t, "h")
		m := random(rapid.Uint64().Draw(t, "seed"), w, h, 8, false, true)
		lo, hi := float32(2), float32(-2)
		for i := range m.Alpha {
			if i%3 > 0 {
				m.Alpha[i] = 0
			} else {
				m.Alpha[i] = max(m.Alpha[i], 0.1)
				for _, v := range m.Pix[3*i : 3*i+3] {
					lo, hi = min(lo, v), max(hi, v)
				}
			}
		}
		before := append([]float32(nil), m.Pix...)
		imageio.BleedAlpha(m)
		for i, v := range m.Pix {
			if m.Alpha[i/3] > 0 && v != before[i] {
				t.Fatalf("visible sample %d changed", i)
			}
			if v < lo-1e-5 || v > hi+1e-5 {
				t.Fatalf("sample %d is %v, outside the visible colours' %v to %v", i, v, lo, hi)
			}
		}
	})
}

// A red disc on transparent green: without bleeding, reduction tints its edge.
func TestBleedAlphaPreventsFringes(t *testing.T) {
	const side = 64
	disc := func() *imageio.Image {
		m := imageio.New(side, side)
		m.Alpha = make([]float32, side*side)
		for i := range side * side {
			inside := math.Hypot(float64(i%side)-31.5, float64(i/side)-31.5) < 20
			if inside {
				m.Pix[3*i], m.Alpha[i] = 1, 1
			} else {
				m.Pix[3*i+1] = 1
			}
		}
		return m
	}
	greenest := func(m *imageio.Image) (worst float32) {
		const small = side / 4
		pix, alpha := make([]float32, 3*small*small), make([]float32, small*small)
		if err := resample.Resize(pix, m.Pix, small, small, side, side, 3, resample.Bicubic, 1); err != nil {
			t.Fatal(err)
		}
		if err := resample.Resize(alpha, m.Alpha, small, small, side, side, 1, resample.Bicubic, 1); err != nil {
			t.Fatal(err)
		}
		worst = -1
		for i, a := range alpha {
			if a > 0.05 {
				worst = max(worst, pix[3*i+1])
			}
		}
		return worst
	}
	m := disc()
	if v := greenest(m); v < -0.5 {
		t.Fatalf("no fringe without bleeding (%v): this test shows nothing", v)
	}
	imageio.BleedAlpha(m)
	if v := greenest(m); v > -0.999 {
		t.Errorf("green %v at the edge", v)
	}
}

func TestBleedAlphaWithNothingVisible(t *testing.T) {
	m := random(1, 5, 5, 8, false, true)
	clear(m.Alpha)
	before := append([]float32(nil), m.Pix...)
	imageio.BleedAlpha(m)
	for i := range before {
		if m.Pix[i] != before[i] {
			t.Fatal("an invisible picture was changed")
		}
	}
	m.Alpha = nil
	imageio.BleedAlpha(m)
}

func TestFlatten(t *testing.T) {
	m := imageio.New(2, 1)
	m.Alpha = []float32{0, 0.5}
	m.Flatten([3]float32{1, 0, -1})
	want := []float32{1, 0, -1, 0, -0.5, -1}
	for i := range want {
		if m.Pix[i] != want[i] {
			t.Fatalf("got %v, want %v", m.Pix, want)
		}
	}
	if m.Alpha != nil {
		t.Error("alpha is still there")
	}
}
