package cpu_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/sr3-go/sr3/internal/cpu"
	"github.com/sr3-go/sr3/internal/graph"
)

// attentionProgram compiles attention over qkv [n, pixels, 3*ch] or, with train, a
// gradient of it; as one operation or as the matrix products it stands for.
func attentionProgram(t testing.TB, n, pixels, ch, threads int, train, parts bool) *cpu.Program {
	g := graph.New()
	qkv := g.Input("qkv", n, pixels, 3*ch)
	scale := float32(1 / math.Sqrt(float64(ch)))
	var y *graph.Node
	if parts {
		q, k, v := g.Scale(g.Slice(qkv, 2, 0, ch), scale), g.Slice(qkv, 2, ch, 2*ch), g.Slice(qkv, 2, 2*ch, 3*ch)
		y = g.MatMul(g.Softmax(g.MatMul(q, k, false, true)), v, false, false)
	} else {
		y = g.Attention(qkv, scale)
	}
	outputs := []*graph.Node{y}
	if train {
		loss := g.Sum(g.Mul(y, g.Input("dy", n, pixels, ch)))
		outputs = append(outputs, g.Gradients(loss, []*graph.Node{qkv})...)
	}
	p, err := cpu.Compile(g, cpu.NewVariables(), outputs, cpu.Options{Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	fillRamp(p.Input("qkv"), 0.37)
	fillRamp(p.Input("dy"), 0.73)
	return p
}

// Twice the pixels take twice the memory, not four times, and a run allocates
// nothing.
func TestAttentionMemory(t *testing.T) {
	for _, train := range []bool{false, true} {
		small := attentionProgram(t, 1, 1024, 16, 2, train, false)
		large := attentionProgram(t, 1, 2048, 16, 2, train, false)
		if s, l := small.MemoryBytes(), large.MemoryBytes(); l > 2*s {
			t.Errorf("gradient %v: %d bytes for 1024 pixels, %d for 2048", train, s, l)
		}
		single := attentionProgram(t, 2, 300, 16, 1, train, false)
		if allocs := testing.AllocsPerRun(3, single.Run); allocs > 0 {
			t.Errorf("gradient %v: a run allocates %v times", train, allocs)
		}
	}
}

// A foreign input of the gradient is an error, not a wrong result.
func TestAttentionGradOfSomethingElse(t *testing.T) {
	g := graph.New()
	qkv := g.Input("qkv", 1, 4, 6)
	dqkv := g.Gradients(g.Sum(g.Attention(qkv, 1)), []*graph.Node{qkv})[0]
	dqkv.Inputs[1] = g.Input("y", 1, 4, 2)
	if _, err := cpu.Compile(g, cpu.NewVariables(), []*graph.Node{dqkv}, cpu.Options{Threads: 1}); err == nil {
		t.Error("the gradient of an attention that is not there compiled")
	}
}

func BenchmarkAttention(b *testing.B) {
	for _, c := range []struct{ n, pixels, ch int }{{1, 256, 512}, {1, 64, 1024}, {8, 256, 256}, {1, 1024, 64}, {1, 4096, 512}} {
		for _, train := range []bool{false, true} {
			for _, threads := range []int{1, 2} {
				for _, parts := range []bool{true, false} {
					b.Run(fmt.Sprintf("%dx%dx%d/train=%v/threads=%d/parts=%v", c.n, c.pixels, c.ch, train, threads, parts), func(b *testing.B) {
						p := attentionProgram(b, c.n, c.pixels, c.ch, threads, train, parts)
						p.Run()
						for b.Loop() {
							p.Run()
						}
						flops := 4e-9 * float64(c.n) * float64(c.pixels) * float64(c.pixels) * float64(c.ch)
						if train {
							flops *= 3
						}
						b.ReportMetric(flops*float64(b.N)/b.Elapsed().Seconds(), "GFLOP/s")
						b.ReportMetric(float64(p.MemoryBytes())/(1<<20), "MiB")
					})
				}
			}
		}
	}
}
