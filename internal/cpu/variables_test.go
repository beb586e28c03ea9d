package cpu

import (
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/internal/graph/graphtest"
)

// TestFormsOfOneVariable reads a variable as filters of shapes whose forms have the
// same size but not the same layout.
func TestFormsOfOneVariable(t *testing.T) {
	c := graphtest.Case{Name: "forms", Build: func(b *graphtest.Builder) []*graph.Node {
		x := b.Normal(2, 4, 4, 16)
		conv := func(kernel, in int, w *graph.Node) *graph.Node {
			return b.Conv2D(b.Slice(x, 3, 0, in), b.Reshape(w, kernel, kernel, in, w.Shape.Size()/(kernel*kernel*in)), nil, 1, 0)
		}
		w, thin := b.Weight(3, 3, 16, 32), b.Weight(4, 4, 16, 1)
		return []*graph.Node{
			conv(3, 16, w), conv(3, 8, w), // products for every tap
			conv(4, 16, thin), conv(2, 16, thin), // one product for all taps
			b.MatMul(b.Reshape(x, 1, 32, 16), b.Reshape(w, 1, 288, 16), false, true),
		}
	}}
	graphtest.RunCase(t, c, 1e-4, executePoisoned)
}

// TestProvideReplacesForPrograms gives a variable another source after programs that
// pack it, and read it where it lies, were compiled and run.
func TestProvideReplacesForPrograms(t *testing.T) {
	constant := func(v float32) Source {
		return Source{Len: 4, Read: func(dst []float32) { copy(dst, []float32{v, v, v, v}) }}
	}
	g, vars := graph.New(), NewVariables()
	w, b := g.Variable("w", 2, 2), g.Variable("b", 4)
	packed := g.MatMul(g.Fill(1, 1, 2, 2), g.Reshape(w, 1, 2, 2), false, false)
	p, err := Compile(g, vars, []*graph.Node{packed, g.Scale(b, 2)}, Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for _, v := range []float32{3, 5} {
		vars.Provide("w", constant(v))
		vars.Provide("b", constant(v))
		p.Run()
		for i := range 2 {
			if got, want := p.Output(i), slices.Repeat([]float32{2 * v}, 4); !slices.Equal(got, want) {
				t.Errorf("output %d is %v, not %v", i, got, want)
			}
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a source of another size was accepted")
		}
	}()
	vars.Provide("w", Source{Len: 5})
}

// TestSourcePanics: a source that fails while weights are packed holds up nobody, and the weights are packed anew.
func TestSourcePanics(t *testing.T) {
	g, vars := graph.New(), NewVariables()
	broken := true
	vars.Provide("w", Source{Len: 4, Read: func(dst []float32) {
		if broken {
			panic("the file is gone")
		}
		copy(dst, []float32{3, 3, 3, 3})
	}})
	product := g.MatMul(g.Fill(1, 1, 2, 2), g.Reshape(g.Variable("w", 2, 2), 1, 2, 2), false, false)
	p, err := Compile(g, vars, []*graph.Node{product}, Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the source's panic was lost")
			}
		}()
		p.Run()
	}()
	broken = false
	p.Run()
	if got, want := p.Output(0), []float32{6, 6, 6, 6}; !slices.Equal(got, want) {
		t.Errorf("afterwards the output is %v, not %v", got, want)
	}
}

// TestProgramsShareForms runs programs on several goroutines that find the same
// variables yet unpacked, before and after these change between float16 numbers and
// others.
func TestProgramsShareForms(t *testing.T) {
	const ch, programs = 192, 4
	vars := NewVariables()
	values := make([]float32, 9*ch*ch)
	ramp := func(scale float64) {
		for i := range values {
			values[i] = float32(scale * float64(i%7-3))
		}
	}
	ramp(0.125)
	vars.Provide("w", Source{Len: len(values), Read: func(dst []float32) { copy(dst, values) }})
	var all []*Program
	for range programs {
		g := graph.New()
		x := g.Input("x", 1, 8, 8, ch)
		w := g.Variable("w", 3, 3, ch, ch)
		p, err := Compile(g, vars, []*graph.Node{g.Conv2D(x, w, nil, 1, 1), g.Conv2D(x, w, nil, 2, 1)}, Options{Threads: 2})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		for i := range p.Input("x") {
			p.Input("x")[i] = float32(math.Sin(float64(i)))
		}
		all = append(all, p)
	}
	var of [3][2][]float32 // outputs for each ramp
	for k, scale := range []float64{0.125, 0.1, 0.125} {
		if k > 0 {
			ramp(scale)
			vars.Set("w", values)
		}
		var group sync.WaitGroup
		for _, p := range all {
			group.Go(p.Run)
		}
		group.Wait()
		for i := range 2 {
			of[k][i] = slices.Clone(all[0].Output(i))
			for _, p := range all[1:] {
				if !slices.Equal(of[k][i], p.Output(i)) {
					t.Errorf("weights times %v: programs differ in output %d", scale, i)
				}
			}
		}
	}
	for i := range 2 {
		if slices.Equal(of[0][i], of[1][i]) || !slices.Equal(of[0][i], of[2][i]) {
			t.Errorf("output %d does not follow the weights", i)
		}
	}
}
