package verify

import (
	"fmt"
	"math"

	"github.com/sr3-go/sr3/internal/cpu"
	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/unet"
)

// Adam's constants, PyTorch's defaults.
const (
	adamB1, adamB2, adamEpsilon = 0.9, 0.999, 1e-8
)

// example is the batch of a case.
type example struct {
	cond, noisy, noise *batch // cond and noise may be nil
	level              []float32
}

// example reads the batch; nil if the case has none.
func (v *verifier) example() (*example, error) {
	if v.ref.has("x") {
		return v.timestepExample()
	}
	if !v.ref.has("x_noisy") {
		return nil, nil
	}
	e := &example{}
	var err error
	if e.noisy, err = v.ref.images("x_noisy"); err != nil {
		return nil, err
	}
	if v.m.Config.Network.InChannels > v.m.Config.Network.OutChannels {
		if e.cond, err = v.ref.images("cond"); err != nil {
			return nil, err
		}
	}
	if v.ref.has("noise") {
		if e.noise, err = v.ref.images("noise"); err != nil {
			return nil, err
		}
	}
	return e, v.finish(e, "gamma")
}

// timestepExample splits x [N,6,H,W] into condition and noisy image.
func (v *verifier) timestepExample() (*example, error) {
	x, err := v.ref.images("x")
	if err != nil {
		return nil, err
	}
	cfg := v.m.Config.Network
	if x.c != cfg.InChannels {
		return nil, fmt.Errorf("x has %d channels, the network takes %d", x.c, cfg.InChannels)
	}
	e := &example{noisy: x.channels(cfg.InChannels-cfg.OutChannels, cfg.InChannels)}
	if rest := cfg.InChannels - cfg.OutChannels; rest > 0 {
		e.cond = x.channels(0, rest)
	}
	return e, v.finish(e, "t")
}

// finish reads the noise levels and checks that everything fits together.
func (v *verifier) finish(e *example, level string) error {
	values, err := v.ref.float64s(level)
	if err != nil {
		return err
	}
	if len(values) != e.noisy.n {
		return fmt.Errorf("%s has %d values for %d images", level, len(values), e.noisy.n)
	}
	for _, x := range values {
		e.level = append(e.level, float32(x))
	}
	for _, b := range []*batch{e.cond, e.noise} {
		if b != nil && !b.sameSize(e.noisy) {
			return fmt.Errorf("the images of the batch differ in size")
		}
	}
	return nil
}

// network is a graph of the network on a batch.
type network struct {
	g        *graph.Graph
	eps      *graph.Node
	loss     *graph.Node   // nil without noise
	wrt      []*graph.Node // the parameters, in the order of v.params
	gradient []*graph.Node // nil without loss
}

// build makes the graph of prediction, loss and gradients.
func (v *verifier) build(e *example) (*network, error) {
	g := graph.New()
	n := e.noisy
	in := unet.Inputs{Noisy: g.Input("noisy", n.n, n.h, n.w, n.c), Level: g.Input("level", n.n)}
	if e.cond != nil {
		in.Condition = g.Input("condition", n.n, n.h, n.w, e.cond.c)
	}
	eps, err := unet.Build(g, v.m.Config.Network, in)
	if err != nil {
		return nil, err
	}
	net := &network{g: g, eps: eps}
	if e.noise == nil {
		return net, nil
	}
	if e.noise.c != eps.Shape[3] {
		return nil, fmt.Errorf("noise has %d channels, the prediction %d", e.noise.c, eps.Shape[3])
	}
	net.loss = g.Mean(g.Abs(g.Sub(eps, g.Input("noise", n.n, n.h, n.w, e.noise.c))))
	for _, p := range v.params {
		net.wrt = append(net.wrt, g.Variable(p.Name, p.Shape...))
	}
	net.gradient = g.Gradients(net.loss, net.wrt)
	return net, nil
}

// fill gives a program the batch.
func (e *example) fill(p *cpu.Program) {
	put := func(label string, b *batch) {
		if dst := p.Input(label); dst != nil && b != nil {
			copy(dst, b.values)
		}
	}
	put("noisy", e.noisy)
	put("condition", e.cond)
	put("noise", e.noise)
	copy(p.Input("level"), e.level)
}

// prediction compares eps.
func (v *verifier) prediction() error {
	e, err := v.example()
	if err != nil || e == nil || !v.ref.has("eps") {
		return err
	}
	want, err := v.ref.images("eps")
	if err != nil {
		return err
	}
	net, err := v.build(e)
	if err != nil {
		return err
	}
	p, err := cpu.Compile(net.g, v.freshVariables(), []*graph.Node{net.eps}, cpu.Options{Threads: v.req.Threads})
	if err != nil {
		return err
	}
	defer p.Close()
	e.fill(p)
	p.Run()
	got := p.Output(0)
	if len(got) != len(want.values) {
		return fmt.Errorf("eps has %d values, the prediction %d", len(want.values), len(got))
	}
	ref := widen(want.values)
	v.out.EpsMaxAbs, v.out.EpsRange = ptr(maxAbs(widen(got), ref)), ptr(extent(ref))
	return nil
}

// gradients compares the loss and its gradient by every parameter.
func (v *verifier) gradients() error {
	e, err := v.example()
	if err != nil || e == nil || e.noise == nil || !v.ref.has("loss") {
		return err
	}
	net, err := v.build(e)
	if err != nil {
		return err
	}
	outputs := append([]*graph.Node{net.loss}, net.gradient...)
	p, err := cpu.Compile(net.g, v.freshVariables(), outputs, cpu.Options{Threads: v.req.Threads})
	if err != nil {
		return err
	}
	defer p.Close()
	e.fill(p)
	p.Run()
	want, err := v.ref.scalar("loss")
	if err != nil {
		return err
	}
	v.out.LossAbs = ptr(math.Abs(float64(p.Output(0)[0]) - want))
	norms := v.ref.hasPrefix("gradnorm.")
	if !norms && !v.ref.hasPrefix("grad.") {
		return nil
	}
	v.out.GradMaxRel = ptr(0.0)
	for i, param := range v.params {
		rel, err := v.gradientError(param, widen(p.Output(i+1)), norms)
		if err != nil {
			return err
		}
		if !(rel <= *v.out.GradMaxRel) {
			v.out.GradMaxRel, v.out.GradWorst = &rel, param.Name
		}
	}
	return nil
}

// gradientError compares one gradient, or its norm. Against a reference of zero
// the error is absolute.
func (v *verifier) gradientError(p unet.Param, got []float64, norms bool) (float64, error) {
	if norms {
		want, err := v.ref.scalar("gradnorm." + p.Name)
		if err != nil {
			return 0, err
		}
		return relative(math.Abs(norm(got)-want), want), nil
	}
	want, err := v.ref.parameter("grad.", p)
	if err != nil {
		return 0, err
	}
	return relative(maxAbs(got, want), largest(want)), nil
}

func relative(difference, scale float64) float64 {
	if scale == 0 {
		return difference
	}
	return difference / scale
}

// adamState is where Adam starts from.
type adamState struct {
	rate    float64
	step    int64                 // updates made before
	moments *model.OptimizerState // nil for a fresh state
}

// train runs Adam steps on the case's batch. It returns the loss before each and
// the parameters after the last.
func (v *verifier) train(e *example, start adamState, steps int) (losses []float64, vars *cpu.Variables, err error) {
	net, err := v.build(e)
	if err != nil {
		return nil, nil, err
	}
	g := net.g
	hyper := g.Input("hyper", graph.AdamHyper)
	outputs := []*graph.Node{net.loss}
	vars = v.freshVariables()
	for i, p := range v.params {
		m, s := g.Variable("m:"+p.Name, p.Shape...), g.Variable("v:"+p.Name, p.Shape...)
		if start.moments != nil {
			vars.Set("m:"+p.Name, start.moments.M[p.Name])
			vars.Set("v:"+p.Name, start.moments.V[p.Name])
		}
		op := graph.Adam{B1: adamB1, B2: adamB2, Epsilon: adamEpsilon}
		outputs = append(outputs, g.Adam(op, net.wrt[i], net.gradient[i], m, s, hyper, nil))
	}
	program, err := cpu.Compile(g, vars, outputs, cpu.Options{Threads: v.req.Threads})
	if err != nil {
		return nil, nil, err
	}
	defer program.Close()
	for k := range steps {
		e.fill(program)
		t := float64(start.step + int64(k) + 1)
		h := program.Input("hyper")
		h[graph.AdamRate], h[graph.AdamClip] = float32(start.rate), 1
		h[graph.AdamC1], h[graph.AdamC2] = float32(1-math.Pow(adamB1, t)), float32(1-math.Pow(adamB2, t))
		program.Run()
		losses = append(losses, float64(program.Output(0)[0]))
	}
	return losses, vars, nil
}

// adam compares steps from a fresh state.
func (v *verifier) adam() error {
	e, err := v.example()
	if err != nil || e == nil || e.noise == nil || !v.ref.has("adam.losses") {
		return err
	}
	want, err := v.ref.float64s("adam.losses")
	if err != nil {
		return err
	}
	losses, vars, err := v.train(e, adamState{rate: freshRate}, len(want))
	if err != nil {
		return err
	}
	v.out.AdamLossMaxAbs = ptr(maxAbs(losses, want))
	if !v.ref.has("adam." + v.params[0].Name) {
		return nil
	}
	mean, worst, err := v.compareParameters("adam.", vars)
	v.out.AdamMeanAbs, v.out.AdamMaxAbs = &mean, &worst
	return err
}

// resume compares one step from the saved optimiser's state.
func (v *verifier) resume() error {
	e, err := v.example()
	if err != nil || e == nil || e.noise == nil || !v.ref.has("resume.loss") {
		return err
	}
	path, ok := v.resumeFile()
	if !ok {
		return nil
	}
	state, err := model.ImportOptimizer(path, v.m)
	if err != nil {
		return err
	}
	losses, vars, err := v.train(e, adamState{rate: resumeRate, step: state.Step, moments: state}, 1)
	if err != nil {
		return err
	}
	want, err := v.ref.scalar("resume.loss")
	if err != nil {
		return err
	}
	v.out.ResumeLossAbs = ptr(math.Abs(losses[0] - want))
	mean, _, err := v.compareParameters("resume.", vars)
	v.out.ResumeMeanAbs = &mean
	return err
}

// compareParameters gives the mean and the largest difference over all elements
// of all parameters.
func (v *verifier) compareParameters(prefix string, vars *cpu.Variables) (mean, worst float64, err error) {
	sum, count := 0.0, 0
	for _, p := range v.params {
		want, err := v.ref.parameter(prefix, p)
		if err != nil {
			return 0, 0, err
		}
		got := widen(vars.Get(p.Name))
		sum += sumAbs(got, want)
		worst = math.Max(worst, maxAbs(got, want))
		count += len(want)
	}
	return sum / float64(count), worst, nil
}
