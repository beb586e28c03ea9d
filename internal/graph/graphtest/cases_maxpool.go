package graphtest

import "github.com/sr3-go/sr3/internal/graph"

// maxPoolCases has windows that overlap, touch and lie apart, sizes that leave
// rows and columns over, and equal elements.
func maxPoolCases() []Case {
	var cases []Case
	for i, c := range channels {
		for _, p := range [][2]int{{1, 1}, {2, 2}, {3, 2}, {3, 1}, {2, 3}, {4, 3}} {
			kernel, stride := p[0], p[1]
			dims := []int{1 + i%2, kernel + (i*3)%5, kernel + (i*5+1)%7, c}
			cases = append(cases, one(func(b *Builder) *graph.Node {
				return b.MaxPool(b.Normal(dims...), kernel, stride)
			}, "maxpool/%s/%d_by_%d", name(dims), kernel, stride))
		}
	}
	equal := []float32{2, 2, 1, 0, 0, 0, -1, 2, 0, 0, 5, 5, 0, -1, 5, 5, 3, 3, 3, 3}
	return append(cases,
		one(func(b *Builder) *graph.Node {
			return b.MaxPool(b.ReLU(b.Apart(2, 7, 9, 17)), 3, 2)
		}, "maxpool/after-relu"),
		one(func(b *Builder) *graph.Node {
			x := b.Normal(1, 5, 7, 16)
			return b.Concat(3, b.Conv(b.MaxPool(x, 3, 2), 16, 3, 1), b.MaxPool(b.SiLU(x), 3, 2))
		}, "maxpool/two-readers"),
		one(func(b *Builder) *graph.Node { return b.MaxPool(b.Normal(2, 17, 15, 33), 3, 2) }, "maxpool/split"),
		flat(one(func(b *Builder) *graph.Node {
			x := b.Given(equal, 1, 4, 5, 1)
			weighted := b.Mul(b.MaxPool(x, 2, 1), b.Normal(1, 3, 4, 1))
			return b.Gradients(b.Sum(weighted), []*graph.Node{x})[0]
		}, "maxpool-grad/equal")))
}
