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
	graphtest.Run(t, 1e-4, func(t *testing.T, g *graph.Graph, set map[string][]float32, outputs []*graph.Node, runs int) [][]float32 {
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
	})
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

	func() {
		defer func() {
			if recover() == nil {
				t.Error("a variable of another size was accepted")
			}
		}()
		vars := cpu.NewVariables()
		vars.Set("w", []float32{1, 2, 3})
		cpu.Compile(g, vars, outputs, cpu.Options{Threads: threads})
	}()

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
