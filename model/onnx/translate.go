package onnx

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sr3-go/sr3/internal/graph"
)

// The graph has channels last, ONNX runtimes want them first. Nothing is
// transposed at run time for that: the whole network is laid out with channels
// first, so that a value of the graph is stored as follows.
//
//	[N, H, W, C]   [N, C, H, W], always
//	[N, P, C]      as it is, or [N, C, P] (features of pixels, made from an image)
//	fewer axes     as they are
//
// A matrix may also leave out a leading axis of one element.

// value is what stands for a node of the graph in the file.
type value struct {
	name     string      // of the tensor; of the label for one that is not stored yet
	shape    graph.Shape // in the graph
	first    bool        // channels come first
	squeezed bool        // [1, a, b] stored as [a, b]
	data     []float32   // of constants and parameters: elements in the graph's order, stored when they are used
}

// dims is the shape in the file.
func (v value) dims() []int {
	s := v.shape
	switch {
	case v.squeezed:
		return s[1:]
	case len(s) == 4:
		return []int{s[0], s[3], s[1], s[2]}
	case v.first:
		return []int{s[0], s[2], s[1]}
	}
	return s
}

// axis is the place in the file of an axis of the graph.
func (v value) axis(i int) int {
	switch {
	case len(v.shape) == 4:
		return [...]int{0, 2, 3, 1}[i]
	case v.first:
		return [...]int{0, 2, 1}[i]
	}
	return i
}

// translator turns a graph into nodes of a file.
type translator struct {
	file
	weights map[string][]float32
	values  map[*graph.Node]value
	users   map[*graph.Node][]*graph.Node
	stored  map[string]*tensor
	count   int
}

func newTranslator(weights map[string][]float32) *translator {
	return &translator{weights: weights, values: map[*graph.Node]value{}, users: map[*graph.Node][]*graph.Node{}, stored: map[string]*tensor{}}
}

// translate adds the nodes that compute output from the values that are given.
func (t *translator) translate(g *graph.Graph, output *graph.Node) error {
	needed := map[*graph.Node]bool{output: true}
	nodes := g.Nodes()
	for _, n := range slices.Backward(nodes) {
		if _, given := t.values[n]; needed[n] && !given {
			for _, in := range n.Inputs {
				needed[in] = true
				t.users[in] = append(t.users[in], n)
			}
		}
	}
	for _, n := range nodes {
		if _, given := t.values[n]; given || !needed[n] {
			continue
		}
		v, err := t.node(n)
		if err != nil {
			return fmt.Errorf("%v: %w", n, err)
		}
		v.shape = n.Shape
		t.values[n] = v
	}
	return nil
}

// node translates one operation.
func (t *translator) node(n *graph.Node) (value, error) {
	switch op := n.Op.(type) {
	case *graph.Variable:
		data, ok := t.weights[op.Label]
		if !ok {
			return value{}, fmt.Errorf("the model has no such weights")
		}
		return value{name: op.Label, data: data}, nil
	case *graph.Constant:
		return value{name: fmt.Sprintf("constant.%d", n.ID), data: op.Values}, nil
	case *graph.Conv2D:
		return t.conv(n, op)
	case *graph.GroupStats:
		return value{}, nil // part of the normalisation
	case *graph.GroupNorm:
		return t.groupNorm(n, op)
	case *graph.Unary:
		return t.unary(n, op)
	case *graph.Binary:
		return t.binary(n, op)
	case *graph.Affine:
		return t.affine(n, op)
	case *graph.Attention:
		return t.attention(n, op)
	case *graph.Softmax:
		x := t.full(n.Inputs[0])
		return t.like(x, "Softmax", []attribute{{"axis", x.axis(len(n.Shape) - 1)}}, t.use(x)), nil
	case *graph.MatMul:
		return t.matmul(n, op)
	case *graph.Reshape:
		return t.reshape(n.Inputs[0], op.Dims)
	case *graph.Concat:
		return t.concat(n, op)
	case *graph.Slice:
		return t.slice(n, op)
	case *graph.SpaceToDepth:
		return t.image(n, "SpaceToDepth", attribute{"blocksize", op.Factor}), nil
	case *graph.DepthToSpace:
		return t.image(n, "DepthToSpace", attribute{"blocksize", op.Factor}, attribute{"mode", "DCR"}), nil
	case *graph.AvgPool:
		k := []int64{int64(op.Factor), int64(op.Factor)}
		return t.image(n, "AveragePool", attribute{"kernel_shape", k}, attribute{"strides", k}), nil
	case *graph.Upsample:
		return t.upsample(n, op)
	}
	return value{}, fmt.Errorf("this operation has no translation to ONNX; only networks as they are used have one, not their training")
}

// emit adds an operation and returns the name of its output.
func (t *translator) emit(op string, attributes []attribute, inputs ...string) string {
	t.count++
	output := fmt.Sprintf("%s_%d", strings.ToLower(op), t.count)
	t.nodes = append(t.nodes, node{op: op, inputs: inputs, output: output, attributes: attributes})
	return output
}

// like adds an operation whose output is laid out as x is.
func (t *translator) like(x value, op string, attributes []attribute, inputs ...string) value {
	return value{name: t.emit(op, attributes, inputs...), first: x.first}
}

// image adds an operation on one image, [N, C, H, W].
func (t *translator) image(n *graph.Node, op string, attributes ...attribute) value {
	return value{name: t.emit(op, attributes, t.use(t.values[n.Inputs[0]])), first: true}
}

// use returns the name of a value, and stores it first if it is constant.
func (t *translator) use(v value) string {
	if v.data == nil {
		return v.name
	}
	first := len(v.shape) == 4 || v.first
	return t.store(v.name, v.dims(), func() []float32 {
		if first {
			return channelsFirst(v.data, v.shape)
		}
		return v.data
	})
}

// channelsFirst moves the last axis of row-major data behind the first.
func channelsFirst(data []float32, shape graph.Shape) []float32 {
	channels := shape[len(shape)-1]
	images := shape[0]
	pixels := len(data) / channels / images
	out := make([]float32, 0, len(data))
	for n := range images {
		image := data[n*pixels*channels:]
		for c := range channels {
			for p := range pixels {
				out = append(out, image[p*channels+c])
			}
		}
	}
	return out
}

// store adds a float32 tensor; one label may be stored in several shapes. data is
// called when the file is written.
func (t *translator) store(label string, dims []int, data func() []float32) string {
	if old := t.stored[label]; old != nil {
		if slices.Equal(old.dims, dims) {
			return label
		}
		return t.store(label+".reshaped", dims, data)
	}
	t.add(&tensor{name: label, dims: dims, kind: typeFloat, size: 4 * int64(graph.Shape(dims).Size()),
		data: func() []byte { return floatBytes(data()) }})
	return label
}

// number stores a scalar.
func (t *translator) number(v float32) string {
	return t.store(fmt.Sprintf("number.%g", v), []int{}, func() []float32 { return []float32{v} })
}

// integers stores a list of integers, as shapes and axes are given.
func (t *translator) integers(values ...int) string {
	list := make([]int64, len(values))
	for i, v := range values {
		list[i] = int64(v)
	}
	name := "integers." + strings.Trim(strings.ReplaceAll(fmt.Sprint(values), " ", ","), "[]")
	if t.stored[name] == nil {
		t.add(&tensor{name: name, dims: []int{len(list)}, kind: typeInt64, size: 8 * int64(len(list)),
			data: func() []byte { return intBytes(list) }})
	}
	return name
}

func (t *translator) add(x *tensor) {
	x.offset = -1
	t.stored[x.name] = x
	t.tensors = append(t.tensors, x)
}
