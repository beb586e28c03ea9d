package kernel

// Fast convolution F(4x4, 3x3) (Lavin and Gray, "Fast Algorithms for
// Convolutional Neural Networks", 2016, section 4, with the points 0, 1, -1, 2,
// -2): 4x4 pixels of the output need 36 products instead of 144. Where a 3x3
// filter meets 6x6 pixels d of the input,
//
//	Y  = A' [ (G w G') * (B' d B) ] A             the output
//	dw = G' [ (A dY A') * (B' d B) ] G            the filter's gradient
//
// elementwise in the brackets. With 2x2 filters, F(4x4, 2x2) with the points 0, 1,
// -1, 2 takes 25 products for 64 from 5x5 pixels. The functions here are these sandwiches, each on n
// channels at once: element (i, j) of a matrix is n consecutive floats at
// i*row + j*col. Products become matrix products over channels once the 36
// positions of many tiles are laid out apart.

type (
	winogradFunc     func(dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int, n int)
	winogradBiasFunc func(dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int, n int, bias *float32)
	winogradAddFunc  func(dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol int, n int, bias, res *float32, scale float32)
)

// Grid is a square matrix of vectors inside a slice: element (i, j) begins at
// i*Row + j*Col. Strides are not negative.
type Grid struct {
	Data     []float32
	Row, Col int
}

// first checks that a side x side grid of vectors of n floats lies in the slice,
// and returns where it begins.
func (g Grid) first(side, n int) *float32 {
	if g.Row < 0 || g.Col < 0 || (side-1)*(g.Row+g.Col)+n > len(g.Data) {
		panic("kernel: Winograd: the grid does not lie in its slice")
	}
	return &g.Data[0]
}

// WinogradInput sets the 6x6 grid dst to B' d B for the 6x6 grid src of pixels.
func WinogradInput(dst, src Grid, n int) {
	if n > 0 {
		active.winogradInput(dst.first(6, n), dst.Row, dst.Col, src.first(6, n), src.Row, src.Col, n)
	}
}

// WinogradOutput sets the 4x4 grid dst of pixels to A' m A + bias for the 6x6
// grid src of products. bias has at least n values.
func WinogradOutput(dst, src Grid, n int, bias []float32) {
	if n > 0 {
		active.winogradOutput(dst.first(4, n), dst.Row, dst.Col, src.first(6, n), src.Row, src.Col, n, &bias[:n][0])
	}
}

// WinogradOutputAdd sets the 4x4 grid dst of pixels to (A' m A + bias + res) *
// scale for the 6x6 grid src of products. res begins a grid with the strides of
// dst, or is dst.Data itself.
func WinogradOutputAdd(dst, src Grid, n int, bias, res []float32, scale float32) {
	if n > 0 {
		r := Grid{res, dst.Row, dst.Col}
		active.winogradOutputAdd(dst.first(4, n), dst.Row, dst.Col, src.first(6, n), src.Row, src.Col, n, &bias[:n][0], r.first(4, n), scale)
	}
}

// WinogradInput2 sets the 5x5 grid dst to B' d B for the 5x5 grid src of pixels.
func WinogradInput2(dst, src Grid, n int) {
	if n > 0 {
		active.winogradInput2(dst.first(5, n), dst.Row, dst.Col, src.first(5, n), src.Row, src.Col, n)
	}
}

// WinogradOutput2 is WinogradOutput for the 5x5 grid src of products.
func WinogradOutput2(dst, src Grid, n int, bias []float32) {
	if n > 0 {
		active.winogradOutput2(dst.first(4, n), dst.Row, dst.Col, src.first(5, n), src.Row, src.Col, n, &bias[:n][0])
	}
}

// WinogradOutputAdd2 is WinogradOutputAdd for the 5x5 grid src of products.
func WinogradOutputAdd2(dst, src Grid, n int, bias, res []float32, scale float32) {
	if n > 0 {
		r := Grid{res, dst.Row, dst.Col}
		active.winogradOutputAdd2(dst.first(4, n), dst.Row, dst.Col, src.first(5, n), src.Row, src.Col, n, &bias[:n][0], r.first(4, n), scale)
	}
}

// WinogradWeights2 sets the 5x5 grid dst to G w G' for the 2x2 grid src.
func WinogradWeights2(dst, src Grid, n int) {
	if n > 0 {
		active.winogradWeights2(dst.first(5, n), dst.Row, dst.Col, src.first(2, n), src.Row, src.Col, n)
	}
}

// WinogradGrad sets the 6x6 grid dst to A g A' for the 4x4 grid src of gradients
// of pixels.
func WinogradGrad(dst, src Grid, n int) {
	if n > 0 {
		active.winogradGrad(dst.first(6, n), dst.Row, dst.Col, src.first(4, n), src.Row, src.Col, n)
	}
}

// WinogradWeights sets the 6x6 grid dst to G w G' for the 3x3 grid src.
func WinogradWeights(dst, src Grid, n int) {
	if n > 0 {
		active.winogradWeights(dst.first(6, n), dst.Row, dst.Col, src.first(3, n), src.Row, src.Col, n)
	}
}

// WinogradWeightsGrad sets the 3x3 grid dst to G' m G for the 6x6 grid src of
// products.
func WinogradWeightsGrad(dst, src Grid, n int) {
	if n > 0 {
		active.winogradWeightsGrad(dst.first(3, n), dst.Row, dst.Col, src.first(6, n), src.Row, src.Col, n)
	}
}

// The matrices, by rows.
var (
	winogradBT = [][]float32{{4, 0, -5, 0, 1, 0}, {0, -4, -4, 1, 1, 0}, {0, 4, -4, -1, 1, 0},
		{0, -2, -1, 2, 1, 0}, {0, 2, -1, -2, 1, 0}, {0, 4, 0, -5, 0, 1}}
	winogradAT = [][]float32{{1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -2, 0}, {0, 1, 1, 4, 4, 0}, {0, 1, -1, 8, -8, 1}}
	winogradG  = [][]float32{{1. / 4, 0, 0}, {-1. / 6, -1. / 6, -1. / 6}, {-1. / 6, 1. / 6, -1. / 6},
		{1. / 24, 1. / 12, 1. / 6}, {1. / 24, -1. / 12, 1. / 6}, {0, 0, 1}}
	winogradA  = transposed(winogradAT)
	winogradGT = transposed(winogradG)

	winograd2BT = [][]float32{{2, -1, -2, 1, 0}, {0, -2, -1, 1, 0}, {0, 2, -3, 1, 0}, {0, -1, 0, 1, 0}, {0, 2, -1, -2, 1}}
	winograd2AT = [][]float32{{1, 1, 1, 1, 0}, {0, 1, -1, 2, 0}, {0, 1, 1, 4, 0}, {0, 1, -1, 8, 1}}
	winograd2G  = [][]float32{{1. / 2, 0}, {-1. / 2, -1. / 2}, {-1. / 6, 1. / 6}, {1. / 6, 2. / 6}, {0, 1}}
)

func transposed(m [][]float32) [][]float32 {
	t := make([][]float32, len(m[0]))
	for j := range t {
		for i := range m {
			t[j] = append(t[j], m[i][j])
		}
	}
	return t
}

// refSandwich is Y = L X L', channel by channel.
func refSandwich(l [][]float32, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol, n int, bias *float32) {
	out, in := len(l), len(l[0])
	var half [6][6]float32
	for c := range n {
		for i := range out {
			for j := range in {
				var s float32
				for k, f := range l[i] {
					if f != 0 {
						s += f * *at(src, k*srcRow+j*srcCol+c)
					}
				}
				half[i][j] = s
			}
		}
		for i := range out {
			for j := range out {
				var s float32
				for k, f := range l[j] {
					if f != 0 {
						s += f * half[i][k]
					}
				}
				if bias != nil {
					s += *at(bias, c)
				}
				*at(dst, i*dstRow+j*dstCol+c) = s
			}
		}
	}
}

func refWinogradInput(dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol, n int) {
	refSandwich(winogradBT, dst, dstRow, dstCol, src, srcRow, srcCol, n, nil)
}

func refWinogradOutput(dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol, n int, bias *float32) {
	refSandwich(winogradAT, dst, dstRow, dstCol, src, srcRow, srcCol, n, bias)
}

func refWinogradOutputAdd(dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol, n int, bias, res *float32, scale float32) {
	refSandwichAdd(winogradAT, dst, dstRow, dstCol, src, srcRow, srcCol, n, bias, res, scale)
}

// refSandwichAdd is (L X L' + bias + res) * scale.
func refSandwichAdd(l [][]float32, dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol, n int, bias, res *float32, scale float32) {
	for c := range n { // res may be dst
		var out [16]float32
		refSandwich(l, &out[0], 4, 1, at(src, c), srcRow, srcCol, 1, at(bias, c))
		for i, v := range out {
			k := i/4*dstRow + i%4*dstCol + c
			*at(dst, k) = (v + *at(res, k)) * scale
		}
	}
}

func refWinogradInput2(dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol, n int) {
	refSandwich(winograd2BT, dst, dstRow, dstCol, src, srcRow, srcCol, n, nil)
}

func refWinogradOutput2(dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol, n int, bias *float32) {
	refSandwich(winograd2AT, dst, dstRow, dstCol, src, srcRow, srcCol, n, bias)
}

func refWinogradOutputAdd2(dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol, n int, bias, res *float32, scale float32) {
	refSandwichAdd(winograd2AT, dst, dstRow, dstCol, src, srcRow, srcCol, n, bias, res, scale)
}

func refWinogradWeights2(dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol, n int) {
	refSandwich(winograd2G, dst, dstRow, dstCol, src, srcRow, srcCol, n, nil)
}

func refWinogradGrad(dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol, n int) {
	refSandwich(winogradA, dst, dstRow, dstCol, src, srcRow, srcCol, n, nil)
}

func refWinogradWeights(dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol, n int) {
	refSandwich(winogradG, dst, dstRow, dstCol, src, srcRow, srcCol, n, nil)
}

func refWinogradWeightsGrad(dst *float32, dstRow, dstCol int, src *float32, srcRow, srcCol, n int) {
	refSandwich(winogradGT, dst, dstRow, dstCol, src, srcRow, srcCol, n, nil)
}
