package distribution

import (
	"fmt"
	"math"
)

// probabilitySlack is how far the probabilities of an image may sum up beside 1:
// a softmax in float16 over 1000 classes does.
const probabilitySlack = 0.01

// InceptionScore is the exponential of the mean Kullback-Leibler divergence of
// images' class probabilities from their mean (Salimans et al. 2016, section 4),
// from 1 to the number of classes; larger is better. p has one image a vector.
//
// The images are cut into splits parts in their order, as even as they go; the
// score is the mean over the parts and deviation the standard deviation (divisor
// splits). Published figures have 10 parts, often of 5000 images each; fewer
// images score less. 1 split takes all images together. Probabilities that are
// negative or do not sum up to 1, and splits below 1 or above the images, are
// errors.
func InceptionScore(p Samples, splits int) (score, deviation float64, err error) {
	if err := checkProbabilities(p); err != nil {
		return 0, 0, fmt.Errorf("distribution: inception score: %w", err)
	}
	n, _ := p.shape()
	if splits < 1 || splits > n {
		return 0, 0, fmt.Errorf("distribution: inception score: %d splits of %d images: there can be 1 to %d", splits, n, n)
	}
	scores := make([]float64, splits)
	for i := range scores {
		scores[i] = math.Exp(meanDivergence(p, i*n/splits, (i+1)*n/splits))
		score += scores[i] / float64(splits)
	}
	for _, s := range scores {
		deviation += (s - score) * (s - score) / float64(splits)
	}
	return score, math.Sqrt(deviation), nil
}

func checkProbabilities(p Samples) error {
	if err := p.check(); err != nil {
		return err
	}
	n, d := p.shape()
	row := make([]float64, d)
	for i := range n {
		p.row(row, i)
		sum := 0.0
		for k, v := range row {
			if v < 0 {
				return fmt.Errorf("vector %d has the probability %g of class %d: give probabilities after the softmax", i, v, k)
			}
			sum += v
		}
		if math.Abs(sum-1) > probabilitySlack {
			return fmt.Errorf("the probabilities of vector %d sum up to %g: give probabilities after the softmax", i, sum)
		}
	}
	return nil
}

// meanDivergence is the mean over images from..to of sum_k p_k log(p_k/q_k), q
// being the mean of p; classes of probability 0 count nothing.
func meanDivergence(p Samples, from, to int) float64 {
	_, d := p.shape()
	row, mean := make([]float64, d), make([]float64, d)
	n := float64(to - from)
	for i := from; i < to; i++ {
		p.row(row, i)
		for k, v := range row {
			mean[k] += v / n
		}
	}
	total := 0.0
	for i := from; i < to; i++ {
		p.row(row, i)
		for k, v := range row {
			if v > 0 && mean[k] > 0 {
				total += v * (math.Log(v) - math.Log(mean[k]))
			}
		}
	}
	return total / n
}
