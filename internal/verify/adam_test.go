package verify

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/checkpoint"
	"github.com/sr3-go/sr3/internal/cpu"
	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/unet"
)

// TestAdamAlone feeds the optimiser with PyTorch's gradients and saved moments, so
// that no error of ours in the gradient is divided by a small second moment: what
// is left is the update itself.
func TestAdamAlone(t *testing.T) {
	req := request(t, nanoCheckpoint, nanoConfig, nanoCase)
	m, err := load(req)
	if err != nil {
		t.Fatal(err)
	}
	file, err := checkpoint.Read(nanoCase)
	if err != nil {
		t.Fatal(err)
	}
	state, err := model.ImportOptimizer(filepath.Clean(strings.Replace(nanoCheckpoint, "_gen", "_opt", 1)), m)
	if err != nil {
		t.Fatal(err)
	}
	params, err := unet.Parameters(m.Config.Network)
	if err != nil {
		t.Fatal(err)
	}
	v := &verifier{req: req, m: m, ref: reference{file}, params: params, out: &Result{}}
	vars := v.freshVariables()
	program := adamProgram(t, v, vars, state)
	defer program.Close()
	program.Run()
	mean, worst, err := v.compareParameters("resume.", vars)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("parameters differ by %.2g in the mean, %.2g at most", mean, worst)
	if !(worst <= 1e-6) {
		t.Errorf("a parameter differs by %g", worst)
	}
	moved := 0.0
	for _, p := range params {
		moved = math.Max(moved, maxAbs(widen(vars.Get(p.Name)), widen(m.Weights[p.Name])))
	}
	if moved < 1e-5 {
		t.Errorf("the parameters moved by %g at most: nothing was tested", moved)
	}
}

// adamProgram is one update of every parameter from the case's gradients.
func adamProgram(t *testing.T, v *verifier, vars *cpu.Variables, state *model.OptimizerState) *cpu.Program {
	t.Helper()
	g := graph.New()
	hyper := g.Input("hyper", graph.AdamHyper)
	var outputs []*graph.Node
	for _, p := range v.params {
		vars.Set("m:"+p.Name, state.M[p.Name])
		vars.Set("v:"+p.Name, state.V[p.Name])
		outputs = append(outputs, g.Adam(graph.Adam{B1: adamB1, B2: adamB2, Epsilon: adamEpsilon}, g.Variable(p.Name, p.Shape...),
			g.Input("g:"+p.Name, p.Shape...), g.Variable("m:"+p.Name, p.Shape...), g.Variable("v:"+p.Name, p.Shape...), hyper, nil))
	}
	program, err := cpu.Compile(g, vars, outputs, cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range v.params {
		grad, err := v.ref.parameter("grad.", p)
		if err != nil {
			t.Fatal(err)
		}
		in := program.Input("g:" + p.Name)
		for i := range in {
			in[i] = float32(grad[i])
		}
	}
	step := float64(state.Step + 1)
	h := program.Input("hyper")
	h[graph.AdamRate], h[graph.AdamClip] = resumeRate, 1
	h[graph.AdamC1], h[graph.AdamC2] = float32(1-math.Pow(adamB1, step)), float32(1-math.Pow(adamB2, step))
	return program
}
