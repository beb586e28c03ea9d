// Package kernel is the arithmetic of the CPU executor: one matrix tile from
// which convolutions and products are built, and the row and elementwise loops
// around it. Every kernel exists as plain Go (ref.go, the specification), as
// AVX2 with FMA and as AVX-512; one of these tiers is chosen when the program
// starts.
//
// # Contract
//
// Kernels work on float32 in the caller's memory, allocate nothing and start
// no goroutines. Slices of unequal length are a programmer's error and panic;
// any length including zero and any alignment will do. Outputs may not overlap
// inputs partly; where a function says so an output may be exactly an input.
//
// # Rounding
//
// Within a tier a result depends on the arguments alone, not on alignment,
// thread or how a matrix was cut into tiles. Tiers differ by rounding: the
// vector tiers fuse multiply and add, and sums to one number go in as many
// lanes as the tier has. Error bounds stand with each function; docs/kernels.md
// has them in a table.
//
// NaN and infinities go through as in IEEE 754 unless a function says
// otherwise. Denormal numbers are kept.
package kernel
