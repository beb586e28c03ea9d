package train

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/sr3-go/sr3/dataset"
	"github.com/sr3-go/sr3/diffusion"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/residual"
	"github.com/sr3-go/sr3/unet"
)

// The values of TrainConfig.Objective.
const (
	// ObjectiveSR3 learns to refine: Algorithm 1 of the paper.
	ObjectiveSR3 = model.ObjectiveSR3
	// ObjectiveRegression learns to map x to the image in one call, the paper's Regression baseline: the same network
	// with nothing in place of the noisy image (model.RegressionInputs). It predicts x0 whatever the configuration
	// says, and the best weights are those with the highest PSNR on validation images instead of the lowest loss.
	ObjectiveRegression = model.ObjectiveRegression
	// ObjectiveUnconditional learns to make images from noise alone, without a condition (DDPM; the start of the paper's
	// cascades, section 4.3): the network has 3 input channels, and the scale is 1.
	ObjectiveUnconditional = "unconditional"
)

// The values of TrainConfig.Decay.
const (
	DecayConstant = "constant" // the rate stays
	DecayCosine   = "cosine"   // the rate falls to 0 along half a cosine over all steps
)

// Config is everything that a training run depends on but the images. [LoadConfig] reads it from TOML; the field
// names there are those of the tags.
type Config struct {
	Model     ModelConfig     `toml:"model"`
	Diffusion DiffusionConfig `toml:"diffusion"`
	Data      DataConfig      `toml:"data"`
	Augment   AugmentConfig   `toml:"augment"`
	Train     TrainConfig     `toml:"train"`
	// Adversary is the zero value, and no part of the file, where there is none.
	Adversary AdversaryConfig `toml:"adversary"`
}

// ModelConfig is the section [model]: the network and what it is for.
type ModelConfig struct {
	// Name is what the model will be called.
	Name string `toml:"name"`
	// Scale is how many times larger an image becomes: 2 to 64; 1 without a condition.
	Scale int `toml:"scale"`
	// Preset, when reading a file, starts from a named network of package unet instead of the default; the other fields
	// then change it. It is empty in a resolved configuration.
	Preset string `toml:"preset,omitempty"`
	// Predictor, if not empty, is a model (a name or a file) whose regression makes the condition in place of the bicubic
	// enlargement; see model.Config. The exported model holds it. Of a model that has a predictor itself, that is taken.
	Predictor string `toml:"predictor,omitempty"`
	// TrainedFor says in words what images the model is meant for, Licence is that of its weights (an SPDX identifier);
	// both go into the exported model.
	TrainedFor string `toml:"trained_for"`
	Licence    string `toml:"licence"`
	// Config is the network. Its fields stand in [model] itself.
	unet.Config
}

// DiffusionConfig is the section [diffusion]: what the network learns.
type DiffusionConfig struct {
	// Prediction is what the network predicts: "eps", "x0" or "v".
	Prediction diffusion.Prediction `toml:"prediction"`
	// Loss is "l1" or "l2".
	Loss diffusion.Norm `toml:"loss"`
	// Weighting is how much a noise level counts: "uniform" or "snr-trunc".
	Weighting diffusion.Weighting `toml:"weighting"`
	// Residual, if not 0, makes the target y0 = Residual * (hr - x) instead of the image hr itself. What is missing in x
	// has a quarter of an image's deviation or less, behind a predictor a tenth; the factor brings it to the scale of the
	// noise.
	Residual float64 `toml:"residual"`
	// Adaptive, the section [diffusion.adaptive], divides hr - x at each pixel by how large the contrast of x around it
	// leads to expect it, so that Residual can be 1. Without it, floor and the rest are 0.
	Adaptive residual.Scale `toml:"adaptive"`
	// GammaDraw is p(gamma): "schedule" (the paper's), "sqrt" or "cosine".
	GammaDraw diffusion.GammaDraw `toml:"gamma_draw"`
	// Stratified draws the noise levels of a batch from equal shares of p(gamma) each, which takes variance out of the
	// gradient and leaves its mean as it is.
	Stratified bool `toml:"stratified"`
	// Schedule is the training noise schedule that "schedule" and "sqrt" draw from.
	Schedule diffusion.ScheduleConfig `toml:"schedule"`
}

// DataConfig is the section [data].
type DataConfig struct {
	// Dirs are the folders, .tar files and images to train on, Val those to validate and to draw pictures from (none:
	// pictures are drawn from Dirs and there is no validation).
	Dirs []string `toml:"dirs"`
	Val  []string `toml:"val"`
	// Crop is the side of the high-resolution crops, a multiple of the scale and of what the network can halve.
	Crop int `toml:"crop"`
	// Fit is "crop" or "resize", see dataset.Options.
	Fit string `toml:"fit"`
	// Flip and Rotate augment by the symmetries of the square.
	Flip   bool `toml:"flip"`
	Rotate bool `toml:"rotate"`
	// Quantise rounds x to 8 bits.
	Quantise bool `toml:"quantise"`
	// CacheMB bounds the memory for decoded images and their conditions, in MiB, of the training images and of those held
	// out each; 0 keeps none.
	CacheMB int `toml:"cache_mb"`
	// Workers is the number of goroutines that prepare batches while others compute.
	Workers int `toml:"workers"`
	// Exclude is a file with the names of images in Dirs to leave out, one a line, such as "sr3 dataset overlap"
	// writes; empty for none.
	Exclude string `toml:"exclude"`
	// Manifest is a table of the images (see dataset.Manifest), for the card; empty for every manifest.tsv in the
	// folders of the images or one above. Verify compares the SHA-256 of all images with it, however many there are;
	// sets of up to 4 GiB are always compared.
	Manifest string `toml:"manifest"`
	Verify   bool   `toml:"verify"`
}

// TrainConfig is the section [train].
type TrainConfig struct {
	// Objective is "sr3", "regression" or "unconditional".
	Objective string `toml:"objective"`
	// Steps is the number of optimiser steps of the whole run.
	Steps int `toml:"steps"`
	// Batch is the number of examples of a step. MicroBatch, if not 0, is how many of them are computed at once; it
	// divides Batch, and gradients are accumulated. Memory goes with it, results do not (but for rounding).
	Batch      int `toml:"batch"`
	MicroBatch int `toml:"micro_batch"`
	// Replicas is how many micro-batches are computed side by side, each by its share of the threads; 0 means 1. It is
	// faster for small networks and on busy machines, for the memory of as many micro-batches; results are the same.
	Replicas int `toml:"replicas"`
	// Recompute keeps only what lies between the network's blocks for the backward pass, which computes the inside of
	// each block again: less memory, more time, the same results to the last bit.
	Recompute bool `toml:"recompute"`
	// Optimizer is "adam" or "muon"; Momentum is Muon's.
	Optimizer string  `toml:"optimizer"`
	Momentum  float64 `toml:"momentum"`
	// Rate is the learning rate, reached linearly in the first Warmup steps; Decay is "constant" or "cosine".
	Rate   float64 `toml:"rate"`
	Warmup int     `toml:"warmup"`
	Decay  string  `toml:"decay"`
	// Beta1, Beta2 and Epsilon are Adam's, which parameters that are no matrices have beside Muon too.
	Beta1   float64 `toml:"beta1"`
	Beta2   float64 `toml:"beta2"`
	Epsilon float64 `toml:"epsilon"`
	// Clip bounds the L2 norm of the whole gradient; 0 for no bound.
	Clip float64 `toml:"clip"`
	// EMA is the decay of the moving average of the weights; in step t it is at most (1+t)/(10+t).
	EMA float64 `toml:"ema"`
	// Seed is what all random numbers follow from.
	Seed uint64 `toml:"seed"`
	// Threads is how many threads compute; 0 for one per processor. Results do not depend on it.
	Threads int `toml:"threads"`
	// LogSteps is how many steps a line of stats.jsonl stands for.
	LogSteps int `toml:"log_steps"`
	// CheckpointEvery is the time between checkpoints in minutes, CheckpointSteps the number of steps; 0 for never.
	CheckpointEvery float64 `toml:"checkpoint_every"`
	CheckpointSteps int     `toml:"checkpoint_steps"`
	// SampleEvery is the time between pictures and validations in minutes, SampleSteps the number of steps; 0 for never.
	SampleEvery float64 `toml:"sample_every"`
	SampleSteps int     `toml:"sample_steps"`
	// SampleCount pictures of side SampleSize (0: that of the crop) are drawn, in SampleRefine refinement steps.
	SampleCount  int `toml:"sample_count"`
	SampleSize   int `toml:"sample_size"`
	SampleRefine int `toml:"sample_refine"`
	// ValExamples is how many validation examples the validation loss (and the PSNR of a regression) is the mean of,
	// rounded up to whole micro-batches.
	ValExamples int `toml:"val_examples"`
	// ShardMB, if not 0, also writes the checkpoint as files of at most that many MiB (see [Options.OutDir]).
	ShardMB int `toml:"shard_mb"`
}

// DefaultConfig returns the configuration of the default model: a lean network for photographs, four times larger.
func DefaultConfig() Config {
	net, err := unet.Preset("lean-photo")
	if err != nil {
		panic("train: " + err.Error())
	}
	return Config{
		Model: ModelConfig{Name: "photo-x4", Scale: 4, TrainedFor: "photographs", Config: net},
		Diffusion: DiffusionConfig{
			Prediction: diffusion.PredictV, Loss: diffusion.L2, Weighting: diffusion.WeightUniform, Residual: 4,
			GammaDraw: diffusion.DrawCosine, Stratified: true, Schedule: diffusion.TrainingSchedule(),
		},
		Data: DataConfig{
			Dirs: []string{}, Val: []string{}, Crop: 64, Fit: dataset.FitCrop, Flip: true, Rotate: true,
			CacheMB: dataset.DefaultCacheBytes >> 20, Workers: 1,
		},
		Augment: AugmentConfig{Versions: 4},
		Train: TrainConfig{
			Objective: ObjectiveSR3, Steps: 30000, Batch: 32, Optimizer: OptimizerAdam, Momentum: 0.95, Rate: 2e-4, Warmup: 500, Decay: DecayConstant,
			Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, Clip: 1, EMA: 0.999, LogSteps: 20,
			CheckpointEvery: 10, SampleEvery: 10, SampleCount: 4, SampleSize: 128, SampleRefine: 16,
			ValExamples: 128,
		},
	}
}

// Validate reports everything that is wrong with the configuration, by the names of the fields in TOML.
func (c Config) Validate() error {
	if err := c.checkModel(); err != nil {
		return err // the other sections are measured by the network
	}
	return errors.Join(c.checkDiffusion(), c.checkData(), c.checkAugment(), c.checkTrain(), c.checkAdversary())
}

func (c Config) checkModel() error {
	m := c.Model
	if err := m.Config.Validate(); err != nil {
		return fmt.Errorf("[model]: %w", err)
	}
	switch {
	case c.unconditional() && (m.InChannels != 3 || m.Scale != 1):
		return fmt.Errorf("train.objective = %s: want model.in_channels = 3 and model.scale = 1, not %d and %d", ObjectiveUnconditional, m.InChannels, m.Scale)
	case c.unconditional() && m.AugmentLevels > 0:
		return fmt.Errorf("train.objective = %s: there is no condition that could lose anything; want model.augment_levels = 0", ObjectiveUnconditional)
	case !c.unconditional() && (m.Scale < 2 || m.Scale > 64):
		return fmt.Errorf("model.scale = %d: want 2 to 64", m.Scale)
	case m.OutChannels != 3 || m.InChannels != 3 && m.InChannels != 6:
		return fmt.Errorf("model.in_channels = %d, model.out_channels = %d: want 6 and 3 (condition and noisy image, RGB), or 3 and 3 without a condition",
			m.InChannels, m.OutChannels)
	case m.InChannels == 3 && c.regression():
		return errors.New("model.in_channels = 3: a network without a condition has nothing to regress from; want 6")
	case m.Predictor != "" && (m.InChannels == 3 || c.regression()):
		return fmt.Errorf("model.predictor = %q: only a model that refines, with a condition, can have one", m.Predictor)
	case m.Predictor != "" && c.Data.Quantise:
		return fmt.Errorf("model.predictor = %q: it makes the condition, which cannot be quantised; want data.quantise = false", m.Predictor)
	case m.InChannels == 3 && c.Diffusion.Residual != 0:
		return fmt.Errorf("diffusion.residual = %v: a network without a condition must make the whole image; want 0", c.Diffusion.Residual)
	case m.InChannels == 3 && !c.unconditional():
		return fmt.Errorf("model.in_channels = 3: a network without a condition; want train.objective = %s", ObjectiveUnconditional)
	}
	return nil
}

// checkFresh reports what a run must not begin with, though one that began so may go on.
//
// Images made from noise alone are made in windows of image_size, if the network has attention, with nothing but their
// overlaps in common. Of a network that was shown more at a time they become mosaics.
func (c Config) checkFresh() error {
	if !c.unconditional() || c.Model.Local() {
		return nil
	}
	if size := c.Model.ImageSize; c.Data.Crop != size || c.sampleSize() != size {
		return fmt.Errorf("data.crop = %d, train.sample_size = %d, model.image_size = %d: with train.objective = %s and attention they must be equal, since images are made in windows of image_size (model.attention names resolutions below image_size and changes with it)",
			c.Data.Crop, c.sampleSize(), size, ObjectiveUnconditional)
	}
	return nil
}

func (c Config) checkDiffusion() error {
	d := c.Diffusion
	var errs []error
	if err := c.objective().Validate(); err != nil {
		errs = append(errs, fmt.Errorf("[diffusion]: %w", err))
	}
	if err := d.GammaDraw.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("diffusion.gamma_draw: %w", err))
	}
	if _, err := d.Schedule.Build(); err != nil {
		errs = append(errs, fmt.Errorf("[diffusion.schedule]: %w", err))
	}
	switch err := d.Adaptive.Validate(); {
	case err != nil:
		errs = append(errs, fmt.Errorf("diffusion.adaptive: %w", err))
	case d.Adaptive.Active() && d.Residual == 0:
		errs = append(errs, errors.New("diffusion.adaptive: it divides a residual; want diffusion.residual, such as 1"))
	case d.Adaptive.Active() && c.adversarial():
		errs = append(errs, errors.New("diffusion.adaptive: it does not go with an adversary"))
	}
	if !(d.Residual >= 0 && d.Residual <= 1000) {
		errs = append(errs, fmt.Errorf("diffusion.residual = %v: want 0 to 1000", d.Residual))
	}
	return errors.Join(errs...)
}

func (c Config) checkData() error {
	d := c.Data
	if d.Workers < 1 || d.Workers > 64 {
		return fmt.Errorf("data.workers = %d: want 1 to 64", d.Workers)
	}
	if d.CacheMB < 0 || d.CacheMB > 1<<24 {
		return fmt.Errorf("data.cache_mb = %d: want 0 or more", d.CacheMB)
	}
	if m := c.Model.Multiple(); d.Crop < m || d.Crop%m != 0 {
		return fmt.Errorf("data.crop = %d: want a multiple of %d, which the network asks for", d.Crop, m)
	}
	if err := c.dataOptions(nil).Validate(); err != nil {
		return fmt.Errorf("[data]: %w", err)
	}
	return nil
}

func (c Config) checkTrain() error {
	t := c.Train
	var errs []error
	want := func(ok bool, field string, value any, allowed string) {
		if !ok {
			errs = append(errs, fmt.Errorf("train.%s = %v: want %s", field, value, allowed))
		}
	}
	share := func(v float64) bool { return v >= 0 && v < 1 }
	want(slices.Contains(Objectives(), t.Objective), "objective", t.Objective, strings.Join(Objectives(), ", "))
	want(slices.Contains([]string{DecayConstant, DecayCosine}, t.Decay), "decay", t.Decay, "constant or cosine")
	want(t.Steps >= 1 && t.Steps <= 1<<31, "steps", t.Steps, "1 to 2^31")
	want(t.Batch >= 1 && t.Batch <= 1<<16, "batch", t.Batch, "1 to 65536")
	want(t.MicroBatch == 0 || t.MicroBatch > 0 && t.Batch%t.MicroBatch == 0, "micro_batch", t.MicroBatch, "0 or a divisor of train.batch")
	want(t.Replicas >= 0 && t.Replicas <= max(t.Batch/max(c.microBatch(), 1), 1), "replicas", t.Replicas,
		"at most the number of micro-batches in a batch (train.batch / train.micro_batch)")
	want(t.Rate > 0 && t.Rate <= 1, "rate", t.Rate, "more than 0, at most 1")
	want(t.Warmup >= 0, "warmup", t.Warmup, "0 or more")
	want(slices.Contains(Optimizers(), t.Optimizer), "optimizer", t.Optimizer, strings.Join(Optimizers(), ", "))
	want(share(t.Momentum), "momentum", t.Momentum, "0 to below 1")
	want(share(t.Beta1), "beta1", t.Beta1, "0 to below 1")
	want(share(t.Beta2), "beta2", t.Beta2, "0 to below 1")
	want(t.Epsilon > 0 && t.Epsilon <= 1, "epsilon", t.Epsilon, "more than 0, at most 1")
	want(t.Clip >= 0 && !math.IsInf(t.Clip, 0), "clip", t.Clip, "0 or more")
	want(share(t.EMA), "ema", t.EMA, "0 to below 1")
	want(t.Seed <= math.MaxInt64, "seed", t.Seed, "at most 2^63-1")
	want(t.Threads >= 0 && t.Threads <= 1024, "threads", t.Threads, "0 to 1024")
	want(t.LogSteps >= 1, "log_steps", t.LogSteps, "1 or more")
	want(t.CheckpointEvery >= 0, "checkpoint_every", t.CheckpointEvery, "0 or more minutes")
	want(t.CheckpointSteps >= 0, "checkpoint_steps", t.CheckpointSteps, "0 or more")
	want(t.SampleEvery >= 0, "sample_every", t.SampleEvery, "0 or more minutes")
	want(t.SampleSteps >= 0, "sample_steps", t.SampleSteps, "0 or more")
	want(t.SampleCount >= 1 && t.SampleCount <= 64, "sample_count", t.SampleCount, "1 to 64")
	want(t.SampleRefine >= 1 && t.SampleRefine <= 10000, "sample_refine", t.SampleRefine, "1 to 10000")
	want(t.ValExamples >= 1 && t.ValExamples <= 1<<20, "val_examples", t.ValExamples, "1 to 1048576")
	want(t.ShardMB >= 0, "shard_mb", t.ShardMB, "0 or more")
	size, m := c.sampleSize(), lcm(c.Model.Multiple(), max(c.Model.Scale, 1))
	want(size >= 1 && size <= 4096 && size%m == 0, "sample_size", t.SampleSize, fmt.Sprintf("0 or a multiple of %d, at most 4096", m))
	return errors.Join(errs...)
}

// regression reports whether the objective is that of a single call.
func (c Config) regression() bool { return c.Train.Objective == ObjectiveRegression }

// unconditional reports whether images are made from noise alone.
func (c Config) unconditional() bool { return c.Train.Objective == ObjectiveUnconditional }

// Objectives are the names that train.objective may have.
func Objectives() []string {
	return []string{ObjectiveSR3, ObjectiveRegression, ObjectiveUnconditional}
}

// sampleSize is the side of the pictures.
func (c Config) sampleSize() int {
	if c.Train.SampleSize == 0 {
		return c.Data.Crop
	}
	return c.Train.SampleSize
}

// objective is the loss as package diffusion defines it.
func (c Config) objective() diffusion.Objective {
	p := c.Diffusion.Prediction
	if c.regression() {
		p = diffusion.PredictX0
	}
	return diffusion.Objective{Norm: c.Diffusion.Loss, Weighting: c.Diffusion.Weighting, Prediction: p}
}

// dataOptions are the settings of the training set.
func (c Config) dataOptions(report func(string, error)) dataset.Options {
	return dataset.Options{
		Size: c.Data.Crop, Scale: c.Model.Scale, Batch: c.Train.Batch, Seed: c.Train.Seed, Fit: c.Data.Fit,
		Flip: c.Data.Flip, Rotate: c.Data.Rotate, Quantise: c.Data.Quantise,
		Degrade: c.Augment.Settings, Augment: c.Augment.blurCondition(), Versions: c.Augment.Versions,
		CacheBytes: max(int64(c.Data.CacheMB)<<20, 1), Report: report, // 0 is none, which a data set takes for the default
	}
}

// microBatch is the number of examples computed at once.
func (c Config) microBatch() int {
	if c.Train.MicroBatch == 0 {
		return c.Train.Batch
	}
	return c.Train.MicroBatch
}

func lcm(a, b int) int {
	x, y := a, b
	for y != 0 {
		x, y = y, x%y
	}
	return a / x * b
}
