// Package cpu executes graphs of internal/graph on the processor: it lowers each
// operation to loops over the SIMD kernels of internal/cpu/kernel, plans the
// memory of all intermediate values in one arena, and runs the loops on a few
// threads. How work is cut into items depends on shapes alone, so the same
// inputs give the same bytes on any number of threads.
package cpu

import (
	"fmt"
	"runtime"
	"time"

	"github.com/sr3-go/sr3/internal/cpu/kernel"
	"github.com/sr3-go/sr3/internal/graph"
)

// Options are the settings of [Compile].
type Options struct {
	// Threads is how many goroutines compute; 0 means one per processor.
	Threads int
	// Profile makes Run record the time of every step, see [Program.Profile].
	Profile bool

	choose func(filter graph.Shape, stride int, out graph.Shape) convWay // for measurements; nil for chooseWay
}

// Program is a compiled graph. It is used by one goroutine at a time.
type Program struct {
	inputs  map[string]*buffer
	outputs []*buffer
	steps   []*step
	pool    *pool
	tiles   []kernel.Tile // one for each worker
	memory  int64
	profile bool
}

// step is what one operation became: phases that run one after another.
type step struct {
	name   string
	work   work
	phases []phase
	time   time.Duration
}

// work is what a profile says of a step besides its name.
type work struct {
	detail string // the kernel that was chosen and the sizes it was chosen for
	flops  int64  // multiplications and additions of the plain algorithm
}

// phase is a parallel loop. skip, if set, says that it has nothing to do; done, if
// set, is called after a loop that was not skipped.
type phase struct {
	n    int
	body func(worker, item int)
	skip func() bool
	done func(whole bool) // false if body panicked
}

// Compile lowers what outputs need. Variables are created in vars, as zeros, if
// they do not exist; it panics if one exists with another size. An error names an
// operation that this executor lacks, or an output that is not in g.
func Compile(g *graph.Graph, vars *Variables, outputs []*graph.Node, opt Options) (*Program, error) {
	threads := opt.Threads
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	c := newCompiler(vars, threads)
	if opt.choose != nil {
		c.choose = opt.choose
	}
	if err := c.compile(g, outputs); err != nil {
		return nil, fmt.Errorf("cpu: %w", err)
	}
	p := c.program
	p.profile = opt.Profile
	p.pool = newPool(threads) // last, so that no failure leaves goroutines behind
	runtime.AddCleanup(p, (*pool).close, p.pool)
	return p, nil
}

// Input returns the storage of an input, to be filled before Run; nil if the
// outputs do not depend on an input of that label.
func (p *Program) Input(label string) []float32 {
	if b := p.inputs[label]; b != nil {
		return b.data
	}
	return nil
}

// Output returns the i-th output's values, row-major; valid until the next Run.
func (p *Program) Output(i int) []float32 { return p.outputs[i].data }

// MemoryBytes is the size of everything the program holds besides variables.
func (p *Program) MemoryBytes() int64 { return p.memory }

// Close ends the program's goroutines. A closed program does not run again.
func (p *Program) Close() { p.pool.close() }

// Run computes the outputs. It allocates nothing.
func (p *Program) Run() {
	for _, s := range p.steps {
		var start time.Time
		if p.profile {
			start = time.Now()
		}
		for i := range s.phases {
			p.run(&s.phases[i])
		}
		if p.profile {
			s.time += time.Since(start)
		}
	}
	runtime.KeepAlive(p)
}

// run runs a phase. Its end is told even if it panics, so that what it holds is free
// for others.
func (p *Program) run(ph *phase) {
	if ph.skip != nil && ph.skip() {
		return
	}
	whole := false
	defer func() {
		if ph.done != nil {
			ph.done(whole)
		}
	}()
	p.pool.run(ph.n, ph.body)
	whole = true
}

// StepTime is the time of one step of a program.
type StepTime struct {
	// Op is the kind of operation, Detail the kernel that was chosen for it and the
	// sizes; Detail is empty but for convolutions, matrix products and attention.
	Op, Detail string
	// FLOPs is how many multiplications and additions the plain algorithm of a
	// convolution, a matrix product or attention takes in one run, whatever its
	// kernel saves or computes again.
	FLOPs int64
	// Time is that of all runs so far.
	Time time.Duration
}

// Profile returns the time spent so far step by step, in the order of execution,
// if the program was compiled with Options.Profile.
func (p *Program) Profile() []StepTime {
	out := make([]StepTime, len(p.steps))
	for i, s := range p.steps {
		out[i] = StepTime{s.name, s.work.detail, s.work.flops, s.time}
	}
	return out
}

// ResetProfile forgets the times so far: those of a first run, which packs the
// weights and touches the memory, say.
func (p *Program) ResetProfile() {
	for _, s := range p.steps {
		s.time = 0
	}
}
