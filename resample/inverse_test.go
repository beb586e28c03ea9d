package resample_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sr3-go/sr3/resample"
	"pgregory.net/rapid"
)

// reduction draws a reduction of any sizes and scales.
func reduction(t *rapid.T) resample.Operator {
	side := func(name string) (out, in int) {
		out = rapid.IntRange(1, 40).Draw(t, name)
		return out, out + rapid.IntRange(0, 5*out).Draw(t, name+" more")
	}
	dh, sh := side("rows")
	dw, sw := side("columns")
	o, err := resample.NewOperator(dh, dw, sh, sw, resample.Bicubic)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// inverse is the operator's right inverse.
func inverse(t testing.TB, o resample.Operator) *resample.RightInverse {
	t.Helper()
	r, err := o.RightInverse()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// noise is an image of standard normal samples.
func noise(rng *rand.Rand, n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(rng.NormFloat64())
	}
	return out
}

// apply is A u.
func apply(t testing.TB, o resample.Operator, u []float32, c int) []float32 {
	t.Helper()
	out := make([]float32, o.Y.Out*o.X.Out*c)
	if err := o.Apply(out, u, c, 1); err != nil {
		t.Fatal(err)
	}
	return out
}

// farthest is the largest difference of two slices.
func farthest(a, b []float32) (worst float64) {
	for i := range a {
		worst = max(worst, math.Abs(float64(a[i])-float64(b[i])))
	}
	return worst
}

func inner(a, b []float32) (sum float64) {
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

func TestProject(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		o, c := reduction(rt), rapid.IntRange(1, 4).Draw(rt, "channels")
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1))
		r := inverse(t, o)
		low := noise(rng, o.Y.Out*o.X.Out*c)
		before := noise(rng, o.Y.In*o.X.In*c)
		u, scratch := slices.Clone(before), make([]float32, len(low))
		project := func() {
			if err := r.Project(u, low, scratch, c, 1); err != nil {
				rt.Fatal(err)
			}
		}
		project()
		if d := farthest(apply(t, o, u, c), low); d > 1e-5 {
			rt.Fatalf("the projection is taken to another image, by %g", d)
		}
		once := slices.Clone(u)
		project()
		if d := farthest(u, once); d > 1e-5 {
			rt.Fatalf("projecting twice is not projecting once, by %g", d)
		}
		// Nearest: what was added is orthogonal to the null space, here to the
		// difference of the projections of two images.
		added := make([]float32, len(u))
		for i := range added {
			added[i] = once[i] - before[i]
		}
		copy(u, noise(rng, len(u)))
		project()
		for i := range u {
			u[i] -= once[i]
		}
		if p := math.Abs(inner(u, added)); p > 1e-5*(1+math.Sqrt(inner(u, u)*inner(added, added))) {
			rt.Fatalf("the projection is not the nearest image: inner product %g", p)
		}
	})
}

// A large image, more than one band of rows and one piece of columns.
func TestProjectOnThreads(t *testing.T) {
	o, err := resample.NewOperator(75, 131, 301, 520, resample.Bicubic)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 1))
	low, start := noise(rng, 75*131*3), noise(rng, 301*520*3)
	scratch, r := make([]float32, len(low)), inverse(t, o)
	var want []float32
	for _, threads := range []int{1, 2, 5} {
		u := slices.Clone(start)
		if err := r.Project(u, low, scratch, 3, threads); err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = u
			if d := farthest(apply(t, o, u, 3), low); d > 1e-5 {
				t.Errorf("the projection misses by %g", d)
			}
		}
		if !slices.Equal(u, want) {
			t.Errorf("%d threads give another image", threads)
		}
	}
}

// Sizes that differ by little are the worst conditioned.
func TestProjectNearScaleOne(t *testing.T) {
	for _, side := range []int{2, 7, 100, 1000} {
		for more := range 3 {
			o, err := resample.NewOperator(side, 1, side+more, 1, resample.Bicubic)
			if err != nil {
				t.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(uint64(side), 2))
			low, u := noise(rng, side), noise(rng, side+more)
			if err := inverse(t, o).Project(u, low, make([]float32, side), 1, 1); err != nil {
				t.Fatal(err)
			}
			if d := farthest(apply(t, o, u, 1), low); d > 1e-4 {
				t.Errorf("%d from %d: misses by %g", side, side+more, d)
			}
			if more == 0 && farthest(u, low) > 1e-5 {
				t.Errorf("at scale 1 the projection is not the image itself")
			}
		}
	}
}

func TestRightInverseRefuses(t *testing.T) {
	o, err := resample.NewOperator(8, 8, 4, 8, resample.Bicubic)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.RightInverse(); err == nil {
		t.Error("an enlargement has a right inverse")
	}
	singular := resample.Axis{In: 2, Out: 2, Start: []int{0, 0}, Weights: [][]float64{{1, 1}, {1, 1}}}
	if _, err := (resample.Operator{Y: singular, X: singular}).RightInverse(); err == nil {
		t.Error("a singular matrix has a right inverse")
	}
	r := inverse(t, o.Transpose())
	low := make([]float32, 4*8)
	if r.Project(make([]float32, 8*8), low, low[:3], 1, 1) == nil || r.Project(make([]float32, 8), low, low, 1, 1) == nil ||
		r.Add(make([]float32, 8*8), low[1:], 1, 1) == nil {
		t.Error("slices of wrong lengths are taken")
	}
}
