package cpu

import "slices"

// slack is how many readable floats lie behind every buffer: kernels load whole
// vectors at the end of a row and mask what they store.
const slack = 64

// alloc returns n zeros with slack behind them.
func alloc(n int) []float32 { return make([]float32, n+slack)[:n] }

// buffer is the storage of one value. data is filled in when the plan is made.
type buffer struct {
	data []float32
	size int
	// fixed buffers (inputs, variables, constants, packed weights) have storage of
	// their own; the others share the arena as their lifetimes allow.
	fixed       bool
	first, last int // the steps that first write and last read it
	offset      int
}

// use widens the lifetime to step.
func (b *buffer) use(step int) { b.last = max(b.last, step) }

// planArena gives every buffer that is not fixed a place in one arena such that
// buffers alive at the same time do not overlap (first fit over the step order),
// and returns the arena's size in floats. inPlace maps an output to an input it
// may take over, if that input is read for the last time by the same step.
func planArena(buffers []*buffer, inPlace map[*buffer]*buffer) int {
	order := slices.Clone(buffers)
	slices.SortStableFunc(order, func(a, b *buffer) int { return a.first - b.first })
	var live []*buffer // sorted by offset
	top := 0
	for _, b := range order {
		if b.fixed {
			continue
		}
		live = slices.DeleteFunc(live, func(l *buffer) bool { return l.last < b.first })
		if from := inPlace[b]; from != nil && !from.fixed && from.last == b.first && from.size == b.size {
			if i := slices.Index(live, from); i >= 0 {
				b.offset = from.offset
				live[i] = b
				continue
			}
		}
		at, i := 0, 0
		need := padded(b.size)
		for ; i < len(live); i++ {
			if live[i].offset-at >= need {
				break
			}
			at = max(at, live[i].offset+padded(live[i].size))
		}
		b.offset = at
		live = slices.Insert(live, i, b)
		top = max(top, at+need)
	}
	return top
}

// padded rounds a size up to whole cache lines, with slack.
func padded(size int) int { return (size + slack + 15) &^ 15 }
