package graph

import "fmt"

// MatMul is out[b] = op(A[b]) op(B[b]) over batches: A is [batch, m, k] (or
// [batch, k, m] when TransA), B [batch, k, n] (or [batch, n, k] when TransB).
type MatMul struct{ TransA, TransB bool }

// MatMul multiplies matrices over a batch, each first transposed if asked for.
func (g *Graph) MatMul(a, b *Node, transA, transB bool) *Node {
	return g.apply(&MatMul{transA, transB}, a, b)
}

// Linear is x W + b for x [n, in], W [in, out], b [out] or nil.
func (g *Graph) Linear(x, w, b *Node) *Node {
	n, in, out := x.Shape[0], w.Shape[0], w.Shape[1]
	y := g.MatMul(g.Reshape(x, 1, n, in), g.Reshape(w, 1, in, out), false, false)
	y = g.Reshape(y, n, out)
	if b == nil {
		return y
	}
	return g.Add(y, g.Reshape(b, 1, out))
}

// Name implements [Op].
func (o *MatMul) Name() string { return "matmul" }
func (o *MatMul) shape(in []Shape) (Shape, error) {
	a, b := in[0], in[1]
	if len(a) != 3 || len(b) != 3 || a[0] != b[0] {
		return nil, fmt.Errorf("operands must be [batch, rows, columns] with equal batch")
	}
	m, k := a[1], a[2]
	if o.TransA {
		m, k = k, m
	}
	kb, n := b[1], b[2]
	if o.TransB {
		kb, n = n, kb
	}
	if k != kb {
		return nil, fmt.Errorf("inner extents %d and %d", k, kb)
	}
	return Shape{a[0], m, n}, nil
}

func (o *MatMul) grad(g *Graph, n, dy *Node) []*Node {
	a, b := n.Inputs[0], n.Inputs[1]
	var da, db *Node
	if o.TransA { // a is k x m: da = op(b) dy^T
		da = g.MatMul(b, dy, o.TransB, true)
	} else { // da = dy op(b)^T
		da = g.MatMul(dy, b, false, !o.TransB)
	}
	if o.TransB { // b is n x k: db = dy^T op(a)
		db = g.MatMul(dy, a, true, o.TransA)
	} else { // db = op(a)^T dy
		db = g.MatMul(a, dy, !o.TransA, false)
	}
	return []*Node{da, db}
}

// Softmax is the softmax along the last axis.
type Softmax struct{}

// Softmax is e^x / sum e^x along the last axis.
func (g *Graph) Softmax(x *Node) *Node { return g.apply(&Softmax{}, x) }

// Name implements [Op].
func (o *Softmax) Name() string { return "softmax" }
func (o *Softmax) shape(in []Shape) (Shape, error) {
	if len(in[0]) == 0 {
		return nil, fmt.Errorf("a scalar has no last axis")
	}
	return sameShapes(in)
}
func (o *Softmax) grad(g *Graph, n, dy *Node) []*Node {
	return []*Node{g.apply(&SoftmaxGrad{}, n, dy)}
}

// SoftmaxGrad is dx = y (dy - sum(dy y)) along the last axis, for y = softmax(x).
type SoftmaxGrad struct{ once }

// Name implements [Op].
func (o *SoftmaxGrad) Name() string                    { return "softmax-grad" }
func (o *SoftmaxGrad) shape(in []Shape) (Shape, error) { return sameShapes(in) }
