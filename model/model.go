package model

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"

	"github.com/sr3-go/sr3/checkpoint"
	"github.com/sr3-go/sr3/unet"
)

const (
	// ConfigKey is the metadata entry of a model file that holds its [Config] as JSON.
	ConfigKey = "sr3.model"
	// CardKey is the metadata entry that holds its card, in Markdown.
	CardKey = "sr3.card"
	// maxModelFile bounds the file: the largest network in float32, and a header.
	maxModelFile = 4*unet.MaxParameters + 200<<20
)

// Model is a network with its weights.
type Model struct {
	Config Config
	// Card describes the model for people, in Markdown. May be empty.
	Card string
	// Record is the same in fields, and the training runs in full; nil for models
	// that nobody recorded. It may say less than a Card that was written by hand.
	Record *Card
	// Weights maps the names of [unet.Parameters] to values, row-major in the
	// shapes given there.
	Weights map[string][]float32
	// Predictor is the regression of Config.Predictor; nil where that is nil.
	Predictor *Model
	// Digest identifies the file that the model was loaded from or saved to: 64
	// hexadecimal digits, or empty for a model that is in no file yet.
	Digest string
	// Stored is how the file has the weights, so that a copy can keep them as they
	// are; empty for a model that is in no file yet.
	Stored checkpoint.DType
}

// Load reads a model file. The digest, the configuration, and every name and
// shape are verified; weights may be stored as F16, BF16 or F32, and must be finite.
func Load(path string) (*Model, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("load model: %w", err)
	}
	if info.Size() > maxModelFile {
		return nil, fmt.Errorf("load model %s: %d bytes, more than any model has", path, info.Size())
	}
	head, err := checkpoint.ReadInfo(path)
	if err != nil {
		return nil, fmt.Errorf("load model: %w", err)
	}
	// Before reading the weights, so that no file makes this read more than its
	// own configuration accounts for.
	config, err := parseMeta(head.Meta)
	if err == nil {
		err = checkTensors(config, head.Tensors)
	}
	if err != nil {
		return nil, fmt.Errorf("load model %s: %w", path, err)
	}
	file, err := checkpoint.Read(path)
	if err != nil {
		return nil, fmt.Errorf("load model: %w", err)
	}
	return fromFile(path, file)
}

// Decode reads a model file of size bytes from r; name is what errors call it.
func Decode(name string, r io.Reader, size int64) (*Model, error) {
	file, err := checkpoint.Decode(name, r, size)
	if err != nil {
		return nil, fmt.Errorf("load model: %w", err)
	}
	return fromFile(name, file)
}

func fromFile(name string, file *checkpoint.File) (*Model, error) {
	config, err := parseMeta(file.Meta)
	if err != nil {
		return nil, fmt.Errorf("load model %s: %w", name, err)
	}
	m := &Model{Config: config, Card: file.Meta[CardKey], Digest: file.Meta[checkpoint.DigestKey]}
	if err := m.setRecord(file.Meta); err != nil {
		return nil, fmt.Errorf("load model %s: %w", name, err)
	}
	m.Stored = stored(file)
	if m.Weights, err = weights(config, file); err != nil {
		return nil, fmt.Errorf("load model %s: %w", name, err)
	}
	m.takePredictor()
	return m, nil
}

// stored is the type of all tensors, or float32, which holds any of them, where they
// differ.
func stored(file *checkpoint.File) checkpoint.DType {
	var as checkpoint.DType
	for _, t := range file.Tensors {
		if as != "" && as != t.DType {
			return checkpoint.F32
		}
		as = t.DType
	}
	return as
}

// parseMeta reads the configuration in the metadata of a model file.
func parseMeta(meta map[string]string) (Config, error) {
	text, ok := meta[ConfigKey]
	if !ok {
		return Config{}, fmt.Errorf("no %q in its metadata: not a model file; import foreign weights with \"sr3 model import\"", ConfigKey)
	}
	return ParseConfig([]byte(text))
}

// checkTensors compares names, shapes and types with the configuration.
func checkTensors(config Config, tensors []checkpoint.TensorInfo) error {
	params, err := config.parameters()
	if err != nil {
		return err
	}
	byName := make(map[string]checkpoint.TensorInfo, len(tensors))
	for _, t := range tensors {
		byName[t.Name] = t
	}
	for _, p := range params {
		t, ok := byName[p.Name]
		if !ok {
			return fmt.Errorf("parameter %s is missing; the file does not fit its configuration", p.Name)
		}
		if !slices.Equal(t.Shape, p.Shape) {
			return fmt.Errorf("parameter %s has shape %v, the configuration says %v", p.Name, t.Shape, p.Shape)
		}
		switch t.DType {
		case checkpoint.F16, checkpoint.BF16, checkpoint.F32:
		default:
			return fmt.Errorf("parameter %s is stored as %s; want F16, BF16 or F32", p.Name, t.DType)
		}
	}
	if len(tensors) != len(params) {
		return fmt.Errorf("%d tensors where the configuration has %d parameters", len(tensors), len(params))
	}
	return nil
}

// weights converts the tensors, freeing each as it goes.
func weights(config Config, file *checkpoint.File) (map[string][]float32, error) {
	var infos []checkpoint.TensorInfo
	for name, t := range file.Tensors {
		infos = append(infos, checkpoint.TensorInfo{Name: name, DType: t.DType, Shape: t.Shape})
	}
	if err := checkTensors(config, infos); err != nil {
		return nil, err
	}
	out := make(map[string][]float32, len(infos))
	for _, name := range file.Names() {
		values, err := file.Tensors[name].Float32s()
		if err != nil {
			return nil, fmt.Errorf("parameter %s: %w", name, err)
		}
		if err := checkFinite(name, values); err != nil {
			return nil, err
		}
		out[name] = values
		delete(file.Tensors, name)
	}
	return out, nil
}

// checkFinite refuses NaN and infinity.
func checkFinite(name string, values []float32) error {
	for i, v := range values {
		// The exponent of all ones; cheaper than two comparisons.
		if math.Float32bits(v)&0x7f800000 == 0x7f800000 {
			return fmt.Errorf("parameter %s: element %d is %v; the training that made these weights diverged", name, i, v)
		}
	}
	return nil
}

// Save writes the model to path with weights stored as F16, BF16 or F32, and sets
// m.Digest. The file appears whole or not at all. A weight that the type cannot
// hold is an error.
func (m *Model) Save(path string, as checkpoint.DType) error {
	file, err := m.file(as)
	if err != nil {
		return fmt.Errorf("save model %s: %w", path, err)
	}
	digest, err := checkpoint.Write(path, file)
	if err != nil {
		return fmt.Errorf("save model: %w", err)
	}
	m.Digest, m.Stored = digest, as
	return nil
}

// Encode writes to w what [Model.Save] writes to a file, and sets m.Digest.
func (m *Model) Encode(w io.Writer, as checkpoint.DType) error {
	file, err := m.file(as)
	if err != nil {
		return fmt.Errorf("encode model: %w", err)
	}
	digest, err := checkpoint.Encode(w, file)
	if err != nil {
		return fmt.Errorf("encode model: %w", err)
	}
	m.Digest, m.Stored = digest, as
	return nil
}

func (m *Model) file(as checkpoint.DType) (*checkpoint.File, error) {
	m.Config.FormatVersion = FormatVersion
	if err := m.Config.Validate(); err != nil {
		return nil, err
	}
	params, err := m.Config.parameters()
	if err != nil {
		return nil, err
	}
	all, err := m.allWeights()
	if err != nil {
		return nil, err
	}
	if len(params) != len(all) {
		return nil, fmt.Errorf("%d weights where the configuration has %d parameters", len(all), len(params))
	}
	file := &checkpoint.File{Tensors: make(map[string]*checkpoint.Tensor, len(params))}
	for _, p := range params {
		values := all[p.Name]
		if len(values) != p.Len() {
			return nil, fmt.Errorf("parameter %s has %d values, the configuration says %v", p.Name, len(values), p.Shape)
		}
		if err := checkFinite(p.Name, values); err != nil {
			return nil, err
		}
		if file.Tensors[p.Name], err = checkpoint.FromFloat32As(as, p.Shape, values); err != nil {
			return nil, fmt.Errorf("parameter %s: %w", p.Name, err)
		}
	}
	text, err := marshal(m.Config)
	if err != nil {
		return nil, err
	}
	file.Meta = map[string]string{ConfigKey: string(text), CardKey: m.Card}
	return file, m.addRecord(file.Meta)
}

// Parameters returns the number of weights, with those of the predictor.
func (m *Model) Parameters() int64 {
	var n int64
	for _, values := range m.Weights {
		n += int64(len(values))
	}
	if m.Predictor != nil {
		n += m.Predictor.Parameters()
	}
	return n
}

// marshal encodes a configuration as it stands in a file.
func marshal(c Config) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(c); err != nil {
		return nil, fmt.Errorf("model config: %w", err)
	}
	return bytes.TrimSpace(b.Bytes()), nil
}
