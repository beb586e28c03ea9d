package graphtest

import "github.com/sr3-go/sr3/internal/graph"

func reduceCases() []Case {
	var cases []Case
	for _, dims := range [][]int{{2, 3, 5, 6}, {1, 4, 7, 33}, {3, 1, 1, 16}, {2, 9, 9, 17}} {
		for subset := 1; subset < 16; subset++ {
			axes := bits(subset)
			cases = append(cases, one(func(b *Builder) *graph.Node {
				return b.Sum(b.Normal(dims...), axes...)
			}, "sum/%s/axes_%s", name(dims), name(axes)))
		}
	}
	for _, dims := range [][]int{{}, {1}, {7}, {100}, {3, 17}, {5000}} {
		cases = append(cases,
			one(func(b *Builder) *graph.Node { return b.Sum(b.Normal(dims...)) }, "sum/%s/all", name(dims)),
			one(func(b *Builder) *graph.Node { return b.Mean(b.Normal(dims...)) }, "mean/%s", name(dims)))
	}
	for subset := range 16 {
		from, to := []int{2, 3, 5, 6}, []int{2, 3, 5, 6}
		for _, axis := range bits(subset) {
			from[axis] = 1
		}
		cases = append(cases, one(func(b *Builder) *graph.Node {
			return b.Stretch(b.Normal(from...), to...)
		}, "stretch/%s_%s", name(from), name(to)))
	}
	return append(cases, one(func(b *Builder) *graph.Node {
		return b.Stretch(b.Normal(1, 33), 7, 33)
	}, "stretch/1x33_7x33"))
}

// bits lists the bits that are set.
func bits(set int) []int {
	var list []int
	for i := range 4 {
		if set&(1<<i) != 0 {
			list = append(list, i)
		}
	}
	return list
}

func layoutCases() []Case {
	cases := []Case{
		one(func(b *Builder) *graph.Node { return b.Reshape(b.Normal(2, 3, 5, 4), 6, 20) }, "reshape/flatten"),
		one(func(b *Builder) *graph.Node { return b.Reshape(b.Normal(1)) }, "reshape/scalar"),
		one(func(b *Builder) *graph.Node {
			return b.Reshape(b.SiLU(b.Reshape(b.Normal(30), 2, 3, 5)), 5, 6)
		}, "reshape/chain"),
	}
	for _, dims := range [][]int{{2, 3, 5, 6}, {1, 4, 3, 17}, {2, 2, 2, 32}} {
		for axis := range dims {
			cases = append(cases, concatCase(dims, axis), sliceCase(dims, axis))
			for _, by := range [][2]int{{0, 0}, {1, 0}, {0, 2}, {3, 1}} {
				cases = append(cases, one(func(b *Builder) *graph.Node {
					return b.Pad(b.Normal(dims...), axis, by[0], by[1])
				}, "pad/%s/axis_%d_by_%d_%d", name(dims), axis, by[0], by[1]))
			}
		}
	}
	return append(cases, one(func(b *Builder) *graph.Node { return b.Concat(0, b.Normal(5)) }, "concat/single"))
}

// concatCase joins three tensors, one of them twice.
func concatCase(dims []int, axis int) Case {
	return one(func(b *Builder) *graph.Node {
		wide := append([]int{}, dims...)
		wide[axis] += 3
		x, y := b.Normal(dims...), b.Normal(wide...)
		return b.Concat(axis, x, y, x)
	}, "concat/%s/axis_%d", name(dims), axis)
}

// sliceCase takes the first, the last and all elements.
func sliceCase(dims []int, axis int) Case {
	return Case{Name: "slice/" + name(dims) + "/axis_" + name([]int{axis}), Build: func(b *Builder) []*graph.Node {
		x, n := b.Normal(dims...), dims[axis]
		return []*graph.Node{b.Slice(x, axis, 0, 1), b.Slice(x, axis, n/2, n), b.Slice(x, axis, 0, n)}
	}}
}

func poolCases() []Case {
	var cases []Case
	for i, c := range channels {
		n, h, w := 1+i%3, 1+i%4, 1+(i*3)%5
		for _, f := range []int{1, 2, 3, 4} {
			label := name([]int{n, h, w, c})
			cases = append(cases,
				one(func(b *Builder) *graph.Node { return b.Upsample(b.Normal(n, h, w, c), f) }, "upsample/%s/by_%d", label, f),
				one(func(b *Builder) *graph.Node { return b.AvgPool(b.Normal(n, h*f, w*f, c), f) }, "avgpool/%s/by_%d", label, f))
			if c > 33 {
				continue
			}
			cases = append(cases,
				one(func(b *Builder) *graph.Node { return b.SpaceToDepth(b.Normal(n, h*f, w*f, c), f) }, "spacetodepth/%s/by_%d", label, f),
				one(func(b *Builder) *graph.Node { return b.DepthToSpace(b.Normal(n, h, w, c*f*f), f) }, "depthtospace/%s/by_%d", label, f))
		}
	}
	return cases
}
