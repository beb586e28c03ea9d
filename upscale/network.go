package upscale

import (
	"fmt"

	"github.com/sr3-go/sr3/diffusion"
	"github.com/sr3-go/sr3/internal/cpu"
	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/unet"
)

// unetNetwork is a U-Net compiled for windows of one size.
type unetNetwork struct {
	program       *cpu.Program
	condition     []float32 // inputs of the program
	noisy         []float32
	level         []float32
	augment       []float32                     // nil if the network has no augmentation levels
	levelOf       func(diffusion.Gamma) float32 // nil for a regression
	xNeeded       bool
	height, width int
}

// networkOptions are what a compiled network is made from.
type networkOptions struct {
	config        unet.Config
	levelOf       func(diffusion.Gamma) float32 // what the network takes for gamma; nil for a regression
	vars          *cpu.Variables                // holds the weights
	height, width int
	threads       int

	// stats freezes group normalisation, see unet.Inputs; nil is the usual.
	stats func(g *graph.Graph) func(name string, x *graph.Node, groups int, epsilon float32) *graph.Node
}

// newNetwork compiles the network. The size must be a multiple of the
// configuration's Multiple.
func newNetwork(o networkOptions) (*unetNetwork, error) {
	if o.config.OutChannels != 3 || o.config.InChannels != 3 && o.config.InChannels != 6 {
		return nil, fmt.Errorf("the network maps %d channels to %d; images need 6 (or 3 without condition) to 3",
			o.config.InChannels, o.config.OutChannels)
	}
	g := graph.New()
	in := unet.Inputs{Noisy: g.Input("noisy", 1, o.height, o.width, 3), Level: g.Input("level", 1)}
	if o.config.InChannels == 6 {
		in.Condition = g.Input("condition", 1, o.height, o.width, 3)
	}
	if k := o.config.AugmentLevels; k > 0 {
		in.Augment = g.Input("augment", 1, k)
	}
	if o.stats != nil {
		in.Stats = o.stats(g)
	}
	out, err := unet.Build(g, o.config, in)
	if err != nil {
		return nil, err
	}
	program, err := cpu.Compile(g, o.vars, []*graph.Node{out}, cpu.Options{Threads: o.threads})
	if err != nil {
		return nil, err
	}
	return &unetNetwork{
		program: program, condition: program.Input("condition"), noisy: program.Input("noisy"), level: program.Input("level"),
		augment: program.Input("augment"),
		levelOf: o.levelOf, xNeeded: in.Condition != nil, height: o.height, width: o.width,
	}, nil
}

// noiseLevel returns what a model's network takes for gamma: sqrt(gamma), or the
// nearest timestep, counted from 0, of the schedule it was trained with. It is nil
// for a regression, which has no noise.
func noiseLevel(cfg model.Config) (func(diffusion.Gamma) float32, error) {
	if cfg.Regression() {
		return nil, nil
	}
	if cfg.Network.Family != unet.FamilyDDPM {
		return func(g diffusion.Gamma) float32 { return float32(g.Alpha()) }, nil
	}
	schedule, err := cfg.Diffusion.NoiseSchedule()
	if err != nil {
		return nil, fmt.Errorf("training schedule: %w", err)
	}
	return func(g diffusion.Gamma) float32 { return float32(schedule.Nearest(g) - 1) }, nil
}

// Predict implements [Network]. A regression does not look at y and gamma.
func (n *unetNetwork) Predict(dst, x, y []float32, gamma diffusion.Gamma) error {
	size := n.height * n.width * 3
	if len(dst) != size || len(y) != size || n.xNeeded && len(x) != size {
		return fmt.Errorf("a window of %d values for a network of %d x %d pixels", len(y), n.width, n.height)
	}
	if n.xNeeded {
		copy(n.condition, x)
	}
	if n.levelOf == nil {
		model.RegressionInputs(n.noisy, n.level)
	} else {
		copy(n.noisy, y)
		n.level[0] = n.levelOf(gamma)
	}
	n.program.Run()
	copy(dst, n.program.Output(0))
	return nil
}

// tell sets the augmentation levels of what follows; without any they are 0.
func (n *unetNetwork) tell(levels []float32) {
	clear(n.augment)
	copy(n.augment, levels)
}

// close ends the network's goroutines.
func (n *unetNetwork) close() { n.program.Close() }

// variablesOf puts weights where programs find them. Weights that do not fit the
// configuration are an error; reading a model has refused NaN already.
func variablesOf(cfg unet.Config, weights map[string][]float32) (*cpu.Variables, error) {
	if err := unet.CheckValues(cfg, weights); err != nil {
		return nil, err
	}
	vars := cpu.NewVariables()
	for name, values := range weights {
		vars.Provide(name, cpu.Source{Len: len(values), Read: func(dst []float32) { copy(dst, values) }})
	}
	return vars, nil
}
