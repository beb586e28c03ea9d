// Package parallel runs loops on several threads. Work is split by the caller into items that do not depend on the
// number of threads; only who runs an item varies. A loop whose items write disjoint memory therefore gives the same
// bytes on any number of threads.
package parallel

import (
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// Panic is what For and Chunks panic with after an item panicked: the item's value and the stack where it happened,
// which would otherwise be lost on the way from the goroutine that ran the item to the caller.
type Panic struct {
	Value any
	Stack []byte
}

// Error returns the panic value and the stack.
func (p *Panic) Error() string { return fmt.Sprintf("%v\n\n%s", p.Value, p.Stack) }

// Unwrap returns the panic value when that is an error, else nil.
func (p *Panic) Unwrap() error {
	err, _ := p.Value.(error)
	return err
}

// For calls f(0) ... f(n-1), each exactly once, on at most threads goroutines including the caller's, which claim
// items one by one, and returns when all are done. Items must not depend on each other. With threads <= 1 or n <= 1
// everything runs on the caller, in order. When an item panics no more items are claimed, and For panics with a
// *Panic on the caller's goroutine after the running ones have ended.
func For(threads, n int, f func(i int)) {
	if n <= 0 {
		return
	}
	var l loop
	if threads = min(threads, n); threads <= 1 {
		l.run(n, f)
	} else {
		l.fork(threads, n, f)
	}
	if p := l.panicked.Load(); p != nil {
		panic(p)
	}
}

// Chunks splits [0, n) into ranges of size elements (the last may be shorter) and calls f(lo, hi) for each as For
// does. The split depends on n and size alone. It panics when size <= 0.
func Chunks(threads, n, size int, f func(lo, hi int)) {
	if size <= 0 {
		panic("parallel: chunk size must be positive")
	}
	if n <= size { // spares the closure where there is nothing to share out
		For(1, min(n, 1), func(int) { f(0, n) })
		return
	}
	For(threads, (n-1)/size+1, func(i int) {
		lo := i * size
		f(lo, lo+min(size, n-lo))
	})
}

// loop is the shared state of one For.
type loop struct {
	next     atomic.Int64
	panicked atomic.Pointer[Panic]
}

// fork runs the loop on threads goroutines, the caller's among them.
func (l *loop) fork(threads, n int, f func(i int)) {
	var wg sync.WaitGroup
	for range threads - 1 {
		wg.Go(func() { l.run(n, f) })
	}
	l.run(n, f)
	wg.Wait()
}

// run claims and runs items until none is left or one has panicked.
func (l *loop) run(n int, f func(i int)) {
	defer func() {
		if v := recover(); v != nil {
			l.panicked.CompareAndSwap(nil, AsPanic(v))
		}
	}()
	for l.panicked.Load() == nil {
		i := int(l.next.Add(1)) - 1
		if i >= n {
			return
		}
		f(i)
	}
}

// AsPanic makes what was recovered a Panic, with the caller's stack, so it is to be called where the panic was
// recovered. A Panic stays what it is: the innermost value and stack are kept when loops are nested.
func AsPanic(v any) *Panic {
	if p, ok := v.(*Panic); ok {
		return p
	}
	return &Panic{Value: v, Stack: debug.Stack()}
}
