package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// elementwise is a kernel of two inputs (the second of which it may ignore)
// with its value in float64.
type elementwise struct {
	name     string
	two      bool
	run      func(dst, x, y []float32)
	want     func(x, y float64) float64
	rel, abs float64 // error allowed
}

const ulp = 0x1p-23

func wantSilu(x float64) float64 { return x / (1 + math.Exp(-x)) }

func wantSiluGrad(x float64) float64 {
	s := 1 / (1 + math.Exp(-x))
	return s * (1 + x*(1-s))
}

var elementwises = []elementwise{
	{"Add", true, Add, func(x, y float64) float64 { return x + y }, ulp, 0},
	{"Sub", true, Sub, func(x, y float64) float64 { return x - y }, ulp, 0},
	{"Mul", true, Mul, func(x, y float64) float64 { return x * y }, ulp, 0},
	{"ScaleShift", false, func(dst, x, _ []float32) { ScaleShift(dst, x, 1.5, -0.25) },
		func(x, _ float64) float64 { return x*1.5 - 0.25 }, ulp, 4e-7},
	{"Exp", false, func(dst, x, _ []float32) { Exp(dst, x) },
		func(x, _ float64) float64 { return math.Exp(x) }, 2 * ulp, 0},
	{"Sigmoid", false, func(dst, x, _ []float32) { Sigmoid(dst, x) },
		func(x, _ float64) float64 { return 1 / (1 + math.Exp(-x)) }, 4 * ulp, 0},
	{"Silu", false, func(dst, x, _ []float32) { Silu(dst, x) },
		func(x, _ float64) float64 { return wantSilu(x) }, 4 * ulp, 0},
	{"Sin", false, func(dst, x, _ []float32) { Sin(dst, x) }, func(x, _ float64) float64 { return math.Sin(x) }, 2 * ulp, 0},
	{"Cos", false, func(dst, x, _ []float32) { Cos(dst, x) }, func(x, _ float64) float64 { return math.Cos(x) }, 2 * ulp, 0},
	{"SiluGrad", true, SiluGrad,
		func(x, g float64) float64 { return g * wantSiluGrad(x) }, ulp, 2e-6},
}

func TestElementwise(t *testing.T) {
	forEachTier(t, func(t *testing.T) {
		for _, k := range elementwises {
			r := rand.New(rand.NewPCG(9, 10))
			for n := range 2*64 + 2 {
				for offset := range 17 {
					if err := k.check(r, n, offset); err != nil {
						t.Fatalf("%s, %d elements at offset %d: %v", k.name, n, offset, err)
					}
				}
			}
		}
	})
}

// check runs k on n elements that start offset floats into their buffers, into
// a buffer of its own and then in place.
func (k elementwise) check(r *rand.Rand, n, offset int) error {
	x, y, dst := nans(n+offset+guard), nans(n+offset+guard), canaries(n+offset+guard)
	in := func(b []float32) []float32 { return b[offset : offset+n : offset+n] }
	copy(in(x), randoms(r, n))
	copy(in(y), randoms(r, n))
	k.run(in(dst), in(x), in(y))
	for i, v := range dst {
		if i < offset || i >= offset+n {
			if v != canary {
				return fmt.Errorf("wrote element %d", i-offset)
			}
			continue
		}
		want := k.want(float64(x[i]), float64(y[i]))
		if d := math.Abs(float64(v) - want); !(d <= k.rel*math.Abs(want)+k.abs) {
			return fmt.Errorf("of %v and %v: got %v, want %v", x[i], y[i], v, want)
		}
	}
	result := func(inPlace []float32) error {
		for i := range n {
			if inPlace[i] != in(dst)[i] {
				return fmt.Errorf("in place, element %d: got %v, want %v", i, inPlace[i], in(dst)[i])
			}
		}
		return nil
	}
	x2, y2 := append([]float32(nil), in(x)...), append([]float32(nil), in(y)...)
	k.run(x2, x2, in(y))
	if err := result(x2); err != nil {
		return err
	}
	if !k.two {
		return nil
	}
	k.run(y2, in(x), y2)
	return result(y2)
}

func TestAxpy(t *testing.T) {
	forEachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(11, 12))
		for n := range 130 {
			x, dst := guarded(r, n, nans), append(randoms(r, n), canaries(guard)...)
			before := append([]float32(nil), dst...)
			Axpy(dst[:n], 0.75, x)
			for i := range dst {
				if i >= n {
					if dst[i] != canary {
						t.Fatalf("%d elements: wrote element %d", n, i)
					}
					continue
				}
				want := float64(before[i]) + 0.75*float64(x[i])
				if math.Abs(float64(dst[i])-want) > 4e-7 {
					t.Fatalf("%d elements: element %d is %v, want %v", n, i, dst[i], want)
				}
			}
		}
	})
}

// sweep calls f with every value of a grid over all magnitudes of float32 and
// both signs, in slices of 64 with the results of run.
func sweep(run func(dst, x []float32), f func(x, got float32)) {
	x, got := make([]float32, 0, 64), make([]float32, 64)
	flush := func() {
		run(got[:len(x)], x)
		for i := range x {
			f(x[i], got[i])
		}
		x = x[:0]
	}
	for bits := uint64(0); bits < 1<<32; bits += 4093 { // a prime: all low bits occur
		if v := math.Float32frombits(uint32(bits)); v == v {
			x = append(x, v)
		}
		if len(x) == cap(x) {
			flush()
		}
	}
	for v := float32(-110); v < 110; v += 0.00137 {
		x = append(x, v)
		if len(x) == cap(x) {
			flush()
		}
	}
	flush()
}

// ulps is the error of got in units of the last place of want.
func ulps(got float32, want float64) float64 {
	if math.IsInf(float64(got), 0) && math.Abs(want) >= math.MaxFloat32 {
		return 0
	}
	_, exponent := math.Frexp(want)
	unit := math.Ldexp(1, max(exponent-24, -149))
	return math.Abs(float64(got)-want) / unit
}

func TestExponentialAccuracy(t *testing.T) {
	forEachTier(t, func(t *testing.T) {
		worst := map[string]float64{}
		note := func(name string, x, got float32, want, limit float64) {
			e := ulps(got, want)
			worst[name] = max(worst[name], e)
			if !(e <= limit) {
				t.Fatalf("%s(%v) = %v, want %v: %v ULP", name, x, got, want, e)
			}
		}
		sweep(Exp, func(x, got float32) {
			want := math.Exp(float64(x))
			if want > math.MaxFloat32 {
				want = math.Inf(1)
			}
			if got == 0 && x < -103.9 || math.IsInf(float64(got), 1) && x > 88.72 {
				return
			}
			note("exp", x, got, want, 2)
		})
		sweep(Sigmoid, func(x, got float32) {
			if x > -88.7 {
				note("sigmoid", x, got, 1/(1+math.Exp(-float64(x))), 4)
			} else if !(got >= 0 && got < 4e-39) {
				t.Fatalf("sigmoid(%v) = %v", x, got)
			}
		})
		sweep(Silu, func(x, got float32) {
			if x > -87 {
				note("silu", x, got, wantSilu(float64(x)), 4)
			} else if !(got <= 0 && got > -1e-35) && !math.IsInf(float64(x), -1) {
				t.Fatalf("silu(%v) = %v", x, got)
			}
		})
		ones := make([]float32, 64)
		for i := range ones {
			ones[i] = 1
		}
		sweep(func(dst, x []float32) { SiluGrad(dst, x, ones[:len(x)]) }, func(x, got float32) {
			want := wantSiluGrad(max(min(float64(x), 500), -500))
			e := math.Abs(float64(got) - want)
			worst["siluGrad, absolute"] = max(worst["siluGrad, absolute"], e)
			if !(e <= 3e-7) {
				t.Fatalf("siluGrad(%v) = %v, want %v", x, got, want)
			}
		})
		t.Log(worst)
	})
}

func TestExponentialSpecials(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	forEachTier(t, func(t *testing.T) {
		for _, c := range []struct {
			name    string
			run     func(dst, x []float32)
			x, want float32
		}{
			{"Exp", Exp, inf, inf}, {"Exp", Exp, -inf, 0}, {"Exp", Exp, nan, nan}, {"Exp", Exp, 0, 1},
			{"Exp", Exp, 88.73, inf}, {"Exp", Exp, -103.98, 0}, {"Exp", Exp, -103.9, 0x1p-149}, {"Exp", Exp, 3e38, inf}, {"Exp", Exp, -3e38, 0},
			{"Sigmoid", Sigmoid, inf, 1}, {"Sigmoid", Sigmoid, -inf, 0}, {"Sigmoid", Sigmoid, nan, nan}, {"Sigmoid", Sigmoid, 0, 0.5},
			{"Silu", Silu, inf, inf}, {"Silu", Silu, nan, nan}, {"Silu", Silu, 0, 0}, {"Silu", Silu, -inf, nan}, {"Silu", Silu, -1e30, 0},
		} {
			for n := 1; n < 50; n++ { // once in every lane and loop
				x, dst := make([]float32, n), make([]float32, n)
				x[n-1] = c.x
				c.run(dst, x)
				if got := dst[n-1]; got != c.want && !(got != got && c.want != c.want) {
					t.Errorf("%s(%v) = %v in element %d", c.name, c.x, got, n-1)
				}
			}
		}
	})
}

func FuzzSiluGrad(f *testing.F) {
	f.Add(float32(1), float32(2), 3)
	f.Add(float32(-90), float32(1), 17)
	f.Fuzz(func(t *testing.T, x, g float32, n int) {
		n = 1 + int(uint(n)%70)
		xs, gs := make([]float32, n), make([]float32, n)
		for i := range n {
			xs[i], gs[i] = x*float32(i+1)/float32(n), g
		}
		want := make([]float32, n)
		refSiluGrad(want, xs, gs)
		forEachTier(t, func(t *testing.T) {
			got := make([]float32, n)
			SiluGrad(got, xs, gs)
			for i := range n {
				limit := 6e-7*math.Abs(float64(g)) + 0x1p-148
				if d := math.Abs(float64(got[i]) - float64(want[i])); d > limit || (got[i] != got[i]) != (want[i] != want[i]) {
					t.Errorf("g %v x %v: got %v, want %v", g, xs[i], got[i], want[i])
				}
			}
		})
	})
}

func TestAllocates(t *testing.T) {
	forEachTier(t, func(t *testing.T) {
		x, y, h := make([]float32, 100), make([]float32, 100), make([]uint16, 100)
		row := make([]float32, 10)
		if n := testing.AllocsPerRun(10, func() {
			Add(x, x, y)
			Silu(x, y)
			Sin(x, y)
			Transpose(x, 10, y, 10, 9, 9)
			Dropout(x, y, 1, 2, 3, 4, 1)
			SiluGrad(x, x, y)
			AddRow(x, x, row)
			NormApply(x, y, row, row, true)
			NormGradSums(row, row, x, y, row, row, true)
			NormGradInput(x, x, y, row, row, row, row, row, true)
			Moments(row, row, x)
			Adam(x, y, x, y, nil, 1, 1, 0, 0, 1, 1, 1, 0)
			Float16Encode(h, x)
			Float16Decode(x, h)
			_ = Sum(x) + Dot(x, y) + float64(Max(x))
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

func TestLengthsPanic(t *testing.T) {
	two, three := make([]float32, 2), make([]float32, 3)
	for name, f := range map[string]func(){
		"Add":           func() { Add(two, two, three) },
		"Axpy":          func() { Axpy(two, 1, three) },
		"Exp":           func() { Exp(two, three) },
		"Sin":           func() { Sin(two, three) },
		"Dropout":       func() { Dropout(two, three, 0, 0, 0, 0, 1) },
		"Dot":           func() { Dot(two, three) },
		"AddRow":        func() { AddRow(three, three, two) },
		"AddRow empty":  func() { AddRow(three, three, nil) },
		"NormApply":     func() { NormApply(two, two, two, three, false) },
		"Moments":       func() { Moments(two, two, three) },
		"Adam":          func() { Adam(two, two, two, two, three, 1, 1, 0, 0, 1, 1, 1, 0) },
		"Float16Encode": func() { Float16Encode(nil, two) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s did not panic", name)
				}
			}()
			f()
		}()
	}
}
