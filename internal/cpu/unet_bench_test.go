package cpu_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/sr3-go/sr3/internal/cpu"
	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/unet"
)

// unetProgram compiles a forward call or a training step (mean absolute error,
// Adam) of a preset.
func unetProgram(b *testing.B, preset string, batch, side, threads int, train bool) (*cpu.Program, int64) {
	cfg, err := unet.Preset(preset)
	if err != nil {
		b.Fatal(err)
	}
	values, err := unet.Initialize(cfg, 1)
	if err != nil {
		b.Fatal(err)
	}
	vars := cpu.NewVariables()
	for label, v := range values {
		vars.Set(label, v)
	}
	g := graph.New()
	in := unet.Inputs{Condition: g.Input("x", batch, side, side, 3), Noisy: g.Input("y", batch, side, side, 3), Level: g.Input("level", batch)}
	out, err := unet.Build(g, cfg, in)
	if err != nil {
		b.Fatal(err)
	}
	outputs := []*graph.Node{out}
	flops, err := unet.FLOPs(cfg, side, side)
	if err != nil {
		b.Fatal(err)
	}
	flops *= int64(batch)
	if train {
		outputs = trainStep(b, g, cfg, out)
		flops *= 3
	}
	p, err := cpu.Compile(g, vars, outputs, cpu.Options{Threads: threads, Profile: true})
	if err != nil {
		b.Fatal(err)
	}
	fillRamp(p.Input("x"), 0.37)
	fillRamp(p.Input("y"), 0.73)
	fillRamp(p.Input("level"), 0.2)
	return p, flops
}

func trainStep(b *testing.B, g *graph.Graph, cfg unet.Config, out *graph.Node) []*graph.Node {
	params, err := unet.Parameters(cfg)
	if err != nil {
		b.Fatal(err)
	}
	loss := g.Mean(g.Abs(g.Sub(out, g.Input("target", out.Shape...))))
	var wrt []*graph.Node
	for _, p := range params {
		wrt = append(wrt, g.Variable(p.Name, p.Shape...))
	}
	outputs := []*graph.Node{loss}
	hyper := g.Input("hyper", graph.AdamHyper)
	for i, grad := range g.Gradients(loss, wrt) {
		name := params[i].Name
		outputs = append(outputs, g.Adam(graph.Adam{B1: 0.9, B2: 0.999, Epsilon: 1e-8}, wrt[i], grad,
			g.Variable("m."+name, grad.Shape...), g.Variable("v."+name, grad.Shape...), hyper, nil))
	}
	return outputs
}

// BenchmarkUNet times whole networks. SR3_PROFILE=1 prints where the time went.
func BenchmarkUNet(b *testing.B) {
	for _, c := range []struct {
		preset      string
		batch, side int
		train       bool
	}{
		{"faces16-128", 1, 128, false},
		{"faces16-128", 1, 128, true},
		{"lean-photo", 1, 256, false},
		{"lean-photo", 32, 64, true},
	} {
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/batch=%d/side=%d/train=%v/threads=%d", c.preset, c.batch, c.side, c.train, threads), func(b *testing.B) {
				p, flops := unetProgram(b, c.preset, c.batch, c.side, threads, c.train)
				defer p.Close()
				p.Run()
				p.ResetProfile()
				start := time.Now()
				for b.Loop() {
					p.Run()
				}
				b.ReportMetric(float64(flops)*float64(b.N)/1e9/time.Since(start).Seconds(), "GFLOP/s")
				b.ReportMetric(float64(p.MemoryBytes())/(1<<20), "MiB")
				if os.Getenv("SR3_PROFILE") != "" {
					printProfile(p)
				}
			})
		}
	}
}

func printProfile(p *cpu.Program) {
	times := map[string]time.Duration{}
	var total time.Duration
	for _, s := range p.Profile() {
		times[s.Op] += s.Time
		total += s.Time
	}
	for _, name := range slices.SortedFunc(maps.Keys(times), func(a, b string) int { return int(times[b] - times[a]) }) {
		fmt.Printf("  %-24s %6.1f%%\n", name, 100*float64(times[name])/float64(total))
	}
}
