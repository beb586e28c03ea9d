package train

import (
	"runtime"

	"github.com/sr3-go/sr3/internal/cpu"
	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/internal/parallel"
)

// compileReplicas makes the programs that compute the loss and the gradients of a micro-batch, each on its share of the
// threads. They read the same variables.
//
// Threads that work on one micro-batch wait for one another after every operation, thousands of times a step; those of
// different replicas meet once. That pays where a network's operations are small, and above all where other programs
// take processors away in between.
func (s *stepper) compileReplicas(g *graph.Graph, outputs []*graph.Node, vars *cpu.Variables) error {
	n := s.cfg.replicas()
	threads := s.cfg.Train.Threads
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	for range n {
		p, err := cpu.Compile(g, vars, outputs, cpu.Options{Threads: max(threads/n, 1)})
		if err != nil {
			return err
		}
		s.replicas = append(s.replicas, p)
	}
	return nil
}

// replicas is how many micro-batches are computed side by side.
func (c Config) replicas() int { return max(c.Train.Replicas, 1) }

// accumulate sums the gradients of all micro-batches of a batch, in their order whoever computes them, and returns the
// mean loss.
func (s *stepper) accumulate(e *examples) (loss float64) {
	micro := s.cfg.microBatch()
	parts := e.N / micro
	for _, sum := range s.sums {
		clear(sum)
	}
	for first := 0; first < parts; first += len(s.replicas) {
		running := s.replicas[:min(len(s.replicas), parts-first)]
		parallel.For(len(running), len(running), func(i int) {
			part := first + i
			fill(running[i], e, part*micro, micro, part)
			running[i].Run()
		})
		for _, p := range running {
			loss += float64(p.Output(0)[0]) / float64(parts)
			parallel.For(s.cfg.Train.Threads, len(s.sums), func(i int) {
				addScaled(s.sums[i], p.Output(1+i), 1/float32(parts))
			})
		}
	}
	return loss
}

// addScaled adds f times src to dst.
func addScaled(dst, src []float32, f float32) {
	src = src[:len(dst)]
	for i := range dst {
		dst[i] += f * src[i]
	}
}
