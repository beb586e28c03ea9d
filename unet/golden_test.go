package unet

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/checkpoint"
	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/internal/graph/plain"
)

// smallClassic is the configuration of the golden nano and ddpm networks.
func smallClassic(family string) Config {
	return Config{
		Family: family, InChannels: 6, OutChannels: 3, Channels: 8, Multipliers: []int{1, 2, 2},
		Blocks: 1, Attention: []int{8}, ImageSize: 16, Groups: 4,
	}
}

// smallPaper is the configuration of the golden paper networks.
func smallPaper(film bool) Config {
	return Config{
		Family: FamilyPaper, InChannels: 6, OutChannels: 3, Channels: 8, Multipliers: []int{1, 2},
		Blocks: 1, Attention: []int{4}, ImageSize: 8, Groups: 4, FiLM: film,
	}
}

// permuted copies a tensor of the given shape with its axes in another order.
func permuted(shape []int, data []float64, axes ...int) []float64 {
	strides := make([]int, len(shape))
	for i, s := len(shape)-1, 1; i >= 0; i-- {
		strides[i] = s
		s *= shape[i]
	}
	out := make([]float64, 0, len(data))
	var visit func(axis, at int)
	visit = func(axis, at int) {
		if axis == len(axes) {
			out = append(out, data[at])
			return
		}
		for i := range shape[axes[axis]] {
			visit(axis+1, at+i*strides[axes[axis]])
		}
	}
	visit(0, 0)
	return out
}

// fromTorch turns a parameter, or its gradient, from PyTorch's layout to ours.
func fromTorch(t *testing.T, x *checkpoint.Tensor) []float64 {
	t.Helper()
	data, err := x.Float64s()
	if err != nil {
		t.Fatal(err)
	}
	switch len(x.Shape) {
	case 4:
		return permuted(x.Shape, data, 2, 3, 1, 0)
	case 2:
		return permuted(x.Shape, data, 1, 0)
	}
	return data
}

// fromNCHW turns images to NHWC.
func fromNCHW(t *testing.T, x *checkpoint.Tensor) []float64 {
	t.Helper()
	data, err := x.Float64s()
	if err != nil {
		t.Fatal(err)
	}
	return permuted(x.Shape, data, 0, 2, 3, 1)
}

// flat returns the elements as they are.
func flat(t *testing.T, x *checkpoint.Tensor) []float64 {
	t.Helper()
	data, err := x.Float64s()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func readCase(t *testing.T, name string) map[string]*checkpoint.Tensor {
	t.Helper()
	file, err := checkpoint.Read("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return file.Tensors
}

// torchWeights reads a PyTorch checkpoint's network and checks that it has
// exactly the parameters of the configuration, in its order.
func torchWeights(t *testing.T, cfg Config, path string) map[string][]float64 {
	t.Helper()
	dict, err := checkpoint.StateDict(path)
	if err != nil {
		t.Fatal(err)
	}
	params, err := Parameters(cfg)
	if err != nil {
		t.Fatal(err)
	}
	weights := map[string][]float64{}
	var names []string
	for _, entry := range dict {
		name, ours := strings.CutPrefix(entry.Name, "denoise_fn.")
		if !ours || strings.HasSuffix(name, "inv_freq") {
			continue
		}
		weights[name] = fromTorch(t, entry.Tensor)
		names = append(names, name)
	}
	for i, p := range params {
		if i >= len(names) || names[i] != p.Name || len(weights[p.Name]) != p.Len() {
			t.Fatalf("parameter %d is %s %v; the checkpoint has %v", i, p.Name, p.Shape, names[min(i, len(names)-1)])
		}
	}
	if len(names) != len(params) {
		t.Fatalf("%d parameters, the checkpoint has %d", len(params), len(names))
	}
	return weights
}

// testNet is a network in a graph of its own.
type testNet struct {
	g   *graph.Graph
	out *graph.Node
	m   *plain.Machine
}

// newTestNet builds a network for n images of h x w and sets its weights.
func newTestNet(t *testing.T, cfg Config, n, h, w, levels int, weights map[string][]float64) testNet {
	t.Helper()
	g, in := inputs(cfg, n, h, w, levels)
	out, err := Build(g, cfg, in)
	if err != nil {
		t.Fatal(err)
	}
	return newMachine(g, out, weights)
}

// newMachine prepares a graph that holds one network.
func newMachine(g *graph.Graph, out *graph.Node, weights map[string][]float64) testNet {
	net := testNet{g, out, plain.New(g)}
	for name, values := range weights {
		net.m.Set(name, values)
	}
	return net
}

// apart is the largest difference of two tensors, in units of want's range.
func apart(t *testing.T, got, want []float64) float64 {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d values, want %d", len(got), len(want))
	}
	worst := 0.0
	for i := range got {
		d := math.Abs(got[i] - want[i])
		if math.IsNaN(d) {
			return math.Inf(1)
		}
		worst = max(worst, d)
	}
	return worst / (slices.Max(want) - slices.Min(want))
}

// TestClassicIsPyTorchs compares prediction, loss and every gradient. Both sides
// compute in float64, so they differ by the rounding of what is stored.
func TestClassicIsPyTorchs(t *testing.T) {
	cfg := smallClassic(FamilyClassic)
	c := readCase(t, "nano_case.safetensors")
	net := newTestNet(t, cfg, 2, 16, 16, 2, torchWeights(t, cfg, "../checkpoint/testdata/I10_E1_gen.pth"))
	net.m.Set("condition", fromNCHW(t, c["cond"]))
	net.m.Set("noisy", fromNCHW(t, c["x_noisy"]))
	net.m.Set("level", flat(t, c["gamma"]))

	noise := net.g.Input("noise", 2, 16, 16, 3)
	net.m.Set("noise", fromNCHW(t, c["noise"]))
	loss := net.g.Mean(net.g.Abs(net.g.Sub(net.out, noise)))
	vars := variables(net.g)
	grads := net.g.Gradients(loss, vars)
	net.m.Run(append(grads, net.out, loss)...)

	if d := apart(t, net.m.Value(net.out), fromNCHW(t, c["eps"])); d > 1e-6 {
		t.Errorf("the prediction is off by %g of its range", d)
	}
	if got, want := net.m.Value(loss)[0], flat(t, c["loss"])[0]; math.Abs(got-want) > 1e-7 {
		t.Errorf("loss %.9g, want %.9g", got, want)
	}
	for i, v := range vars {
		name := v.Op.(*graph.Variable).Label
		want := c["grad."+name]
		if want == nil {
			t.Fatalf("there is no golden gradient of %s", name)
		}
		if d := apart(t, net.m.Value(grads[i]), fromTorch(t, want)); d > 1e-5 {
			t.Errorf("the gradient of %s is off by %g of its range", name, d)
		}
	}
}

func TestDDPMIsPyTorchs(t *testing.T) {
	cfg := smallClassic(FamilyDDPM)
	c := readCase(t, "ddpm_case.safetensors")
	net := newTestNet(t, cfg, 2, 16, 16, 2, torchWeights(t, cfg, "testdata/ddpm_gen.pth"))
	setJoined(net, fromNCHW(t, c["x"]))
	net.m.Set("level", flat(t, c["t"]))
	net.m.Run(net.out)
	if d := apart(t, net.m.Value(net.out), fromNCHW(t, c["eps"])); d > 1e-6 {
		t.Errorf("the prediction is off by %g of its range", d)
	}
}

// setJoined sets condition and noisy image from six channels a pixel.
func setJoined(net testNet, x []float64) {
	var condition, noisy []float64
	for pixel := range slices.Chunk(x, 6) {
		condition = append(condition, pixel[:3]...)
		noisy = append(noisy, pixel[3:]...)
	}
	net.m.Set("condition", condition)
	net.m.Set("noisy", noisy)
}

// TestPaperIsPyTorchs compares with an independent implementation, with the noise
// level as a shift and as FiLM.
func TestPaperIsPyTorchs(t *testing.T) {
	c := readCase(t, "paper_case.safetensors")
	for prefix, film := range map[string]bool{"shift.": false, "film.": true} {
		weights := map[string][]float64{}
		for name, x := range c {
			if name, is := strings.CutPrefix(name, prefix+"p."); is {
				weights[name] = fromTorch(t, x)
			}
		}
		net := newTestNet(t, smallPaper(film), 2, 8, 8, 2, weights)
		if n := len(variables(net.g)); n != len(weights) {
			t.Errorf("%d parameters, PyTorch has %d", n, len(weights))
		}
		setJoined(net, fromNCHW(t, c[prefix+"x"]))
		net.m.Set("level", flat(t, c[prefix+"level"]))
		net.m.Run(net.out)
		if d := apart(t, net.m.Value(net.out), fromNCHW(t, c[prefix+"eps"])); d > 1e-6 {
			t.Errorf("%sthe prediction is off by %g of its range", prefix, d)
		}
	}
}
