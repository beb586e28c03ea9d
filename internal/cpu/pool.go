package cpu

import (
	"sync/atomic"

	"github.com/sr3-go/sr3/internal/parallel"
)

// pool runs loops over disjoint work items on a fixed set of goroutines. Who
// runs which item is left to chance, so results are the same for any number of
// threads as long as items are disjoint and do not depend on that number.
//
// A program is thousands of short loops one after another, so goroutines look
// for the next loop for a while before they sleep: waking one costs as much as a
// loop of some ten microseconds.
type pool struct {
	threads int
	helpers []*helper

	// remaining counts the items that nobody has claimed. Whoever takes it from k
	// to k-1 owns item items-k; items and body are stable until that is finished.
	remaining atomic.Int64
	finished  atomic.Int64
	items     int64
	body      func(worker, item int)
	panicked  atomic.Pointer[parallel.Panic] // of an item of this loop

	waiting atomic.Bool   // the caller of run sleeps
	done    chan struct{} // and is woken here
	closed  atomic.Bool
}

// helper is a goroutine of the pool.
type helper struct {
	asleep atomic.Bool
	wake   chan struct{}
}

// spins is how often a goroutine looks before it sleeps: about 20 microseconds.
const spins = 1 << 14

// newPool starts threads-1 goroutines; the caller of run is the last worker.
func newPool(threads int) *pool {
	p := &pool{threads: max(threads, 1), done: make(chan struct{}, 1)}
	for w := 1; w < p.threads; w++ {
		h := &helper{wake: make(chan struct{}, 1)}
		p.helpers = append(p.helpers, h)
		go func() {
			for p.await(h) {
				p.work(w)
			}
		}()
	}
	return p
}

// run calls body(worker, item) for every item below n and returns when all are
// done. If items panic, it panics itself then, with a [parallel.Panic] where there
// are several threads: nothing is running any more, and the pool can be used again.
func (p *pool) run(n int, body func(worker, item int)) {
	if p.threads == 1 || n <= 1 {
		for i := range n {
			body(0, i)
		}
		return
	}
	p.items, p.body = int64(n), body
	p.finished.Store(0)
	p.remaining.Store(int64(n))
	for _, h := range p.helpers[:min(n, p.threads)-1] {
		if h.asleep.CompareAndSwap(true, false) {
			h.wake <- struct{}{}
		}
	}
	p.work(0)
	p.join(int64(n))
	p.body = nil // the goroutines must not keep a forgotten program alive
	if v := p.panicked.Swap(nil); v != nil {
		panic(v)
	}
}

// work claims and runs items until none is left.
func (p *pool) work(worker int) {
	for {
		k := p.remaining.Load()
		if k <= 0 {
			return
		}
		if !p.remaining.CompareAndSwap(k, k-1) {
			continue
		}
		p.do(worker, int(p.items-k))
	}
}

// do runs an item.
func (p *pool) do(worker, item int) {
	n := p.items // stable until this item is finished
	defer func() {
		if v := recover(); v != nil {
			p.panicked.CompareAndSwap(nil, parallel.AsPanic(v))
		}
		if p.finished.Add(1) == n && p.waiting.CompareAndSwap(true, false) {
			p.done <- struct{}{}
		}
	}()
	p.body(worker, item)
}

// join returns when n items are finished.
func (p *pool) join(n int64) {
	for range spins {
		if p.finished.Load() == n {
			return
		}
	}
	// A goroutine that was held up since an earlier loop may send on done as well,
	// so being woken is no proof: it is asked again.
	for p.finished.Load() != n {
		p.waiting.Store(true)
		if p.finished.Load() == n && p.waiting.CompareAndSwap(true, false) {
			return
		}
		<-p.done
	}
}

// await returns true when there may be work, false when the pool is closed.
func (p *pool) await(h *helper) bool {
	for {
		for range spins {
			if p.remaining.Load() > 0 {
				return true
			}
		}
		h.asleep.Store(true)
		if p.closed.Load() || p.remaining.Load() > 0 {
			// Someone may be about to wake this goroutine: then take that.
			if !h.asleep.CompareAndSwap(true, false) {
				<-h.wake
			}
		} else {
			<-h.wake
		}
		if p.closed.Load() {
			return false
		}
	}
}

// close ends the goroutines.
func (p *pool) close() {
	if p.closed.Swap(true) {
		return
	}
	for _, h := range p.helpers {
		if h.asleep.CompareAndSwap(true, false) {
			h.wake <- struct{}{}
		}
	}
}
