package graphtest

import (
	"fmt"

	"github.com/sr3-go/sr3/internal/graph"
)

func randomCases(count int) []Case {
	cases := make([]Case, count)
	for i := range cases {
		cases[i] = Random(uint64(i))
	}
	return cases
}

// Random is a graph of image operations that depends on the seed alone: every
// step applies a random operation to random earlier values. Several values in
// the middle are outputs too.
func Random(seed uint64) Case {
	return Case{Name: fmt.Sprintf("random/%d", seed), Build: func(b *Builder) []*graph.Node {
		r := &randomGraph{Builder: b}
		for range 1 + b.rand.IntN(3) {
			r.values = append(r.values, b.Normal(1+b.rand.IntN(2), 2*(1+b.rand.IntN(4)), 2*(1+b.rand.IntN(4)), 2*(1+b.rand.IntN(9))))
		}
		inputs := len(r.values)
		for range 6 + b.rand.IntN(12) {
			r.values = append(r.values, r.step(r.pick()))
		}
		outputs := []*graph.Node{r.values[len(r.values)-1]}
		for range b.rand.IntN(3) {
			outputs = append(outputs, r.values[inputs+b.rand.IntN(len(r.values)-inputs)])
		}
		return outputs
	}}
}

// randomGraph collects the values that later steps may read.
type randomGraph struct {
	*Builder
	values []*graph.Node
}

// pick chooses one value, recent ones more often.
func (r *randomGraph) pick() *graph.Node {
	n := len(r.values)
	return r.values[n-1-min(r.rand.IntN(n), r.rand.IntN(n))]
}

// like chooses an earlier value of x's shape, which may be x.
func (r *randomGraph) like(x *graph.Node) *graph.Node {
	var same []*graph.Node
	for _, v := range r.values {
		if v.Shape.Equal(x.Shape) {
			same = append(same, v)
		}
	}
	return same[r.rand.IntN(len(same))]
}

// step applies a random operation to x. Every choice keeps values near unit
// size and is smooth, and none removes the mean of a channel: the gradient by a
// bias before it would be nothing but rounding.
func (r *randomGraph) step(x *graph.Node) *graph.Node {
	n, h, w, c := x.Shape[0], x.Shape[1], x.Shape[2], x.Shape[3]
	groups := 1
	if c%4 == 0 {
		groups = 2
	}
	small, even := x.Shape.Size() < 2000, h%2 == 0 && w%2 == 0
	switch k := r.rand.IntN(16); {
	case k <= 2:
		return r.Conv(x, 2*(1+r.rand.IntN(12)), 3, 1)
	case k == 3:
		return r.Conv(x, 1+r.rand.IntN(33), 1, 1)
	case k == 4 && h > 1 && w > 1:
		return r.Conv(x, 2*(1+r.rand.IntN(8)), 3, 2)
	case k <= 6 && h*w*c >= 32 && c > 1:
		return r.Norm(x, groups, r.rand.IntN(2) == 0)
	case k == 7:
		return r.SiLU(x)
	case k == 8:
		return r.Scale(r.Add(x, r.like(x)), 0.7)
	case k == 9:
		return r.Mul(x, r.Sigmoid(r.like(x)))
	case k == 10:
		return r.Add(x, r.Normal(n, 1, 1, c))
	case k == 11 && small:
		return r.Concat(3, x, r.like(x))
	case k == 12 && small:
		return r.Upsample(x, 2)
	case k == 13 && even:
		return r.AvgPool(x, 2)
	case k == 14 && even:
		return r.SpaceToDepth(x, 2)
	case k == 15 && c > 1:
		return r.Slice(x, 3, r.rand.IntN(c/2), c/2+1+r.rand.IntN(c-c/2))
	}
	return r.Pad(r.Sub(x, r.Scale(r.Sum(x, 1, 2), 0.5/float32(h*w))), 1+r.rand.IntN(2), r.rand.IntN(2), 0)
}
