package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/sr3-go/sr3/internal/philox"
)

// draw is the random half of the arguments of Dropout.
type draw struct {
	seed, stream, counter uint64
	threshold             uint32
}

// thresholdOf is the threshold of a rate of dropout.
func thresholdOf(rate float32) uint32 { return uint32(math.Ceil(float64(rate) * (1 << 32))) }

// wantDropout is element i by the definition.
func wantDropout(d draw, i int, x, scale float32) float32 {
	if philox.New(d.seed, d.stream).Uint32x4(d.counter + uint64(i/4))[i%4] < d.threshold {
		return 0
	}
	return x * scale
}

// checkDropout runs Dropout on n elements that start offset floats into their
// buffers, into a buffer of its own and then in place.
func checkDropout(r *rand.Rand, d draw, n, offset int) error {
	const scale = 1.3
	x, dst := nans(n+offset+guard), canaries(n+offset+guard)
	in := func(b []float32) []float32 { return b[offset : offset+n : offset+n] }
	copy(in(x), randoms(r, n))
	Dropout(in(dst), in(x), d.seed, d.stream, d.counter, d.threshold, scale)
	want := canaries(len(dst))
	for i := range n {
		want[offset+i] = wantDropout(d, i, x[offset+i], scale)
	}
	Dropout(in(x), in(x), d.seed, d.stream, d.counter, d.threshold, scale)
	for i := range dst {
		if math.Float32bits(dst[i]) != math.Float32bits(want[i]) {
			return fmt.Errorf("element %d of %d at offset %d is %v, want %v", i-offset, n, offset, dst[i], want[i])
		}
		if i >= offset && i < offset+n && math.Float32bits(x[i]) != math.Float32bits(want[i]) {
			return fmt.Errorf("in place, element %d of %d at offset %d is %v, want %v", i-offset, n, offset, x[i], want[i])
		}
	}
	return nil
}

func TestDropoutLengths(t *testing.T) {
	forEachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(31, 32))
		for n := range 2*128 + 34 { // twice the largest block, and more
			for offset := range 17 {
				d := draw{r.Uint64(), r.Uint64(), r.Uint64(), r.Uint32()}
				if err := checkDropout(r, d, n, offset); err != nil {
					t.Fatalf("%+v: %v", d, err)
				}
			}
		}
	})
}

// TestDropoutRates compares thresholds at and between the words that occur, with
// counters that carry into their high half, and past the last one.
func TestDropoutRates(t *testing.T) {
	counters := []uint64{0, 1, 1<<31 - 9, 1 << 31, 1<<32 - 40, 1<<32 - 1, 1 << 32, 7<<32 - 13, math.MaxUint64 - 11, math.MaxUint64}
	rates := []float32{0, 0x1p-32, 1e-6, 0.2, 0.5, math.Nextafter32(0.5, 1), 0.999, math.Nextafter32(1, 0)}
	forEachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(33, 34))
		for _, counter := range counters {
			d := draw{seed: r.Uint64(), stream: r.Uint64(), counter: counter}
			var thresholds []uint32
			for _, rate := range rates {
				thresholds = append(thresholds, thresholdOf(rate))
			}
			for i := range uint64(3) { // drops no word that is equal to it
				for _, word := range philox.New(d.seed, d.stream).Uint32x4(counter + 5*i) {
					thresholds = append(thresholds, word, word+1)
				}
			}
			for _, d.threshold = range append(thresholds, math.MaxUint32) {
				if err := checkDropout(r, d, 331, 3); err != nil {
					t.Fatalf("%+v: %v", d, err)
				}
			}
		}
	})
}

// TestDropoutKnownAnswers finds each of the words that the authors of Philox publish
// (Random123, kat_vectors) by the two thresholds next to it, in every lane.
func TestDropoutKnownAnswers(t *testing.T) {
	cases := []struct {
		draw
		want [4]uint32
	}{
		{draw{0, 0, 0, 0}, [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{draw{math.MaxUint64, math.MaxUint64, math.MaxUint64, 0}, [4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{draw{0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88, 0}, [4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	}
	forEachTier(t, func(t *testing.T) {
		for _, c := range cases {
			for before := range 40 {
				x := make([]float32, 4*before+4)
				for i := range x {
					x[i] = 1
				}
				got := make([]float32, len(x))
				for j, word := range c.want {
					Dropout(got, x, c.seed, c.stream, c.counter-uint64(before), word, 2)
					kept := got[4*before+j]
					Dropout(got, x, c.seed, c.stream, c.counter-uint64(before), word+1, 2)
					if dropped := got[4*before+j]; kept != 2 || dropped != 0 {
						t.Fatalf("counter %#x, word %d, %d blocks in: %v at %#x, %v at the next", c.counter, j, before, kept, word, dropped)
					}
				}
			}
		}
	})
}

// What is dropped is +0, whatever it was; what stays goes through as in a product.
func TestDropoutSpecials(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	forEachTier(t, func(t *testing.T) {
		for _, special := range []float32{inf, -inf, nan, -1, 0, float32(math.Copysign(0, -1)), 1e-45, 3e38} {
			x, got := make([]float32, 150), make([]float32, 150)
			for i := range x {
				x[i] = special
			}
			d := draw{5, 6, 7, 1 << 31}
			Dropout(got, x, d.seed, d.stream, d.counter, d.threshold, 2)
			for i, v := range got {
				want := wantDropout(d, i, special, 2)
				if math.Float32bits(v) != math.Float32bits(want) && !(v != v && want != want) {
					t.Fatalf("%v: element %d is %v, want %v", special, i, v, want)
				}
			}
		}
	})
}
