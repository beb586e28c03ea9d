package unet

import (
	"fmt"
	"hash/fnv"
	"maps"
	"runtime"
	"slices"

	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/internal/parallel"
	"github.com/sr3-go/sr3/internal/philox"
)

// InitKind is how a parameter starts.
type InitKind int

// The ways in which parameters start.
const (
	InitZeros InitKind = iota
	InitOnes
	InitNormal // independent normal numbers of standard deviation Init.Std
)

// Init is the distribution a parameter is drawn from. paper and lean follow DDPM
// (Ho et al., 2020): variance 2/(fanIn+fanOut), and zero for the last layer of
// every residual branch and of the network. The PyTorch implementation that
// classic and ddpm follow draws orthogonal matrices of gain 1; normal numbers of
// the same second moment, 1/max(fanIn, out), stand in for them here, because
// orthogonalising 100 million weights takes minutes.
type Init struct {
	Kind InitKind
	Std  float64 // for InitNormal
}

// Param is a parameter of a network: a variable of its graph.
type Param struct {
	// Name is the variable's label. For classic and ddpm it is the name in PyTorch
	// checkpoints without the prefix "denoise_fn.".
	Name string
	// Shape is [kh, kw, in, out] of a convolution's weight, [in, out] of a linear
	// layer's, [channels] of biases and normalisations.
	Shape []int
	// Init is what [Initialize] does.
	Init Init
}

// Len is the number of elements.
func (p Param) Len() int { return graph.Shape(p.Shape).Size() }

// Parameters lists the parameters of a network; for classic and ddpm in the
// order in which PyTorch registers them, which is the order of its optimiser's
// state. It fails only on an invalid configuration.
func Parameters(cfg Config) ([]Param, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	m := cfg.Multiple()
	return trace(cfg, m, m).params, nil
}

// Count is the number of learned numbers in a list of parameters.
func Count(params []Param) int64 {
	var n int64
	for _, p := range params {
		n += int64(p.Len())
	}
	return n
}

// Initialize draws the parameters of an untrained network, by name. A
// parameter's values depend on the seed, its name, shape and [Init] alone.
func Initialize(cfg Config, seed uint64) (map[string][]float32, error) {
	params, err := Parameters(cfg)
	if err != nil {
		return nil, fmt.Errorf("initialize: %w", err)
	}
	values := make([][]float32, len(params))
	parallel.For(runtime.GOMAXPROCS(0), len(params), func(i int) { values[i] = params[i].draw(seed) })
	out := make(map[string][]float32, len(params))
	for i, p := range params {
		out[p.Name] = values[i]
	}
	return out, nil
}

// draw returns fresh values of the parameter.
func (p Param) draw(seed uint64) []float32 {
	out := make([]float32, p.Len())
	switch p.Init.Kind {
	case InitOnes:
		for i := range out {
			out[i] = 1
		}
	case InitNormal:
		name := fnv.New64a()
		name.Write([]byte(p.Name))
		philox.New(seed, name.Sum64()).Normal(out, 0)
		std := float32(p.Init.Std)
		for i := range out {
			out[i] *= std
		}
	}
	return out
}

// CheckValues reports the first parameter, in the network's order, that values
// lacks or has in another size, or a name that the network does not have. It is
// for weights that come from a file.
func CheckValues(cfg Config, values map[string][]float32) error {
	params, err := Parameters(cfg)
	if err != nil {
		return err
	}
	known := make(map[string]bool, len(params))
	for _, p := range params {
		known[p.Name] = true
		v, ok := values[p.Name]
		if !ok {
			return fmt.Errorf("unet weights: parameter %s of shape %v is missing; the weights are of another configuration", p.Name, p.Shape)
		}
		if len(v) != p.Len() {
			return fmt.Errorf("unet weights: parameter %s has %d values, want %d for shape %v; the weights are of another configuration",
				p.Name, len(v), p.Len(), p.Shape)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !known[name] {
			return fmt.Errorf("unet weights: the network has no parameter %s; the weights are of another configuration", name)
		}
	}
	return nil
}
