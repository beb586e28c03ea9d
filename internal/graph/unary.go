package graph

// UnaryKind is the function of a [Unary].
type UnaryKind int

// The elementwise functions of one tensor.
const (
	SiLUKind    UnaryKind = iota // x / (1 + e^-x), also called swish
	SigmoidKind                  // 1 / (1 + e^-x)
	ExpKind                      // e^x
	SinKind                      // sin x, x in radians
	CosKind                      // cos x
	SquareKind                   // x^2
	SqrtKind                     // square root
	AbsKind                      // |x|
	SignKind                     // -1, 0 or 1
	ReLUKind                     // max(x, 0)
)

var unaryNames = [...]string{"silu", "sigmoid", "exp", "sin", "cos", "square", "sqrt", "abs", "sign", "relu"}

// Unary is out = f(x) elementwise.
type Unary struct{ Kind UnaryKind }

func (g *Graph) unary(kind UnaryKind, x *Node) *Node { return g.apply(&Unary{kind}, x) }

// SiLU is x * sigmoid(x), the activation of every residual block.
func (g *Graph) SiLU(x *Node) *Node { return g.unary(SiLUKind, x) }

// Sigmoid is 1 / (1 + e^-x).
func (g *Graph) Sigmoid(x *Node) *Node { return g.unary(SigmoidKind, x) }

// Exp is e^x.
func (g *Graph) Exp(x *Node) *Node { return g.unary(ExpKind, x) }

// Sin is the sine of radians.
func (g *Graph) Sin(x *Node) *Node { return g.unary(SinKind, x) }

// Cos is the cosine of radians.
func (g *Graph) Cos(x *Node) *Node { return g.unary(CosKind, x) }

// Square is x^2.
func (g *Graph) Square(x *Node) *Node { return g.unary(SquareKind, x) }

// Sqrt is the square root.
func (g *Graph) Sqrt(x *Node) *Node { return g.unary(SqrtKind, x) }

// Abs is |x|.
func (g *Graph) Abs(x *Node) *Node { return g.unary(AbsKind, x) }

// Sign is -1, 0 or 1; it has no gradient.
func (g *Graph) Sign(x *Node) *Node { return g.unary(SignKind, x) }

// ReLU is max(x, 0).
func (g *Graph) ReLU(x *Node) *Node { return g.unary(ReLUKind, x) }

// Name implements [Op].
func (o *Unary) Name() string                    { return unaryNames[o.Kind] }
func (o *Unary) shape(in []Shape) (Shape, error) { return sameShapes(in) }

func (o *Unary) grad(g *Graph, n, dy *Node) []*Node {
	x := n.Inputs[0]
	switch o.Kind {
	case SiLUKind:
		return []*Node{g.apply(&SiLUGrad{}, x, dy)}
	case SigmoidKind: // y (1 - y)
		return []*Node{g.Mul(dy, g.Mul(n, g.Affine(n, -1, 1)))}
	case ExpKind:
		return []*Node{g.Mul(dy, n)}
	case SinKind:
		return []*Node{g.Mul(dy, g.Cos(x))}
	case CosKind:
		return []*Node{g.Scale(g.Mul(dy, g.Sin(x)), -1)}
	case SquareKind:
		return []*Node{g.Scale(g.Mul(dy, x), 2)}
	case SqrtKind:
		return []*Node{g.Scale(g.Div(dy, n), 0.5)}
	case AbsKind:
		return []*Node{g.Mul(dy, g.Sign(x))}
	case ReLUKind: // the sign of max(x, 0) is 1 where x > 0, else 0
		return []*Node{g.Mul(dy, g.Sign(n))}
	}
	return []*Node{nil}
}

// SiLUGrad is dx = dy * s (1 + x (1 - s)) with s = sigmoid(x).
type SiLUGrad struct{ once }

// Name implements [Op].
func (o *SiLUGrad) Name() string                    { return "silu-grad" }
func (o *SiLUGrad) shape(in []Shape) (Shape, error) { return sameShapes(in) }

// Affine is out = x*Scale + Shift with constant numbers.
type Affine struct{ Scale, Shift float32 }

// Affine is x*scale + shift.
func (g *Graph) Affine(x *Node, scale, shift float32) *Node {
	return g.apply(&Affine{scale, shift}, x)
}

// Scale is x*scale.
func (g *Graph) Scale(x *Node, scale float32) *Node { return g.Affine(x, scale, 0) }

// Name implements [Op].
func (o *Affine) Name() string                    { return "affine" }
func (o *Affine) shape(in []Shape) (Shape, error) { return sameShapes(in) }
func (o *Affine) grad(g *Graph, _, dy *Node) []*Node {
	return []*Node{g.Scale(dy, o.Scale)}
}
