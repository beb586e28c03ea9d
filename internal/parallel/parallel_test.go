package parallel

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestForRunsEachItemOnce(t *testing.T) {
	for _, threads := range []int{-1, 0, 1, 2, 3, 8, 100} {
		for _, n := range []int{-1, 0, 1, 2, 7, 1000} {
			counts := make([]atomic.Int32, max(n, 0))
			For(threads, n, func(i int) { counts[i].Add(1) })
			for i := range counts {
				if c := counts[i].Load(); c != 1 {
					t.Fatalf("threads %d n %d: item %d ran %d times", threads, n, i, c)
				}
			}
		}
	}
}

func TestForInlineIsInOrder(t *testing.T) {
	var got []int
	For(1, 5, func(i int) { got = append(got, i) })
	if fmt.Sprint(got) != "[0 1 2 3 4]" {
		t.Errorf("order %v", got)
	}
}

func TestForUsesThreads(t *testing.T) {
	meet := make(chan struct{})
	For(2, 2, func(int) { // returns only if both items are in flight at once
		select {
		case meet <- struct{}{}:
		case <-meet:
		case <-time.After(10 * time.Second):
			t.Error("the two items did not run at the same time")
		}
	})
}

func TestForLimitsThreads(t *testing.T) {
	var running, most atomic.Int32
	For(3, 50, func(int) {
		now := running.Add(1)
		for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
		}
		time.Sleep(100 * time.Microsecond)
		running.Add(-1)
	})
	if most.Load() > 3 {
		t.Errorf("%d items at once, want at most 3", most.Load())
	}
}

func TestChunksCover(t *testing.T) {
	for _, threads := range []int{1, 3} {
		for n := range 40 {
			for size := 1; size < 15; size++ {
				counts := make([]atomic.Int32, n)
				Chunks(threads, n, size, func(lo, hi int) {
					if hi-lo > size || lo%size != 0 || hi <= lo {
						t.Errorf("n %d size %d: range [%d,%d)", n, size, lo, hi)
					}
					for i := lo; i < hi; i++ {
						counts[i].Add(1)
					}
				})
				for i := range counts {
					if counts[i].Load() != 1 {
						t.Fatalf("n %d size %d: element %d visited %d times", n, size, i, counts[i].Load())
					}
				}
			}
		}
	}
}

func TestPanicReachesCaller(t *testing.T) {
	sentinel := errors.New("boom")
	for _, threads := range []int{1, 4} {
		func() {
			defer func() {
				p, ok := recover().(*Panic)
				if !ok || !errors.Is(p, sentinel) {
					t.Fatalf("threads %d: recovered %v", threads, p)
				}
				if !strings.Contains(p.Error(), "TestPanicReachesCaller") {
					t.Errorf("threads %d: the stack does not name the panicking function", threads)
				}
			}()
			For(threads, 100, func(i int) {
				if i == 13 {
					For(threads, 2, func(int) { panic(sentinel) })
				}
			})
		}()
	}
}

func TestPanicStopsTheLoop(t *testing.T) {
	var ran atomic.Int32
	func() {
		defer func() { _ = recover() }()
		For(1, 100, func(i int) {
			ran.Add(1)
			panic("stop")
		})
	}()
	if ran.Load() != 1 {
		t.Errorf("%d items ran after a panic in the first", ran.Load()-1)
	}
}

func TestChunkSizePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("size 0 accepted")
		}
	}()
	Chunks(1, 1, 0, func(int, int) {})
}
