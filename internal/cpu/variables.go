package cpu

import (
	"fmt"
	"slices"
	"sync"
)

// Variables is the storage behind [graph.Variable] nodes, by label: parameters,
// optimiser state, averages. Programs compiled with the same Variables share
// them. Its methods may be called by several goroutines, the slices it gives out
// are guarded by nobody.
type Variables struct {
	mu   sync.Mutex
	vars map[string]*variable
}

type variable struct {
	data []float32
	// version changes with the values, so that programs know when what they
	// derived from them (packed weights) is stale.
	version uint64
}

// NewVariables returns an empty storage.
func NewVariables() *Variables { return &Variables{vars: map[string]*variable{}} }

// Get returns the values of a variable to read or write in place, nil if there is
// none. After writing, call Touch.
func (v *Variables) Get(label string) []float32 {
	v.mu.Lock()
	defer v.mu.Unlock()
	if x := v.vars[label]; x != nil {
		return x.data
	}
	return nil
}

// Ensure returns the values of a variable of n elements, created as zeros if it
// does not exist. It panics if it exists with another size.
func (v *Variables) Ensure(label string, n int) []float32 { return v.ensure(label, n).data }

func (v *Variables) ensure(label string, n int) *variable {
	v.mu.Lock()
	defer v.mu.Unlock()
	x := v.vars[label]
	if x == nil {
		x = &variable{data: alloc(n)}
		v.vars[label] = x
	}
	if len(x.data) != n {
		panic(fmt.Sprintf("cpu: variable %s has %d elements, not %d", label, len(x.data), n))
	}
	return x
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
