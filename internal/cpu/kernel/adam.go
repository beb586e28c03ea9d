package kernel

import "math"

// Adam does one step of Adam (arXiv 1412.6980, algorithm 1) on the parameters
// p with gradient g, moments m and v and, unless ema is nil, the exponential
// moving average of the parameters:
//
//	g'  = g*gscale
//	m   = m*b1 + g'*(1-b1)
//	v   = v*b2 + g'*g'*(1-b2)
//	p   = p - lr*(m/c1)/(sqrt(v/c2) + eps)
//	ema = ema*decay + p*(1-decay)
//
// with the bias corrections c1 = 1-b1^t and c2 = 1-b2^t at step t. It rounds in
// the order of torch.optim.Adam: the step lr/c1 is one number and the root is
// divided by sqrt(c2). The complements 1-b1, 1-b2 and 1-decay are taken of the
// seven-digit decimal nearest to the float32, so that 1-b2 is 0.001 for 0.999
// and not 0.00099998713. g is left as it is.
func Adam(p, g, m, v, ema []float32, gscale, lr, b1, b2, eps, c1, c2, decay float32) {
	same("Adam", len(p), len(g), len(m), len(v))
	omb1, omb2, omd := complement(b1), complement(b2), complement(decay)
	step := float32(float64(lr) / float64(c1))
	rc2 := float32(1 / math.Sqrt(float64(c2)))
	if ema == nil {
		active.adam(p, g, m, v, gscale, b1, omb1, b2, omb2, rc2, eps, step)
		return
	}
	same("Adam", len(p), len(ema))
	active.adamEMA(p, g, m, v, ema, gscale, b1, omb1, b2, omb2, rc2, eps, step, decay, omd)
}

// Descend moves the parameters p along a direction d and, unless ema is nil, keeps
// their exponential moving average:
//
//	p   = p - lr*d
//	ema = ema*decay + p*(1-decay)
func Descend(p, d, ema []float32, lr, decay float32) {
	same("Descend", len(p), len(d))
	for i, v := range d {
		p[i] -= lr * v
	}
	if ema == nil {
		return
	}
	same("Descend", len(p), len(ema))
	rest := complement(decay)
	for i, v := range p {
		ema[i] = ema[i]*decay + v*rest
	}
}

// complement is 1-x for x rounded to seven decimals.
func complement(x float32) float32 {
	return float32(1 - math.Round(float64(x)*1e7)/1e7)
}
