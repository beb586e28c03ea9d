package kernel

// rowsOf panics unless n is a whole number of rows of the given width.
func rowsOf(op string, n, width int) {
	if n != 0 && (width == 0 || n%width != 0) {
		panic("kernel: " + op + ": not a whole number of rows")
	}
}

// AddRow sets dst[r][j] = x[r][j] + row[j] for all rows of len(row) elements.
// dst may be x.
func AddRow(dst, x, row []float32) {
	same("AddRow", len(dst), len(x))
	rowsOf("AddRow", len(dst), len(row))
	active.addRow(dst, x, row)
}

// MulRow sets dst[r][j] = x[r][j] * row[j] for all rows of len(row) elements.
// dst may be x.
func MulRow(dst, x, row []float32) {
	same("MulRow", len(dst), len(x))
	rowsOf("MulRow", len(dst), len(row))
	active.mulRow(dst, x, row)
}

// NormApply applies a normalisation whose moments are known: with c = len(a)
// channels and z = x[r][j]*a[j] + b[j] it sets dst[r][j] to z, or to silu(z).
// For GroupNorm (arXiv 1803.08494, equations 1 and 2) a = weight/sigma and
// b = bias - mean*weight/sigma. dst may be x.
func NormApply(dst, x, a, b []float32, silu bool) {
	same("NormApply", len(dst), len(x))
	same("NormApply", len(a), len(b))
	rowsOf("NormApply", len(dst), len(a))
	if silu {
		active.normApplySilu(dst, x, a, b, 0, 0)
	} else {
		active.normApply(dst, x, a, b, 0, 0)
	}
}

// NormApplyRows is NormApply on rows that lie apart: row r of dst begins at
// r*dstStride, that of x at r*xStride.
func NormApplyRows(dst []float32, dstStride int, x []float32, xStride, rows int, a, b []float32, silu bool) {
	same("NormApplyRows", len(a), len(b))
	if rows <= 0 || len(a) == 0 {
		return
	}
	if dstStride < len(a) || xStride < 0 {
		panic("kernel: NormApplyRows: rows overlap")
	}
	dst, x = dst[:(rows-1)*dstStride+len(a)], x[:(rows-1)*xStride+len(a)]
	if silu {
		active.normApplySilu(dst, x, a, b, dstStride-len(a), xStride-len(a))
	} else {
		active.normApply(dst, x, a, b, dstStride-len(a), xStride-len(a))
	}
}

// NormGradSums adds to sumG[j] and sumGX[j] the sums over rows of dz and of
// dz*x, where dz = g * silu'(x*a + b), or g alone without silu: what the
// gradients of GroupNorm are made of. Sums are float32; with many rows, call it
// in blocks of at most 256 and add these in float64.
func NormGradSums(sumG, sumGX, x, g, a, b []float32, silu bool) {
	same("NormGradSums", len(x), len(g))
	same("NormGradSums", len(sumG), len(sumGX), len(a), len(b))
	rowsOf("NormGradSums", len(x), len(a))
	if silu {
		active.normGradSumsSilu(sumG, sumGX, x, g, a, b)
	} else {
		active.normGradSums(sumG, sumGX, x, g)
	}
}

// NormGradInput sets dst = dz*p + x*q + r with p, q, r broadcast over rows and
// dz as in NormGradSums. dst may be x or g.
func NormGradInput(dst, x, g, a, b, p, q, r []float32, silu bool) {
	same("NormGradInput", len(dst), len(x), len(g))
	same("NormGradInput", len(a), len(b), len(p), len(q), len(r))
	rowsOf("NormGradInput", len(dst), len(a))
	if silu {
		active.normGradInputSilu(dst, x, g, a, b, p, q, r)
	} else {
		active.normGradInput(dst, x, g, p, q, r)
	}
}

// SumRows adds to dst[j] the sum of x[r][j] over the rows of len(dst) elements,
// in the order of the rows, in float32.
func SumRows(dst, x []float32) {
	rowsOf("SumRows", len(x), len(dst))
	active.sumRows(dst, x)
}

// Moments adds to sum[j] and sumsq[j] the sums of x[r][j] and of its square
// over the rows of len(sum) elements. Sums are float32; call it in blocks of
// at most 256 rows and add these in float64.
func Moments(sum, sumsq, x []float32) {
	same("Moments", len(sum), len(sumsq))
	rowsOf("Moments", len(x), len(sum))
	active.moments(sum, sumsq, x)
}
