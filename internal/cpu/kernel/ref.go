package kernel

import "math"

// The functions of this file are the specification of the kernels as loops and
// the plain Go tier at once. They round as float32 arithmetic does, but for
// exponentials, which go through float64, and the sums that say so.

func refAdd(dst, a, b []float32) {
	for i := range dst {
		dst[i] = a[i] + b[i]
	}
}

func refSub(dst, a, b []float32) {
	for i := range dst {
		dst[i] = a[i] - b[i]
	}
}

func refMul(dst, a, b []float32) {
	for i := range dst {
		dst[i] = a[i] * b[i]
	}
}

func refAxpy(dst []float32, alpha float32, x []float32) {
	for i := range dst {
		dst[i] += alpha * x[i]
	}
}

func refScaleShift(dst, x []float32, scale, shift float32) {
	for i := range dst {
		dst[i] = x[i]*scale + shift
	}
}

func refExp(dst, x []float32) {
	for i := range dst {
		dst[i] = float32(math.Exp(float64(x[i])))
	}
}

// sigmoid is 1/(1 + e^-x).
func sigmoid(x float32) float64 { return 1 / (1 + math.Exp(-float64(x))) }

// silu is x/(1 + e^-x).
func silu(x float32) float32 { return float32(float64(x) / (1 + math.Exp(-float64(x)))) }

// siluGrad is the derivative of silu, s + x s (1-s) with the sigmoid s. It is
// 0 and 1 to rounding outside of +-87, where x is held.
func siluGrad(x float32) float32 {
	x = max(min(x, 87), -87) // keeps NaN
	e := math.Exp(-float64(x))
	s := 1 / (1 + e)
	return float32(s + float64(x)*s*(e*s))
}

func refSigmoid(dst, x []float32) {
	for i := range dst {
		dst[i] = float32(sigmoid(x[i]))
	}
}

func refSilu(dst, x []float32) {
	for i := range dst {
		dst[i] = silu(x[i])
	}
}

func refSiluGrad(dst, x, g []float32) {
	for i := range dst {
		dst[i] = g[i] * siluGrad(x[i])
	}
}

func refSin(dst, x []float32) float32 {
	for i := range dst {
		dst[i] = float32(math.Sin(float64(x[i])))
	}
	return 0 // nothing is left over
}

func refCos(dst, x []float32) float32 {
	for i := range dst {
		dst[i] = float32(math.Cos(float64(x[i])))
	}
	return 0
}

func refTranspose(dst []float32, dstStride int, src []float32, srcStride, blocks int) {
	for i := range 8 {
		for j, v := range src[i*srcStride:][:8*blocks] {
			dst[j*dstStride+i] = v
		}
	}
}

func refSum(x []float32) float64 {
	var sum float64
	for _, v := range x {
		sum += float64(v)
	}
	return sum
}

func refSumSquares(x []float32) float64 {
	var sum float64
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return sum
}

func refDot(x, y []float32) float64 {
	var sum float64
	for i := range x {
		sum += float64(x[i]) * float64(y[i])
	}
	return sum
}

func refMax(x []float32) float32 {
	best := float32(math.Inf(-1))
	for _, v := range x {
		if v > best {
			best = v
		}
	}
	return best
}

func refAddRow(dst, x, row []float32) {
	for i := 0; i < len(dst); i += len(row) {
		refAdd(dst[i:i+len(row)], x[i:], row)
	}
}

func refMulRow(dst, x, row []float32) {
	for i := 0; i < len(dst); i += len(row) {
		refMul(dst[i:i+len(row)], x[i:], row)
	}
}

func refNormApply(dst, x, a, b []float32, dstSkip, xSkip int) {
	for i, k := 0, 0; i < len(dst); i, k = i+len(a)+dstSkip, k+len(a)+xSkip {
		for j := range a {
			dst[i+j] = x[k+j]*a[j] + b[j]
		}
	}
}

func refNormApplySilu(dst, x, a, b []float32, dstSkip, xSkip int) {
	for i, k := 0, 0; i < len(dst); i, k = i+len(a)+dstSkip, k+len(a)+xSkip {
		for j := range a {
			dst[i+j] = silu(x[k+j]*a[j] + b[j])
		}
	}
}

func refNormGradInput(dst, x, g, p, q, r []float32) {
	for i := 0; i < len(dst); i += len(p) {
		for j := range p {
			dst[i+j] = g[i+j]*p[j] + x[i+j]*q[j] + r[j]
		}
	}
}

func refNormGradInputSilu(dst, x, g, a, b, p, q, r []float32) {
	for i := 0; i < len(dst); i += len(a) {
		for j := range a {
			dz := g[i+j] * siluGrad(x[i+j]*a[j]+b[j])
			dst[i+j] = dz*p[j] + x[i+j]*q[j] + r[j]
		}
	}
}

func refSumRows(dst, x []float32) {
	for j := range dst {
		var sum float32
		for i := j; i < len(x); i += len(dst) {
			sum += x[i]
		}
		dst[j] += sum
	}
}

func refMoments(sum, sumsq, x []float32) {
	for j := range sum {
		var s, q float32
		for i := j; i < len(x); i += len(sum) {
			s += x[i]
			q += x[i] * x[i]
		}
		sum[j] += s
		sumsq[j] += q
	}
}

func refNormGradSums(sumG, sumGX, x, g []float32) {
	for j := range sumG {
		var s, q float32
		for i := j; i < len(x); i += len(sumG) {
			s += g[i]
			q += g[i] * x[i]
		}
		sumG[j] += s
		sumGX[j] += q
	}
}

func refNormGradSumsSilu(sumG, sumGX, x, g, a, b []float32) {
	for j := range sumG {
		var s, q float32
		for i := j; i < len(x); i += len(sumG) {
			dz := g[i] * siluGrad(x[i]*a[j]+b[j])
			s += dz
			q += dz * x[i]
		}
		sumG[j] += s
		sumGX[j] += q
	}
}

func refAdam(p, g, m, v []float32, gscale, b1, omb1, b2, omb2, rc2, eps, step float32) {
	for i := range p {
		gi := g[i] * gscale
		m[i] = m[i]*b1 + gi*omb1
		v[i] = v[i]*b2 + gi*omb2*gi
		p[i] -= step * (m[i] / (float32(math.Sqrt(float64(v[i])))*rc2 + eps))
	}
}

func refAdamEMA(p, g, m, v, ema []float32, gscale, b1, omb1, b2, omb2, rc2, eps, step, decay, omd float32) {
	refAdam(p, g, m, v, gscale, b1, omb1, b2, omb2, rc2, eps, step)
	for i := range ema {
		ema[i] = ema[i]*decay + p[i]*omd
	}
}
