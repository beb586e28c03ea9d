package kernel

import "math"

// trigBound is the largest magnitude whose reduction the vector tiers trust.
const trigBound = 1 << 17

// Sin sets dst[i] = sin x[i], x in radians, within 2 ULP. Beyond +-131072, where
// the vector tiers take math.Sin, it is slow. The sine of an infinity is NaN. dst
// may be x.
func Sin(dst, x []float32) {
	same("Sin", len(dst), len(x))
	if active.sin(dst, x) > trigBound {
		finishBeyond(dst, math.Sin)
	}
}

// Cos sets dst[i] = cos x[i] as Sin does.
func Cos(dst, x []float32) {
	same("Cos", len(dst), len(x))
	if active.cos(dst, x) > trigBound {
		finishBeyond(dst, math.Cos)
	}
}

// finishBeyond replaces the arguments that a kernel left in place, which no sine is
// as large as.
func finishBeyond(dst []float32, f func(float64) float64) {
	for i, v := range dst {
		if v > trigBound || v < -trigBound {
			dst[i] = float32(f(float64(v)))
		}
	}
}
