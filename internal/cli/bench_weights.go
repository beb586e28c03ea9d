package cli

import (
	"path/filepath"
	"sync"

	"github.com/sr3-go/sr3/internal/philox"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/unet"
)

// weightSource writes the values of the parameter that is i-th in the network to dst.
type weightSource func(dst []float32, p unet.Param, i uint64)

// benchNetwork is what is timed.
type benchNetwork struct {
	name    string
	config  unet.Config
	weights weightSource
	close   func()
	// failed returns the first error of reading weights, once they have been read.
	failed func() error
}

// network returns the preset with random weights, or the model.
func (f *benchFlags) network() (*benchNetwork, error) {
	net := &benchNetwork{name: f.config, weights: randomWeights, close: func() {}, failed: func() error { return nil }}
	if f.model == "" {
		var err error
		net.config, err = unet.Preset(f.config)
		return net, err
	}
	if filepath.Ext(f.model) == modelExtension {
		return net, net.stream(f.model)
	}
	m, err := model.Open(f.model)
	if err != nil {
		return nil, err
	}
	net.name, net.config = m.Config.Name, m.Config.Network
	net.weights = func(dst []float32, p unet.Param, _ uint64) { copy(dst, m.Weights[p.Name]) }
	return net, nil
}

// stream takes weights from a file when they are wanted, so that they are not in
// memory beside what kernels make of them.
func (net *benchNetwork) stream(path string) error {
	s, err := model.OpenStream(path)
	if err != nil {
		return err
	}
	var once sync.Once
	var failure error
	net.name, net.config = s.Config.Name, s.Config.Network
	net.close = func() { s.Close() }
	net.failed = func() error { return failure }
	net.weights = func(dst []float32, p unet.Param, _ uint64) {
		if err := s.ReadWeights(p.Name, dst); err != nil {
			once.Do(func() { failure = err })
		}
	}
	return nil
}

// randomWeights draws a parameter, the i-th from stream i.
func randomWeights(dst []float32, p unet.Param, i uint64) {
	switch p.Init.Kind {
	case unet.InitZeros:
		clear(dst)
	case unet.InitOnes:
		for k := range dst {
			dst[k] = 1
		}
	case unet.InitNormal:
		philox.New(0, i).Normal(dst, 0)
		for k := range dst {
			dst[k] *= float32(p.Init.Std)
		}
	}
}
