package squeezenet

import (
	"fmt"
	"slices"

	"github.com/sr3-go/sr3/internal/cpu"
	"github.com/sr3-go/sr3/internal/netfile"
)

// tracer follows the values of an ONNX graph from its input to its output.
type tracer struct {
	model   *netfile.Model
	readers map[string][]*netfile.Node // who reads a value
	seen    int                        // nodes that were found to be what they must be
	vars    *cpu.Variables
}

// trace finds every layer of SqueezeNet 1.1 in a model and returns the weights.
func trace(m *netfile.Model) (*cpu.Variables, error) {
	t := &tracer{model: m, readers: map[string][]*netfile.Node{}, vars: cpu.NewVariables()}
	for _, n := range m.Nodes {
		for i, name := range n.Inputs {
			if !slices.Contains(n.Inputs[:i], name) {
				t.readers[name] = append(t.readers[name], n)
			}
		}
	}
	value, err := t.input()
	if err == nil {
		value, err = t.features(value)
	}
	if err == nil {
		value, err = t.head(value)
	}
	if err != nil {
		return nil, err
	}
	if !slices.Equal(m.Outputs, []string{value}) {
		return nil, fmt.Errorf("the outputs are %q, want the probabilities %q alone", m.Outputs, value)
	}
	if t.seen != len(m.Nodes) {
		return nil, fmt.Errorf("%d nodes too many", len(m.Nodes)-t.seen)
	}
	return t.vars, nil
}

// input is the graph's only input that is not a stored tensor.
func (t *tracer) input() (string, error) {
	var names []string
	for _, name := range t.model.Inputs {
		if t.model.Tensors[name] == nil {
			names = append(names, name)
		}
	}
	if len(names) != 1 {
		return "", fmt.Errorf("%d inputs, want one image", len(names))
	}
	return names[0], nil
}

func (t *tracer) features(value string) (string, error) {
	value, err := t.convolution(value, stem(), 1)
	if err != nil {
		return "", err
	}
	for _, f := range fires() {
		if value, err = t.fire(value, f); err != nil {
			return "", err
		}
	}
	return value, nil
}

func (t *tracer) fire(value string, f fire) (string, error) {
	if f.pooled {
		pool, err := t.only(value, "MaxPool")
		if err != nil {
			return "", err
		}
		if err := window(pool, poolKernel, poolStride, 0); err != nil {
			return "", err
		}
		value = pool.Outputs[0]
	}
	squeezed, err := t.convolution(value, f.squeeze, 1)
	if err != nil {
		return "", err
	}
	narrow, err := t.convolution(squeezed, f.expand1x1, 2)
	if err != nil {
		return "", err
	}
	wide, err := t.convolution(squeezed, f.expand3, 2)
	if err != nil {
		return "", err
	}
	join, err := t.only(narrow, "Concat")
	if err != nil {
		return "", err
	}
	if !slices.Equal(join.Inputs, []string{narrow, wide}) || len(t.readers[wide]) != 1 {
		return "", fmt.Errorf("%s joins %q, want %q and %q", join, join.Inputs, narrow, wide)
	}
	return join.Outputs[0], allow(join, map[string][]int64{"axis": {1}})
}

// head follows what comes after the features; dropout does nothing here.
func (t *tracer) head(value string) (string, error) {
	if readers := t.readers[value]; len(readers) == 1 && readers[0].Op == "Dropout" {
		n, err := t.only(value, "Dropout")
		if err != nil {
			return "", err
		}
		value = n.Outputs[0]
	}
	value, err := t.convolution(value, classifier(), 1)
	if err != nil {
		return "", err
	}
	pool, err := t.only(value, "GlobalAveragePool")
	if err != nil {
		return "", err
	}
	softmax, err := t.only(pool.Outputs[0], "Softmax")
	if err != nil {
		return "", err
	}
	return softmax.Outputs[0], allow(softmax, map[string][]int64{"axis": {1}})
}

// only returns the node that alone reads a value, which must be of kind op.
func (t *tracer) only(value, op string) (*netfile.Node, error) {
	readers := t.readers[value]
	if len(readers) != 1 || readers[0].Op != op {
		return nil, fmt.Errorf("value %q is read by %v, want one %s", value, readers, op)
	}
	return t.found(readers[0], value)
}

// found counts a node that reads value as its first input and writes something.
func (t *tracer) found(n *netfile.Node, value string) (*netfile.Node, error) {
	if n.Inputs[0] != value || len(n.Outputs) == 0 {
		return nil, fmt.Errorf("%s does not take %q as its first input or gives nothing", n, value)
	}
	t.seen++
	return n, nil
}

// convolution finds the one convolution of c's kernel among the readers of value,
// whose number is given, stores its weights and returns the value after its ReLU.
func (t *tracer) convolution(value string, c convolution, readers int) (string, error) {
	var found []*netfile.Node
	for _, n := range t.readers[value] {
		if n.Op == "Conv" && slices.Equal(n.Attributes["kernel_shape"].Ints, twice(c.kernel)) {
			found = append(found, n)
		}
	}
	if len(found) != 1 || len(t.readers[value]) != readers {
		return "", fmt.Errorf("%s: value %q is read by %v, want %d nodes, one of them a %dx%d convolution",
			c.label, value, t.readers[value], readers, c.kernel, c.kernel)
	}
	n, err := t.found(found[0], value)
	if err != nil {
		return "", err
	}
	if err := window(n, c.kernel, c.stride, c.pad); err != nil {
		return "", err
	}
	if err := t.store(n, c); err != nil {
		return "", fmt.Errorf("%s: %w", c.label, err)
	}
	relu, err := t.only(n.Outputs[0], "Relu")
	if err != nil {
		return "", err
	}
	return relu.Outputs[0], nil
}

// store keeps the weights of a convolution, turned from [out, in, kh, kw] to
// [kh, kw, in, out].
func (t *tracer) store(n *netfile.Node, c convolution) error {
	if len(n.Inputs) != 3 {
		return fmt.Errorf("%s has %d inputs, want an image, weights and a bias", n, len(n.Inputs))
	}
	weight, bias := t.model.Tensors[n.Inputs[1]], t.model.Tensors[n.Inputs[2]]
	if weight == nil || bias == nil {
		return fmt.Errorf("the file has no tensors %q and %q", n.Inputs[1], n.Inputs[2])
	}
	w, err := weight.Float32s(c.outChannels, c.inChannels, c.kernel, c.kernel)
	if err != nil {
		return err
	}
	b, err := bias.Float32s(c.outChannels)
	if err != nil {
		return err
	}
	turned := make([]float32, len(w))
	taps := c.kernel * c.kernel
	for i, v := range w {
		tap, in, out := i%taps, i/taps%c.inChannels, i/taps/c.inChannels
		turned[(tap*c.inChannels+in)*c.outChannels+out] = v
	}
	t.vars.Set(c.weight(), turned)
	t.vars.Set(c.bias(), b)
	return nil
}

// window checks a convolution's or pooling's geometry.
func window(n *netfile.Node, kernel, stride, pad int) error {
	want := map[string][]int64{"kernel_shape": twice(kernel), "strides": twice(stride),
		"pads": append(twice(pad), twice(pad)...), "dilations": {1, 1}, "group": {1}, "ceil_mode": {0}, "storage_order": {0}}
	has := func(name string) bool { return n.Attributes[name].Ints != nil }
	if !has("kernel_shape") || stride != 1 && !has("strides") || pad != 0 && !has("pads") {
		return fmt.Errorf("%s lacks kernel_shape, strides or pads", n)
	}
	return allow(n, want)
}

// allow refuses attributes that are not listed or have other values.
func allow(n *netfile.Node, want map[string][]int64) error {
	for name, a := range n.Attributes {
		if name == "auto_pad" && (a.Text == "NOTSET" || a.Text == "") {
			continue
		}
		if w, ok := want[name]; !ok || !slices.Equal(a.Ints, w) {
			return fmt.Errorf("%s has %s = %v%s, want %v", n, name, a.Ints, a.Text, w)
		}
	}
	return nil
}

func twice(v int) []int64 { return []int64{int64(v), int64(v)} }
