package kernel

import (
	"math/rand/v2"
	"testing"
)

func TestTranspose(t *testing.T) {
	forEachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(13, 14))
		for rows := range 26 {
			for cols := range 35 {
				from, to := cols+r.IntN(5), rows+r.IntN(5)
				src, dst := nans(rows*from+guard), canaries(cols*to+guard)
				for i := range rows {
					copy(src[i*from:], randoms(r, cols))
				}
				Transpose(dst, to, src, from, rows, cols)
				for k, got := range dst {
					want := float32(canary)
					if i, j := k%max(to, 1), k/max(to, 1); i < rows && j < cols {
						want = src[i*from+j]
					}
					if got != want {
						t.Fatalf("%dx%d, distances %d and %d: element %d is %v, want %v", rows, cols, from, to, k, got, want)
					}
				}
			}
		}
	})
}

func TestTransposePanics(t *testing.T) {
	x, y := make([]float32, 63), make([]float32, 64)
	for name, f := range map[string]func(){
		"short source":      func() { Transpose(y, 8, x, 8, 8, 8) },
		"short destination": func() { Transpose(x, 8, y, 8, 8, 8) },
		"overlapping rows":  func() { Transpose(y, 8, y, 7, 8, 8) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: did not panic", name)
				}
			}()
			f()
		}()
	}
}
