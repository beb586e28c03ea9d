package train

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"

	"github.com/sr3-go/sr3/checkpoint"
)

// The metadata of a checkpoint.
const (
	metaKind   = "sr3.kind"
	metaConfig = "sr3.train.config" // TOML
	metaStep   = "sr3.train.step"
	metaAdam   = "sr3.train.adam_step"
	metaImages = "sr3.train.images"
	metaSeed   = "sr3.train.seed" // all the state that random numbers have, with the step
	metaLoss   = "sr3.train.loss"
	metaBest   = "sr3.train.best"
	metaPast   = "sr3.train.history" // JSON, for the card alone; checkpoints of earlier versions have none

	kindTraining = "training state"
)

// tensorNames pairs the labels of variables with the names of tensors in a checkpoint: what comes before the
// parameter's name.
var tensorNames = [...]struct{ label, tensor string }{
	{"", "model."}, {prefixEMA, "ema."}, {prefixM, "adam.m."}, {prefixV, "adam.v."},
}

// criticTensors are the same of the critic, whose parameters have a prefix in labels only.
var criticTensors = [...]struct{ label, tensor string }{
	{"", "critic."}, {prefixM, "critic.adam.m."}, {prefixV, "critic.adam.v."},
}

// stored is a variable as a checkpoint holds it.
type stored struct {
	label, name string
	shape       []int
}

// tensors lists all variables of the state.
func (s *state) tensors() []stored {
	var out []stored
	for _, p := range s.params {
		for _, n := range tensorNames {
			out = append(out, stored{n.label + p.Name, n.tensor + p.Name, p.Shape})
		}
	}
	for _, p := range s.critic {
		for _, n := range criticTensors {
			out = append(out, stored{n.label + p.Name, n.tensor + strings.TrimPrefix(p.Name, prefixCritic), p.Shape})
		}
	}
	return out
}

// file returns the state as the contents of a checkpoint.
func (s *state) file() (*checkpoint.File, error) {
	if label := s.notFinite(); label != "" {
		return nil, fmt.Errorf("variable %s holds values that are not finite; the checkpoint before is kept", label)
	}
	config, err := s.cfg.TOML()
	if err != nil {
		return nil, err
	}
	past, err := s.past.encode()
	if err != nil {
		return nil, err
	}
	f := &checkpoint.File{Tensors: map[string]*checkpoint.Tensor{}, Meta: map[string]string{
		metaPast: past, metaKind: kindTraining, metaConfig: config,
		metaStep: strconv.Itoa(s.step), metaAdam: strconv.Itoa(s.adamStep), metaImages: strconv.FormatInt(s.images, 10),
		metaSeed: strconv.FormatUint(s.cfg.Train.Seed, 10),
		metaLoss: strconv.FormatFloat(s.loss, 'g', -1, 64), metaBest: strconv.FormatFloat(s.best, 'g', -1, 64),
	}}
	for _, t := range s.tensors() {
		f.Tensors[t.name] = checkpoint.FromFloat32(t.shape, s.vars.Get(t.label))
	}
	return f, nil
}

// restore returns the state that a checkpoint holds, to go on under cfg. cfg may differ from the checkpoint's
// configuration in all but what the weights mean.
func restore(cfg Config, f *checkpoint.File) (*state, error) {
	stored, err := storedConfig(f)
	if err != nil {
		return nil, err
	}
	if err := compatible(stored, cfg); err != nil {
		return nil, err
	}
	s, err := newState(cfg, startOf(f, cfg))
	if err != nil {
		return nil, err
	}
	if err := s.restoreCounters(f.Meta); err != nil {
		return nil, err
	}
	if s.past, err = restorePast(f.Meta, s.step); err != nil {
		return nil, err
	}
	for _, t := range s.tensors() {
		values, err := tensorValues(f, t.name, t.shape)
		if err != nil {
			return nil, err
		}
		s.vars.Set(t.label, values)
	}
	return s, nil
}

// startOf lets a state be made whose values are all about to be replaced, without drawing fresh weights first.
func startOf(f *checkpoint.File, cfg Config) *Start {
	start := &Start{Weights: map[string][]float32{}}
	const prefix = "model."
	for name, t := range f.Tensors {
		if len(name) > len(prefix) && name[:len(prefix)] == prefix {
			if values, err := t.Float32s(); err == nil {
				start.Weights[name[len(prefix):]] = values
			}
		}
	}
	return start
}

// tensorValues returns a tensor of the wanted shape.
func tensorValues(f *checkpoint.File, name string, shape []int) ([]float32, error) {
	t := f.Tensors[name]
	if t == nil {
		return nil, fmt.Errorf("tensor %s is missing", name)
	}
	if !reflect.DeepEqual(append([]int{}, t.Shape...), append([]int{}, shape...)) || t.DType != checkpoint.F32 {
		return nil, fmt.Errorf("tensor %s is %s%v, want %s%v", name, t.DType, t.Shape, checkpoint.F32, shape)
	}
	return t.Float32s()
}

// storedConfig reads the configuration in a checkpoint.
func storedConfig(f *checkpoint.File) (Config, error) {
	if f.Meta[metaKind] != kindTraining {
		return Config{}, errors.New("it is no training state of this program; a model's weights are started from with --init")
	}
	cfg, err := parseConfig(f.Meta[metaConfig])
	if err != nil {
		return Config{}, fmt.Errorf("configuration in the checkpoint: %w", err)
	}
	return cfg, nil
}

// compatible reports a change of what the weights mean.
func compatible(stored, now Config) error {
	differ := func(what string, a, b any) error {
		if reflect.DeepEqual(a, b) {
			return nil
		}
		return fmt.Errorf("%s was %+v when the run began and is %+v now; give another --out, or leave it as it was", what, a, b)
	}
	a, b := stored.resolved(), now.resolved()
	return errors.Join(
		differ("[model]", a.Model.Config, b.Model.Config),
		differ("model.scale", a.Model.Scale, b.Model.Scale),
		differ("model.predictor", a.Model.Predictor, b.Model.Predictor),
		differ("what model.augment_levels are shares of (augment.blur.high, augment.noise.high, augment.jpeg.low)", a.levelBounds(), b.levelBounds()),
		differ("diffusion.prediction", a.objective().Prediction, b.objective().Prediction),
		differ("diffusion.residual", a.Diffusion.Residual, b.Diffusion.Residual),
		differ("diffusion.adaptive", a.Diffusion.Adaptive, b.Diffusion.Adaptive),
		differ("the critic (adversary.weight above 0, channels, multipliers, blocks, fold)", a.Adversary.network(), b.Adversary.network()),
		differ("train.optimizer", a.Train.Optimizer, b.Train.Optimizer),
		differ("train.objective", a.Train.Objective, b.Train.Objective),
	)
}

// restoreCounters reads the numbers of the metadata.
func (s *state) restoreCounters(meta map[string]string) error {
	var errs [5]error
	var step, adam int64
	step, errs[0] = strconv.ParseInt(meta[metaStep], 10, 32)
	adam, errs[1] = strconv.ParseInt(meta[metaAdam], 10, 32)
	s.images, errs[2] = strconv.ParseInt(meta[metaImages], 10, 64)
	s.loss, errs[3] = strconv.ParseFloat(meta[metaLoss], 64)
	s.best, errs[4] = strconv.ParseFloat(meta[metaBest], 64)
	s.step, s.adamStep = int(step), int(adam)
	if err := errors.Join(errs[:]...); err != nil {
		return fmt.Errorf("metadata of the checkpoint: %w", err)
	}
	if s.step < 0 || s.adamStep < s.step || s.images < 0 || math.IsNaN(s.best) {
		return fmt.Errorf("metadata of the checkpoint: step %d, adam step %d, %d images", s.step, s.adamStep, s.images)
	}
	return nil
}

// HasRun reports whether dir holds a run that can be resumed.
func HasRun(dir string) bool {
	_, err := findCheckpoint(dir)
	return err == nil
}

// findCheckpoint returns the path of what a run in dir resumes from: the checkpoint file, or the newest complete
// folder of shards. The error is fs.ErrNotExist if there is neither.
func findCheckpoint(dir string) (string, error) {
	path := filepath.Join(dir, checkpointFile)
	_, err := os.Stat(path)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return path, err
	}
	shards, err := shardFolders(dir)
	if err == nil && len(shards) == 0 {
		err = fs.ErrNotExist
	}
	if err != nil {
		return "", err
	}
	return shards[len(shards)-1], nil
}

// readCheckpoint reads a file, or a folder of shards.
func readCheckpoint(path string) (*checkpoint.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return readShards(path)
	}
	return checkpoint.Read(path)
}
