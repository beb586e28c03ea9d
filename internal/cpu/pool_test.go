package cpu

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sr3-go/sr3/internal/parallel"
)

// TestPoolRunsEveryItemOnce also gives the race detector something to look at.
func TestPoolRunsEveryItemOnce(t *testing.T) {
	for threads := 1; threads <= 4; threads++ {
		p := newPool(threads)
		for _, n := range []int{0, 1, 2, 3, 7, 1000} {
			counts := make([]atomic.Int32, n)
			workers := make([]int, threads) // items by worker, written without locks
			p.run(n, func(worker, item int) {
				counts[item].Add(1)
				workers[worker]++
			})
			total := 0
			for _, w := range workers {
				total += w
			}
			for i := range counts {
				if c := counts[i].Load(); c != 1 {
					t.Fatalf("%d threads, %d items: item %d ran %d times", threads, n, i, c)
				}
			}
			if total != n {
				t.Fatalf("%d threads: %d items counted, not %d", threads, total, n)
			}
		}
		p.close()
		p.close()
	}
}

// TestPoolPanics: whoever ran the item that panics, the caller of run is told, after all others, and the pool works on.
func TestPoolPanics(t *testing.T) {
	p := newPool(3)
	defer p.close()
	for guilty := range 3 {
		var arrived, ended atomic.Int64
		caught := func() (v any) {
			defer func() { v = recover() }()
			p.run(3, func(worker, _ int) {
				for arrived.Add(1); arrived.Load() < 3; { // one item a goroutine
					runtime.Gosched()
				}
				if worker == guilty {
					panic("kernel")
				}
				ended.Add(1)
			})
			return nil
		}()
		if v, ok := caught.(*parallel.Panic); !ok || v.Value != "kernel" || ended.Load() != 2 {
			t.Errorf("worker %d panicked: run panicked with %v after %d items", guilty, caught, ended.Load())
		}
	}
	var sum atomic.Int64
	p.run(100, func(_, item int) { sum.Add(int64(item)) })
	if sum.Load() != 4950 {
		t.Errorf("the items after it sum up to %d", sum.Load())
	}
}

// TestPoolIgnoresLateWakeups plays a goroutine that finished the last item of one
// loop, was held up before it looked whether the caller sleeps, and finds the
// caller asleep in the next loop.
func TestPoolIgnoresLateWakeups(t *testing.T) {
	p := newPool(2)
	defer p.close()
	release := make(chan struct{})
	go func() {
		for !p.waiting.CompareAndSwap(true, false) {
			runtime.Gosched()
		}
		p.done <- struct{}{}
		time.Sleep(10 * time.Millisecond)
		close(release)
	}()
	var started, finished atomic.Int64
	p.run(2, func(worker, _ int) {
		started.Add(1)
		for started.Load() < 2 { // one item a goroutine
			runtime.Gosched()
		}
		if worker != 0 { // the caller is done first
			<-release
		}
		finished.Add(1)
	})
	if n := finished.Load(); n != 2 {
		t.Errorf("the loop returned after %d of 2 items", n)
	}
}

func TestArenaKeepsLiveBuffersApart(t *testing.T) {
	buffers := []*buffer{
		{size: 100, first: 0, last: 2}, {size: 50, first: 1, last: 1}, {size: 50, first: 2, last: 3},
		{size: 100, first: 3, last: 3}, {size: 10, first: 1, last: 4}, {size: 100, first: 2, last: 4},
	}
	inPlace := map[*buffer]*buffer{buffers[5]: buffers[0]}
	size := planArena(buffers, inPlace)
	for i, a := range buffers {
		if a.offset+a.size+slack > size {
			t.Errorf("buffer %d ends beyond the arena", i)
		}
		for j, b := range buffers[:i] {
			alive := a.first <= b.last && b.first <= a.last
			apart := a.offset+a.size+slack <= b.offset || b.offset+b.size+slack <= a.offset
			if alive && !apart && inPlace[a] != b {
				t.Errorf("buffers %d and %d are alive together and overlap", i, j)
			}
		}
	}
	if buffers[5].offset != buffers[0].offset {
		t.Error("the output did not take over its dying input's place")
	}
	if sum := 6*(100+slack) + 64; size > sum {
		t.Errorf("the arena has %d floats", size)
	}
}
