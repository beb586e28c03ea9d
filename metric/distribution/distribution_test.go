package distribution

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// references is testdata/references.json, which references.py writes.
type references struct {
	Pairs []struct {
		Name     string
		A, B     [][]int // over 64
		Singular float64 `json:"frechet_singular"`
		Eigen    float64 `json:"frechet_eigen"`
		Kernel   float64
	}
	Scores []struct {
		Counts [][]int // over 1024
		Scores map[string][2]float64
	}
}

func readReferences(t *testing.T) (r references) {
	t.Helper()
	data, err := os.ReadFile("testdata/references.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Pairs) != 6 || len(r.Scores) != 2 {
		t.Fatalf("%d pairs and %d scores, want 6 and 2", len(r.Pairs), len(r.Scores))
	}
	return r
}

func matrix[T float32 | float64](rows [][]int, denominator T) Matrix[T] {
	m := Matrix[T]{N: len(rows), D: len(rows[0])}
	for _, row := range rows {
		for _, v := range row {
			m.Values = append(m.Values, T(v)/denominator)
		}
	}
	return m
}

// near fails if got is not within a relative tolerance of want.
func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance*math.Abs(want)) {
		t.Errorf("%s = %.15g, want %.15g: off by %.2g", what, got, want, math.Abs(got/want-1))
	}
}

func TestDistancesAgreeWithNumPy(t *testing.T) {
	for _, c := range readReferences(t).Pairs {
		for _, pair := range [][2]Samples{
			{matrix[float64](c.A, 64), matrix[float64](c.B, 64)},
			{matrix[float32](c.A, 64), matrix[float32](c.B, 64)},
			{matrix[float32](c.B, 64), matrix[float64](c.A, 64)},
		} {
			frechet, err := FrechetDistance(pair[0], pair[1])
			if err != nil {
				t.Fatal(err)
			}
			kernel, err := KernelDistance(pair[0], pair[1])
			if err != nil {
				t.Fatal(err)
			}
			near(t, c.Name+": Frechet distance", frechet, c.Singular, 1e-10)
			near(t, c.Name+": Frechet distance beside that of eigenvalues", frechet, c.Eigen, 1e-6)
			near(t, c.Name+": kernel distance", kernel, c.Kernel, 1e-10)
		}
	}
}

func TestScoresAgreeWithNumPy(t *testing.T) {
	for _, c := range readReferences(t).Scores {
		for splits, want := range c.Scores {
			n, err := strconv.Atoi(splits)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range []Samples{matrix[float64](c.Counts, 1024), matrix[float32](c.Counts, 1024)} {
				score, deviation, err := InceptionScore(p, n)
				if err != nil {
					t.Fatal(err)
				}
				near(t, splits+" splits: score", score, want[0], 1e-12)
				if math.Abs(deviation-want[1]) > 1e-12 {
					t.Errorf("%s splits: deviation %.15g, want %.15g", splits, deviation, want[1])
				}
			}
		}
	}
}

func normal(n, d int, seed uint64, mean float64) Matrix[float64] {
	r := rand.New(rand.NewPCG(seed, 0))
	m := Matrix[float64]{N: n, D: d, Values: make([]float64, n*d)}
	for i := range m.Values {
		m.Values[i] = mean + r.NormFloat64()
	}
	return m
}

func mustFrechet(t testing.TB, a, b Samples) float64 {
	t.Helper()
	d, err := FrechetDistance(a, b)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func mustKernel(t testing.TB, a, b Samples) float64 {
	t.Helper()
	d, err := KernelDistance(a, b)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Vectors +-s along each axis have the covariance 2s^2/(2d-1) times the identity,
// so the distance of two such crosses is known.
func TestFrechetDistanceOfCrosses(t *testing.T) {
	cross := func(d int, s, shift float64) Matrix[float64] {
		m := Matrix[float64]{N: 2 * d, D: d}
		for i := range 2 * d {
			row := make([]float64, d)
			row[i/2] = s * float64(1-2*(i%2))
			for k := range row {
				row[k] += shift
			}
			m.Values = append(m.Values, row...)
		}
		return m
	}
	const d = 9
	want := d*0.5*0.5 + d*2*(3-1)*(3-1)/float64(2*d-1)
	near(t, "distance", mustFrechet(t, cross(d, 3, 1), cross(d, 1, 1.5)), want, 1e-13)
}

func TestEqualSets(t *testing.T) {
	for _, size := range [][2]int{{2, 1}, {2, 50}, {30, 50}, {200, 20}} {
		x := normal(size[0], size[1], 1, 3)
		if d := mustFrechet(t, x, x); d < 0 || d > 1e-11*float64(size[1]) {
			t.Errorf("%v: a set has the Frechet distance %g from itself", size, d)
		}
		if d := mustKernel(t, x, x); d >= 0 {
			t.Errorf("%v: a set has the kernel distance %g from itself; the unbiased estimate is below 0", size, d)
		}
	}
}

// The distances see neither the order of vectors nor a rotation (here, an
// exchange) of features; the Frechet distance sees no common shift either.
func TestInvariances(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := rapid.IntRange(1, 12).Draw(t, "d")
		x := normal(rapid.IntRange(2, 20).Draw(t, "n"), d, rapid.Uint64().Draw(t, "seed"), 0)
		y := normal(rapid.IntRange(2, 20).Draw(t, "m"), d, rapid.Uint64().Draw(t, "seed"), 1)
		frechet, kernel := mustFrechetRapid(t, x, y)
		check := func(what string, a, b Matrix[float64], same bool) {
			f, k := mustFrechetRapid(t, a, b)
			if math.Abs(f-frechet) > 1e-10*(1+frechet) || same && math.Abs(k-kernel) > 1e-10*(1+math.Abs(kernel)) {
				t.Fatalf("%s: distances %g and %g, were %g and %g", what, f, k, frechet, kernel)
			}
		}
		check("sets exchanged", y, x, true)
		check("vectors turned round", reversed(x, 1), y, true)
		check("features turned round", reversed(x, d), reversed(y, d), true)
		check("both shifted", shifted(x, 5), shifted(y, 5), false)
		if frechet < 0 {
			t.Fatalf("Frechet distance %g", frechet)
		}
	})
}

func mustFrechetRapid(t *rapid.T, a, b Matrix[float64]) (frechet, kernel float64) {
	frechet, err := FrechetDistance(a, b)
	if err != nil {
		t.Fatal(err)
	}
	if kernel, err = KernelDistance(a, b); err != nil {
		t.Fatal(err)
	}
	return frechet, kernel
}

// reversed turns the order of vectors round if features is 1, of features if it
// is the length of vectors.
func reversed(m Matrix[float64], features int) Matrix[float64] {
	out := Matrix[float64]{m.N, m.D, slices.Clone(m.Values)}
	for i := range m.N {
		row := out.Values[i*m.D : (i+1)*m.D]
		if features == 1 {
			copy(row, m.Values[(m.N-1-i)*m.D:])
		} else {
			slices.Reverse(row)
		}
	}
	return out
}

func shifted(m Matrix[float64], by float64) Matrix[float64] {
	out := Matrix[float64]{m.N, m.D, slices.Clone(m.Values)}
	for i := range out.Values {
		out.Values[i] += by
	}
	return out
}

// However vectors are dealt out to Add, the Gaussian is that of all: with few
// vectors, with more than are folded in at once, and one by one.
func TestGaussianInParts(t *testing.T) {
	const d = 6
	for _, n := range []int{2, 5, 6, 7, 40} {
		x, y := normal(n, d, uint64(n), 2), normal(9, d, 3, 1)
		want := mustFrechet(t, x, y)
		for _, part := range []int{1, 3, 6, 13} {
			var g, other Gaussian
			for from := 0; from < n; from += part {
				k := min(part, n-from)
				if err := g.Add(Matrix[float64]{k, d, x.Values[from*d : (from+k)*d]}); err != nil {
					t.Fatal(err)
				}
				if part == 3 { // a distance on the way changes nothing
					_, _ = g.FrechetDistance(&g)
				}
			}
			if err := other.Add(y); err != nil {
				t.Fatal(err)
			}
			got, err := g.FrechetDistance(&other)
			if err != nil || g.Count() != n {
				t.Fatalf("%v; %d vectors, want %d", err, g.Count(), n)
			}
			near(t, "distance in parts", got, want, 1e-11)
			if limit := 3 * d * d; len(g.factor) > limit || cap(g.pending) > 2*limit {
				t.Errorf("%d vectors: %d and %d numbers are kept", n, len(g.factor), cap(g.pending))
			}
		}
	}
}

// The kernel distance by its definition, where blocks are several.
func TestKernelDistanceInBlocks(t *testing.T) {
	x, y := normal(2*kernelBlock+5, 3, 1, 0), normal(kernelBlock+1, 3, 2, 0.5)
	k := func(a, b []float64) float64 {
		v := (a[0]*b[0]+a[1]*b[1]+a[2]*b[2])/3 + 1
		return v * v * v
	}
	mean := func(a, b Matrix[float64], different bool) float64 {
		sum, pairs := 0.0, 0
		for i := range a.N {
			for j := range b.N {
				if !different || i != j {
					sum += k(a.Values[3*i:], b.Values[3*j:])
					pairs++
				}
			}
		}
		return sum / float64(pairs)
	}
	want := mean(x, x, true) + mean(y, y, true) - 2*mean(x, y, false)
	near(t, "kernel distance", mustKernel(t, x, y), want, 1e-9)
}

// R has the scatter of the rows it replaces, where the decomposition goes by
// blocks too.
func TestTriangleKeepsTheScatter(t *testing.T) {
	for _, size := range [][2]int{{3, 1}, {9, 8}, {500, 190}} {
		n, d := size[0], size[1]
		x := normal(n, d, 4, 1)
		scatter := func(rows []float64, i, j int) (sum float64) {
			for k := 0; k < len(rows); k += d {
				sum += rows[k+i] * rows[k+j]
			}
			return sum
		}
		r := triangle(slices.Clone(x.Values), d)
		if len(r) != d*d {
			t.Fatalf("%v: %d numbers", size, len(r))
		}
		for i := range d {
			for j := range d {
				if want := scatter(x.Values, i, j); math.Abs(scatter(r, i, j)-want) > 1e-12*float64(n) {
					t.Fatalf("%v: scatter of %d and %d is %g, want %g", size, i, j, scatter(r, i, j), want)
				}
			}
		}
	}
}

// The library's products run on all processors; their number changes no bit.
func TestThreadsChangeNothing(t *testing.T) {
	x, y := normal(330, 190, 1, 0), normal(200, 190, 2, 0.5)
	frechet, kernel := mustFrechet(t, x, y), mustKernel(t, x, y)
	for _, threads := range []int{1, 2, 5} {
		before := runtime.GOMAXPROCS(threads)
		f, k := mustFrechet(t, x, y), mustKernel(t, x, y)
		runtime.GOMAXPROCS(before)
		if f != frechet || k != kernel {
			t.Errorf("%d threads: distances %v and %v, were %v and %v", threads, f, k, frechet, kernel)
		}
	}
}

func TestKnownScores(t *testing.T) {
	classes := Matrix[float32]{N: 4, D: 4, Values: make([]float32, 16)}
	even := Matrix[float32]{N: 4, D: 4, Values: make([]float32, 16)}
	for i := range 4 {
		classes.Values[5*i] = 1
	}
	for i := range even.Values {
		even.Values[i] = 0.25
	}
	for _, c := range []struct {
		p      Matrix[float32]
		splits int
		want   float64
	}{{classes, 1, 4}, {classes, 2, 2}, {classes, 4, 1}, {even, 1, 1}} {
		if got, deviation, err := InceptionScore(c.p, c.splits); err != nil || math.Abs(got-c.want) > 1e-12 || deviation > 1e-12 {
			t.Errorf("%d splits: %g, %g, %v; want %g", c.splits, got, deviation, err, c.want)
		}
	}
}

func TestErrors(t *testing.T) {
	good := normal(4, 3, 1, 0)
	with := func(v float64) Matrix[float64] {
		m := normal(4, 3, 1, 0)
		m.Values[7] = v
		return m
	}
	gaussian := func(sets ...Samples) error {
		var g Gaussian
		for _, s := range sets {
			if err := g.Add(s); err != nil {
				if want, _ := sets[0].shape(); g.Count() != want {
					t.Errorf("%d vectors after an error, want %d", g.Count(), want)
				}
				return err
			}
		}
		_, err := g.FrechetDistance(&Gaussian{})
		return err
	}
	score := func(splits int, d int, values ...float64) error {
		_, _, err := InceptionScore(Matrix[float64]{len(values) / d, d, values}, splits)
		return err
	}
	distance := func(f func(a, b Samples) (float64, error), a, b Samples) error {
		_, err := f(a, b)
		return err
	}
	for _, f := range []func(a, b Samples) (float64, error){FrechetDistance, KernelDistance} {
		for want, err := range map[string]error{
			"set 2|vector 2|NaN|1|finite":       distance(f, good, with(math.NaN())),
			"set 1|+Inf":                        distance(f, with(math.Inf(1)), good),
			"1e+41|at most 1e+40":               distance(f, with(1e41), good),
			"set 2|one vector|at least 2":       distance(f, good, normal(1, 3, 1, 0)),
			"3 and of 5|one network":            distance(f, good, normal(4, 5, 1, 0)),
			"4 vectors of 3|11 values":          distance(f, Matrix[float32]{4, 3, make([]float32, 11)}, good),
			"0 vectors of 3|at least 1":         distance(f, Matrix[float32]{0, 3, nil}, good),
			"4 vectors of -3":                   distance(f, good, Matrix[float32]{4, -3, nil}),
			"9223372036854775807 vectors of 16": distance(f, good, Matrix[float32]{math.MaxInt, 16, nil}),
		} {
			contains(t, err, want)
		}
	}
	for want, err := range map[string]error{
		"5 numbers after vectors of 3": gaussian(good, normal(4, 5, 1, 0)),
		"NaN":                          gaussian(good, with(math.NaN())),
		"sets of 4 and 0 vectors":      gaussian(good),
		"-0.5 of class 1|softmax":      score(1, 2, 0.5, 0.5, 1.5, -0.5),
		"vector 1 sum up to 3|softmax": score(1, 2, 0.5, 0.5, 1, 2),
		"0 splits of 2 images|1 to 2":  score(0, 2, 0.5, 0.5, 0, 1),
		"3 splits of 2":                score(3, 2, 0.5, 0.5, 0, 1),
		"inception score|NaN":          score(1, 2, math.NaN(), 0.5),
	} {
		contains(t, err, want)
	}
}

func contains(t *testing.T, err error, words string) {
	t.Helper()
	for want := range strings.SplitSeq(words, "|") {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}

// Whatever is in the sets, there is a finite number or an error.
func FuzzDistances(f *testing.F) {
	f.Add(3, 2, []byte{1, 2, 3, 4, 5, 6}, 1.0)
	f.Add(2, 3, []byte{0, 0, 0, 9, 9, 9}, 1e40)
	f.Add(2, 2, []byte{1, 1, 1, 1}, math.Inf(-1))
	f.Add(1, 1, []byte{7}, 1e-320)
	f.Fuzz(func(t *testing.T, n, d int, data []byte, scale float64) {
		if len(data) > 400 {
			return
		}
		m := Matrix[float64]{N: n, D: d}
		for _, v := range data {
			m.Values = append(m.Values, float64(v)*scale)
		}
		other := Matrix[float64]{m.N, m.D, slices.Clone(m.Values)}
		slices.Reverse(other.Values)
		for _, f := range []func(a, b Samples) (float64, error){FrechetDistance, KernelDistance} {
			if v, err := f(m, other); err == nil && (math.IsNaN(v) || math.IsInf(v, 0)) {
				t.Errorf("%g", v)
			}
		}
		if v, _, err := InceptionScore(m, n); err == nil && !(v >= 1-1e-9) {
			t.Errorf("score %g", v)
		}
	})
}

// SR3_LARGE=1 times the FID's own size: 5000 vectors of 2048 features.
func TestLargeSets(t *testing.T) {
	if os.Getenv("SR3_LARGE") == "" {
		t.Skip("set SR3_LARGE=1 to compare two sets of 5000 vectors of 2048 features, which takes minutes")
	}
	x, y := normal(5000, 2048, 1, 0), normal(5000, 2048, 2, 0.1)
	// With so many features x.y/d is nearly the mean of the products, 0.01 within
	// the second set and 0 otherwise.
	kernel := mustKernel(t, x, y)
	if want := math.Pow(1.01, 3) - 1; math.Abs(kernel-want) > 0.03*want {
		t.Errorf("kernel distance %g, want about %g", kernel, want)
	}
	t.Logf("kernel distance %.9g", kernel)
	frechet := mustFrechet(t, x, y)
	if frechet < 2048*0.01 {
		t.Errorf("Frechet distance %g, want more than that of the means, %g", frechet, 2048*0.01)
	}
	t.Logf("Frechet distance %.9g", frechet)
}
