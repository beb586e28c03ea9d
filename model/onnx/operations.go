package onnx

import (
	"fmt"

	"github.com/sr3-go/sr3/internal/graph"
)

// conv translates a convolution; its weights [KH, KW, I, O] are stored as
// [O, I, KH, KW].
func (t *translator) conv(n *graph.Node, op *graph.Conv2D) (value, error) {
	w := t.values[n.Inputs[1]]
	if w.data == nil {
		return value{}, fmt.Errorf("the weights of a convolution are computed; ONNX runtimes are made for stored ones")
	}
	s := w.shape
	inputs := []string{
		t.use(t.values[n.Inputs[0]]),
		t.store(w.name, []int{s[3], s[2], s[0], s[1]}, func() []float32 { return outputsFirst(w.data, s) }),
	}
	if len(n.Inputs) == 3 {
		inputs = append(inputs, t.use(t.values[n.Inputs[2]]))
	}
	stride, pad := int64(op.Stride), int64(op.Pad)
	return value{name: t.emit("Conv", []attribute{
		{"kernel_shape", []int64{int64(s[0]), int64(s[1])}},
		{"strides", []int64{stride, stride}},
		{"pads", []int64{pad, pad, pad, pad}},
	}, inputs...), first: true}, nil
}

// outputsFirst turns weights [KH, KW, I, O] to [O, I, KH, KW].
func outputsFirst(data []float32, s graph.Shape) []float32 {
	taps, in, out := s[0]*s[1], s[2], s[3]
	turned := make([]float32, len(data))
	for tap := range taps {
		for i := range in {
			row := data[(tap*in+i)*out:][:out]
			for o, v := range row {
				turned[(o*in+i)*taps+tap] = v
			}
		}
	}
	return turned
}

var unaryOps = map[graph.UnaryKind]string{
	graph.SigmoidKind: "Sigmoid", graph.ExpKind: "Exp", graph.SinKind: "Sin", graph.CosKind: "Cos",
	graph.SqrtKind: "Sqrt", graph.AbsKind: "Abs", graph.SignKind: "Sign", graph.ReLUKind: "Relu",
}

func (t *translator) unary(n *graph.Node, op *graph.Unary) (value, error) {
	x := t.full(n.Inputs[0])
	name := t.use(x)
	switch op.Kind {
	case graph.SiLUKind:
		return t.like(x, "Mul", nil, name, t.emit("Sigmoid", nil, name)), nil
	case graph.SquareKind:
		return t.like(x, "Mul", nil, name, name), nil
	}
	return t.like(x, unaryOps[op.Kind], nil, name), nil
}

var binaryOps = map[graph.BinaryKind]string{graph.AddKind: "Add", graph.SubKind: "Sub", graph.MulKind: "Mul", graph.DivKind: "Div"}

func (t *translator) binary(n *graph.Node, op *graph.Binary) (value, error) {
	a, b := t.full(n.Inputs[0]), t.full(n.Inputs[1])
	if len(n.Shape) == 3 && a.first != b.first {
		b = t.swapped(b)
	}
	return t.like(a, binaryOps[op.Kind], nil, t.use(a), t.use(b)), nil
}

func (t *translator) affine(n *graph.Node, op *graph.Affine) (value, error) {
	x := t.full(n.Inputs[0])
	name := t.use(x)
	if op.Scale != 1 {
		name = t.emit("Mul", nil, name, t.number(op.Scale))
	}
	if op.Shift != 0 {
		name = t.emit("Add", nil, name, t.number(op.Shift))
	}
	return value{name: name, first: x.first}, nil
}

// upsample repeats pixels. The attributes are those that runtimes have a fast
// path for.
func (t *translator) upsample(n *graph.Node, op *graph.Upsample) (value, error) {
	f := float32(op.Factor)
	scales := t.store(fmt.Sprintf("scales.%d", op.Factor), []int{4}, func() []float32 { return []float32{1, 1, f, f} })
	return value{name: t.emit("Resize", []attribute{
		{"mode", "nearest"}, {"coordinate_transformation_mode", "asymmetric"}, {"nearest_mode", "floor"},
	}, t.use(t.values[n.Inputs[0]]), "", scales), first: true}, nil
}
