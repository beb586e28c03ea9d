package model

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sr3-go/sr3/unet"
)

// predictorPrefix is what the names of a predictor's parameters begin with in a
// model file.
const predictorPrefix = "predictor/"

// validatePredictor reports a predictor that the model cannot refine.
func (c Config) validatePredictor() error {
	p := c.Predictor
	if p == nil {
		return nil
	}
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !p.Regression() {
		bad("objective %q: only a regression can predict what is refined", p.Objective)
	}
	if c.Regression() {
		bad("a regression has nothing to refine: it cannot have a predictor")
	}
	if p.Predictor != nil {
		bad("the predictor has a predictor itself; one is the limit")
		return errors.Join(errs...) // and do not follow it
	}
	if p.Scale != c.Scale {
		bad("scale %d, the model's is %d", p.Scale, c.Scale)
	}
	if c.Network.InChannels <= c.Network.OutChannels {
		bad("a network of %d channels has no condition that a predictor could make", c.Network.InChannels)
	}
	if p.Network.AugmentLevels > 0 && (c.Network.AugmentLevels == 0 || !sameDegradation(p.Condition, c.Condition)) {
		bad("it is told of what an image has lost, and knows %s; the model knows %s, and must be told of the same", p.Condition.Inputs(), c.Condition.Inputs())
	}
	if p.Condition.Quantised8 != c.Condition.Quantised8 {
		bad("condition %+v, the model's is %+v", p.Condition, c.Condition)
	}
	return errors.Join(append(errs, p.Validate())...)
}

// sameDegradation says that two networks know the same of what images lose.
func sameDegradation(a, b Condition) bool {
	return a.Degradation != nil && b.Degradation != nil && *a.Degradation == *b.Degradation
}

// parameters lists the tensors of a model file: the network's, then the predictor's.
func (c Config) parameters() ([]unet.Param, error) {
	params, err := unet.Parameters(c.Network)
	if err != nil || c.Predictor == nil {
		return params, err
	}
	predictor, err := unet.Parameters(c.Predictor.Network)
	for _, p := range predictor {
		p.Name = predictorPrefix + p.Name
		params = append(params, p)
	}
	return params, err
}

// takePredictor moves the predictor's weights from m.Weights to a model of its own.
func (m *Model) takePredictor() {
	if m.Config.Predictor == nil {
		return
	}
	m.Predictor = &Model{Config: *m.Config.Predictor, Weights: map[string][]float32{}, Stored: m.Stored}
	m.Predictor.recall(m.Record)
	for name, values := range m.Weights {
		if rest, ok := strings.CutPrefix(name, predictorPrefix); ok {
			m.Predictor.Weights[rest] = values
			delete(m.Weights, name)
		}
	}
}

// recall takes a predictor's record, if there is one, from that of the model that
// refines it.
func (m *Model) recall(whole *Card) {
	if whole == nil || whole.Predictor == nil {
		return
	}
	if text, err := whole.Predictor.Markdown(); err == nil {
		m.Record, m.Card = whole.Predictor, text
	}
}

// allWeights are those of the network and of the predictor, as a file names them.
func (m *Model) allWeights() (map[string][]float32, error) {
	if (m.Config.Predictor != nil) != (m.Predictor != nil) {
		return nil, errors.New("the configuration and the weights do not agree about a predictor")
	}
	if m.Predictor == nil {
		return m.Weights, nil
	}
	all := make(map[string][]float32, len(m.Weights)+len(m.Predictor.Weights))
	for name, values := range m.Weights {
		all[name] = values
	}
	for name, values := range m.Predictor.Weights {
		all[predictorPrefix+name] = values
	}
	return all, nil
}

// WithPredictor makes p, a regression, the predictor of m. Its card is left behind;
// its record belongs into that of m, as [Card.Predictor].
func (m *Model) WithPredictor(p *Model) {
	config := p.Config
	m.Config.Predictor = &config
	m.Predictor = &Model{Config: config, Weights: p.Weights, Digest: p.Digest}
}
