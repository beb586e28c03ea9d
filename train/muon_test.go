package train

import (
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sr3-go/sr3/internal/cpu"
	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/internal/philox"
)

// TestOrthogonalizeIsTheQuintic: of a matrix U diag(s) with orthonormal columns U, or of its transpose, the iteration
// makes U diag(f(f(...(s/|s|)))), where f is the quintic; and singular values that are not tiny come near 1.
func TestOrthogonalizeIsTheQuintic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		columns := rapid.IntRange(1, 40).Draw(t, "columns")
		rows := columns + rapid.IntRange(0, 60).Draw(t, "more rows")
		wide := rapid.Bool().Draw(t, "wide")
		random := philox.New(rapid.Uint64().Draw(t, "seed"), 1)
		u := orthonormal(rows, columns, random)
		s, norm := make([]float64, columns), 0.0
		for j := range s {
			s[j] = math.Exp(-3 * random.Float64(uint64(1<<20+j)))
			norm += s[j] * s[j]
		}
		g := graph.New()
		shape := []int{1, rows, columns}
		if wide {
			shape = []int{1, columns, rows}
		}
		// It is one of several, some of which have its size.
		xs := []*graph.Node{g.Input("same", 1, columns, columns+1), g.Input("other", 1, 5, 3), g.Input("again", shape...)}
		place := rapid.IntRange(0, len(xs)).Draw(t, "place")
		xs = slices.Insert(xs, place, g.Input("x", shape...))
		p, err := cpu.Compile(g, cpu.NewVariables(), orthogonalize(g, xs), cpu.Options{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		at := func(i, j int) int {
			if wide {
				return j*rows + i
			}
			return i*columns + j
		}
		for _, other := range []string{"same", "other", "again"} {
			random.Normal(p.Input(other), 1<<30)
		}
		x := p.Input("x")
		for i := range rows {
			for j := range columns {
				x[at(i, j)] = float32(u[i][j] * s[j])
			}
		}
		p.Run()
		for j := range columns {
			want := s[j] / math.Sqrt(norm)
			for range muonSteps {
				want = muonA*want + muonB*math.Pow(want, 3) + muonC*math.Pow(want, 5)
			}
			for i := range rows {
				if got := float64(p.Output(place)[at(i, j)]); math.Abs(got-u[i][j]*want) > 2e-4 {
					t.Fatalf("element %d, %d: %v, want %v", i, j, got, u[i][j]*want)
				}
			}
			if share := s[j] / math.Sqrt(norm); share > 0.01 && (want < 0.6 || want > 1.3) {
				t.Errorf("a singular value of %v becomes %v", share, want)
			}
		}
	})
}

// orthonormal draws a matrix with orthonormal columns, by Gram and Schmidt's method.
func orthonormal(rows, columns int, random philox.Stream) [][]float64 {
	u := make([][]float64, rows)
	values := make([]float32, rows*columns)
	random.Normal(values, 0)
	for i := range u {
		u[i] = make([]float64, columns)
		for j := range u[i] {
			u[i][j] = float64(values[i*columns+j])
		}
	}
	dot := func(a, b int) (sum float64) {
		for _, row := range u {
			sum += row[a] * row[b]
		}
		return sum
	}
	for j := range columns {
		for range 2 {
			for k := range j {
				d := dot(j, k)
				for _, row := range u {
					row[j] -= d * row[k]
				}
			}
		}
		length := math.Sqrt(dot(j, j))
		for _, row := range u {
			row[j] /= length
		}
	}
	return u
}

// wideSets is a network with matrices.
func wideSets(more ...string) []string {
	return append([]string{"model.channels=16", "model.groups=4", "train.optimizer=muon", "train.rate=2e-3"}, more...)
}

// TestMuonMovesMatrices: a step moves matrices by the length that the rate says whatever the gradient's, and other
// parameters as Adam does; micro-batches do not matter.
func TestMuonMovesMatrices(t *testing.T) {
	after := func(sets ...string) (before, now map[string][]float32) {
		cfg := tinyConfig(t, wideSets(append(sets, "train.warmup=0", "model.dropout=0", "train.batch=4")...)...)
		s := randomState(t, cfg)
		step, err := newStepper(cfg, s.vars)
		if err != nil {
			t.Fatal(err)
		}
		defer step.close()
		before = s.values("")
		step.step(drawExamples(t, cfg, 0), s.hyper())
		return before, s.values("")
	}
	before, muon := after()
	_, adam := after("train.optimizer=adam")
	_, parts := after("train.micro_batch=2")
	cfg := tinyConfig(t, wideSets()...)
	matrices := 0
	for _, p := range randomState(t, cfg).params {
		if d := furthest(muon[p.Name], parts[p.Name]); d > 2e-5 {
			t.Errorf("%s: %g between a batch and its parts", p.Name, d)
		}
		rows, columns, ok := muonSize(p)
		if !ok {
			if !slices.Equal(muon[p.Name], adam[p.Name]) {
				t.Errorf("%s is no matrix and moves otherwise than by Adam", p.Name)
			}
			continue
		}
		matrices++
		sum := 0.0
		for i, v := range muon[p.Name] {
			sum += math.Pow(float64(v-before[p.Name][i]), 2)
		}
		// All min(rows, columns) singular values of the step are near 1; gradients may lack some.
		full := muonRMS * 2e-3 * math.Sqrt(float64(max(rows, columns)*min(rows, columns)))
		if length := math.Sqrt(sum); length > 1.3*full || length < 0.2*full {
			t.Errorf("%s (%d x %d) moves by %g, of at most %g", p.Name, rows, columns, length, full)
		}
	}
	if matrices < 5 {
		t.Errorf("%d matrices", matrices)
	}
}

// TestMuonRuns trains, resumes bit for bit, and cannot become Adam on the way.
func TestMuonRuns(t *testing.T) {
	data := []string{images(t)}
	whole, parts := t.TempDir(), t.TempDir()
	mustRun(t, Options{Config: tinyConfig(t, wideSets("train.steps=6")...), OutDir: whole, Data: data})
	cfg := tinyConfig(t, wideSets("train.steps=3")...)
	mustRun(t, Options{Config: cfg, OutDir: parts, Data: data})
	cfg.Train.Steps = 6
	mustRun(t, Options{Config: cfg, OutDir: parts, Data: data})
	sameState(t, readState(t, whole), readState(t, parts))
	cfg.Train.Steps, cfg.Train.Optimizer = 7, OptimizerAdam
	if _, err := Run(t.Context(), Options{Config: cfg, OutDir: parts, Data: data}); err == nil || !strings.Contains(err.Error(), "train.optimizer") {
		t.Errorf("another optimiser on the way: %v", err)
	}
}
