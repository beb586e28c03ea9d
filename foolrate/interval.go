package foolrate

import (
	"math"
	"slices"
)

// z95 is the 0.975 quantile of the standard normal distribution.
const z95 = 1.959963984540054

// Wilson returns the 95 % score interval of a share of hits among n answers (Wilson
// 1927). It is within [0, 1] and sensible for few answers and for shares of 0 and 1.
// Of no answers nothing is known: 0 to 1.
//
// It takes answers to be independent. Answers of one person are not quite, so with
// people who differ much it is too narrow; the standard error over subjects is not.
func Wilson(hits, n int) (low, high float64) {
	if n <= 0 {
		return 0, 1
	}
	p, m := float64(hits)/float64(n), float64(n)
	centre := (p + z95*z95/(2*m)) / (1 + z95*z95/m)
	half := z95 / (1 + z95*z95/m) * math.Sqrt(p*(1-p)/m+z95*z95/(4*m*m))
	low, high = max(0, centre-half), min(1, centre+half)
	if hits == 0 {
		low = 0
	}
	if hits == n {
		high = 1
	}
	return low, high
}

// MeanError returns the mean and its standard error, the sample's standard deviation
// (divided by n-1) over the root of n. The error of fewer than two values is NaN, the
// mean of none too.
func MeanError(values []float64) (mean, standardError float64) {
	n := float64(len(values))
	if n == 0 {
		return math.NaN(), math.NaN()
	}
	for _, v := range values {
		mean += v / n
	}
	if n < 2 {
		return mean, math.NaN()
	}
	sum := 0.0
	for _, v := range values {
		sum += (v - mean) * (v - mean)
	}
	return mean, math.Sqrt(sum / (n - 1) / n)
}

// Quantile returns the share-quantile of values with linear interpolation between
// order statistics (type 7 of Hyndman and Fan 1996, NumPy's default); NaN of none.
func Quantile(values []float64, share float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	place := share * float64(len(sorted)-1)
	i := int(place)
	if i >= len(sorted)-1 {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (place-float64(i))*(sorted[i+1]-sorted[i])
}
