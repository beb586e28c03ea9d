package model

import (
	"fmt"
	"slices"
)

// ToNative turns a parameter from PyTorch's layout into that of internal/graph,
// and returns the new shape and new values: convolution weights [out, in, kh,
// kw] become [kh, kw, in, out], linear weights [out, in] become [in, out],
// vectors stay. name is for the error that a shape of another rank gives.
func ToNative(name string, shape []int, data []float32) ([]int, []float32, error) {
	if err := checkLayout(name, shape, data); err != nil {
		return nil, nil, err
	}
	native := nativeShape(shape)
	switch len(shape) {
	case 4:
		return native, transpose(data, shape[0], shape[1], shape[2]*shape[3], true), nil
	case 2:
		return native, transpose(data, shape[0], shape[1], 1, true), nil
	}
	return native, slices.Clone(data), nil
}

// FromNative is the inverse of [ToNative].
func FromNative(name string, shape []int, data []float32) ([]int, []float32, error) {
	if err := checkLayout(name, shape, data); err != nil {
		return nil, nil, err
	}
	foreign := foreignShape(shape)
	switch len(shape) {
	case 4:
		return foreign, transpose(data, shape[3], shape[2], shape[0]*shape[1], false), nil
	case 2:
		return foreign, transpose(data, shape[1], shape[0], 1, false), nil
	}
	return foreign, slices.Clone(data), nil
}

func checkLayout(name string, shape []int, data []float32) error {
	n := 1
	for _, d := range shape {
		n *= d
	}
	if n != len(data) {
		return fmt.Errorf("parameter %s: shape %v does not hold %d values", name, shape, len(data))
	}
	if r := len(shape); r == 3 || r > 4 {
		return fmt.Errorf("parameter %s: shape %v is neither a convolution, a linear layer nor a vector", name, shape)
	}
	return nil
}

// nativeShape returns the shape that [ToNative] gives.
func nativeShape(s []int) []int {
	switch len(s) {
	case 4:
		return []int{s[2], s[3], s[1], s[0]}
	case 2:
		return []int{s[1], s[0]}
	}
	return slices.Clone(s)
}

// foreignShape returns the shape that [FromNative] gives.
func foreignShape(s []int) []int {
	switch len(s) {
	case 4:
		return []int{s[3], s[2], s[0], s[1]}
	case 2:
		return []int{s[1], s[0]}
	}
	return slices.Clone(s)
}

// transpose maps [out, in, area] to [area, in, out], or back.
func transpose(data []float32, out, in, area int, forward bool) []float32 {
	res := make([]float32, len(data))
	for i := range in {
		for a := range area {
			native := (a*in + i) * out
			for o := range out {
				foreign := (o*in+i)*area + a
				if forward {
					res[native+o] = data[foreign]
				} else {
					res[foreign] = data[native+o]
				}
			}
		}
	}
	return res
}
