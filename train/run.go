package train

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/sr3-go/sr3/dataset"
	"github.com/sr3-go/sr3/internal/runfiles"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/unet"
)

// Options say what [Run] does.
type Options struct {
	// Config is the configuration, see [LoadConfig] and [LoadRunConfig].
	Config Config
	// OutDir is the run directory. If it holds a checkpoint, the run goes on from there. With train.shard_mb the state
	// also lies in OutDir/shards/step-N, and a run goes on from these where checkpoint.safetensors is missing.
	OutDir string
	// Data are folders, .tar files and images to train on; nil means those of the configuration.
	Data []string
	// Init is a model, by name or path, whose weights the run begins from, with a fresh optimiser. A run that goes on
	// does not look at it.
	Init string
	// Optimizer is the file of Adam's state ("_opt.pth") that PyTorch saved beside the weights that Init was imported
	// from; "" for a fresh optimiser. The learning rate and the decays are the configuration's.
	Optimizer string
	// Start is another way to begin, from weights and an optimiser's state in memory; nil for none.
	Start *Start
	// Command is the command line as typed and Program the version of the program, for the model's card; empty for
	// unknown.
	Command, Program string
	// DryRun prints what would be done to Log and does nothing.
	DryRun bool
	// Progress, if set, hears of every step.
	Progress func(Progress)
	// Log, if set, is told what is written to log.txt.
	Log io.Writer
}

// Progress is where a run stands.
type Progress struct {
	Step, Steps int
	Loss        float64       // smoothed over about a hundred steps
	ImagesPerS  float64       // over the last steps
	ETA         time.Duration // for the rest of the run; 0 while unknown
}

// String is a line for people.
func (p Progress) String() string {
	return fmt.Sprintf("step %d/%d  loss %.4f  %.1f images/s  %v left", p.Step, p.Steps, p.Loss, p.ImagesPerS, p.ETA.Round(time.Second))
}

// Result is what a run leaves behind.
type Result struct {
	Step       int     // steps done in all
	Images     int64   // examples seen in all
	Loss       float64 // smoothed
	Checkpoint string  // path of the checkpoint
	Model      string  // path of the exported model, "" if there is none
}

// ErrStopped is wrapped by the error of a run whose context was cancelled. The run is saved.
var ErrStopped = errors.New("stopped")

// ErrDiverged is wrapped by the error of a run whose loss or gradient is NaN or infinite.
var ErrDiverged = errors.New("training diverged")

// Run trains until the configured number of steps is done. When ctx is cancelled it saves the run and returns an error
// that says how to go on and wraps ErrStopped and ctx's error. The directory, the configuration and the images are
// checked before anything is computed.
func Run(ctx context.Context, opt Options) (Result, error) {
	if opt.Data != nil {
		opt.Config.Data.Dirs = opt.Data
	}
	opt.Config = opt.Config.resolved()
	if err := opt.Config.Validate(); err != nil {
		return Result{}, fmt.Errorf("train: %w", err)
	}
	if opt.DryRun {
		return Result{}, dryRun(opt)
	}
	r, err := newRun(opt)
	if err != nil {
		return Result{}, fmt.Errorf("train: %w", err)
	}
	err = r.loop(ctx)
	err = errors.Join(err, r.close())
	if err != nil {
		err = fmt.Errorf("train: %w", err)
	}
	return r.result(), err
}

// run is a training run in progress.
type run struct {
	opt     Options
	cfg     Config
	state   *state
	stepper *stepper
	drawer  *drawer
	sampler *sampler
	// predictor makes the conditions; nil for the bicubic enlargement. free ends its work.
	predictor *model.Model
	free      func()
	journal   *journal
	survey    *survey // of the images, for the card
	unlock    func()
	changed   bool // settings, since the run was last started

	saved   int // step of the last checkpoint, -1 for none
	sampled int // step of the last pictures, -1 for none
	pace    pace
	tally   tally
}

// newRun prepares everything up to the first step.
func newRun(opt Options) (r *run, err error) {
	r = &run{opt: opt, cfg: opt.Config, saved: -1, sampled: -1}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	if opt.OutDir == "" {
		return r, errors.New("no run directory is given")
	}
	if err := os.MkdirAll(opt.OutDir, 0o777); err != nil {
		return r, err
	}
	if r.unlock, err = lock(opt.OutDir); err != nil {
		return r, err
	}
	runfiles.RemoveLeftovers(opt.OutDir) // under the lock, so they are nobody's
	if err := r.openState(); err != nil {
		return r, err
	}
	if r.journal, err = openJournal(opt.OutDir, r.state.step, opt.Log); err != nil {
		return r, err
	}
	if err := r.openData(); err != nil {
		return r, err
	}
	if r.stepper, err = newStepper(r.cfg, r.state.vars); err != nil {
		return r, err
	}
	if err := r.writeConfig(); err != nil {
		return r, err
	}
	if err := r.remember(); err != nil {
		return r, err
	}
	r.announce()
	return r, nil
}

// openState resumes the run in the directory, or begins one.
func (r *run) openState() error {
	path, err := findCheckpoint(r.opt.OutDir)
	if err == nil {
		return r.resume(path)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	start := r.opt.Start
	if r.opt.Init != "" {
		if start != nil {
			return errors.New("both a model and a state to begin from are given; want one")
		}
		if start, err = openStart(r.opt); err != nil {
			return err
		}
	} else if r.opt.Optimizer != "" {
		return errors.New("an optimiser's state is of use only with the model that it belongs to: give --init too")
	}
	if err := r.cfg.checkFresh(); err != nil {
		return err
	}
	r.state, err = newState(r.cfg, start)
	return err
}

// resume reads the state of a checkpoint.
func (r *run) resume(path string) error {
	file, err := readCheckpoint(path)
	if err != nil {
		return fmt.Errorf("resume: %w; to begin anew give another run directory", err)
	}
	if r.state, err = restore(r.cfg, file); err != nil {
		return fmt.Errorf("resume from %s: %w", path, err)
	}
	r.saved = r.state.step
	if r.state.step >= r.cfg.Train.Steps {
		r.sampled = r.state.step // there is nothing left to do
	}
	return nil
}

// openData opens the training and the validation images.
func (r *run) openData() error {
	if len(r.cfg.Data.Dirs) == 0 {
		return errors.New("no images to train on: give folders or .tar files with --data, or in data.dirs")
	}
	var err error
	if r.predictor, err = openPredictor(r.cfg); err != nil {
		return err
	}
	if err := r.checkPredictor(); err != nil {
		return err
	}
	opt := r.cfg.dataOptions(func(name string, reason error) { r.journal.printf("left out %s: %v", name, reason) })
	if opt.Enlarge, r.free, err = predictorHook(r.predictor); err != nil {
		return err
	}
	if opt.Exclude, err = r.cfg.excluded(); err != nil {
		return err
	}
	set, err := dataset.Open(r.cfg.Data.Dirs, opt)
	if err != nil {
		return err
	}
	if r.drawer, err = newDrawer(r.cfg, set); err != nil {
		return err
	}
	if r.sampler, err = newSampler(r.cfg, r.state, opt); err != nil {
		return err
	}
	r.survey, err = startSurvey(r)
	return err
}

// writeConfig writes the resolved configuration.
func (r *run) writeConfig() error {
	text, err := r.cfg.TOML()
	if err != nil {
		return err
	}
	path := filepath.Join(r.opt.OutDir, configFile)
	before, err := os.ReadFile(path)
	if err != nil {
		before = []byte(text) // the first start
	}
	for _, line := range changedSettings(string(before), text) {
		r.journal.printf("changed since the run was last started: %s", line)
		r.changed = true
	}
	return runfiles.WriteAtomic(path, func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	})
}

// announce says what begins.
func (r *run) announce() {
	r.journal.printf("%s: %s network of %.2f M parameters, %d images, %d steps of %d", r.cfg.Model.Name, r.cfg.Model.Family,
		float64(unet.Count(r.state.params))/1e6, r.drawer.set.Len(), r.cfg.Train.Steps, r.cfg.Train.Batch)
	if r.cfg.regression() && r.sampler.val == nil {
		r.journal.printf("without held-out images (--val) there is nothing to choose the best weights by; %s will have the last", modelFile)
	}
	switch {
	case r.state.step > 0:
		r.journal.printf("going on after step %d (%d images seen)", r.state.step, r.state.images)
	case r.opt.Init != "" && r.predictor != nil:
		r.journal.printf("beginning from the weights of %s, behind the predictor %s", r.opt.Init, r.cfg.Model.Predictor)
	case r.predictor != nil:
		r.journal.printf("refining what the predictor %s leaves out", r.cfg.Model.Predictor)
	case r.opt.Init != "":
		r.journal.printf("beginning from the weights of %s", r.opt.Init)
	}
}

// close releases what the run holds. It may be called on a run that is half prepared.
func (r *run) close() error {
	var err error
	if r.stepper != nil {
		r.stepper.close()
	}
	if r.sampler != nil {
		r.sampler.close()
	}
	r.survey.close()
	if r.free != nil {
		r.free()
	}
	if r.journal != nil {
		err = r.journal.close()
	}
	if r.unlock != nil {
		r.unlock()
	}
	return err
}

func (r *run) result() Result {
	res := Result{Step: r.state.step, Images: r.state.images, Loss: r.state.loss, Checkpoint: filepath.Join(r.opt.OutDir, checkpointFile)}
	if path := filepath.Join(r.opt.OutDir, modelFile); fileExists(path) {
		res.Model = path
	}
	return res
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
