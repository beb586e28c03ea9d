package train

import (
	"math"
	"slices"
	"testing"

	"github.com/sr3-go/sr3/dataset"
	"github.com/sr3-go/sr3/diffusion"
	"github.com/sr3-go/sr3/internal/cpu"
	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/internal/philox"
	"github.com/sr3-go/sr3/unet"
)

// randomState is a state whose last convolution is not zero, so that the network's output depends on all it sees.
func randomState(t testing.TB, cfg Config) *state {
	t.Helper()
	params, err := unet.Parameters(cfg.Model.Config)
	if err != nil {
		t.Fatal(err)
	}
	start := &Start{Weights: map[string][]float32{}}
	for i, p := range params {
		values := make([]float32, p.Len())
		philox.New(3, uint64(i)).Normal(values, 0)
		for k := range values {
			values[k] *= 0.2
		}
		start.Weights[p.Name] = values
	}
	s, err := newState(cfg, start)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func drawExamples(t testing.TB, cfg Config, step int) *examples {
	t.Helper()
	set, err := dataset.Open([]string{images(t)}, cfg.dataOptions(nil))
	if err != nil {
		t.Fatal(err)
	}
	d, err := newDrawer(cfg, set)
	if err != nil {
		t.Fatal(err)
	}
	e, err := d.examples(step)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// network runs the network alone on noisy images.
func network(t testing.TB, cfg Config, s *state, e *examples, noisy []float32) []float32 {
	t.Helper()
	g := graph.New()
	out, err := unet.Build(g, cfg.Model.Config, unet.Inputs{
		Condition: g.Input("x", e.N, e.H, e.W, 3), Noisy: g.Input("y", e.N, e.H, e.W, 3), Level: g.Input("level", e.N),
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := cpu.Compile(g, s.vars, []*graph.Node{out}, cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	copy(p.Input("x"), e.X)
	copy(p.Input("y"), noisy)
	copy(p.Input("level"), e.level)
	p.Run()
	return append([]float32(nil), p.Output(0)...)
}

// adaptiveSets divide the residual by what the contrast around leads to expect.
func adaptiveSets() []string {
	return []string{
		"diffusion.residual=1", "diffusion.adaptive.floor=0.01", "diffusion.adaptive.gain=2", "diffusion.adaptive.knee=0.1", "diffusion.adaptive.radius=2",
	}
}

// TestLossIsThatOfPackageDiffusion compares the compiled loss with the forward process, the target and the objective
// of package diffusion, for every prediction, norm and weighting.
func TestLossIsThatOfPackageDiffusion(t *testing.T) {
	for _, prediction := range []string{"eps", "x0", "v"} {
		for _, rest := range [][]string{
			{"diffusion.loss=l1", "diffusion.weighting=uniform", "diffusion.residual=0", "diffusion.gamma_draw=schedule"},
			{"diffusion.loss=l2", "diffusion.weighting=snr-trunc", "diffusion.residual=4", "diffusion.gamma_draw=sqrt"},
			{"diffusion.loss=l1", "diffusion.weighting=snr-trunc", "diffusion.residual=2.5"},
			append(adaptiveSets(), "diffusion.loss=l2", "train.micro_batch=2"),
		} {
			cfg := tinyConfig(t, append(rest, "model.dropout=0", "diffusion.prediction="+prediction)...)
			s := randomState(t, cfg)
			e := drawExamples(t, cfg, 1)
			step, err := newStepper(cfg, s.vars)
			if err != nil {
				t.Fatal(err)
			}
			want := plainLoss(t, cfg, s, e)
			got, _ := step.step(e, s.hyper())
			step.close()
			if math.Abs(got-want) > 1e-5*want {
				t.Errorf("%s, %v: loss %v, want %v", prediction, rest, got, want)
			}
		}
	}
}

// plainLoss is the loss by package diffusion.
func plainLoss(t *testing.T, cfg Config, s *state, e *examples) float64 {
	t.Helper()
	n := e.H * e.W * 3
	y0, y := make([]float32, len(e.HR)), make([]float32, len(e.HR))
	copy(y0, e.HR)
	if cfg.Diffusion.Adaptive.Active() {
		for k, target := range cfg.targets(e.Batch) {
			target.Of(y0[k*n:][:n], e.HR[k*n:][:n])
		}
	} else if r := float32(cfg.Diffusion.Residual); r != 0 {
		for i := range y0 {
			y0[i] = r * (e.HR[i] - e.X[i])
		}
	}
	gammas := make([]diffusion.Gamma, e.N)
	for k := range e.N {
		gammas[k] = diffusion.GammaFromAlpha(float64(e.level[k]))
		diffusion.Diffuse(y[k*n:][:n], y0[k*n:][:n], e.noise[k*n:][:n], gammas[k])
	}
	prediction := network(t, cfg, s, e, y)
	target := make([]float32, n)
	var sum float64
	for k := range e.N {
		cfg.Diffusion.Prediction.Target(target, y0[k*n:][:n], e.noise[k*n:][:n], gammas[k])
		sum += cfg.objective().Loss(prediction[k*n:][:n], target, gammas[k])
	}
	return sum / float64(e.N)
}

// moments runs one step and returns the first moments, which are the gradient times 1-beta1.
func moments(t *testing.T, cfg Config) (m map[string][]float32, norm float64) {
	t.Helper()
	s := randomState(t, cfg)
	step, err := newStepper(cfg, s.vars)
	if err != nil {
		t.Fatal(err)
	}
	defer step.close()
	_, norm = step.step(drawExamples(t, cfg, 0), s.hyper())
	return s.values(prefixM), norm
}

func l2(values map[string][]float32) float64 {
	var sum float64
	for _, v := range values {
		for _, x := range v {
			sum += float64(x) * float64(x)
		}
	}
	return math.Sqrt(sum)
}

func TestClippingBoundsTheNorm(t *testing.T) {
	for _, micro := range []string{"train.micro_batch=0", "train.micro_batch=1"} {
		free, norm := moments(t, tinyConfig(t, "train.clip=0", micro))
		if got := l2(free) / 0.1; math.Abs(got-norm) > 1e-4*norm {
			t.Errorf("%s: the norm is reported as %v, the gradient has %v", micro, norm, got)
		}
		bound := norm / 3
		cfg := tinyConfig(t, micro)
		cfg.Train.Clip = bound
		clipped, reported := moments(t, cfg)
		if got := l2(clipped) / 0.1; math.Abs(got-bound) > 1e-4*bound || reported != norm {
			t.Errorf("%s: clipped to %v, want %v; reported %v, want %v", micro, got, bound, reported, norm)
		}
		cfg.Train.Clip = 2 * norm
		same, _ := moments(t, cfg)
		if got := l2(same) / 0.1; math.Abs(got-norm) > 1e-4*norm {
			t.Errorf("%s: a norm below the bound was changed to %v from %v", micro, got, norm)
		}
	}
}

// TestAccumulationIsTheWholeBatch compares the gradient of four micro-batches with that of the batch.
func TestAccumulationIsTheWholeBatch(t *testing.T) {
	whole, norm := moments(t, tinyConfig(t, "train.clip=0", "model.dropout=0"))
	parts, _ := moments(t, tinyConfig(t, "train.clip=0", "model.dropout=0", "train.micro_batch=1"))
	for name, want := range whole {
		for i, v := range parts[name] {
			if math.Abs(float64(v-want[i])) > 1e-5*norm {
				t.Fatalf("%s[%d]: %v in parts, %v as a whole", name, i, v, want[i])
			}
		}
	}
}

// TestRecomputationTrainsTheSame takes two steps, with dropout, with and without it: the same bytes.
func TestRecomputationTrainsTheSame(t *testing.T) {
	if DefaultConfig().Train.Recompute {
		t.Error("recomputation is on by default")
	}
	for _, rest := range [][]string{{"train.clip=1"}, {"train.clip=0"}, {"train.micro_batch=2"}} {
		var runs [2]*state
		var memory [2]int64
		for i, set := range []string{"train.recompute=false", "train.recompute=true"} {
			cfg := tinyConfig(t, append(rest, set, "model.dropout=0.3", "model.blocks=3", "model.fold=1")...)
			runs[i] = randomState(t, cfg)
			step, err := newStepper(cfg, runs[i].vars)
			if err != nil {
				t.Fatal(err)
			}
			for n := range 2 {
				loss, _ := step.step(drawExamples(t, cfg, n), runs[i].hyper())
				runs[i].count(loss)
			}
			memory[i] = step.memory()
			step.close()
		}
		for _, label := range runs[0].vars.Labels() {
			if !slices.Equal(runs[0].vars.Get(label), runs[1].vars.Get(label)) {
				t.Errorf("%v: %s differs", rest, label)
			}
		}
		if memory[1] >= memory[0] {
			t.Errorf("%v: %d bytes with recomputation, %d without", rest, memory[1], memory[0])
		}
	}
}

// TestAdamAndAverage recomputes two steps' updates from the moments.
func TestAdamAndAverage(t *testing.T) {
	cfg := tinyConfig(t)
	s := randomState(t, cfg)
	step, err := newStepper(cfg, s.vars)
	if err != nil {
		t.Fatal(err)
	}
	defer step.close()
	const name = "head.conv.weight"
	for n := range 2 {
		before, average := s.values("")[name], s.values(prefixEMA)[name]
		loss, _ := step.step(drawExamples(t, cfg, n), s.hyper())
		rate, decay := cfg.Train.Rate*float64(n+1)/4, float64(n+2)/float64(n+11) // warm-up of 4 steps; (1+t)/(10+t)
		m, v := s.vars.Get(prefixM+name), s.vars.Get(prefixV+name)
		for i := range before {
			c1, c2 := 1-math.Pow(0.9, float64(n+1)), 1-math.Pow(0.999, float64(n+1))
			want := float64(before[i]) - rate*float64(m[i])/c1/(math.Sqrt(float64(v[i])/c2)+1e-8)
			if got := float64(s.vars.Get(name)[i]); math.Abs(got-want) > 1e-6 {
				t.Fatalf("step %d, weight %d: %v, want %v", n, i, got, want)
			}
			want = decay*float64(average[i]) + (1-decay)*want
			if got := float64(s.vars.Get(prefixEMA + name)[i]); math.Abs(got-want) > 1e-6 {
				t.Fatalf("step %d, average %d: %v, want %v", n, i, got, want)
			}
		}
		s.count(loss)
	}
}

func TestNoiseLevels(t *testing.T) {
	cfg := tinyConfig(t, "train.batch=64", "train.micro_batch=4")
	e := drawExamples(t, cfg, 3)
	last := math.Inf(1)
	for i := range e.N {
		a, s := float64(e.alpha[i]), float64(e.sigma[i])
		if math.Abs(a*a+s*s-1) > 1e-6 || e.level[i] != e.alpha[i] || a >= last {
			t.Errorf("example %d: alpha %v after %v, sigma %v, level %v", i, a, last, s, e.level[i])
		}
		last = a // stratified over the cosine draw: falling
	}
	var sum, squares float64
	for _, v := range e.noise {
		sum += float64(v)
		squares += float64(v) * float64(v)
	}
	n := float64(len(e.noise))
	if mean, variance := sum/n, squares/n; math.Abs(mean) > 0.02 || math.Abs(variance-1) > 0.03 {
		t.Errorf("noise of mean %v and variance %v", mean, variance)
	}
	for micro := range 4 {
		for _, half := range e.dropoutSeed(micro) {
			if half != float32(math.Trunc(float64(half))) || half < 0 || half >= 1<<24 {
				t.Errorf("dropout seed %v", half)
			}
		}
	}
	if e.dropoutSeed(0) == e.dropoutSeed(1) {
		t.Error("micro-batches share their dropout")
	}
}

func TestRate(t *testing.T) {
	c := TrainConfig{Rate: 1, Warmup: 10, Steps: 100, Decay: DecayConstant}
	for step, want := range map[int]float64{0: 0.1, 4: 0.5, 9: 1, 10: 1, 99: 1} {
		if got := c.rate(step); math.Abs(got-want) > 1e-12 {
			t.Errorf("step %d: %v, want %v", step, got, want)
		}
	}
	c.Decay = DecayCosine
	for step, want := range map[int]float64{0: 0.1, 50: 0.5, 100: 0} {
		if got := c.rate(step); math.Abs(got-want) > 1e-12 {
			t.Errorf("cosine, step %d: %v, want %v", step, got, want)
		}
	}
}
