package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sr3-go/sr3/internal/cpu/kernel"
	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/internal/graph/graphtest"
)

// TestRandomNetworks compares graphs of what networks are made of, put together in
// ways that networks are not, with the specification.
func TestRandomNetworks(t *testing.T) {
	for seed := range cases(40) {
		graphtest.RunCase(t, randomNetwork(seed), 5e-4, executeAllWays)
	}
}

// cases is how many of n random cases to run: a few in short mode, where the race
// detector makes the specification's loops some twenty times slower.
func cases(n uint64) uint64 {
	if testing.Short() {
		return n / 8
	}
	return n
}

// executeAllWays demands the same bytes of a run between NaN, and of a program with
// several threads that was compiled and run before its variables had their values.
func executeAllWays(t *testing.T, g *graph.Graph, set map[string][]float32, outputs []*graph.Node, runs int) [][]float32 {
	want := executePoisoned(t, g, set, outputs, runs)
	vars := NewVariables()
	p, err := Compile(g, vars, outputs, Options{Threads: 2 + len(outputs)%2})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for _, label := range vars.Labels() {
		vars.Set(label, slices.Repeat([]float32{1}, len(set[label])))
	}
	p.Run()
	for label, values := range set {
		if x := p.Input(label); x != nil {
			copy(x, values)
		} else if vars.Get(label) != nil {
			vars.Set(label, values)
		}
	}
	for range runs {
		p.Run()
	}
	for i := range outputs {
		for k, v := range p.Output(i) {
			if math.Float32bits(v) != math.Float32bits(want[i][k]) {
				t.Fatalf("output %d, %v, element %d: %v with several threads, %v with one", i, outputs[i], k, v, want[i][k])
			}
		}
	}
	return want
}

// TestRandomWays computes convolutions in other ways than suit their shapes.
func TestRandomWays(t *testing.T) {
	for seed := range cases(25) {
		c := randomNetwork(100 + seed)
		c.Name += "/ways"
		graphtest.RunCase(t, c, 5e-4, func(t *testing.T, g *graph.Graph, set map[string][]float32, outputs []*graph.Node, runs int) [][]float32 {
			one := executeWays(t, 1, int(seed), g, set, outputs)
			for i, x := range executeWays(t, 3, int(seed), g, set, outputs) {
				if !slices.Equal(x, one[i]) {
					t.Errorf("output %d, %v, is another one with three threads", i, outputs[i])
				}
			}
			return one
		})
	}
}

// executeWays runs between NaN a program whose convolutions are computed in any way
// that is possible.
func executeWays(t *testing.T, threads, seed int, g *graph.Graph, set map[string][]float32, outputs []*graph.Node) [][]float32 {
	vars := NewVariables()
	for label, values := range set {
		vars.Set(label, values)
	}
	c := newCompiler(vars, threads)
	c.choose = func(filter graph.Shape, stride int, out graph.Shape) convWay {
		k := (filter[2]*7 + filter[3]*13 + out[1]*5 + out[2] + seed) % 3
		switch square := filter[0] == filter[1] && stride == 1; {
		case square && filter[0] > 1 && filter[3] <= thinMostChannels && k == 0:
			return wayThin
		case square && filter[0] == 3:
			return []convWay{wayKept, wayStreamed, wayKept}[k]
		}
		return wayDirect
	}
	if err := c.compile(g, outputs); err != nil {
		t.Fatal(err)
	}
	c.program.pool = newPool(threads)
	defer c.program.Close()
	for label, values := range set {
		copy(c.program.Input(label), values)
	}
	runPoisoned(c)
	out := make([][]float32, len(outputs))
	for i := range outputs {
		out[i] = c.program.Output(i)
	}
	return out
}

// TestRandomTraining updates most variables of a network, and has its values too,
// which are those from before the updates of a run.
func TestRandomTraining(t *testing.T) {
	for seed := range cases(25) {
		build := randomNetwork(200 + seed).Build
		c := graphtest.Case{Name: fmt.Sprintf("training/%d", seed), NoGradient: true, Build: func(b *graphtest.Builder) []*graph.Node {
			outputs := build(b)
			var trained []*graph.Node
			for _, n := range b.Nodes() {
				if _, ok := n.Op.(*graph.Variable); ok && n.ID%4 > 0 {
					trained = append(trained, n)
				}
			}
			hyper := b.Given([]float32{0.1, 0.19, 0.002, 0.7, 0.9}, graph.AdamHyper)
			for i, grad := range b.Gradients(b.Loss(outputs), trained) {
				if i%3 == 2 {
					m := b.State(0.1, grad.Shape...)
					outputs = append(outputs, b.Descend(trained[i], b.Add(m, grad), m, grad, hyper, b.State(0, grad.Shape...)))
					continue
				}
				outputs = append(outputs, b.Adam(graph.Adam{B1: 0.9, B2: 0.999, Epsilon: 3}, trained[i], grad,
					b.State(0, grad.Shape...), b.State(0, grad.Shape...), hyper, nil))
			}
			return outputs
		}}
		graphtest.RunCase(t, c, 2e-3, executePoisoned) // two runs
	}
}

// network collects values that later steps may read, and weights that they may share.
type network struct {
	*graphtest.Builder
	r       *rand.Rand
	values  []*graph.Node
	weights []*graph.Node
}

// randomNetwork depends on the seed alone. A few networks have enough channels for
// streamed filters; the specification is slow on them.
func randomNetwork(seed uint64) graphtest.Case {
	return graphtest.Case{Name: fmt.Sprintf("network/%d", seed), Build: func(b *graphtest.Builder) []*graph.Node {
		n := &network{Builder: b, r: rand.New(rand.NewPCG(seed, 5))}
		images, side := 1+n.r.IntN(3), []int{1, 2, 3, 4, 5, 7, 8, 11, 14, 16, 23}
		h, w := side[n.r.IntN(len(side))], side[n.r.IntN(len(side))]
		if n.chance(50) {
			w = h
		}
		if h*w <= 4 && n.chance(30) {
			images = 37
		}
		n.add(b.Normal(images, h, w, n.channels()))
		steps := 3 + n.r.IntN(7)
		if seed%20 == 19 {
			n.add(n.wide())
			steps = 2
		}
		for range steps {
			n.add(n.step(n.pick()))
		}
		outputs := []*graph.Node{n.values[len(n.values)-1]}
		for range n.r.IntN(3) {
			outputs = append(outputs, n.pick())
		}
		return outputs
	}}
}

// add makes a value known, sometimes in another shape too.
func (n *network) add(x *graph.Node) {
	n.values = append(n.values, x)
	if s := x.Shape; s[1]%2 == 0 && n.chance(10) {
		n.values = append(n.values, n.Reshape(x, s[0], s[1]/2, s[2]*2, s[3]))
	}
}

func (n *network) chance(percent int) bool { return n.r.IntN(100) < percent }

func (n *network) channels() int {
	of := []int{1, 2, 3, 4, 8, 16, 17, 20, 32, 32, 33, 36, 40, 48}
	return of[n.r.IntN(len(of))]
}

// pick chooses one value, recent ones more often.
func (n *network) pick() *graph.Node {
	k := len(n.values)
	return n.values[k-1-min(n.r.IntN(k), n.r.IntN(k))]
}

// like gives a value of x's shape: x, an earlier one, one in another shape, a new one.
func (n *network) like(x *graph.Node) *graph.Node {
	same := []*graph.Node{x}
	for _, v := range n.values {
		if v.Shape.Equal(x.Shape) {
			same = append(same, v)
		} else if v.Shape.Size() == x.Shape.Size() {
			same = append(same, n.Reshape(v, x.Shape...))
		}
	}
	if n.chance(30) {
		return n.Normal(x.Shape...)
	}
	return same[n.r.IntN(len(same))]
}

// weight is a variable, one that another step has too, half of a precision, in
// another shape than it is stored, or a value that is computed.
func (n *network) weight(dims ...int) *graph.Node {
	for _, w := range n.weights {
		if w.Shape.Size() == graph.Shape(dims).Size() && n.chance(40) {
			return n.Reshape(w, dims...)
		}
	}
	w := n.Weight(dims...)
	n.weights = append(n.weights, w)
	switch {
	case n.chance(30):
		values := n.Set[w.Op.(*graph.Variable).Label]
		half := make([]uint16, len(values))
		kernel.Float16Encode(half, values)
		kernel.Float16Decode(values, half)
	case n.chance(15):
		return n.Scale(w, 0.9)
	}
	return w
}

func (n *network) bias(channels int) *graph.Node {
	switch n.r.IntN(4) {
	case 0:
		return nil
	case 1:
		return n.Scale(n.Bias(0, channels), 0.5)
	}
	return n.Bias(0, channels)
}

// conv is a convolution of whatever kind fits, to as many channels as x has or others.
func (n *network) conv(x *graph.Node) *graph.Node {
	out := x.Shape[3]
	if n.chance(60) {
		out = n.channels()
	}
	k := []int{1, 1, 2, 3, 3, 3, 3, 3, 5}[n.r.IntN(9)]
	pad, stride := k/2, 1
	if n.chance(20) {
		pad = n.r.IntN(k + 1)
	}
	if n.chance(15) {
		stride = 2
	}
	pad = max(pad, (k-min(x.Shape[1], x.Shape[2])+1)/2)
	return n.Conv2D(x, n.weight(k, k, x.Shape[3], out), n.bias(out), stride, pad)
}

// ends applies some of what convolutions take in, in any order.
func (n *network) ends(h *graph.Node) *graph.Node {
	images, ch := h.Shape[0], h.Shape[3]
	if n.chance(15) {
		n.add(h) // others read it too
	}
	for range n.r.IntN(4) {
		switch n.r.IntN(8) {
		case 0, 1, 2:
			if n.chance(30) {
				images = 1
			}
			shift := n.Normal(images, 1, 1, ch)
			if n.chance(30) {
				shift = n.Scale(shift, 0.5)
			}
			h = n.Add(h, shift)
		case 3, 4, 5:
			if a := n.like(h); n.chance(50) {
				h = n.Add(h, a)
			} else {
				h = n.Add(a, h)
			}
		case 6:
			h = n.Scale(h, []float32{0.7, -0.5, 1}[n.r.IntN(3)])
		case 7:
			h = n.Affine(h, 0.8, 0.1)
		}
	}
	return h
}

// wide is a convolution whose filters are streamed.
func (n *network) wide() *graph.Node {
	in, out, side := 192+n.r.IntN(10), 192+n.r.IntN(10), 7+n.r.IntN(2)
	x := n.Normal(1, side, side, in)
	if n.chance(50) {
		x = n.Upsample(n.Normal(1, side/2, side/2, in), 2)
	}
	return n.ends(n.Conv2D(x, n.weight(3, 3, in, out), n.bias(out), 1, 1))
}

// step applies a random operation to x.
func (n *network) step(x *graph.Node) *graph.Node {
	images, h, w, c := x.Shape[0], x.Shape[1], x.Shape[2], x.Shape[3]
	large := x.Shape.Size() > 12000
	switch k := n.r.IntN(20); {
	case k <= 8:
		return n.ends(n.conv(x))
	case k <= 10 && !large:
		return n.ends(n.Conv2D(n.Upsample(x, 2), n.weight(3, 3, c, 32), n.bias(32), 1, 1))
	case k <= 14 && c > 1: // a group of one channel would have no use for a bias before it
		groups := 1
		for _, g := range []int{2, 4} {
			if c%g == 0 && c > g && h*w*c/g >= 32 {
				groups = g
			}
		}
		z := n.GroupNorm(x, n.Bias(1, c), n.Bias(0, c), groups, 1e-2, n.chance(60))
		if n.chance(20) {
			n.add(z)
		}
		return n.ends(n.conv(z))
	case k <= 16 && !large:
		parts := []*graph.Node{x, n.like(x)}
		for _, v := range n.values {
			if slices.Equal(v.Shape[:3], x.Shape[:3]) && v.Shape[3] != c && n.chance(50) {
				parts[1] = v
			}
		}
		if n.chance(20) {
			parts = append(parts, n.like(x))
		}
		return n.Concat(3, parts...)
	case k == 17 && h*w <= 600:
		width := 1 + n.r.IntN(40)
		qkv := n.Conv2D(x, n.weight(1, 1, c, 3*width), nil, 1, 0)
		y := n.Attention(n.Reshape(qkv, images, h*w, 3*width), 1/float32(math.Sqrt(float64(width))))
		return n.ends(n.conv(n.Reshape(y, images, h, w, width)))
	case k == 18:
		return n.Mul(x, n.Sigmoid(n.like(x)))
	}
	return n.SiLU(x)
}
