package cpu

import (
	"fmt"
	"slices"
	"sync"

	"github.com/sr3-go/sr3/internal/cpu/kernel"
)

// Variables is the storage behind [graph.Variable] nodes, by label: parameters,
// optimiser state, averages. Programs compiled with the same Variables share
// them. Its methods may be called by several goroutines, the slices it gives out
// are guarded by nobody.
type Variables struct {
	mu   sync.Mutex // guards all but what packing guards
	vars map[string]*variable

	packing sync.Mutex // held while a form is being filled
	stage   []float32  // values on their way from a source into a form
}

type variable struct {
	size   int
	data   []float32 // nil as long as only source has the values
	source *Source
	// version changes with the values, so that what was derived from them (packed
	// weights) is known to be stale.
	version uint64
	forms   map[string]*form
}

// form is the values of a variable laid out for a kernel, shared by all programs
// that use this kernel. It has data or, where the kernel expands float16 numbers as
// it goes and all values are such, half.
type form struct {
	size    int
	mayHalf bool
	data    []float32
	half    []uint16
	filled  bool
	packed  uint64 // the version that it was made from, if filled
}

// Source is where the values of a variable come from whenever they are needed, so
// that they need not be kept: a model in memory, say. Programs pack most weights
// once and have no use for the originals after that.
type Source struct {
	// Len is how many values there are.
	Len int
	// Read writes the values, always the same, to dst. It may be called by several
	// goroutines, and after any length of time.
	Read func(dst []float32)
}

// NewVariables returns an empty storage.
func NewVariables() *Variables { return &Variables{vars: map[string]*variable{}} }

// Provide gives a variable, created if needed, its values from a source. Get, Ensure,
// Set, and operations that read the variable where it lies, make it an ordinary one;
// if it is that already, the source is read at once. It panics if the variable
// exists with another size.
func (v *Variables) Provide(label string, s Source) {
	v.mu.Lock()
	defer v.mu.Unlock()
	x := v.ensure(label, s.Len)
	x.version++
	if x.data != nil {
		s.Read(x.data)
		return
	}
	x.source = &s
}

// Get returns the values of a variable to read or write in place, nil if there is
// none. After writing, call Touch.
func (v *Variables) Get(label string) []float32 {
	v.mu.Lock()
	defer v.mu.Unlock()
	if x := v.vars[label]; x != nil {
		return x.resident()
	}
	return nil
}

// resident is the values in memory. The caller holds the lock.
func (x *variable) resident() []float32 {
	if x.data == nil {
		x.data = alloc(x.size)
		if x.source != nil {
			x.source.Read(x.data)
			x.source = nil
		}
	}
	return x.data
}

// Ensure returns the values of a variable of n elements, created as zeros if it
// does not exist. It panics if it exists with another size.
func (v *Variables) Ensure(label string, n int) []float32 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.ensure(label, n).resident()
}

// declare creates a variable, perhaps not resident, as Ensure does.
func (v *Variables) declare(label string, n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ensure(label, n)
}

// ensure is the variable, perhaps not resident. The caller holds the lock.
func (v *Variables) ensure(label string, n int) *variable {
	x := v.vars[label]
	if x == nil {
		x = &variable{size: n}
		v.vars[label] = x
	}
	if x.size != n {
		panic(fmt.Sprintf("cpu: variable %s has %d elements, not %d", label, x.size, n))
	}
	return x
}

// form returns a form of size floats of a variable of n elements.
func (v *Variables) form(label string, n int, key string, size int, mayHalf bool) (*variable, *form) {
	v.mu.Lock()
	defer v.mu.Unlock()
	x := v.ensure(label, n)
	key = fmt.Sprintf("%s %d %v", key, size, mayHalf)
	f := x.forms[key]
	if f == nil {
		f = &form{size: size, mayHalf: mayHalf}
		if x.forms == nil {
			x.forms = map[string]*form{}
		}
		x.forms[key] = f
	}
	return x, f
}

// beginPacking reports whether a form is stale; if so it gives it storage and the
// values to pack, and keeps all other packing of these variables waiting until
// endPacking.
func (v *Variables) beginPacking(x *variable, f *form) (values []float32, stale bool) {
	v.packing.Lock()
	defer func() {
		if !stale { // or a source panicked
			v.packing.Unlock()
		}
	}()
	v.mu.Lock()
	defer v.mu.Unlock()
	if f.filled && f.packed == x.version {
		return nil, false
	}
	f.filled, f.packed = false, x.version
	values = v.valuesOf(x)
	switch half := f.mayHalf && halfPrecision(values); {
	case half && f.half == nil:
		f.data, f.half = nil, make([]uint16, f.size)
	case !half && f.data == nil:
		f.data, f.half = alloc(f.size), nil
	}
	return values, true
}

// valuesOf are the values of a variable, read from its source for this once if they
// are not resident.
func (v *Variables) valuesOf(x *variable) []float32 {
	if x.data != nil || x.source == nil {
		return x.resident()
	}
	if len(v.stage) < x.size {
		v.stage = alloc(x.size)
	}
	x.source.Read(v.stage[:x.size])
	return v.stage[:x.size]
}

// halfPrecision says whether all values are float16 numbers.
func halfPrecision(values []float32) bool {
	var half [512]uint16
	var back [512]float32
	for len(values) > 0 {
		n := min(len(values), len(half))
		kernel.Float16Encode(half[:n], values[:n])
		kernel.Float16Decode(back[:n], half[:n])
		if !slices.Equal(back[:n], values[:n]) {
			return false
		}
		values = values[n:]
	}
	return true
}

// endPacking ends what beginPacking began; whole says that the form is filled now.
func (v *Variables) endPacking(f *form, whole bool) {
	v.mu.Lock()
	f.filled = whole
	v.mu.Unlock()
	v.packing.Unlock()
}

// MemoryBytes is the size of all values in memory and of all that was derived from
// them.
func (v *Variables) MemoryBytes() int64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	total := 4 * int64(len(v.stage))
	for _, x := range v.vars {
		total += 4 * int64(len(x.data))
		for _, f := range x.forms {
			total += 4*int64(len(f.data)) + 2*int64(len(f.half))
		}
	}
	return total
}

// Set copies values into a variable, creating it if needed. It panics if the
// variable exists with another size.
func (v *Variables) Set(label string, values []float32) {
	copy(v.Ensure(label, len(values)), values)
	v.Touch(label)
}

// Touch tells programs that the values of a variable were changed through a
// slice from Get or Ensure.
func (v *Variables) Touch(label string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if x := v.vars[label]; x != nil {
		x.version++
	}
}

// Labels lists the variables in sorted order.
func (v *Variables) Labels() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	labels := make([]string, 0, len(v.vars))
	for label := range v.vars {
		labels = append(labels, label)
	}
	slices.Sort(labels)
	return labels
}
