package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sr3-go/sr3/train"
)

// trainFlags are the settings of "sr3 train".
type trainFlags struct {
	data      []string
	val       []string
	out       string
	config    string
	sets      []string
	init      string
	predictor string
	opt       string
	shardMB   int
	steps     int
	objective string
	threads   int
	dryRun    bool
	json      bool
	quiet     bool
}

func newTrain(s *streams) *cobra.Command {
	f := &trainFlags{}
	cmd := &cobra.Command{
		Use:   "train --data DIR --out RUN [--config FILE.toml] [--set section.key=value]",
		Short: "Train a model on a folder of images",
		Long: `train teaches a network to refine, from folders of images (searched recursively),
.tar files of images, or single images. The run directory gets the resolved
configuration, a log, stats.jsonl, TensorBoard events, pictures (low-res | sample |
truth), a checkpoint every few minutes and, at the end, model.safetensors, which
"sr3 upscale -n" takes.

Stop it with Ctrl-C, or in any other way, and give the same command again: it goes
on from the last checkpoint, and the result is the one it would have been without
the interruption, bit for bit.

The model carries a card: images with their sources and licences (of data.manifest, or
of a manifest.tsv beside them), command, configuration, machine, time and the curve of
the loss; see "sr3 model card". The configuration of a card or of a run directory
trains the model again: with --config, --out may be left out and is runs/NAME, and
folders that the current one has not are looked for beside the file.

Without --config the configuration is that of the default model, a small network
for photographs four times larger; --dry-run prints it.

--objective regression trains the paper's baseline instead: the same network, but it
maps the enlarged image to the result in one call, with the mean squared error. With
--val, best.safetensors is the model that had the highest PSNR on held-out images
(of a refinement: the lowest loss).

--objective unconditional trains a network that makes images from noise alone, such as
the start of a cascade; "sr3 sample" draws from it.

--predictor MODEL trains a network that refines what such a regression leaves out,
instead of what bicubic enlargement does: the regression's result is the condition,
and the residual target is relative to it. The trained model holds both.

The sections [augment.blur], [augment.noise] and [augment.jpeg] take from the images
that the network is given what real ones have lost; with model.augment_levels=3 it is
told how much, and "sr3 upscale" can tell it of an image. --init makes such a model out
of a clean one.`,
		Example: `  sr3 train --data photos --out runs/mine
  sr3 train --data photos --out runs/mine --dry-run
  sr3 train --config docs/models/mine/config.toml --data photos --val held-out
  sr3 train --data faces.tar --out runs/faces --set model.preset=faces16-128 --set model.scale=8 --set data.crop=128
  sr3 train --data photos --out runs/finer --init runs/mine/model.safetensors --set train.rate=5e-5
  sr3 train --data faces --out runs/faces --init faces.safetensors --optimizer I640000_E37_opt.pth
  sr3 train --data photos --val held-out --out runs/baseline --objective regression
  sr3 train --data photos --val held-out --out runs/photo --predictor runs/baseline/best.safetensors --set diffusion.residual=10
  sr3 upscale photo.jpg -n runs/mine/model.safetensors`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd, s) },
	}
	fl := cmd.Flags()
	fl.StringArrayVar(&f.data, "data", nil, "folder, .tar file or image to train on; may be repeated")
	fl.StringArrayVar(&f.val, "val", nil, "folder, .tar file or image held out for pictures and validation; may be repeated")
	fl.StringVar(&f.out, "out", "", "run directory (with --config: runs/NAME)")
	fl.StringVar(&f.config, "config", "", "configuration (TOML)")
	fl.StringArrayVar(&f.sets, "set", nil, "change a setting, as in --set train.rate=1e-4; may be repeated")
	fl.StringVar(&f.init, "init", "", "begin with the weights of this model, with a fresh optimiser")
	fl.StringVar(&f.predictor, "predictor", "", "refine what this regression leaves out; short for --set model.predictor=MODEL")
	fl.StringVar(&f.opt, "optimizer", "", "with --init: go on with the Adam state that PyTorch saved beside the weights (I..._opt.pth)")
	fl.IntVar(&f.shardMB, "shard-mb", 0, "also write the state as files of at most so many MiB")
	fl.StringVar(&f.objective, "objective", "", "sr3 (the default), regression or unconditional: sets train.objective and what it asks of the network")
	fl.IntVar(&f.steps, "steps", 0, "number of steps, short for --set train.steps=N")
	addThreads(fl, &f.threads)
	fl.BoolVar(&f.dryRun, "dry-run", false, "print what would be done, and do nothing")
	fl.BoolVar(&f.json, "json", false, "write progress to standard output, one JSON object a line")
	fl.BoolVar(&f.quiet, "quiet", false, "no progress")
	return cmd
}

// trainEvent is one line of --json.
type trainEvent struct {
	Event      string  `json:"event"` // step, done
	Step       int     `json:"step"`
	Steps      int     `json:"steps,omitempty"`
	Loss       float64 `json:"loss"`
	ImagesPerS float64 `json:"images_per_s,omitempty"`
	ETA        float64 `json:"eta_s,omitempty"`
	Images     int64   `json:"images,omitempty"`
	Checkpoint string  `json:"checkpoint,omitempty"`
	Model      string  `json:"model,omitempty"`
}

func (f *trainFlags) run(cmd *cobra.Command, s *streams) error {
	cfg, err := f.load(cmd)
	if err != nil {
		return err
	}
	if f.out == "" && f.config != "" && !f.dryRun {
		return usagef("--out is needed: model.name %q is no name for a folder", cfg.Model.Name)
	}
	m := newMeter(s.err, f.quiet || f.json)
	m.begin("train")
	opt := train.Options{Config: cfg, OutDir: f.out, Data: f.data, Init: f.init, Optimizer: f.opt, DryRun: f.dryRun,
		Command: s.commandLine(), Program: currentVersion().program()}
	switch {
	case f.dryRun:
		opt.Log = s.out
	case !f.quiet && !f.json:
		opt.Log = logWriter{s, m}
	}
	opt.Progress = func(p train.Progress) {
		if f.json {
			_ = writeJSON(s.out, trainEvent{Event: "step", Step: p.Step, Steps: p.Steps, Loss: p.Loss, ImagesPerS: p.ImagesPerS, ETA: p.ETA.Seconds()})
			return
		}
		m.status(p.String())
	}
	result, err := train.Run(cmd.Context(), opt)
	m.clear()
	if errors.Is(err, train.ErrStopped) {
		fmt.Fprintf(s.err, "sr3: %v\n", err)
		return context.Canceled
	}
	if err != nil || f.dryRun {
		return err
	}
	return f.announce(s, result, cfg.Train.Objective == train.ObjectiveUnconditional)
}

// load reads the configuration and checks the flags.
func (f *trainFlags) load(cmd *cobra.Command) (train.Config, error) {
	if f.out == "" && f.config == "" && !f.dryRun {
		return train.Config{}, usagef("--out is needed: the run directory")
	}
	if cmd.Flags().Changed("objective") {
		if !slices.Contains(train.Objectives(), f.objective) {
			return train.Config{}, usagef("--objective %s: want %s", f.objective, strings.Join(train.Objectives(), ", "))
		}
		sets := []string{"train.objective=" + f.objective}
		if f.objective == train.ObjectiveUnconditional {
			sets = append(sets, "model.in_channels=3", "model.scale=1", "diffusion.residual=0")
			if f.config == "" && f.init == "" { // the default's pictures are larger than its crops
				sets = append(sets, "train.sample_size=0")
			}
		}
		f.sets = append(sets, f.sets...) // what is said of a setting by its name comes after
	}
	if cmd.Flags().Changed("steps") {
		f.sets = append(f.sets, fmt.Sprintf("train.steps=%d", f.steps))
	}
	if f.predictor != "" {
		f.sets = append(f.sets, "model.predictor="+f.predictor)
	}
	if f.threads > 0 {
		f.sets = append(f.sets, fmt.Sprintf("train.threads=%d", f.threads))
	}
	if cmd.Flags().Changed("shard-mb") {
		f.sets = append(f.sets, fmt.Sprintf("train.shard_mb=%d", f.shardMB))
	}
	if f.config == "" && !train.HasRun(f.out) { // or the model would have the name of the one it began as
		if out, err := filepath.Abs(f.out); err == nil && f.out != "" {
			f.sets = append([]string{fmt.Sprintf("model.name=%q", filepath.Base(out))}, f.sets...)
		}
	}
	cfg, err := train.LoadInitConfig(f.out, f.init, f.config, f.sets)
	if err != nil {
		return cfg, err
	}
	if f.out == "" && filepath.IsLocal(cfg.Model.Name) && filepath.Base(cfg.Model.Name) == cfg.Model.Name {
		f.out = filepath.Join("runs", cfg.Model.Name)
	}
	if f.val != nil {
		cfg.Data.Val = f.val
	}
	if len(f.data) == 0 && len(cfg.Data.Dirs) == 0 && !f.dryRun {
		return cfg, usagef("--data is needed: a folder of images")
	}
	return cfg, nil
}

func (f *trainFlags) announce(s *streams, r train.Result, unconditional bool) error {
	if f.json {
		return writeJSON(s.out, trainEvent{Event: "done", Step: r.Step, Loss: r.Loss, Images: r.Images, Checkpoint: r.Checkpoint, Model: r.Model})
	}
	if r.Model != "" {
		try := "upscale photo.jpg"
		if unconditional {
			try = "sample"
		}
		_, err := fmt.Fprintf(s.out, "%s  %d steps, %d images, loss %.4f\nTry it: sr3 %s -n %s\n", r.Model, r.Step, r.Images, r.Loss, try, r.Model)
		return err
	}
	return nil
}

// logWriter writes log lines where the progress bar is.
type logWriter struct {
	s *streams
	m *meter
}

func (w logWriter) Write(p []byte) (int, error) {
	w.m.clear()
	return w.s.err.Write(p)
}
