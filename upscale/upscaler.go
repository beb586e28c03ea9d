package upscale

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/sr3-go/sr3/degrade"
	"github.com/sr3-go/sr3/diffusion"
	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/internal/cpu"
	"github.com/sr3-go/sr3/internal/cpu/kernel"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/refine"
	"github.com/sr3-go/sr3/unet"
)

// Upscaler enlarges images with one model. It may be used by several goroutines;
// they share the weights.
type Upscaler struct {
	cfg    model.Config
	digest string
	vars   *cpu.Variables
	// predictor makes the condition from the bicubic enlargement; nil where that is
	// the condition itself.
	predictor *Upscaler
	// levelOf is what the network takes for a noise level; nil for a regression.
	levelOf func(diffusion.Gamma) float32

	mu   sync.Mutex
	idle *networkKey // what net was compiled for
	net  *unetNetwork
}

// networkKey is what a compiled network can be used again for.
type networkKey struct{ height, width, threads int }

// ErrNotEnlarging means that a model is none that enlarges images.
var ErrNotEnlarging = errors.New("enlarges no images")

// New prepares a model. Weights that do not fit the model's configuration, or
// hold NaN, are an error.
func New(m *model.Model) (*Upscaler, error) {
	if err := Enlarges(m.Config); err != nil {
		return nil, err
	}
	return prepare(m)
}

// Enlarges says why a model of that configuration is none that enlarges images, with
// an error that is [ErrNotEnlarging]; nil if it is one.
func Enlarges(c model.Config) error {
	if c.Unconditional() {
		return fmt.Errorf("model %s %w: it makes them from noise alone; see \"sr3 sample\"", c.Name, ErrNotEnlarging)
	}
	if c.Scale < 2 {
		return fmt.Errorf("model %s %w: its scale is %d (0: not known; say it when importing)", c.Name, ErrNotEnlarging, c.Scale)
	}
	return nil
}

// prepare is New for any model.
func prepare(m *model.Model) (*Upscaler, error) {
	vars, err := variablesOf(m.Config.Network, m.Weights)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", m.Config.Name, err)
	}
	levelOf, err := noiseLevel(m.Config)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", m.Config.Name, err)
	}
	u := &Upscaler{cfg: m.Config, digest: m.Digest, vars: vars, levelOf: levelOf}
	if m.Predictor == nil {
		return u, nil
	}
	if u.predictor, err = New(m.Predictor); err != nil {
		return nil, fmt.Errorf("model %s: predictor: %w", m.Config.Name, err)
	}
	return u, nil
}

// Config is the model's.
func (u *Upscaler) Config() model.Config { return u.cfg }

// Check reports settings of refinement that the model cannot follow: wrong names
// and numbers, or any at all where the model is a regression; and losses of the
// input that it was not trained for. [Upscaler.Upscale] would give the same error.
func (u *Upscaler) Check(o Options) error {
	_, err := u.samplerOptions(o)
	return errors.Join(err, u.checkInput(o.Input))
}

// Close frees the compiled networks. The Upscaler can still be used.
func (u *Upscaler) Close() {
	if u.predictor != nil {
		u.predictor.Close()
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.net != nil {
		u.net.close()
		u.net, u.idle = nil, nil
	}
}

// take returns a network for windows of the given size: the one that lay idle if
// it fits, else a new one.
func (u *Upscaler) take(key networkKey) (*unetNetwork, error) {
	u.mu.Lock()
	net, fits := u.net, u.idle != nil && *u.idle == key
	u.net, u.idle = nil, nil
	u.mu.Unlock()
	if net != nil && fits {
		return net, nil
	}
	if net != nil {
		net.close()
	}
	return newNetwork(networkOptions{
		config: u.cfg.Network, levelOf: u.levelOf, vars: u.vars,
		height: key.height, width: key.width, threads: key.threads,
	})
}

// give keeps a network for the next image.
func (u *Upscaler) give(key networkKey, net *unetNetwork) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.net != nil {
		u.net.close()
	}
	u.net, u.idle = net, &key
}

// Upscale enlarges an image. img is not changed; what it says beside its pixels
// (profile, EXIF, text) is carried over. Grey images stay grey. Alpha is
// resampled apart, and colours under transparent pixels are filled in from their
// neighbours so that edges get no fringes.
//
// A cancelled ctx ends the work after the current window with ctx's error. A
// result that holds NaN is an error ([refine.ErrNotFinite]), and so is one flat
// colour made from an image that is not ([ConstantError]).
func (u *Upscaler) Upscale(ctx context.Context, img *imageio.Image, o Options) (*imageio.Image, *Report, error) {
	return enlarge(ctx, u, img, o)
}

// chain plans the work.
func (u *Upscaler) chain(ctx context.Context, img *imageio.Image, o Options) (chain, error) {
	r, err := u.newRun(ctx, img, o)
	if err != nil {
		return nil, err
	}
	return chain{r}.joined(), nil
}

// run is one image on its way through one model.
type run struct {
	*Upscaler
	ctx         context.Context
	o           Options
	sampler     refine.Options
	in          size
	consistent  bool
	lost        *degrade.Amount // what the image has lost; nil if the network is not told
	target      size
	passes      []size    // input size of every run of the model
	windows     []windows // of every pass
	predictions []windows // of the predictor; empty without one
	tile        int
	overlap     int

	keep bool      // the image is drawn several times
	kept []float32 // what the predictor made of it in the first pass, then; 12 bytes a pixel

	before, all int   // passes of the stages before this one, and of all stages
	work        *work // of all stages
}

// windows are those of one pass.
type windows struct {
	*Plan
	cost int64 // of one, in millions of operations
}

// newRun checks the options and plans the work.
func (u *Upscaler) newRun(ctx context.Context, img *imageio.Image, o Options) (*run, error) {
	if o.Threads <= 0 {
		o.Threads = runtime.GOMAXPROCS(0)
	}
	r := &run{Upscaler: u, ctx: ctx, o: o, in: size{img.Height, img.Width}}
	var err error
	if r.target, err = o.targetSize(r.in, u.cfg.Scale); err != nil {
		return nil, err
	}
	if r.sampler, err = u.samplerOptions(o); err != nil {
		return nil, err
	}
	if err := u.checkInput(o.Input); err != nil {
		return nil, err
	}
	r.lost = u.findLost(img, o.Input)
	r.consistent = u.inference(o).Consistent && faithful(img) && (r.lost == nil || *r.lost == degrade.Amount{})
	if o.Consistent != nil {
		r.consistent = *o.Consistent
	}
	r.passes = planPasses(r.in, r.target, u.cfg.Scale)
	r.tile, r.overlap = u.windowSize(o)
	for _, in := range r.passes {
		if err := r.planPass(in.times(u.cfg.Scale)); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// planPass plans the windows of a pass that makes an image of the given size.
func (r *run) planPass(out size) error {
	if err := r.o.checkPixels(out); err != nil {
		return err
	}
	w, err := r.plan(out, r.tile, r.overlap)
	if err != nil {
		return err
	}
	r.windows = append(r.windows, w)
	if r.predictor == nil {
		return nil
	}
	tile, overlap := r.predictor.windowSize(r.o)
	if w, err = r.predictor.plan(out, tile, overlap); err != nil {
		return fmt.Errorf("predictor: %w", err)
	}
	r.predictions = append(r.predictions, w)
	return nil
}

// cost is what all windows of the run cost.
func (r *run) cost() int64 {
	var sum int64
	calls := int64(refine.DenoiserCalls(r.sampler.Sampler, r.sampler.Steps))
	for _, w := range r.windows {
		sum += calls * int64(w.Windows()) * w.cost
	}
	for _, w := range r.predictions {
		sum += int64(w.Windows()) * w.cost
	}
	return sum
}

// plan covers an image with the network's windows.
func (u *Upscaler) plan(out size, tile, overlap int) (windows, error) {
	plan, err := NewPlan(Geometry{
		Height: out.h, Width: out.w, Multiple: u.cfg.Network.Multiple(), Window: tile, Overlap: overlap,
		Least: u.cfg.Network.ImageSize, Fit: u.cfg.Network.Local(),
	})
	if err != nil {
		return windows{}, err
	}
	flops, err := unet.FLOPs(u.cfg.Network, plan.y.window, plan.x.window)
	return windows{plan, max(flops>>20, 1)}, err
}

// report describes the finished run.
func (r *run) report() *Report {
	temperature := r.sampler.Temperature
	if temperature == 1 {
		temperature = 0
	}
	return &Report{
		Model: r.cfg.Name, Objective: r.cfg.Objective, Digest: r.digest, Scale: float64(r.target.w) / float64(r.in.w), Passes: len(r.passes),
		Sampler: r.sampler.Sampler, Schedule: r.sampler.Schedule.Kind, Steps: r.sampler.Steps, Eta: r.sampler.Eta, Temperature: temperature,
		Variance: r.sampler.Variance, Seed: r.o.Seed, PassesBefore: r.o.PassesBefore, Consistent: r.consistent, Tile: r.tile, Overlap: r.overlap,
		Windows: r.windows[len(r.windows)-1].Windows(), SIMD: kernel.Active().String(), Lost: r.lost,
	}
}
