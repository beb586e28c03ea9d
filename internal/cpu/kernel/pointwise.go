package kernel

// same panics unless all lengths are n.
func same(op string, n int, lengths ...int) {
	for _, m := range lengths {
		if m != n {
			panic("kernel: " + op + ": slices of unequal length")
		}
	}
}

// Add sets dst[i] = a[i] + b[i]. dst may be a or b.
func Add(dst, a, b []float32) {
	same("Add", len(dst), len(a), len(b))
	active.add(dst, a, b)
}

// Sub sets dst[i] = a[i] - b[i]. dst may be a or b.
func Sub(dst, a, b []float32) {
	same("Sub", len(dst), len(a), len(b))
	active.sub(dst, a, b)
}

// Mul sets dst[i] = a[i] * b[i]. dst may be a or b.
func Mul(dst, a, b []float32) {
	same("Mul", len(dst), len(a), len(b))
	active.mul(dst, a, b)
}

// Axpy adds alpha*x[i] to dst[i]. dst may be x.
func Axpy(dst []float32, alpha float32, x []float32) {
	same("Axpy", len(dst), len(x))
	active.axpy(dst, alpha, x)
}

// ScaleShift sets dst[i] = x[i]*scale + shift. dst may be x.
func ScaleShift(dst, x []float32, scale, shift float32) {
	same("ScaleShift", len(dst), len(x))
	active.scaleShift(dst, x, scale, shift)
}

// Exp sets dst[i] = e^x[i], within 2 ULP, denormal results within 1 ULP of
// theirs. It is 0 below -103.98 and +Inf above 88.73; NaN stays NaN. dst may
// be x.
func Exp(dst, x []float32) {
	same("Exp", len(dst), len(x))
	active.exp(dst, x)
}

// Sigmoid sets dst[i] = 1/(1 + e^-x[i]), within 4 ULP where the result is a
// normal number and e^-x does not overflow; below -88.72 it is 0 in the vector
// tiers, an error of less than 4e-39. dst may be x.
func Sigmoid(dst, x []float32) {
	same("Sigmoid", len(dst), len(x))
	active.sigmoid(dst, x)
}

// Silu sets dst[i] = x[i]/(1 + e^-x[i]), the activation also called swish,
// within 4 ULP as for Sigmoid; below -88.72 it is -0 in the vector tiers.
// Silu(-Inf) is NaN, as that formula has it. dst may be x.
func Silu(dst, x []float32) {
	same("Silu", len(dst), len(x))
	active.silu(dst, x)
}

// SiluGrad sets dst[i] = g[i] * silu'(x[i]), the derivative within 3e-7
// absolutely (its range is -0.1 to 1.1). dst may be x or g.
func SiluGrad(dst, x, g []float32) {
	same("SiluGrad", len(dst), len(x), len(g))
	active.siluGrad(dst, x, g)
}
