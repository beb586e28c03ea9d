package plain

import (
	"math"

	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/internal/philox"
)

func constant(o *graph.Constant, out []float64) {
	for i, v := range o.Values {
		out[i] = float64(v)
	}
}

func fill(o *graph.Fill, out []float64) {
	for i := range out {
		out[i] = float64(o.Value)
	}
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// function is the f of a Unary.
func function(kind graph.UnaryKind, x float64) float64 {
	switch kind {
	case graph.SiLUKind:
		return x * sigmoid(x)
	case graph.SigmoidKind:
		return sigmoid(x)
	case graph.ExpKind:
		return math.Exp(x)
	case graph.SinKind:
		return math.Sin(x)
	case graph.CosKind:
		return math.Cos(x)
	case graph.SquareKind:
		return x * x
	case graph.SqrtKind:
		return math.Sqrt(x)
	case graph.AbsKind:
		return math.Abs(x)
	case graph.SignKind:
		return sign(x)
	case graph.ReLUKind:
		return math.Max(x, 0)
	}
	panic("plain: an unknown unary function")
}

func sign(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return x // zero, or not a number
}

func unary(o *graph.Unary, out, x []float64) {
	for i := range out {
		out[i] = function(o.Kind, x[i])
	}
}

// siluSlope is the derivative of SiLU.
func siluSlope(x float64) float64 {
	s := sigmoid(x)
	return s * (1 + x*(1-s))
}

func siluGrad(out, x, dy []float64) {
	for i := range out {
		out[i] = dy[i] * siluSlope(x[i])
	}
}

func affine(o *graph.Affine, out, x []float64) {
	for i := range out {
		out[i] = x[i]*float64(o.Scale) + float64(o.Shift)
	}
}

func binary(o *graph.Binary, n *graph.Node, out, a, b []float64) {
	sa, sb := n.Inputs[0].Shape, n.Inputs[1].Shape
	each(n.Shape, func(i int, index []int) {
		u, v := a[at(sa, index...)], b[at(sb, index...)]
		switch o.Kind {
		case graph.AddKind:
			out[i] = u + v
		case graph.SubKind:
			out[i] = u - v
		case graph.MulKind:
			out[i] = u * v
		case graph.DivKind:
			out[i] = u / v
		default:
			panic("plain: an unknown binary function")
		}
	})
}

func dropout(o *graph.Dropout, out, x, seed []float64) {
	stream := philox.New(uint64(seed[0])|uint64(seed[1])<<24, o.Site)
	rate := float64(o.Rate)
	for i := range out {
		word := stream.Uint32x4(uint64(i / 4))[i%4]
		if float64(word)/(1<<32) >= rate {
			out[i] = x[i] / (1 - rate)
		}
	}
}
