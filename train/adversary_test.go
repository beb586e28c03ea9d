package train

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/checkpoint"
	"github.com/sr3-go/sr3/diffusion"
	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/internal/graph/plain"
	"github.com/sr3-go/sr3/internal/philox"
	"github.com/sr3-go/sr3/model"
)

// adversarySets are a tiny critic.
func adversarySets(sets ...string) []string {
	return append([]string{
		"adversary.weight=0.5", "adversary.channels=8", "adversary.multipliers=[1,2]", "adversary.start=0", "adversary.rate=2e-3",
	}, sets...)
}

func TestAdversaryConfig(t *testing.T) {
	for set, want := range map[string]string{
		"adversary.weight=-1":           "adversary.weight",
		"adversary.weight=nan":          "adversary.weight",
		"adversary.rate=0":              "adversary.rate",
		"adversary.start=-1":            "adversary.start",
		"adversary.noise=2":             "adversary.noise",
		"adversary.limit=0":             "adversary.limit",
		"adversary.smooth=-1":           "adversary.smooth",
		"adversary.channels=7":          "channels",
		"adversary.fold=3":              "data.crop",
		"adversary.blok=1":              "adversary.blok",
		"train.micro_batch=1":           "train.micro_batch",
		"train.objective=regression":    "regression",
		"diffusion.prediction=eps":      "diffusion.prediction",
		"model.in_channels=3":           "condition",
		"adversary.multipliers=[1,2,9]": "",
	} {
		sets := append(append(tinySets(), "diffusion.residual=0"), adversarySets(set)...)
		_, err := LoadConfig("", sets)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: error %v does not hold %q", set, err, want)
		}
	}
	cfg := tinyConfig(t, adversarySets()...)
	text, err := cfg.TOML()
	if err != nil || !strings.Contains(text, "[adversary]") {
		t.Fatalf("%v in\n%s", err, text)
	}
	if again, err := parseConfig(text); err != nil || again.Adversary.Weight != 0.5 || again.Adversary.Start != 0 || again.Adversary.Blocks != defaultAdversary().Blocks {
		t.Errorf("read back as %+v, %v", again.Adversary, err)
	}
	off := tinyConfig(t, adversarySets("adversary.weight=0")...)
	a, _ := off.TOML()
	if b, _ := tinyConfig(t).TOML(); a != b || strings.Contains(a, "adversary") {
		t.Errorf("weight 0 leaves a trace:\n%s", a)
	}
}

// TestCriticTellsTruthFromEstimates trains the critic alone against estimates without detail.
func TestCriticTellsTruthFromEstimates(t *testing.T) {
	cfg := tinyConfig(t, adversarySets()...)
	s := randomState(t, cfg)
	step, err := newStepper(cfg, s.vars)
	if err != nil {
		t.Fatal(err)
	}
	defer step.close()
	var first, last criticStats
	for n := range 60 {
		e := drawExamples(t, cfg, n%4)
		last = step.critic.step(e, make([]float32, len(e.HR)), s.criticHyper())
		if n == 0 {
			first = last
		}
		s.count(1)
	}
	if first.loss != 2 || first.real != 0 || first.fake != 0 {
		t.Errorf("a fresh critic, which says 0, has %+v", first)
	}
	if !(last.loss < 1 && last.real > last.fake+1) {
		t.Errorf("after 60 steps %+v", last)
	}
}

// TestSmoothCriticIsLessSteep trains two critics and measures how hard they pull at the network.
func TestSmoothCriticIsLessSteep(t *testing.T) {
	var shares [2]float64
	for i, set := range []string{"adversary.smooth=0", "adversary.smooth=30"} {
		cfg := tinyConfig(t, adversarySets(set, "adversary.limit=1000")...)
		s := randomState(t, cfg)
		step, err := newStepper(cfg, s.vars)
		if err != nil {
			t.Fatal(err)
		}
		hyper := s.hyper()
		hyper[graph.AdamRate] = 0
		for n := range 60 {
			e := drawExamples(t, cfg, n%4)
			step.step(e, hyper)
			step.critic.step(e, step.estimate(), s.criticHyper())
			s.count(1)
		}
		step.step(drawExamples(t, cfg, 1), hyper)
		shares[i] = step.share()
		step.close()
	}
	t.Logf("shares %v", shares)
	if !(shares[1] > 0 && shares[1] < shares[0]/2) {
		t.Errorf("the pull is %v of the gradient with the penalty and %v without", shares[1], shares[0])
	}
}

// TestAdversarialGradient compares the gradient of the whole loss, within no limit, by the network's parameters with central differences
// in float64, with the critic's parameters as they are.
func TestAdversarialGradient(t *testing.T) {
	for _, prediction := range []string{"v", "x0"} {
		cfg := tinyConfig(t, adversarySets("train.batch=2", "model.dropout=0", "diffusion.prediction="+prediction)...)
		params := randomState(t, cfg).params
		g := graph.New()
		l, err := buildLoss(g, cfg, 2, 8, true)
		if err != nil {
			t.Fatal(err)
		}
		term, _, err := buildAdversary(g, cfg, l)
		if err != nil {
			t.Fatal(err)
		}
		total := g.Add(g.Reshape(l.loss, 1), g.Reshape(term, 1))
		wrt, by := variables(g, params, ""), []*graph.Node{l.prediction}
		keep, pull := g.Gradients(l.loss, by)[0], g.Gradients(term, by)[0]
		grads := g.GradientsFrom(l.prediction, g.Add(keep, buildLimit(g, pull, keep, 1e9)), wrt)
		alone := g.Gradients(l.loss, wrt)
		m := plain.New(g)
		for _, n := range g.Nodes() {
			switch op := n.Op.(type) {
			case *graph.Variable:
				m.Set(op.Label, normals(n.Shape.Size(), 0.3, uint64(n.ID)))
			case *graph.Input:
				m.Set(op.Label, normals(n.Shape.Size(), 0.5, uint64(n.ID)))
			}
		}
		m.Run(append(append(grads, alone...), total)...)
		pulled := false
		for i, n := range wrt {
			got, k := m.Value(grads[i]), i%n.Shape.Size()
			pulled = pulled || math.Abs(got[k]-m.Value(alone[i])[k]) > 1e-4
			want, at := 0.0, &m.Get(params[i].Name)[k]
			have := got[k]
			for _, h := range []float64{1e-5, -1e-5} {
				*at += h
				m.Run(total)
				want += m.Value(total)[0] / (2 * h)
				*at -= h
			}
			m.Run(append(append(grads, alone...), total)...)
			if math.Abs(have-want) > 1e-6*(1+math.Abs(want)) {
				t.Errorf("%s, %s[%d]: %v, by differences %v", prediction, params[i].Name, k, have, want)
			}
		}
		if !pulled {
			t.Error("the adversarial term has no part in the gradient")
		}
	}
}

// TestLimit: a pull above its share of the gradient is scaled down to it, example by example; one below stays.
func TestLimit(t *testing.T) {
	g := graph.New()
	pull, keep := g.Input("pull", 3, 1, 2, 3), g.Input("keep", 3, 1, 2, 3)
	out := buildLimit(g, pull, keep, 0.5)
	m := plain.New(g)
	p, k := normals(18, 1, 1), normals(18, 1, 2)
	for i := range 6 {
		p[i] *= 100   // far above
		p[6+i] *= 0.1 // below
		p[12+i] = 0
	}
	m.Set("pull", p)
	m.Set("keep", k)
	m.Run(out)
	norm := func(v []float64) float64 {
		return math.Sqrt(v[0]*v[0] + v[1]*v[1] + v[2]*v[2] + v[3]*v[3] + v[4]*v[4] + v[5]*v[5])
	}
	got := m.Value(out)
	if have, want := norm(got[:6]), 0.5*norm(k[:6]); math.Abs(have-want) > 1e-6*want || math.Abs(got[0]/got[1]-p[0]/p[1]) > 1e-6 {
		t.Errorf("limited to norm %v, want %v; %v of %v", have, want, got[:6], p[:6])
	}
	for i := 6; i < 18; i++ {
		if math.Abs(got[i]-p[i]) > 1e-9 {
			t.Errorf("element %d: %v, want %v", i, got[i], p[i])
		}
	}
}

func normals(n int, std float64, stream uint64) []float64 {
	values := make([]float32, n)
	philox.New(9, stream).Normal(values, 0)
	out := make([]float64, n)
	for i, v := range values {
		out[i] = std * float64(v)
	}
	return out
}

// TestEstimateIsY0 wants of the step's program what package diffusion makes of the prediction.
func TestEstimateIsY0(t *testing.T) {
	cfg := tinyConfig(t, adversarySets("model.dropout=0")...)
	s := randomState(t, cfg)
	for i, p := range s.critic { // as if trained: a fresh one says 0 whatever it sees
		values := make([]float32, p.Len())
		philox.New(4, uint64(i)).Normal(values, 0)
		s.vars.Set(p.Name, values)
	}
	e := drawExamples(t, cfg, 1)
	step, err := newStepper(cfg, s.vars)
	if err != nil {
		t.Fatal(err)
	}
	defer step.close()
	n := e.H * e.W * 3
	noisy := make([]float32, len(e.HR))
	for k := range e.N {
		y0 := make([]float32, n)
		for i := range y0 {
			y0[i] = float32(cfg.Diffusion.Residual) * (e.HR[k*n+i] - e.X[k*n+i])
		}
		diffusion.Diffuse(noisy[k*n:][:n], y0, e.noise[k*n:][:n], diffusion.GammaFromAlpha(float64(e.level[k])))
	}
	want := network(t, cfg, s, e, noisy)
	for k := range e.N {
		part := want[k*n:][:n]
		diffusion.PredictV.ToY0(diffusion.GammaFromAlpha(float64(e.level[k]))).Apply(part, part, noisy[k*n:][:n])
	}
	step.step(e, s.hyper())
	for i, v := range step.estimate() {
		if math.Abs(float64(v-want[i])) > 1e-4 {
			t.Fatalf("element %d of the estimate: %v, want %v", i, v, want[i])
		}
	}
	if !(step.share() > 0) {
		t.Error("a critic with weights has no share in the gradient")
	}
}

// TestVeil: the draws in front of the critic, and when and how hard it pulls.
func TestVeil(t *testing.T) {
	cfg := tinyConfig(t, adversarySets("train.batch=64", "adversary.noise=0.7", "adversary.start=2")...)
	early, e := drawExamples(t, cfg, 1), drawExamples(t, cfg, 2)
	largest := float32(0)
	for i := range e.N {
		a, s := e.veil.alpha[i], e.veil.sigma[i]
		if math.Abs(float64(a*a+s*s-1)) > 1e-6 || s < 0 || s >= 0.7 {
			t.Errorf("example %d: alpha %v, sigma %v", i, a, s)
		}
		largest = max(largest, s)
		if want := 0.5 / max(e.sigma[i], 0.2); math.Abs(float64(e.veil.weight[i]-want)) > 1e-5 {
			t.Errorf("example %d: weight %v at sigma %v, want %v", i, e.veil.weight[i], e.sigma[i], want)
		}
		if early.veil.weight[i] != 0 {
			t.Error("the critic pulls before adversary.start")
		}
	}
	if largest < 0.6 {
		t.Errorf("64 deviations reach %v", largest)
	}
	if e.veil.noise[0] == e.noise[0] || e.veil.noise[0] == early.veil.noise[0] {
		t.Error("noise that was drawn before")
	}
	if adversaryFactor(diffusion.PredictX0, 0.01) != 1 {
		t.Error("x0 is the estimate itself")
	}
}

// TestAdversaryStaysOutBeforeItsStart: until then the network is trained as without it, to the last bit.
func TestAdversaryStaysOutBeforeItsStart(t *testing.T) {
	data := []string{images(t)}
	var states []*checkpoint.File
	for _, sets := range [][]string{nil, adversarySets("adversary.start=4"), adversarySets("adversary.start=3")} {
		out := t.TempDir()
		mustRun(t, Options{Config: tinyConfig(t, append(sets, "train.steps=4", "train.warmup=0")...), OutDir: out, Data: data})
		states = append(states, readState(t, out))
	}
	differ := false
	for _, name := range states[0].Names() {
		if !bytes.Equal(states[0].Tensors[name].Data, states[1].Tensors[name].Data) {
			t.Errorf("%s differs before the start", name)
		}
		differ = differ || !bytes.Equal(states[0].Tensors[name].Data, states[2].Tensors[name].Data)
	}
	if !differ {
		t.Error("the adversary changes nothing")
	}
}

// TestAdversarialRunGoesOnBitForBit stops one of three equal runs, and gives them other threads and recomputation.
func TestAdversarialRunGoesOnBitForBit(t *testing.T) {
	data := []string{images(t)}
	sets := adversarySets("train.steps=6", "adversary.start=2", "adversary.smooth=1", "train.decay=cosine", "train.shard_mb=1")
	straight, out, other := t.TempDir(), t.TempDir(), t.TempDir()
	res := mustRun(t, Options{Config: tinyConfig(t, append(sets, "train.threads=2")...), OutDir: straight, Data: data})
	mustRun(t, Options{Config: tinyConfig(t, append(sets, "train.threads=1", "train.recompute=true")...), OutDir: other, Data: data})

	ctx, cancel := context.WithCancel(t.Context())
	if _, err := Run(ctx, Options{Config: tinyConfig(t, sets...), OutDir: out, Data: data, Progress: func(p Progress) {
		if p.Step == 3 {
			cancel()
		}
	}}); !errors.Is(err, ErrStopped) {
		t.Fatal(err)
	}
	// What the critic has learned would be lost with another critic, or none.
	for _, set := range []string{"adversary.channels=16", "adversary.weight=0"} {
		if _, err := Run(t.Context(), Options{Config: tinyConfig(t, append(sets, set)...), OutDir: out, Data: data}); err == nil || !strings.Contains(err.Error(), "the critic") {
			t.Errorf("%s on the way: %v", set, err)
		}
	}
	mustRun(t, Options{Config: tinyConfig(t, sets...), OutDir: out, Data: data})
	want := readState(t, straight)
	sameState(t, readState(t, out), want)
	sameState(t, readState(t, other), want)
	for _, name := range []string{"critic.head.conv.weight", "critic.adam.m.stem.weight", "critic.adam.v.stem.weight"} {
		if v, err := want.Tensors[name].Float32s(); err != nil || squares(v) == 0 {
			t.Errorf("%s is %v, %v", name, v, err)
		}
	}
	f, err := checkpoint.Read(res.Model)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range f.Names() {
		if strings.Contains(name, "critic") {
			t.Errorf("the exported model has %s", name)
		}
	}
	if m, err := model.Load(res.Model); err != nil || !strings.Contains(m.Card, "adversarial term of weight 0.5, critic of") {
		t.Errorf("the model's card does not tell of the adversary: %v", err)
	}
	checkCriticStats(t, readStats(t, straight))
}

func squares(v []float32) (sum float64) {
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	return sum
}

func checkCriticStats(t *testing.T, stats []record) {
	t.Helper()
	for i, r := range stats[:3] {
		if !(r.CriticLoss > 0) || i > 0 && (r.CriticReal == 0 || r.CriticFake == 0) || (r.AdversaryShare > 0) != (i > 0) {
			t.Errorf("line %d: %+v", i, r)
		}
	}
}

// TestAdversaryBeginsFromModel: a model without an adversary, then one trained with it, are beginnings.
func TestAdversaryBeginsFromModel(t *testing.T) {
	data := []string{images(t)}
	init := mustRun(t, Options{Config: tinyConfig(t, "train.steps=2"), OutDir: t.TempDir(), Data: data}).Model
	for range 2 {
		init = mustRun(t, Options{Config: tinyConfig(t, adversarySets("train.steps=2")...), OutDir: t.TempDir(), Data: data, Init: init}).Model
	}
	var out bytes.Buffer
	cfg := tinyConfig(t, adversarySets()...)
	if _, err := Run(t.Context(), Options{Config: cfg, DryRun: true, Log: &out}); err != nil {
		t.Fatal(err)
	}
	n, err := cfg.Adversary.parameters()
	if err != nil || !strings.Contains(out.String(), fmt.Sprintf("critic of %d parameters", n)) {
		t.Errorf("%v in\n%s", err, out.String())
	}
	if _, err := Run(t.Context(), Options{Config: tinyConfig(t), DryRun: true, Log: io.Discard}); err != nil {
		t.Error(err)
	}
}
