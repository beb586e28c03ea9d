package train

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"math"

	"github.com/sr3-go/sr3/dataset"
	"github.com/sr3-go/sr3/diffusion"
	"github.com/sr3-go/sr3/internal/cpu"
	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/metric"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/refine"
	"github.com/sr3-go/sr3/residual"
	"github.com/sr3-go/sr3/unet"
)

// sampleSeed is the seed of all noise in pictures and validation, so that they differ by the weights alone.
const sampleSeed = 1

// sampler draws pictures and measures the validation loss with the averaged weights. It never touches the state of
// the run.
type sampler struct {
	cfg      Config
	state    *state
	vars     *cpu.Variables // a copy of the averages under the parameters' names
	pictures *dataset.Batch
	targets  []*residual.Target // of the pictures
	val      *drawer            // nil without validation images
	refiner  *cpu.Program       // one call of the network on the pictures
	loss     *cpu.Program       // of a micro-batch, nil before it is needed
}

// newSampler opens the images to draw: those held out, or else some of those trained on. data is how the training set
// was opened.
func newSampler(cfg Config, s *state, data dataset.Options) (*sampler, error) {
	out := &sampler{cfg: cfg, state: s, vars: cpu.NewVariables()}
	dirs := cfg.Data.Val
	data.Versions = 1 // these images are seen a few times, not in every pass
	if len(dirs) > 0 {
		data.Exclude = nil // names of other images
		opt := data
		opt.Batch, opt.Seed, opt.Flip, opt.Rotate = cfg.microBatch(), sampleSeed, false, false
		set, err := dataset.Open(dirs, opt)
		if err != nil {
			return nil, fmt.Errorf("validation images: %w", err)
		}
		held := cfg
		held.Train.Seed = sampleSeed
		if out.val, err = newDrawer(held, set); err != nil {
			return nil, err
		}
	} else {
		dirs = cfg.Data.Dirs
	}
	return out, out.openPictures(dirs, data)
}

// openPictures takes the same crops every time.
func (s *sampler) openPictures(dirs []string, opt dataset.Options) error {
	opt.Size, opt.Batch, opt.Seed, opt.Flip, opt.Rotate = s.cfg.sampleSize(), s.cfg.Train.SampleCount, sampleSeed, false, false
	opt.CacheBytes, opt.Report = 1, nil // they are read once
	set, err := dataset.Open(dirs, opt)
	if err != nil {
		return fmt.Errorf("images for pictures (train.sample_size = %d): %w", opt.Size, err)
	}
	if s.pictures, err = set.Batch(0); err != nil {
		return err
	}
	s.targets = s.cfg.targets(s.pictures)
	return nil
}

// load copies the averages of the run.
func (s *sampler) load() {
	for _, p := range s.state.params {
		s.vars.Set(p.Name, s.state.vars.Get(prefixEMA+p.Name))
	}
}

// sample draws the pictures, measures the validation loss and writes both down; it exports the model if it is the best
// so far.
func (r *run) sample(ctx context.Context) error {
	s := r.sampler
	s.load()
	r.sampled = r.state.step
	rec := record{Step: r.state.step, Images: r.state.images}
	images, err := s.draw(ctx)
	if err != nil {
		return fmt.Errorf("draw pictures: %w", err)
	}
	grid := newGrid(s.pictures, s.columns(images)...)
	data, err := grid.png()
	if err != nil {
		return fmt.Errorf("draw pictures: %w", err)
	}
	r.journal.picture(r.state.step, grid.width, grid.height, data)
	if !r.cfg.unconditional() { // there is nothing to compare with
		if rec.SamplePSNR, rec.BicubicPSNR, err = s.psnr(images); err != nil {
			return err
		}
	}
	if r.predictor != nil {
		rec.BicubicPSNR, rec.PredictorPSNR = 0, rec.BicubicPSNR
	}
	if s.val == nil {
		r.journal.record(rec)
		return nil
	}
	val, err := s.validate(ctx)
	if err != nil {
		return fmt.Errorf("validate: %w", err)
	}
	rec.LossVal, rec.PSNRVal = val.loss, val.psnr
	r.journal.record(rec)
	if score := val.score(r.cfg); score < r.state.best {
		r.state.best = score
		return r.export(bestFile, val.why(r.cfg))
	}
	return nil
}

// draw refines all pictures at once, or maps them in one call for a regression. It returns images in [-1, 1].
func (s *sampler) draw(ctx context.Context) ([]float32, error) {
	if s.refiner == nil {
		if err := s.compileRefiner(); err != nil {
			return nil, err
		}
	}
	y := make([]float32, len(s.pictures.HR))
	if s.cfg.regression() {
		model.RegressionInputs(s.refiner.Input(inputNoise), s.refiner.Input(inputLevel))
		s.refiner.Run()
		copy(y, s.refiner.Output(0))
	} else if err := refine.Run(ctx, s.refineOptions(), diffusion.DenoiserFunc(s.denoise), y); err != nil {
		return nil, err
	}
	s.cfg.image(y, s.pictures)
	return y, nil
}

// refineOptions are those that an exported model gets too, but for the noise.
func (s *sampler) refineOptions() refine.Options {
	opt := refine.Options{
		Sampler: refine.SamplerDDIM, Steps: s.cfg.Train.SampleRefine, Schedule: refine.Schedule{Kind: refine.ScheduleLogSNR},
		Prediction: s.cfg.objective().Prediction, Noise: refine.NewNoise(sampleSeed), Threads: s.cfg.Train.Threads,
	}
	if s.cfg.Diffusion.Residual != 0 {
		opt.ConstrainY0 = s.clampImage
	}
	return opt
}

// clampImage keeps the images that y0 stands for in [-1, 1].
func (s *sampler) clampImage(y0 []float32) {
	n := len(y0) / s.pictures.N
	for i, t := range s.targets {
		t.Clamp(y0[i*n:][:n])
	}
}

// image turns y0 into the images that it stands for with the conditions of a batch, clamped.
func (c Config) image(y0 []float32, b *dataset.Batch) {
	n := len(y0) / b.N
	for i, t := range c.targets(b) {
		t.Clamp(y0[i*n:][:n])
		t.Image(y0[i*n:][:n], y0[i*n:][:n])
	}
}

// targets relates the images of a batch to their conditions.
func (c Config) targets(b *dataset.Batch) []*residual.Target {
	var list []*residual.Target
	n := b.H * b.W * 3
	for i := range b.N {
		list = append(list, residual.New(c.Diffusion.Residual, c.Diffusion.Adaptive, b.X[i*n:][:n], b.H, b.W, c.Train.Threads))
	}
	return list
}

// denoise is one call of the network.
func (s *sampler) denoise(_ context.Context, dst, y []float32, gamma diffusion.Gamma) error {
	copy(s.refiner.Input(inputNoise), y)
	s.refiner.Input(inputLevel)[0] = s.level(gamma)
	s.refiner.Run()
	copy(dst, s.refiner.Output(0))
	return nil
}

// level is what the network is told about gamma.
func (s *sampler) level(gamma diffusion.Gamma) float32 {
	if s.cfg.Model.Family != unet.FamilyDDPM {
		return float32(gamma.Alpha())
	}
	schedule, err := s.cfg.Diffusion.Schedule.Build()
	if err != nil {
		panic("train: " + err.Error()) // it was validated
	}
	return float32(max(schedule.Nearest(gamma)-1, 0))
}

// compileRefiner builds the network for the pictures.
func (s *sampler) compileRefiner() error {
	g := graph.New()
	b := s.pictures
	in := unet.Inputs{Noisy: g.Input(inputNoise, b.N, b.H, b.W, 3), Level: g.Input(inputLevel, 1)}
	if s.cfg.Model.InChannels > s.cfg.Model.OutChannels {
		in.Condition = g.Input(inputX, b.N, b.H, b.W, 3)
	}
	if k := s.cfg.Model.AugmentLevels; k > 0 {
		in.Augment = g.Input(inputLost, b.N, k)
	}
	out, err := unet.Build(g, s.cfg.Model.Config, in)
	if err != nil {
		return err
	}
	s.refiner, err = cpu.Compile(g, s.vars, []*graph.Node{out}, cpu.Options{Threads: s.cfg.Train.Threads})
	if err == nil {
		copy(s.refiner.Input(inputX), b.X)
		copy(s.refiner.Input(inputLost), s.cfg.levels(b.Lost))
	}
	return err
}

// psnr compares the pictures with the truth, and what they started from.
func (s *sampler) psnr(images []float32) (sample, condition float64, err error) {
	b := s.pictures
	as8 := func(v []float32) metric.Image { return metric.Image{Height: b.N * b.H, Width: b.W, Pix: toBytes(v)} }
	truth := as8(b.HR)
	if sample, err = metric.PSNR(truth, as8(images)); err != nil {
		return 0, 0, err
	}
	condition, err = metric.PSNR(truth, as8(b.X))
	if math.IsInf(condition, 0) || math.IsInf(sample, 0) { // JSON has no infinity
		sample, condition = 0, 0
	}
	return sample, condition, err
}

// close ends the programs' goroutines.
func (s *sampler) close() {
	for _, p := range []*cpu.Program{s.refiner, s.loss} {
		if p != nil {
			p.Close()
		}
	}
}

// columns are what is drawn side by side: the low-resolution image enlarged, the sample, the truth; only the sample
// where it comes from noise alone.
func (s *sampler) columns(samples []float32) [][]float32 {
	if s.cfg.unconditional() {
		return [][]float32{samples}
	}
	return [][]float32{s.pictures.X, samples, s.pictures.HR}
}

// grid is a picture of rows of images.
type grid struct {
	width, height int
	img           *image.NRGBA
}

const gridGap = 4 // white pixels between pictures

func newGrid(b *dataset.Batch, columns ...[]float32) grid {
	g := grid{width: len(columns)*(b.W+gridGap) - gridGap, height: b.N*b.H + (b.N-1)*gridGap}
	g.img = image.NewNRGBA(image.Rect(0, 0, g.width, g.height))
	for i := range g.img.Pix {
		g.img.Pix[i] = 255
	}
	for column, values := range columns {
		pix := toBytes(values)
		for row := range b.N * b.H {
			at := g.img.PixOffset(column*(b.W+gridGap), row+row/b.H*gridGap)
			for x := range b.W {
				copy(g.img.Pix[at+4*x:][:3], pix[(row*b.W+x)*3:])
			}
		}
	}
	return g
}

func (g grid) png() ([]byte, error) {
	var b bytes.Buffer
	err := png.Encode(&b, g.img)
	return b.Bytes(), err
}

// toBytes maps [-1, 1] to 0..255.
func toBytes(values []float32) []uint8 {
	out := make([]uint8, len(values))
	for i, v := range values {
		out[i] = uint8(min(max((v+1)*127.5+0.5, 0), 255))
	}
	return out
}
