package cpu

import (
	"sync"
	"sync/atomic"
)

// pool runs loops over disjoint work items on a fixed set of goroutines. Who
// runs which item is left to chance, so results are the same for any number of
// threads as long as items are disjoint and do not depend on that number.
type pool struct {
	threads int
	wake    []chan struct{}
	done    sync.WaitGroup

	next  atomic.Int64
	items int64
	body  func(worker, item int)
}

// newPool starts threads-1 goroutines; the caller of run is the last worker.
func newPool(threads int) *pool {
	p := &pool{threads: max(threads, 1)}
	for w := 1; w < p.threads; w++ {
		wake := make(chan struct{}, 1)
		p.wake = append(p.wake, wake)
		go func() {
			for range wake {
				p.work(w)
				p.done.Done()
			}
		}()
	}
	return p
}

// run calls body(worker, item) for every item below n and returns when all are
// done.
func (p *pool) run(n int, body func(worker, item int)) {
	helpers := min(p.threads, n) - 1
	if helpers <= 0 {
		for i := range n {
			body(0, i)
		}
		return
	}
	p.next.Store(0)
	p.items, p.body = int64(n), body
	p.done.Add(helpers)
	for _, wake := range p.wake[:helpers] {
		wake <- struct{}{}
	}
	p.work(0)
	p.done.Wait()
	p.body = nil // the goroutines must not keep a forgotten program alive
}

func (p *pool) work(worker int) {
	for {
		i := p.next.Add(1) - 1
		if i >= p.items {
			return
		}
		p.body(worker, int(i))
	}
}

// close ends the goroutines.
func (p *pool) close() {
	for _, wake := range p.wake {
		close(wake)
	}
	p.wake = nil
}
