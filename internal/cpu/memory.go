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
	half []uint16 // float16 numbers in place of data, for some fixed buffers
	size int
	// load, if not nil, fetches data when a step first reads it.
	load func() []float32
	// fixed buffers (inputs, variables, constants, packed weights) have storage of
	// their own; the others share the arena as their lifetimes allow.
	fixed       bool
	first, last int // the steps that first write and last read it
	offset      int
}

// use widens the lifetime to step.
func (b *buffer) use(step int) { b.last = max(b.last, step) }

// place is a stretch of the arena: one buffer's, or that of a chain of buffers of
// which each takes over the one before.
type place struct{ size, first, last, offset int }

// planArena gives every buffer that is not fixed a place in one arena such that
// buffers alive at the same time do not overlap, and returns the arena's size in
// floats. Large places are laid out first, each at the lowest gap that is free for
// as long as it lives. inPlace maps an output to an input it may take over, if
// that input is read for the last time by the same step.
func planArena(buffers []*buffer, inPlace map[*buffer]*buffer) int {
	places, placeOf := chainPlaces(buffers, inPlace)
	var laid []*place // sorted by offset
	slices.SortStableFunc(places, func(a, b *place) int { return b.size - a.size })
	top := 0
	for _, p := range places {
		for _, q := range laid {
			if q.last < p.first || p.last < q.first {
				continue
			}
			if q.offset-p.offset >= p.size {
				break
			}
			p.offset = max(p.offset, q.offset+q.size)
		}
		i, _ := slices.BinarySearchFunc(laid, p, func(a, b *place) int { return a.offset - b.offset })
		laid = slices.Insert(laid, i, p)
		top = max(top, p.offset+p.size)
	}
	for b, p := range placeOf {
		b.offset = p.offset
	}
	return top
}

// chainPlaces makes the places, yet without offsets, and says which is whose.
func chainPlaces(buffers []*buffer, inPlace map[*buffer]*buffer) (places []*place, placeOf map[*buffer]*place) {
	placeOf = map[*buffer]*place{}
	order := slices.Clone(buffers)
	slices.SortStableFunc(order, func(a, b *buffer) int { return a.first - b.first })
	for _, b := range order {
		if b.fixed {
			continue
		}
		p := placeOf[inPlace[b]] // nil if that is nil or fixed
		if p == nil || p.last != b.first || p.size != padded(b.size) {
			p = &place{size: padded(b.size), first: b.first}
			places = append(places, p)
		}
		p.last = b.last
		placeOf[b] = p
	}
	return places, placeOf
}

// padded rounds a size up to whole cache lines, with slack.
func padded(size int) int { return (size + slack + 15) &^ 15 }
