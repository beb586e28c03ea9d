package kernel

// Sum is the sum of x, each term exact in float64 and added there. The order is
// fixed within a tier.
func Sum(x []float32) float64 { return active.sum(x) }

// SumSquares is the sum of the squares of x, in float64 as Sum.
func SumSquares(x []float32) float64 { return active.sumSquares(x) }

// Dot is the sum of a[i]*b[i], in float64 as Sum.
func Dot(a, b []float32) float64 {
	same("Dot", len(a), len(b))
	return active.dot(a, b)
}

// Max is the largest element of x. It passes over NaN, and is -Inf if there is
// nothing else.
func Max(x []float32) float32 { return active.max(x) }
