package unet

import (
	"testing"

	"github.com/sr3-go/sr3/internal/cpu"
	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/internal/graph/plain"
)

// TestExecutorAgrees runs every family with the production kernels, in float32,
// against the plain interpreter: prediction and gradients.
func TestExecutorAgrees(t *testing.T) {
	concat := smallPaper(true)
	concat.SkipScale = SkipScaleConcat
	for name, cfg := range map[string]Config{
		"classic": smallClassic(FamilyClassic), "ddpm": smallClassic(FamilyDDPM), "paper": smallPaper(false),
		"paper film concat": concat, "lean": smallLean(), "lean told": told(smallLean()), "classic told": told(smallClassic(FamilyClassic)),
	} {
		t.Run(name, func(t *testing.T) {
			cfg.EmbeddingScale = 1 // the sine of a large float32 is another matter
			net := newTestNet(t, cfg, 2, 8, 8, 2, randomWeights(t, cfg))
			net.randomInputs()
			vars := variables(net.g)
			outputs := append(net.g.Gradients(net.g.Mean(net.g.Square(net.out)), vars), net.out)
			net.m.Run(outputs...)
			program := compiled(t, net.g, net.m, outputs)
			defer program.Close()
			program.Run()
			for i, n := range outputs {
				label := "the prediction"
				if i < len(vars) {
					label = "the gradient of " + vars[i].Op.(*graph.Variable).Label
				}
				got := make([]float64, n.Shape.Size())
				for k, v := range program.Output(i) {
					got[k] = float64(v)
				}
				if d := apart(t, got, net.m.Value(n)); d > 1e-4 {
					t.Errorf("%s is off by %g of its range", label, d)
				}
			}
		})
	}
}

// compiled compiles a graph with the values that a plain machine holds.
func compiled(t *testing.T, g *graph.Graph, m *plain.Machine, outputs []*graph.Node) *cpu.Program {
	t.Helper()
	vars := cpu.NewVariables()
	for _, n := range variables(g) {
		label := n.Op.(*graph.Variable).Label
		vars.Set(label, narrow(m.Get(label)))
	}
	program, err := cpu.Compile(g, vars, outputs, cpu.Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range g.Nodes() {
		if op, is := n.Op.(*graph.Input); is {
			copy(program.Input(op.Label), narrow(m.Get(op.Label)))
		}
	}
	return program
}

func narrow(values []float64) []float32 {
	out := make([]float32, len(values))
	for i, v := range values {
		out[i] = float32(v)
	}
	return out
}
