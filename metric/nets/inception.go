package nets

import "github.com/sr3-go/sr3/internal/graph"

// inceptionEpsilon is that of every batch normalisation.
const inceptionEpsilon = 1e-3

// inception is Inception-v3 (figure 5 to 7 and table 1 of Szegedy et al. 2015) without
// the auxiliary classifier, with the names of torchvision. The variant for FID
// differs in its pooling alone.
func inception(b *builder, x *graph.Node) outputs {
	i := inceptionBlocks{b, b.arch.kind == InceptionFID}
	x = i.basic(x, "Conv2d_1a_3x3", 32, square(3, 2, 0))
	x = i.basic(x, "Conv2d_2a_3x3", 32, square(3, 1, 0))
	x = i.basic(x, "Conv2d_2b_3x3", 64, square(3, 1, 1))
	x = b.g.MaxPool(x, 3, 2)
	x = i.basic(x, "Conv2d_3b_1x1", 80, square(1, 1, 0))
	x = i.basic(x, "Conv2d_4a_3x3", 192, square(3, 1, 0))
	x = b.g.MaxPool(x, 3, 2)
	x = i.a(x, "Mixed_5b.", 32)
	x = i.a(x, "Mixed_5c.", 64)
	x = i.a(x, "Mixed_5d.", 64)
	x = i.b(x, "Mixed_6a.")
	x = i.c(x, "Mixed_6b.", 128)
	x = i.c(x, "Mixed_6c.", 160)
	x = i.c(x, "Mixed_6d.", 160)
	x = i.c(x, "Mixed_6e.", 192)
	x = i.d(x, "Mixed_7a.")
	x = i.e(x, "Mixed_7b.", i.average)
	last := i.average
	if i.fid {
		last = func(x *graph.Node) *graph.Node { return b.maxPool(x, 1) }
	}
	x = i.e(x, "Mixed_7c.", last)
	return b.classify(b.average(x), "fc")
}

// inceptionBlocks adds the five kinds of blocks; channels are those of full width.
type inceptionBlocks struct {
	*builder
	fid bool
}

// basic is a convolution, batch normalisation and ReLU.
func (i inceptionBlocks) basic(x *graph.Node, name string, out int, w window) *graph.Node {
	return i.g.ReLU(i.conv(x, name+".conv", name+".bn", inceptionEpsilon, i.width(out), w))
}

// pointwise is basic with a 1x1 convolution.
func (i inceptionBlocks) pointwise(x *graph.Node, name string, out int) *graph.Node {
	return i.basic(x, name, out, square(1, 1, 0))
}

// row and column are basic with filters of n pixels side by side, or one above the
// other.
func (i inceptionBlocks) row(x *graph.Node, name string, out, n int) *graph.Node {
	return i.basic(x, name, out, window{1, n, 1, 0, n / 2})
}
func (i inceptionBlocks) column(x *graph.Node, name string, out, n int) *graph.Node {
	return i.basic(x, name, out, window{n, 1, 1, n / 2, 0})
}

func (i inceptionBlocks) average(x *graph.Node) *graph.Node { return i.averagePool(x, !i.fid) }

func (i inceptionBlocks) a(x *graph.Node, name string, pooled int) *graph.Node {
	wide := i.pointwise(x, name+"branch5x5_1", 48)
	wide = i.basic(wide, name+"branch5x5_2", 64, square(5, 1, 2))
	double := i.pointwise(x, name+"branch3x3dbl_1", 64)
	double = i.basic(double, name+"branch3x3dbl_2", 96, square(3, 1, 1))
	double = i.basic(double, name+"branch3x3dbl_3", 96, square(3, 1, 1))
	return i.g.Concat(3, i.pointwise(x, name+"branch1x1", 64), wide, double,
		i.pointwise(i.average(x), name+"branch_pool", pooled))
}

func (i inceptionBlocks) b(x *graph.Node, name string) *graph.Node {
	double := i.pointwise(x, name+"branch3x3dbl_1", 64)
	double = i.basic(double, name+"branch3x3dbl_2", 96, square(3, 1, 1))
	double = i.basic(double, name+"branch3x3dbl_3", 96, square(3, 2, 0))
	return i.g.Concat(3, i.basic(x, name+"branch3x3", 384, square(3, 2, 0)), double, i.g.MaxPool(x, 3, 2))
}

func (i inceptionBlocks) c(x *graph.Node, name string, inner int) *graph.Node {
	single := i.pointwise(x, name+"branch7x7_1", inner)
	single = i.row(single, name+"branch7x7_2", inner, 7)
	single = i.column(single, name+"branch7x7_3", 192, 7)
	double := i.pointwise(x, name+"branch7x7dbl_1", inner)
	double = i.column(double, name+"branch7x7dbl_2", inner, 7)
	double = i.row(double, name+"branch7x7dbl_3", inner, 7)
	double = i.column(double, name+"branch7x7dbl_4", inner, 7)
	double = i.row(double, name+"branch7x7dbl_5", 192, 7)
	return i.g.Concat(3, i.pointwise(x, name+"branch1x1", 192), single, double,
		i.pointwise(i.average(x), name+"branch_pool", 192))
}

func (i inceptionBlocks) d(x *graph.Node, name string) *graph.Node {
	small := i.pointwise(x, name+"branch3x3_1", 192)
	small = i.basic(small, name+"branch3x3_2", 320, square(3, 2, 0))
	large := i.pointwise(x, name+"branch7x7x3_1", 192)
	large = i.row(large, name+"branch7x7x3_2", 192, 7)
	large = i.column(large, name+"branch7x7x3_3", 192, 7)
	large = i.basic(large, name+"branch7x7x3_4", 192, square(3, 2, 0))
	return i.g.Concat(3, small, large, i.g.MaxPool(x, 3, 2))
}

func (i inceptionBlocks) e(x *graph.Node, name string, pool func(*graph.Node) *graph.Node) *graph.Node {
	single := i.pointwise(x, name+"branch3x3_1", 384)
	double := i.pointwise(x, name+"branch3x3dbl_1", 448)
	double = i.basic(double, name+"branch3x3dbl_2", 384, square(3, 1, 1))
	return i.g.Concat(3, i.pointwise(x, name+"branch1x1", 320),
		i.row(single, name+"branch3x3_2a", 384, 3), i.column(single, name+"branch3x3_2b", 384, 3),
		i.row(double, name+"branch3x3dbl_3a", 384, 3), i.column(double, name+"branch3x3dbl_3b", 384, 3),
		i.pointwise(pool(x), name+"branch_pool", 192))
}
