package eval

import (
	"math"
	"slices"

	"github.com/sr3-go/sr3/internal/philox"
)

const (
	// resamples is how many times the bootstrap draws the images anew.
	resamples = 2000
	// bootstrapSeed makes intervals the same in every run.
	bootstrapSeed = 0
	// confidence of intervals.
	confidence = 0.95
)

// mean is infinite if a value is.
func mean(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// bootstrap draws the images with replacement and returns, for each series of
// values by image, its mean in every draw. All series, which have one length, see
// the same draws, so that their differences can be judged.
func bootstrap(series [][]float64) [][]float64 {
	means := make([][]float64, len(series))
	for i := range means {
		means[i] = make([]float64, resamples)
	}
	if len(series) == 0 || len(series[0]) == 0 {
		return means
	}
	n := len(series[0])
	stream := philox.New(bootstrapSeed, uint64(n))
	draw := make([]int, n)
	for r := range resamples {
		for k := range draw {
			draw[k] = stream.Intn(uint64(r*n+k), n)
		}
		for i, values := range series {
			sum := 0.0
			for _, k := range draw {
				sum += values[k]
			}
			means[i][r] = sum / float64(n)
		}
	}
	return means
}

// interval is the percentile interval of bootstrapped values.
func interval(values []float64) (low, high float64) {
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	at := func(q float64) float64 {
		x := q * float64(len(sorted)-1)
		i := int(x)
		if i+1 >= len(sorted) {
			return sorted[len(sorted)-1]
		}
		return sorted[i] + (x-float64(i))*(sorted[i+1]-sorted[i])
	}
	return at((1 - confidence) / 2), at((1 + confidence) / 2)
}

// difference is the interval of the difference of two series of one bootstrap.
func difference(a, b []float64) (low, high float64) {
	d := make([]float64, len(a))
	for i := range d {
		d[i] = a[i] - b[i]
	}
	return interval(d)
}
