package cpu_test

import (
	"math"
	"runtime"
	"testing"
	"time"

	"github.com/sr3-go/sr3/internal/cpu"
	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/internal/graph/graphtest"
)

// execute runs a graph as the shared suite asks, with a number of threads.
func execute(t *testing.T, threads int, g *graph.Graph, set map[string][]float32, outputs []*graph.Node, runs int) [][]float32 {
	t.Helper()
	vars := cpu.NewVariables()
	for label, values := range set {
		vars.Set(label, values)
	}
	p, err := cpu.Compile(g, vars, outputs, cpu.Options{Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for label, values := range set {
		copy(p.Input(label), values)
	}
	for range runs {
		p.Run()
	}
	out := make([][]float32, len(outputs))
	for i := range outputs {
		out[i] = append([]float32{}, p.Output(i)...)
	}
	return out
}

// TestAgainstPlain compares every operation and its gradient with the float64
// specification, and demands the same bytes from one, two and three threads.
func TestAgainstPlain(t *testing.T) {
	graphtest.Run(t, 1e-4, executeOnThreads)
	long := graphtest.Case{Name: "sum/long", Build: func(b *graphtest.Builder) []*graph.Node {
		x := b.Normal(3, 20001)
		return []*graph.Node{b.Sum(x, 1), b.Sum(x)}
	}}
	graphtest.RunCase(t, long, 1e-6, executeOnThreads)
}

func executeOnThreads(t *testing.T, g *graph.Graph, set map[string][]float32, outputs []*graph.Node, runs int) [][]float32 {
	want := execute(t, 1, g, set, outputs, runs)
	for threads := 2; threads <= 3; threads++ {
		for i, got := range execute(t, threads, g, set, outputs, runs) {
			for k := range got {
				if math.Float32bits(got[k]) != math.Float32bits(want[i][k]) {
					t.Fatalf("output %d element %d: %v with %d threads, %v with one", i, k, got[k], threads, want[i][k])
				}
			}
		}
	}
	return want
}

// convolution is a small network: two convolutions with a normalisation between.
func convolution(g *graph.Graph) (out *graph.Node) {
	x := g.Input("x", 2, 9, 7, 5)
	h := g.Conv2D(x, g.Variable("w1", 3, 3, 5, 40), g.Variable("b1", 40), 1, 1)
	h = g.GroupNorm(h, g.Variable("scale", 40), g.Variable("shift", 40), 4, 1e-5, true)
	return g.Conv2D(h, g.Variable("w2", 3, 3, 40, 3), nil, 2, 1)
}

func fillRamp(x []float32, k float64) {
	for i := range x {
		x[i] = float32(math.Sin(k * float64(i+1)))
	}
}

func TestWeightsArePackedAgainAfterTheyChange(t *testing.T) {
	g := graph.New()
	out := convolution(g)
	vars := cpu.NewVariables()
	p, err := cpu.Compile(g, vars, []*graph.Node{out}, cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	fillRamp(p.Input("x"), 0.3)
	for i, label := range []string{"w1", "b1", "scale", "shift", "w2"} {
		fillRamp(vars.Get(label), float64(i)+0.7)
		vars.Touch(label)
	}
	p.Run()
	before := append([]float32{}, p.Output(0)...)
	p.Run()
	for i, v := range p.Output(0) {
		if v != before[i] {
			t.Fatal("a second run of the same inputs differs")
		}
	}
	w := vars.Get("w2")
	for i := range w {
		w[i] *= 2
	}
	vars.Touch("w2")
	p.Run()
	for i, v := range p.Output(0) {
		if v != 2*before[i] {
			t.Fatalf("element %d is %v after doubling the last weights, not %v", i, v, 2*before[i])
		}
	}
}

func TestRunDoesNotAllocate(t *testing.T) {
	g := graph.New()
	out := convolution(g)
	loss := g.Mean(g.Square(out))
	var outputs []*graph.Node
	hyper := g.Input("hyper", graph.AdamHyper)
	wrt := []*graph.Node{g.Variable("w1", 3, 3, 5, 40), g.Variable("w2", 3, 3, 40, 3)}
	for i, grad := range g.Gradients(loss, wrt) {
		label := []string{"1", "2"}[i]
		outputs = append(outputs, g.Adam(graph.Adam{B1: 0.9, B2: 0.999, Epsilon: 1e-8}, wrt[i], grad,
			g.Variable("m"+label, grad.Shape...), g.Variable("v"+label, grad.Shape...), hyper, nil))
	}
	p, err := cpu.Compile(g, cpu.NewVariables(), outputs, cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if allocs := testing.AllocsPerRun(5, p.Run); allocs > 0 {
		t.Errorf("a run allocates %v times", allocs)
	}
}

// TestUpdatesComeAfterAllReads has variables that a run changes as outputs, and as
// the gradient of another one's update: both are the values before the update.
func TestUpdatesComeAfterAllReads(t *testing.T) {
	c := graphtest.Case{Name: "updates", Runs: 3, NoGradient: true, Build: func(b *graphtest.Builder) []*graph.Node {
		hyper := b.Given([]float32{1e-2, 0.19, 0.002, 0.7, 0.9}, graph.AdamHyper)
		adam := func(p, grad, ema *graph.Node) *graph.Node {
			return b.Adam(graph.Adam{B1: 0.9, B2: 0.999, Epsilon: 1e-8}, p, grad, b.State(0, p.Shape...), b.State(0, p.Shape...), hyper, ema)
		}
		p, q, ema, untouched := b.Weight(3, 5), b.Weight(3, 5), b.State(0.3, 3, 5), b.Weight(3, 5)
		first := adam(p, b.Scale(p, 0.5), ema)
		second := adam(q, b.Reshape(b.Reshape(p, 15), 3, 5), nil)
		return []*graph.Node{first, second, p, b.Reshape(q, 15), q, p, ema, untouched}
	}}
	graphtest.RunCase(t, c, 1e-6, executeOnThreads)
}

// TestOneNodeAsBothOperands gives gradients, which like to write over dy, the same
// node as x and dy.
func TestOneNodeAsBothOperands(t *testing.T) {
	// as makes a copy of y into an operation that only gradients build.
	as := func(b *graphtest.Builder, op graph.Op, y *graph.Node, inputs ...*graph.Node) []*graph.Node {
		n := b.Scale(y, 1)
		n.Op, n.Inputs = op, inputs
		return []*graph.Node{n}
	}
	fresh := func(b *graphtest.Builder) *graph.Node { return b.Scale(b.Normal(2, 3, 5, 8), 2) }
	for name, build := range map[string]func(b *graphtest.Builder) []*graph.Node{
		"div": func(b *graphtest.Builder) []*graph.Node { y := fresh(b); return []*graph.Node{b.Div(y, y)} },
		"silu": func(b *graphtest.Builder) []*graph.Node {
			y := fresh(b)
			return as(b, &graph.SiLUGrad{}, y, y, y)
		},
		"softmax": func(b *graphtest.Builder) []*graph.Node {
			y := fresh(b)
			return as(b, &graph.SoftmaxGrad{}, y, y, y)
		},
		"groupnorm": func(b *graphtest.Builder) []*graph.Node {
			y, scale, shift := fresh(b), b.Bias(1, 8), b.Bias(0, 8)
			stats := b.GroupStats(y, 4, 1e-5)
			sums := b.Reshape(b.Slice(b.Reshape(y, 2, 3*5*8), 1, 0, 2*8), 2, 2, 8)
			sums.Op, sums.Inputs = &graph.GroupNormGradSums{SiLU: true}, []*graph.Node{y, stats, scale, shift, y}
			return as(b, &graph.GroupNormInputGrad{SiLU: true}, y, y, stats, scale, shift, y, sums)
		},
	} {
		c := graphtest.Case{Name: name, Build: build, NoGradient: true}
		graphtest.RunCase(t, c, 1e-4, executeOnThreads)
	}
}

// TestAnotherProgramsTrainingIsSeen samples with weights that another program
// trains: what was packed from them is packed again.
func TestAnotherProgramsTrainingIsSeen(t *testing.T) {
	vars := cpu.NewVariables()
	vars.Set("w", []float32{1, 2, 3, 4})
	compile := func(outputs func(g *graph.Graph, w *graph.Node) []*graph.Node) *cpu.Program {
		g := graph.New()
		p, err := cpu.Compile(g, vars, outputs(g, g.Variable("w", 2, 2)), cpu.Options{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Close)
		return p
	}
	for _, updated := range []string{"w", "m", "v", "ema"} {
		sample := compile(func(g *graph.Graph, _ *graph.Node) []*graph.Node {
			w := g.Reshape(g.Variable(updated, 2, 2), 1, 2, 2)
			return []*graph.Node{g.MatMul(g.Constant([]float32{1, 0, 0, 1}, 1, 2, 2), w, false, false)}
		})
		train := compile(func(g *graph.Graph, w *graph.Node) []*graph.Node {
			hyper := g.Constant([]float32{0.1, 1, 1, 1, 0.5}, graph.AdamHyper)
			return []*graph.Node{g.Adam(graph.Adam{B1: 0.5, B2: 0.5, Epsilon: 1}, w, g.Fill(3, 2, 2),
				g.Variable("m", 2, 2), g.Variable("v", 2, 2), hyper, g.Variable("ema", 2, 2))}
		})
		for range 2 {
			train.Run()
			sample.Run()
			for i, want := range vars.Get(updated) {
				if got := sample.Output(0)[i]; got != want {
					t.Errorf("%s: element %d is %v in the other program, not %v", updated, i, got, want)
				}
			}
		}
	}
}

// TestGoroutinesEnd drops programs in all the ways that callers do.
func TestGoroutinesEnd(t *testing.T) {
	const threads = 40
	before := runtime.NumGoroutine()
	g := graph.New()
	x := g.Input("x", 4)
	outputs := []*graph.Node{g.Add(x, g.Variable("w", 4))}

	p, err := cpu.Compile(g, cpu.NewVariables(), outputs, cpu.Options{Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	p.Run()
	p.Close()
	p.Close()

	vars := cpu.NewVariables()
	vars.Set("w", []float32{1, 2, 3})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("a variable of another size was accepted")
			}
		}()
		cpu.Compile(g, vars, outputs, cpu.Options{Threads: threads})
	}()
	if got := vars.Get("w"); len(got) != 3 {
		t.Errorf("afterwards the variable has %d elements", len(got))
	}

	if p, err = cpu.Compile(g, cpu.NewVariables(), outputs, cpu.Options{Threads: threads}); err != nil {
		t.Fatal(err)
	}
	p.Run()
	p = nil // forgotten
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() >= before+threads/2; {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines before, %d now", before, runtime.NumGoroutine())
		}
		runtime.GC()
		time.Sleep(time.Millisecond)
	}
}

func TestForeignOutputIsAnError(t *testing.T) {
	g, other := graph.New(), graph.New()
	g.Input("x", 1)
	foreign := other.Scale(other.Input("x", 1), 2)
	if _, err := cpu.Compile(g, cpu.NewVariables(), []*graph.Node{foreign}, cpu.Options{}); err == nil {
		t.Error("an output of another graph compiled")
	}
}

func TestMissingOperationIsAnError(t *testing.T) {
	g := graph.New()
	x := g.Input("x", 1)
	n := g.Scale(x, 2)
	n.Op = unknown{n.Op}
	if _, err := cpu.Compile(g, cpu.NewVariables(), []*graph.Node{n}, cpu.Options{}); err == nil {
		t.Error("an unknown operation compiled")
	}
}

type unknown struct{ graph.Op }

// TestPackingDoesNotAllocate has filters, for an enlarged image, that the program
// changes and so packs in every run.
func TestPackingDoesNotAllocate(t *testing.T) {
	g := graph.New()
	w := g.Variable("w", 3, 3, 32, 32)
	out := g.Conv2D(g.Upsample(g.Input("x", 1, 16, 16, 32), 2), w, nil, 1, 1)
	update := g.Adam(graph.Adam{B1: 0.9, B2: 0.999, Epsilon: 1e-8}, w, g.Input("gradient", w.Shape...),
		g.Variable("m", w.Shape...), g.Variable("v", w.Shape...), g.Input("hyper", graph.AdamHyper), nil)
	p, err := cpu.Compile(g, cpu.NewVariables(), []*graph.Node{out, update}, cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if allocs := testing.AllocsPerRun(3, p.Run); allocs > 0 {
		t.Errorf("a run allocates %v times", allocs)
	}
}
