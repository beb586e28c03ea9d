package cli

import (
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sr3-go/sr3/internal/cpu"
	"github.com/sr3-go/sr3/internal/cpu/kernel"
	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/internal/philox"
	"github.com/sr3-go/sr3/unet"
)

// benchFlags are the settings of "sr3 bench unet".
type benchFlags struct {
	config, model        string
	threads, batch, runs int
	side                 int
	train, json, profile bool
	recompute            bool
}

// benchResult is the output of "sr3 bench unet --json". A training step counts
// three forward passes, as is usual.
type benchResult struct {
	Config    string  `json:"config"`
	Batch     int     `json:"batch"`
	Side      int     `json:"side"`
	Threads   int     `json:"threads"`
	Train     bool    `json:"train"`
	Recompute bool    `json:"recompute"`
	SIMD      string  `json:"simd"`
	Params    int64   `json:"params"`
	MedianS   float64 `json:"median_s"`
	MinS      float64 `json:"min_s"`
	GFLOP     float64 `json:"gflop"`
	GFLOPPerS float64 `json:"gflop_per_s"`
	// ConvGFLOPPerS counts the convolutions and their gradients alone: the products of the
	// plain algorithm over the time of all that they do instead, transforms included.
	ConvGFLOPPerS float64  `json:"conv_gflop_per_s"`
	PeakRSSMiB    *float64 `json:"peak_rss_mib"`
	ProgramMiB    float64  `json:"program_mib"` // everything but parameters and optimiser state
}

func newBench(s *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure speed",
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return usagef("bench has no command %q; it has unet", args[0])
		},
	}
	cmd.AddCommand(newBenchUNet(s))
	return cmd
}

func newBenchUNet(s *streams) *cobra.Command {
	f := &benchFlags{}
	cmd := &cobra.Command{
		Use:   "unet",
		Short: "Time one call, or one training step, of a network",
		Long: `unet times a network with random weights, or with --model those of a model, on random
input: one call, or with --train one step (forward, backward and Adam on the sum of absolute differences). One run
that is not counted comes first. gflop counts multiplications and additions of
convolutions and linear layers; a training step counts as three calls, also with
--recompute, which computes a part of the forward pass twice to save memory.

peak_rss_mib is the largest memory of the whole process (Linux; null elsewhere).`,
		Example: `  sr3 bench unet --config faces16-128 --threads 2 --runs 5 --json
  sr3 bench unet --config tiny --train --recompute
  sr3 bench unet --model photo-x4 --side 256
  SR3_SIMD=avx2 sr3 bench unet --config lean-photo --side 256`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(cmd); err != nil {
				return err
			}
			r, profile, err := f.measure(cmd)
			if err != nil {
				return err
			}
			return f.print(s, r, profile)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.config, "config", "faces16-128", "network: "+strings.Join(unet.PresetNames(), ", "))
	fl.StringVar(&f.model, "model", "", "model whose network and weights to time, in place of --config")
	addThreads(fl, &f.threads)
	fl.IntVar(&f.batch, "batch", 1, "images at once")
	fl.IntVar(&f.runs, "runs", 5, "timed runs")
	fl.IntVar(&f.side, "side", 0, "side of the images (default: what the network is made for)")
	fl.BoolVar(&f.train, "train", false, "time a training step")
	fl.BoolVar(&f.recompute, "recompute", false, "compute activations again in the backward pass instead of keeping them")
	fl.BoolVar(&f.profile, "profile", false, "also print the time by kind of operation")
	fl.BoolVar(&f.json, "json", false, "print one JSON object")
	return cmd
}

func (f *benchFlags) check(cmd *cobra.Command) error {
	if f.batch < 1 || f.batch > 4096 || f.runs < 1 || f.runs > 1e6 || f.side < 0 {
		return usagef("--batch %d, --runs %d, --side %d: want positive numbers", f.batch, f.runs, f.side)
	}
	if f.recompute && !f.train {
		return usagef("--recompute: one call keeps no activations; want --train with it")
	}
	if f.model != "" && cmd.Flags().Changed("config") {
		return usagef("--config %s and --model %s: want one of them", f.config, f.model)
	}
	if !slices.Contains(unet.PresetNames(), f.config) {
		return usagef("--config %s: want one of %s", f.config, strings.Join(unet.PresetNames(), ", "))
	}
	return nil
}

// measure compiles and times the network.
func (f *benchFlags) measure(cmd *cobra.Command) (*benchResult, []cpu.StepTime, error) {
	net, err := f.network()
	if err != nil {
		return nil, nil, err
	}
	defer net.close()
	cfg := net.config
	side := f.side
	if side == 0 {
		side = cfg.ImageSize
	}
	flops, err := unet.FLOPs(cfg, side, side)
	if err != nil {
		return nil, nil, usagef("%w", err)
	}
	params, err := unet.Parameters(cfg)
	if err != nil {
		return nil, nil, err
	}
	threads := threadsOrAll(f.threads)
	program, err := benchProgram(cfg, params, net.weights, f.batch, side, f.gradients(), cpu.Options{Threads: threads, Profile: true})
	if err != nil {
		return nil, nil, err
	}
	defer program.Close()
	times := make([]float64, 0, f.runs)
	for i := range f.runs + 1 {
		if err := cmd.Context().Err(); err != nil {
			return nil, nil, err
		}
		start := time.Now()
		program.Run()
		if i == 0 {
			program.ResetProfile()
			continue
		}
		times = append(times, time.Since(start).Seconds())
	}
	slices.Sort(times)
	gflop := float64(flops) * float64(f.batch) / 1e9
	if f.train {
		gflop *= 3
	}
	if err := net.failed(); err != nil {
		return nil, nil, err
	}
	median := times[len(times)/2]
	return &benchResult{
		Config: net.name, Batch: f.batch, Side: side, Threads: threads, Train: f.train, Recompute: f.recompute, SIMD: kernel.Active().String(),
		Params: unet.Count(params), MedianS: median, MinS: times[0], GFLOP: gflop, GFLOPPerS: gflop / median,
		PeakRSSMiB: peakRSS(), ProgramMiB: float64(program.MemoryBytes()) / (1 << 20),
		ConvGFLOPPerS: convolutionSpeed(program.Profile(), f.runs),
	}, program.Profile(), nil
}

// differentiate is a way to make gradients.
type differentiate func(g *graph.Graph, loss *graph.Node, wrt []*graph.Node) []*graph.Node

// gradients is the way that the flags ask for, nil for none.
func (f *benchFlags) gradients() differentiate {
	switch {
	case !f.train:
		return nil
	case f.recompute:
		return (*graph.Graph).RecomputedGradients
	}
	return (*graph.Graph).Gradients
}

// benchProgram compiles a call or, given a way to make gradients, a training step, with random input.
func benchProgram(cfg unet.Config, params []unet.Param, weights weightSource, batch, side int, gradients differentiate, o cpu.Options) (*cpu.Program, error) {
	g := graph.New()
	in := unet.Inputs{Noisy: g.Input("noisy", batch, side, side, cfg.OutChannels), Level: g.Input("level", batch)}
	if rest := cfg.InChannels - cfg.OutChannels; rest > 0 {
		in.Condition = g.Input("condition", batch, side, side, rest)
	}
	if cfg.AugmentLevels > 0 {
		in.Augment = g.Input("augment", 1, cfg.AugmentLevels)
	}
	if gradients != nil && cfg.Dropout > 0 {
		in.Seed = g.Input("seed", 2)
	}
	out, err := unet.Build(g, cfg, in)
	if err != nil {
		return nil, err
	}
	vars := cpu.NewVariables()
	for i, p := range params {
		vars.Provide(p.Name, cpu.Source{Len: p.Len(), Read: func(dst []float32) { weights(dst, p, uint64(i)) }})
	}
	outputs := []*graph.Node{out}
	if gradients != nil {
		target := in.Condition
		if target == nil {
			target = in.Noisy
		}
		outputs = benchStep(g, params, g.Sum(g.Abs(g.Sub(out, target))), gradients)
	}
	program, err := cpu.Compile(g, vars, outputs, o)
	if err != nil {
		return nil, err
	}
	for i, label := range []string{"noisy", "condition"} {
		philox.New(1, uint64(i)).Normal(program.Input(label), 0)
	}
	for i, level := 0, program.Input("level"); i < len(level); i++ {
		level[i] = float32(philox.New(1, 2).Float64(uint64(i)))
	}
	if h := program.Input("hyper"); h != nil {
		h[graph.AdamRate], h[graph.AdamC1], h[graph.AdamC2], h[graph.AdamClip] = 1e-4, 0.1, 0.001, 1
	}
	return program, nil
}

// benchStep adds Adam on the gradients of the loss.
func benchStep(g *graph.Graph, params []unet.Param, loss *graph.Node, gradients differentiate) []*graph.Node {
	wrt := make([]*graph.Node, len(params))
	for i, p := range params {
		wrt[i] = g.Variable(p.Name, p.Shape...)
	}
	hyper := g.Input("hyper", graph.AdamHyper)
	outputs := []*graph.Node{loss}
	for i, d := range gradients(g, loss, wrt) {
		m, v := g.Variable("m:"+params[i].Name, params[i].Shape...), g.Variable("v:"+params[i].Name, params[i].Shape...)
		outputs = append(outputs, g.Adam(graph.Adam{B1: 0.9, B2: 0.999, Epsilon: 1e-8}, wrt[i], d, m, v, hyper, nil))
	}
	return outputs
}
