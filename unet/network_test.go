package unet

import (
	"math"
	"testing"

	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/internal/philox"
)

// smallLean is a lean network without attention.
func smallLean() Config {
	return Config{
		Family: FamilyLean, InChannels: 6, OutChannels: 3, Channels: 8, Multipliers: []int{1, 2},
		Blocks: 1, ImageSize: 16, Groups: 2, Fold: 2, FiLM: true, NoMiddleAttention: true,
	}
}

// random draws normal numbers of a standard deviation, in float64 but of float32
// precision.
func random(n int, std float64, stream uint64) []float64 {
	values := make([]float32, n)
	philox.New(5, stream).Normal(values, 0)
	out := make([]float64, n)
	for i, v := range values {
		out[i] = float64(float32(std) * v)
	}
	return out
}

// randomWeights draws every parameter, also those that start at zero or one: a
// network as if trained, in which nothing is silent.
func randomWeights(t *testing.T, cfg Config) map[string][]float64 {
	t.Helper()
	params, err := Parameters(cfg)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]float64{}
	for i, p := range params {
		out[p.Name] = random(p.Len(), 0.3, uint64(100+i))
	}
	return out
}

// randomInputs fills the inputs of a network.
func (net testNet) randomInputs() {
	for _, n := range net.g.Nodes() {
		if op, is := n.Op.(*graph.Input); is {
			net.m.Set(op.Label, random(n.Shape.Size(), 0.5, uint64(n.ID)))
		}
	}
	net.m.Set("seed", []float64{3, 4})
}

// TestGradientsAreFiniteDifferences moves one parameter at a time in a random
// direction, in float64, for the options that the golden cases lack.
func TestGradientsAreFiniteDifferences(t *testing.T) {
	concat, dropped, shift, attending := smallPaper(true), smallPaper(false), smallLean(), smallLean()
	concat.SkipScale = SkipScaleConcat
	dropped.Dropout = 0.3
	shift.FiLM, shift.SkipScale = false, SkipScaleResidual
	attending.NoMiddleAttention, attending.Attention = false, []int{4}
	for name, cfg := range map[string]Config{
		"paper": smallPaper(false), "paper film concat": concat, "paper dropout": dropped,
		"lean": smallLean(), "lean shift": shift, "lean attention": attending, "ddpm": smallClassic(FamilyDDPM),
		"lean told": told(smallLean()), "ddpm told": told(smallClassic(FamilyDDPM)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkGradients(t, cfg, 2)
			if cfg.FiLM { // which has a graph of its own for one level
				checkGradients(t, cfg, 1)
			}
		})
	}
}

func checkGradients(t *testing.T, cfg Config, levels int) {
	net := newTestNet(t, cfg, 2, 4, 8, levels, randomWeights(t, cfg))
	loss := net.g.Mean(net.g.Mul(net.out, net.g.Input("weights", net.out.Shape...)))
	vars := variables(net.g)
	grads := net.g.Gradients(loss, vars)
	net.randomInputs()
	net.m.Run(append(grads, loss)...)
	slopes := make([]float64, len(vars))
	scale := 0.0 // of a slope, per unit of the direction's length
	for i, v := range vars {
		for k, d := range random(v.Shape.Size(), 1, uint64(i)) {
			slopes[i] += net.m.Value(grads[i])[k] * d
		}
		scale = max(scale, math.Abs(slopes[i]))
	}
	for i, v := range vars {
		label := v.Op.(*graph.Variable).Label
		if slopes[i] == 0 {
			t.Errorf("%d levels: the gradient of %s is zero", levels, label)
		}
		const h = 1e-4
		direction := random(v.Shape.Size(), 1, uint64(i))
		moved := func(by float64) float64 {
			for k, d := range direction {
				net.m.Get(label)[k] += by * d
			}
			net.m.Run(loss)
			return net.m.Value(loss)[0]
		}
		up := moved(h)
		down := moved(-2 * h)
		moved(h)
		if got := (up - down) / (2 * h); math.Abs(got-slopes[i]) > 1e-5*(math.Abs(slopes[i])+1e-2*scale) {
			t.Errorf("%d levels: the slope of %s is %.10g, by differences %.10g", levels, label, slopes[i], got)
		}
	}
}

// TestOneLevelServesTheBatch: a level for all images and the same level for each
// is the same network, although FiLM takes another way through the graph.
func TestOneLevelServesTheBatch(t *testing.T) {
	for _, cfg := range []Config{smallLean(), smallPaper(true), smallPaper(false), smallClassic(FamilyClassic)} {
		weights := randomWeights(t, cfg)
		var results [2][]float64
		for i, levels := range []int{1, 2} {
			net := newTestNet(t, cfg, 2, 8, 8, levels, weights)
			net.m.Set("condition", random(2*8*8*3, 0.5, 1))
			net.m.Set("noisy", random(2*8*8*3, 0.5, 2))
			net.m.Set("level", []float64{0.7, 0.7}[:levels])
			net.m.Set("seed", []float64{1, 2})
			net.m.Run(net.out)
			results[i] = net.m.Value(net.out)
		}
		if d := apart(t, results[0], results[1]); d > 1e-12 {
			t.Errorf("%s: off by %g of the range", cfg.Family, d)
		}
	}
}

// TestDropoutIsForTraining: without a seed there is none, with one there is, and
// the seed decides which.
func TestDropoutIsForTraining(t *testing.T) {
	cfg := smallClassic(FamilyClassic)
	cfg.Dropout = 0.5
	g, in := inputs(cfg, 1, 8, 8, 1)
	in.Seed = nil
	if _, err := Build(g, cfg, in); err != nil {
		t.Fatal(err)
	}
	sites := map[uint64]bool{}
	for _, n := range g.Nodes() {
		if _, is := n.Op.(*graph.Dropout); is {
			t.Fatal("dropout without a seed")
		}
	}
	net := newTestNet(t, cfg, 1, 8, 8, 1, randomWeights(t, cfg))
	blocks := 0
	for _, n := range net.g.Nodes() {
		if op, is := n.Op.(*graph.Dropout); is {
			sites[op.Site] = true
			blocks++
		}
	}
	if blocks != 11 || len(sites) != blocks { // 3 down, 2 in the middle, 6 up
		t.Errorf("%d dropouts at %d sites, want 11 at 11", blocks, len(sites))
	}
	net.randomInputs()
	net.m.Run(net.out)
	first := net.m.Value(net.out)
	net.m.Set("seed", []float64{3, 5})
	net.m.Run(net.out)
	if apart(t, first, net.m.Value(net.out)) < 1e-3 {
		t.Error("another seed drops the same")
	}
}

// TestFrozenNetworkSeesItsReceptiveField: with the statistics given, a part of an
// image gives the same prediction as the whole, as far from the cut as the
// receptive field; and the field is not much wider than it must be.
func TestFrozenNetworkSeesItsReceptiveField(t *testing.T) {
	cfg := smallLean()
	field, ok, err := ReceptiveField(cfg)
	if err != nil || !ok {
		t.Fatalf("receptive field %d, %v, error %v", field, ok, err)
	}
	const h, w, cut = 8, 96, 56 // the part is the columns from 0 to cut
	x := random(h*w*6, 0.5, 9)
	weights := randomWeights(t, cfg)
	whole, part := frozen(t, cfg, h, w, w, x, weights), frozen(t, cfg, h, cut, w, x, weights)
	first := cut // the first column that the cut changes
	for y := range h {
		for col := range cut {
			for ch := range 3 {
				if math.Abs(whole[(y*w+col)*3+ch]-part[(y*cut+col)*3+ch]) > 1e-12 {
					first = min(first, col)
				}
			}
		}
	}
	if reached := cut - first; reached > field || reached < field-4*cfg.Multiple() {
		t.Errorf("the cut changes %d columns, the receptive field is %d", reached, field)
	}
}

// frozen runs the network with constant statistics on the first columns of an
// image of full columns and six channels.
func frozen(t *testing.T, cfg Config, h, columns, full int, x []float64, weights map[string][]float64) []float64 {
	t.Helper()
	var cropped []float64
	for y := range h {
		cropped = append(cropped, x[y*full*6:(y*full+columns)*6]...)
	}
	g, in := inputs(cfg, 1, h, columns, 1)
	var names []string
	in.Stats = func(name string, x *graph.Node, groups int, epsilon float32) *graph.Node {
		names = append(names, name)
		if x.Shape[3]%groups != 0 || epsilon != 1e-6 {
			t.Errorf("statistics of %v are asked for in %d groups with epsilon %g", x, groups, epsilon)
		}
		values := make([]float32, 2*groups)
		for i := range groups {
			values[2*i], values[2*i+1] = 0.1*float32(i), 0.8
		}
		return g.Constant(values, 1, groups, 2)
	}
	out, err := Build(g, cfg, in)
	if err != nil {
		t.Fatal(err)
	}
	if len(names) != 9 || names[0] != "down.0.0.norm1" || names[8] != "head.norm" {
		t.Errorf("statistics were asked for %v", names)
	}
	net := newMachine(g, out, weights)
	setJoined(net, cropped)
	net.m.Set("level", []float64{0.4})
	net.m.Run(out)
	return net.m.Value(out)
}

func TestReceptiveFieldOfPresets(t *testing.T) {
	for _, name := range PresetNames() {
		cfg, _ := Preset(name)
		field, ok, err := ReceptiveField(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if (name == "lean-photo") != ok {
			t.Errorf("%s: receptive field %d, %v", name, field, ok)
		}
		t.Log(name, field, ok)
	}
	if _, _, err := ReceptiveField(Config{}); err == nil {
		t.Error("no error for an empty configuration")
	}
}
