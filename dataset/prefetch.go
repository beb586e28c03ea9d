package dataset

import (
	"context"
	"sync"
)

// Prefetcher makes the values of a sequence ahead of their use, on goroutines of its own.
type Prefetcher[T any] struct {
	cancel context.CancelFunc
	done   <-chan struct{}
	next   int
	lanes  []chan made[T]
	wg     sync.WaitGroup
}

type made[T any] struct {
	value T
	err   error
}

// Prefetch starts making make(first), make(first+1), ... on workers goroutines (at least one), each of which holds at
// most two values ahead. make is called on several goroutines at once if there are several workers; values come out
// in order whatever their number.
func Prefetch[T any](ctx context.Context, first, workers int, make func(step int) (T, error)) *Prefetcher[T] {
	workers = max(workers, 1)
	ctx, cancel := context.WithCancel(ctx)
	p := &Prefetcher[T]{cancel: cancel, done: ctx.Done()}
	for w := range workers {
		lane := newLane[T]()
		p.lanes = append(p.lanes, lane)
		p.wg.Go(func() {
			for step := first + w; ; step += workers {
				value, err := make(step)
				select {
				case lane <- made[T]{value, err}:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	return p
}

func newLane[T any]() chan made[T] { return make(chan made[T], 1) }

// Next returns the next value, or the error of making it, or the context's error once that is cancelled.
func (p *Prefetcher[T]) Next() (T, error) {
	lane := p.lanes[p.next%len(p.lanes)]
	select {
	case m := <-lane:
		p.next++
		return m.value, m.err
	case <-p.done:
		var none T
		return none, context.Canceled
	}
}

// Close stops the goroutines and waits for them.
func (p *Prefetcher[T]) Close() {
	p.cancel()
	p.wg.Wait()
}
