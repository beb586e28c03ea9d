package train

import (
	"fmt"
	"io"

	"github.com/sr3-go/sr3/dataset"
	"github.com/sr3-go/sr3/internal/cpu"
	"github.com/sr3-go/sr3/unet"
)

// dryRun prints the resolved configuration and what a run would cost. It opens the manifest, the predictor and the images,
// if any are named, and compiles the training step, but computes and writes nothing.
func dryRun(opt Options) error {
	cfg, out := opt.Config, opt.Log
	if out == nil {
		out = io.Discard
	}
	text, err := cfg.TOML()
	if err != nil {
		return err
	}
	params, err := unet.Parameters(cfg.Model.Config)
	if err != nil {
		return err
	}
	flops, err := unet.FLOPs(cfg.Model.Config, cfg.Data.Crop, cfg.Data.Crop)
	if err != nil {
		return err
	}
	if err := cfg.openable(opt.OutDir); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	vars := cpu.NewVariables()
	s, err := newStepper(cfg, vars)
	if err != nil {
		return err
	}
	defer s.close()
	count := unet.Count(params)
	var judging int64 // numbers that the critic learns
	if cfg.adversarial() {
		if judging, err = cfg.Adversary.parameters(); err != nil {
			return err
		}
	}
	variables := 4 * (count*int64(len(tensorNames)) + judging*int64(len(criticTensors)))
	fmt.Fprint(out, text)
	fmt.Fprintf(out, "\n# parameters          %d\n", count)
	fmt.Fprintf(out, "# forward pass        %.3f GFLOP for an example (convolutions and linear layers)\n", float64(flops)/1e9)
	fmt.Fprintf(out, "# training step       %.1f GFLOP (three times the forward pass, batch %d)\n", 3*float64(flops)*float64(cfg.Train.Batch)/1e9, cfg.Train.Batch)
	if cfg.adversarial() {
		flops, err := unet.FLOPs(cfg.Adversary.network(), cfg.Data.Crop, cfg.Data.Crop)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "# adversary           critic of %d parameters; %.1f GFLOP more for a step (eight times its forward pass, batch %d)\n",
			judging, 8*float64(flops)*float64(cfg.Train.Batch)/1e9, cfg.Train.Batch)
	}
	fmt.Fprintf(out, "# memory              %.0f MiB weights, average and optimiser; %.0f MiB for the step; up to %d MiB decoded images\n",
		float64(variables)/(1<<20), float64(s.memory())/(1<<20), cfg.Data.CacheMB)
	if len(cfg.Data.Dirs) > 0 {
		data := cfg.dataOptions(nil)
		if data.Exclude, err = cfg.excluded(); err != nil {
			return fmt.Errorf("train: %w", err)
		}
		set, err := dataset.Open(cfg.Data.Dirs, data)
		if err != nil {
			return fmt.Errorf("train: %w", err)
		}
		fmt.Fprintf(out, "# images              %d\n", set.Len())
	}
	_, err = fmt.Fprintf(out, "# run directory       %s (%s)\n", opt.OutDir, runState(opt.OutDir))
	return err
}

// openable reports files that the run could not begin with.
func (c Config) openable(outDir string) error {
	if !HasRun(outDir) {
		if err := c.checkFresh(); err != nil {
			return err
		}
	}
	if c.Data.Manifest != "" {
		if _, err := dataset.ReadManifest(c.Data.Manifest); err != nil {
			return fmt.Errorf("data.manifest: %w", err)
		}
	}
	_, err := openPredictor(c)
	return err
}

// runState says whether a run would go on or begin.
func runState(dir string) string {
	if dir != "" && HasRun(dir) {
		return "goes on from its checkpoint"
	}
	return "begins anew"
}
