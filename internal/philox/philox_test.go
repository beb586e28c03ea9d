package philox

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The three known answers that the authors of Philox publish with their implementation (Random123, kat_vectors).
func TestKnownAnswers(t *testing.T) {
	for _, c := range []struct {
		seed, stream, counter uint64
		want                  [4]uint32
	}{
		{0, 0, 0, [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{math.MaxUint64, math.MaxUint64, math.MaxUint64, [4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88, [4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	} {
		if got := New(c.seed, c.stream).Uint32x4(c.counter); got != c.want {
			t.Errorf("seed %x stream %x counter %x: %x, want %x", c.seed, c.stream, c.counter, got, c.want)
		}
	}
}

func TestNormalDependsOnPositionOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := New(rapid.Uint64().Draw(t, "seed"), rapid.Uint64().Draw(t, "stream"))
		base := rapid.Uint64Range(0, 1<<40).Draw(t, "base")
		whole := make([]float32, 64)
		s.Normal(whole, base)
		lo := rapid.IntRange(0, 64).Draw(t, "lo")
		hi := rapid.IntRange(lo, 64).Draw(t, "hi")
		part := make([]float32, hi-lo)
		s.Normal(part, base+uint64(lo))
		if !slices.Equal(part, whole[lo:hi]) {
			t.Fatalf("[%d:%d] of offset %d differs", lo, hi, base)
		}
	})
}

func TestNormalMoments(t *testing.T) {
	const n = 1 << 18
	x := make([]float32, n)
	New(7, 3).Normal(x, 0)
	var m1, m2, m3, m4, lag float64
	for i, v := range x {
		f := float64(v)
		m1 += f
		m2 += f * f
		m3 += f * f * f
		m4 += f * f * f * f
		if i > 0 {
			lag += f * float64(x[i-1])
		}
	}
	// Five standard errors of each sample moment.
	for _, c := range []struct {
		name             string
		got, want, sigma float64
	}{
		{"mean", m1 / n, 0, 1}, {"variance", m2 / n, 1, math.Sqrt(2)}, {"third", m3 / n, 0, math.Sqrt(15)},
		{"fourth", m4 / n, 3, math.Sqrt(96)}, {"lag 1", lag / n, 0, 1},
	} {
		if math.Abs(c.got-c.want) > 5*c.sigma/math.Sqrt(n) {
			t.Errorf("%s moment %g, want %g", c.name, c.got, c.want)
		}
	}
}

func TestStreamsAndSeedsDiffer(t *testing.T) {
	a, b, c := make([]float32, 8), make([]float32, 8), make([]float32, 8)
	New(1, 1).Normal(a, 0)
	New(1, 2).Normal(b, 0)
	New(2, 1).Normal(c, 0)
	if slices.Equal(a, b) || slices.Equal(a, c) || slices.Equal(b, c) {
		t.Error("two different sequences are equal")
	}
}

func TestUniforms(t *testing.T) {
	s := New(11, 0)
	const n = 1 << 14
	var sum float64
	counts := make([]int, 7)
	for i := range uint64(n) {
		f := s.Float64(i)
		if f < 0 || f >= 1 {
			t.Fatalf("Float64(%d) = %g", i, f)
		}
		sum += f
		counts[s.Intn(i, 7)]++
	}
	if d := math.Abs(sum/n - 0.5); d > 5*math.Sqrt(1.0/12/n) {
		t.Errorf("mean is off by %g", d)
	}
	for v, c := range counts {
		if math.Abs(float64(c)-n/7.0) > 5*math.Sqrt(n*6.0/49) {
			t.Errorf("Intn gave %d %d times of %d", v, c, n)
		}
	}
	if s.Uint64(0) == s.Uint64(1) {
		t.Error("halves of a block are equal")
	}
}

func TestIntnPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("Intn(0) did not panic")
		}
	}()
	New(0, 0).Intn(0, 0)
}

func TestNoAllocations(t *testing.T) {
	dst := make([]float32, 33)
	if n := testing.AllocsPerRun(10, func() { New(1, 2).Normal(dst, 3) }); n != 0 {
		t.Errorf("%g allocations", n)
	}
}

func BenchmarkNormal(b *testing.B) {
	dst := make([]float32, 1<<16)
	b.SetBytes(int64(4 * len(dst)))
	for b.Loop() {
		New(1, 2).Normal(dst, 0)
	}
}
