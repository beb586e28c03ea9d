package dataset

import (
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/sr3-go/sr3/degrade"
	"github.com/sr3-go/sr3/internal/philox"
)

// noisyPhoto is a folder with one picture of random pixels.
func noisyPhoto(t *testing.T, side int) string {
	t.Helper()
	img := picture(side, side, 0)
	random := philox.New(1, 1)
	for i := range img.Pix {
		if i%4 != 3 {
			img.Pix[i] = uint8(random.Uint64(uint64(i)))
		}
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "noise.png"), encodePNG(t, img))
	return dir
}

func everything() degrade.Settings {
	return degrade.Settings{
		Blur: degrade.Range{Probability: 0.6, Low: 0.3, High: 1.5}, Noise: degrade.Range{Probability: 0.6, Low: 3, High: 20},
		JPEG: degrade.Range{Probability: 0.6, Low: 20, High: 90},
	}
}

// TestDegradingLeavesTheRest: the crops are those without, and so are conditions that nothing happened to; the others
// differ, and are a function of the seed and the step alone.
func TestDegradingLeavesTheRest(t *testing.T) {
	dir := noisyPhoto(t, 160)
	opt := options()
	opt.Batch = 32
	plain := batch(t, open(t, opt, dir), 1)
	opt.Degrade = everything()
	s := open(t, opt, dir)
	batch(t, s, 0)
	got, again := batch(t, s, 1), batch(t, open(t, opt, dir), 1)
	if !slices.Equal(got.HR, plain.HR) {
		t.Error("the crops differ")
	}
	if !slices.Equal(got.X, again.X) || !slices.Equal(got.Lost, again.Lost) {
		t.Error("not a function of the seed and the step")
	}
	n, clean := len(got.X)/got.N, 0
	for k, lost := range got.Lost {
		same := slices.Equal(got.X[k*n:][:n], plain.X[k*n:][:n])
		if nothing := lost == (degrade.Amount{}); same != nothing {
			t.Errorf("example %d lost %v: its condition is that without: %v", k, lost, same)
		} else if nothing {
			clean++
		}
	}
	if clean == 0 || clean == got.N {
		t.Errorf("%d of %d examples are clean", clean, got.N)
	}
	opt.Seed++
	if other := batch(t, open(t, opt, dir), 1); slices.Equal(got.Lost, other.Lost) {
		t.Error("another seed loses the same")
	}
}

// TestBlurIsThatOfTheWholeImage compares crops on the scale's grid with the same piece of the whole image.
func TestBlurIsThatOfTheWholeImage(t *testing.T) {
	opt := Options{Size: 16, Scale: 4, Batch: 1}
	s := open(t, opt, noisyPhoto(t, 96))
	p, err := s.photo(0)
	if err != nil {
		t.Fatal(err)
	}
	lost := degrade.Amount{Blur: 0.8}
	whole := make([]float32, 96*96*3)
	if err := s.degrade(whole, p, window{0, 0, 96, 96}, lost, 0); err != nil {
		t.Fatal(err)
	}
	for _, at := range []window{{0, 0, 16, 16}, {40, 36, 16, 16}, {80, 80, 16, 16}} {
		piece, crop := p.around(at, 4, around(lost))
		got := make([]float32, 16*16*3)
		if err := s.degrade(got, piece, crop, lost, 0); err != nil {
			t.Fatal(err)
		}
		for r := range 16 {
			for i, v := range got[r*48:][:48] {
				if d := v - whole[((at.y+r)*96+at.x)*3+i]; d > 1.1/127.5 || d < -1.1/127.5 { // a step of 8 bits
					t.Fatalf("crop at %v: row %d, value %d is off by %v", at, r, i, d)
				}
			}
		}
	}
}

// TestBlocksBeginAnywhere: with another phase of the blocks the same crop is compressed to something else, and there
// are many phases; at the corner of a photo there is one, that of its file.
func TestBlocksBeginAnywhere(t *testing.T) {
	s := open(t, Options{Size: 16, Scale: 4, Batch: 1}, noisyPhoto(t, 320))
	p, err := s.photo(0)
	if err != nil {
		t.Fatal(err)
	}
	lost := degrade.Amount{Quality: 30}
	results := func(at window) int {
		seen := map[string]bool{}
		for q := range uint64(24) {
			piece, crop := p.around(at, 4, around(lost))
			low, _, err := s.low(piece, crop, lost, q)
			if err != nil {
				t.Fatal(err)
			}
			seen[string(low.pix)] = true
		}
		return len(seen)
	}
	if n := results(window{160, 160, 16, 16}); n < 20 {
		t.Errorf("%d results of 24 in the middle", n)
	}
	if n := results(window{0, 0, 16, 16}); n != 1 {
		t.Errorf("%d results at the corner", n)
	}
}

// TestDegradedCropsStayInPlace: for a smooth picture the condition stays close to the crop whatever happens.
func TestDegradedCropsStayInPlace(t *testing.T) {
	dir := folder(t)
	rapid.Check(t, func(rt *rapid.T) {
		opt := options()
		opt.Scale = rapid.SampledFrom([]int{2, 4, 8}).Draw(rt, "scale")
		opt.Size = opt.Scale * rapid.IntRange(1, 32/opt.Scale).Draw(rt, "size")
		opt.Flip, opt.Rotate = rapid.Bool().Draw(rt, "flip"), rapid.Bool().Draw(rt, "rotate")
		opt.Quantise = rapid.Bool().Draw(rt, "quantise")
		opt.Seed = rapid.Uint64().Draw(rt, "seed")
		opt.Degrade = degrade.Settings{
			Blur: degrade.Range{Probability: 0.5, Low: 0, High: 0.5}, JPEG: degrade.Range{Probability: 0.7, Low: 90, High: 100},
		}
		s, err := Open([]string{dir}, opt)
		if err != nil {
			rt.Fatal(err)
		}
		b, err := s.Batch(rapid.IntRange(0, 1000).Draw(rt, "step"))
		if err != nil {
			rt.Fatal(err)
		}
		for i, hr := range b.HR {
			if d := float64(hr - b.X[i]); d > 0.2 || d < -0.2 {
				rt.Fatalf("element %d: crop %v, condition %v", i, hr, b.X[i])
			}
		}
	})
}
