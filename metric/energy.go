package metric

import "errors"

// Energy is an energy score and what it is made of.
type Energy struct {
	// Score is Error - Spread/2; lower is better.
	Score float64
	// Error is the mean distance of a draw from the truth.
	Error float64
	// Spread is the mean distance between two draws. Draws from the distribution that the truth comes from have a
	// Spread that equals their Error on average; less says that they are too alike or too smooth, more that they are
	// too different or too noisy.
	Spread float64
}

// Weighted is Error less weight times Spread/2. Weight 1 is the energy score. Less, down to 0, favours draws that are each
// close to the truth over draws that differ as much as they should: it is no proper score, and at 0 it rewards some blur.
func (e Energy) Weighted(weight float64) float64 { return e.Error - weight*e.Spread/2 }

// EnergyScore judges two or more draws of what an image could be by the true one: the energy score
//
//	E d(draw, truth) - 1/2 E d(draw, other draw)
//
// (Gneiting and Raftery, "Strictly Proper Scoring Rules, Prediction, and Estimation", 2007, section 5.1), with the
// expectations taken over the draws (over pairs of different ones, so that the estimate has no bias), and d the
// [Texture.Distance]. It is a sum over patches of Euclidean energy scores, each of which is strictly proper: on average
// over truths no distribution scores better than the one that truths come from, and any other that differs in the
// features of a single patch scores worse. Hence neither blur, which PSNR rewards, nor noise helps. What it does not see
// is how patches far from each other go together.
func EnergyScore(truth *Texture, draws ...*Texture) (Energy, error) {
	if len(draws) < 2 {
		return Energy{}, errors.New("metric: energy score: want two draws or more")
	}
	var e Energy
	for i, draw := range draws {
		d, err := draw.Distance(truth)
		if err != nil {
			return Energy{}, err
		}
		e.Error += d / float64(len(draws))
		for _, other := range draws[:i] {
			between, err := draw.Distance(other)
			if err != nil {
				return Energy{}, err
			}
			e.Spread += between * 2 / float64(len(draws)*(len(draws)-1))
		}
	}
	e.Score = e.Weighted(1)
	return e, nil
}
