// Package onnx writes the network of a model as an ONNX file, so that it can be
// run, and timed, by other programs. It is a package of its own so that package
// model, which everything that upscales imports, knows neither graphs nor this
// format.
//
// A file holds the network alone, not the sampler: one call is one refinement
// step's prediction for images of one size. It is laid out with channels first
// throughout, as ONNX runtimes want it:
//
//	x           [N, 6, H, W]  the condition, then the noisy image (alone in an
//	                          unconditional model), in [-1, 1] as all pixels are
//	gamma       [N, 1]        the noise level, which is sqrt(gamma)
//	augment     [N, K]        what the condition has lost, as levels from 0 to 1
//	                          (see degrade.Settings.Levels); of networks that are told
//	prediction  [N, 3, H, W]  the raw prediction: eps, x0 or v
//
// Models of the family ddpm have timestep instead of gamma: a whole number from
// 0, as float32. The model's configuration is in the file's metadata under
// [model.ConfigKey].
package onnx

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/internal/runfiles"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/unet"
)

// maxInside is how large a model may be with its weights inside: protocol buffers
// end at 2 GiB. Larger ones keep them in a file beside it.
const maxInside = 1<<31 - 1

// Options say what images the exported network takes.
type Options struct {
	// Batch is the number of images in a call; 0 means 1.
	Batch int
	// Height and Width are the images' sides in pixels, of the large images: the
	// network works at the size of the result. Multiples of
	// [unet.Config.Multiple]. 0 means the size that the network is made for.
	Height, Width int
	// Version is written as the version of the program.
	Version string
}

// Report tells what was written.
type Report struct {
	Batch, Height, Width int
	Nodes                int
	Bytes                int64
	// WeightsFile is the name of the second file, which holds the weights of models
	// of 2 GiB and more; empty otherwise. It must stay beside the first.
	WeightsFile string
}

// Export writes the network of m to path. Weights are float32. The file appears
// whole or not at all; so does the second one of a large model, path + ".data",
// which is written first.
func Export(path string, m *model.Model, o Options) (*Report, error) {
	r, err := export(path, m, o, maxInside)
	if err != nil {
		return nil, fmt.Errorf("export %s to ONNX: %w", m.Config.Name, err)
	}
	return r, nil
}

func export(path string, m *model.Model, o Options, limit int64) (*Report, error) {
	o, err := o.resolved(m.Config.Network)
	if err != nil {
		return nil, err
	}
	f, err := build(m, o)
	if err != nil {
		return nil, err
	}
	r := &Report{Batch: o.Batch, Height: o.Height, Width: o.Width, Nodes: len(f.nodes)}
	fr := f.frame("")
	if fr.total > limit {
		r.WeightsFile = filepath.Base(path) + ".data"
		f.moveWeights()
		if fr = f.frame(r.WeightsFile); fr.total > limit {
			return nil, fmt.Errorf("%d bytes without weights; ONNX files end at %d", fr.total, limit)
		}
		if err := runfiles.WriteAtomic(path+".data", f.writeWeights); err != nil {
			return nil, err
		}
	}
	r.Bytes = fr.total
	return r, runfiles.WriteAtomic(path, func(w io.Writer) error { return f.write(w, fr) })
}

// resolved fills in defaults and refuses what no network takes.
func (o Options) resolved(cfg unet.Config) (Options, error) {
	if o.Batch < 0 || o.Height < 0 || o.Width < 0 {
		return o, fmt.Errorf("batch %d, %dx%d: want positive numbers", o.Batch, o.Height, o.Width)
	}
	if o.Batch == 0 {
		o.Batch = 1
	}
	if o.Height == 0 {
		o.Height = cfg.ImageSize
	}
	if o.Width == 0 {
		o.Width = cfg.ImageSize
	}
	if o.Batch > 4096 || o.Height > unet.MaxImageSize || o.Width > unet.MaxImageSize {
		return o, fmt.Errorf("batch %d of %dx%d: want at most 4096 images with sides of at most %d", o.Batch, o.Height, o.Width, unet.MaxImageSize)
	}
	return o, nil
}

// build translates the network.
func build(m *model.Model, o Options) (*file, error) {
	cfg := m.Config.Network
	if err := unet.CheckValues(cfg, m.Weights); err != nil {
		return nil, err
	}
	g := graph.New()
	in := unet.Inputs{Noisy: g.Input("noisy", o.Batch, o.Height, o.Width, cfg.OutChannels), Level: g.Input("level", o.Batch)}
	if rest := cfg.InChannels - cfg.OutChannels; rest > 0 {
		in.Condition = g.Input("condition", o.Batch, o.Height, o.Width, rest)
	}
	if cfg.AugmentLevels > 0 {
		in.Augment = g.Input(augmentName, o.Batch, cfg.AugmentLevels)
	}
	out, err := unet.Build(g, cfg, in)
	if err != nil {
		return nil, err
	}
	config, err := json.Marshal(m.Config)
	if err != nil {
		return nil, err
	}
	t := newTranslator(m.Weights)
	t.version, t.doc = o.Version, describe(m.Config)
	t.meta = [][2]string{{model.ConfigKey, string(config)}}
	if m.Card != "" {
		t.meta = append(t.meta, [2]string{model.CardKey, m.Card})
	}
	if err := t.bind(g, in, levelName(cfg)); err != nil {
		return nil, err
	}
	if err := t.translate(g, out); err != nil {
		return nil, err
	}
	t.finish(t.values[out])
	return &t.file, nil
}

// augmentName is the name of the third input.
const augmentName = "augment"

// levelName is the name of the second input.
func levelName(cfg unet.Config) string {
	if cfg.Family == unet.FamilyDDPM {
		return "timestep"
	}
	return "gamma"
}

// describe says in one line what the file is.
func describe(c model.Config) string {
	if c.Regression() {
		return fmt.Sprintf("U-Net of the regression %s. x: condition in [-1, 1], then three channels of zeros; %s: 0; prediction: %s.",
			c.Name, levelName(c.Network), c.Diffusion.Prediction)
	}
	return fmt.Sprintf("U-Net of the SR3 model %s. x: condition, then noisy image, in [-1, 1]; %s: noise level; prediction: %s.",
		c.Name, levelName(c.Network), c.Diffusion.Prediction)
}

// bind makes the inputs of the file: the network joins its images first, and that
// joined one is what the file takes.
func (t *translator) bind(g *graph.Graph, in unet.Inputs, level string) error {
	x := in.Noisy
	if in.Condition != nil {
		x = nil
		for _, n := range g.Nodes() {
			if _, is := n.Op.(*graph.Concat); is && len(n.Inputs) == 2 && n.Inputs[0] == in.Condition && n.Inputs[1] == in.Noisy {
				x = n
			}
		}
		if x == nil {
			return errors.New("the network does not join condition and noisy image")
		}
	}
	images := value{name: "x", shape: x.Shape, first: true}
	t.values[x] = images
	for _, n := range g.Nodes() { // the graph has [N], of which the network makes [N, 1]
		if _, is := n.Op.(*graph.Reshape); is && n.Inputs[0] == in.Level && n.Shape.Equal(graph.Shape{x.Shape[0], 1}) {
			t.values[n] = value{name: level, shape: n.Shape}
		}
	}
	t.inputs = []port{{"x", images.dims()}, {level, []int{x.Shape[0], 1}}}
	if a := in.Augment; a != nil {
		t.values[a] = value{name: augmentName, shape: a.Shape}
		t.inputs = append(t.inputs, port{augmentName, a.Shape})
	}
	return nil
}

// finish names the result.
func (t *translator) finish(v value) {
	const name = "prediction"
	for i := range t.nodes {
		if t.nodes[i].output == v.name {
			t.nodes[i].output = name
		}
	}
	t.outputs = []port{{name, v.dims()}}
}

// moveWeights puts what is large into the second file.
func (f *file) moveWeights() {
	var at int64
	for _, t := range f.tensors {
		if t.size >= 1024 {
			t.offset = at
			at += t.size
		}
	}
}
