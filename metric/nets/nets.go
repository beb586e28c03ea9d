// Package nets holds the networks that published metrics are made of: Inception-v3
// for FID, KID and IS, classifiers for classification accuracy, and the
// learned perceptual distance LPIPS on AlexNet and VGG16.
//
// No weights are part of the program. [Load] and [LoadLPIPS] read the files that
// people have: PyTorch state dicts (.pth), safetensors with the same names, ONNX
// files whose initialisers kept these names, and for VGG16 the .caffemodel of its
// authors. [Kind.Weights] says which file a network wants. A file that does not fit
// in every name and shape is refused. Weights of the same network that were trained
// anew fit too and give other numbers, so figures are to be reported with the name of
// the file.
//
// Images are float32 RGB in [0, 1], sRGB-encoded; each network applies the scaling
// that it was trained with itself.
package nets

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/sr3-go/sr3/internal/cpu"
	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/metric"
)

// Kind names a network with the layout of its weights.
type Kind string

// The networks that [Load] reads.
const (
	// InceptionFID is Inception-v3 (Szegedy et al. 2015, arXiv 1512.00567) as
	// pytorch-fid has it: TensorFlow's weights of 2015-12-05 with 1008 classes,
	// average pooling that leaves its padding out of the mean, and maximum
	// pooling in the last block. Its 2048 features are those of FID.
	InceptionFID Kind = "inception-fid"
	// InceptionV3 is torchvision's Inception-v3. Its features are not those of FID.
	InceptionV3 Kind = "inception-v3"
	// ResNet50 is torchvision's ResNet-50 v1.5 (He et al. 2015, arXiv 1512.03385;
	// the 3x3 convolution of a block has its stride).
	ResNet50 Kind = "resnet50"
	// VGG16 is configuration D of Simonyan and Zisserman 2014, arXiv 1409.1556.
	VGG16 Kind = "vgg16"
	// AlexNet is torchvision's AlexNet (Krizhevsky 2014, arXiv 1404.5997).
	AlexNet Kind = "alexnet"
	// MobileNetV2 is that of Sandler et al. 2018, arXiv 1801.04381, of width 1.
	MobileNetV2 Kind = "mobilenet-v2"
)

// Kinds lists all networks.
func Kinds() []Kind {
	return []Kind{InceptionFID, InceptionV3, ResNet50, VGG16, AlexNet, MobileNetV2}
}

// Weights names the file that a network wants and the project that publishes it;
// empty for a network that is not known.
func (k Kind) Weights() string { return catalogue[k].weights }

// Side is the side in pixels of the square images that a network takes; 0 for one
// that is not known.
func (k Kind) Side() int { return catalogue[k].side }

// Features is how many features [Network.Run] gives for an image: what the
// network's last layer takes.
func (k Kind) Features() int { return catalogue[k].features }

// Classes is how many logits [Network.Run] gives for an image.
func (k Kind) Classes() int { return catalogue[k].classes }

// catalogue describes the networks at full width.
var catalogue = map[Kind]struct {
	side, features, classes int
	weights                 string
}{
	InceptionFID: {299, 2048, 1008, "pt_inception-2015-12-05-6726825d.pth from the releases of the project pytorch-fid (github.com/mseitzer/pytorch-fid)"},
	InceptionV3:  {299, 2048, 1000, "inception_v3_google-0cc3c7bd.pth (or -1a9a5a14) of the project torchvision (download.pytorch.org/models)"},
	ResNet50:     {224, 2048, 1000, "resnet50-0676ba61.pth (or -19c8e357, -11ad3fa6) of the project torchvision (download.pytorch.org/models)"},
	VGG16:        {224, 4096, 1000, "vgg16-397923af.pth of the project torchvision (download.pytorch.org/models), or VGG_ILSVRC_16_layers.caffemodel of the Visual Geometry Group, Oxford"},
	AlexNet:      {224, 4096, 1000, "alexnet-owt-7be5be79.pth (or -4df8aa71) of the project torchvision (download.pytorch.org/models)"},
	MobileNetV2:  {224, 1280, 1000, "mobilenet_v2-b0353104.pth (or -7ebf99e0) of the project torchvision (download.pytorch.org/models)"},
}

// ParseKind returns the network of a name.
func ParseKind(name string) (Kind, error) {
	if k := Kind(name); slices.Contains(Kinds(), k) {
		return k, nil
	}
	var names []string
	for _, k := range Kinds() {
		names = append(names, string(k))
	}
	return "", fmt.Errorf("nets: unknown network %q; known are %s", name, strings.Join(names, ", "))
}

// Network is a classification network with its weights. It may be used by several
// goroutines.
type Network struct {
	arch   architecture
	vars   *cpu.Variables
	scale  scaling
	biases []float32 // of the last layer

	mu   sync.Mutex
	idle map[programKey]*cpu.Program
}

// Load reads a network from a file; the description of this package says of which
// formats. Batch normalisation is folded into the convolutions. Errors name the
// file, what is wrong with it (a tensor and its shape, if it is one) and the file
// that is wanted. Reading a network and using it first takes memory for about three
// times its weights: 280 MB for ResNet-50, but 2 GB for VGG16.
func Load(kind Kind, path string) (*Network, error) {
	if _, err := ParseKind(string(kind)); err != nil {
		return nil, err
	}
	n, err := load(fullSize(kind), path)
	if err != nil {
		return nil, fmt.Errorf("nets: load %s from %s: %w; wanted is %s", kind, path, err, kind.Weights())
	}
	return n, nil
}

func load(a architecture, path string) (*Network, error) {
	layers := a.layers(true)
	w, err := readWeights(path, layers, a.kind == VGG16)
	if err != nil {
		return nil, err
	}
	n := &Network{arch: a, scale: a.scaling(), vars: cpu.NewVariables(), idle: map[programKey]*cpu.Program{}}
	if w.caffe {
		n.scale = caffeScaling()
	}
	if err := w.store(n.vars, layers); err != nil {
		return nil, err
	}
	n.biases = slices.Clone(n.vars.Get(layers[len(layers)-1].biasLabel()))
	return n, nil
}

// Kind is the network's kind.
func (n *Network) Kind() Kind { return n.arch.kind }

// Images is a batch of N images of one size: rows, columns, R, G, B, one image
// after another, in [0, 1].
type Images struct {
	N, Height, Width int
	Pix              []float32
}

func (m Images) check(side int) error {
	if m.N < 1 || m.Height != side || m.Width != side {
		return fmt.Errorf("%d images of %dx%d pixels; the network takes one or more of %dx%d: crop or resize them", m.N, m.Width, m.Height, side, side)
	}
	if size := 3 * side * side; len(m.Pix)%size != 0 || len(m.Pix)/size != m.N {
		return fmt.Errorf("%d images of %dx%d pixels have %d samples, want 3 for each pixel", m.N, m.Width, m.Height, len(m.Pix))
	}
	return nil
}

// Outputs is what a network says of N images.
type Outputs struct {
	Features []float32 // N rows of [Kind.Features]
	Logits   []float32 // N rows of [Kind.Classes], before the softmax
}

// runBatch is how many images are computed at once: memory grows with it, and
// beyond it nothing is gained.
const runBatch = 8

// Run computes features and logits of images whose sides are [Kind.Side]. The
// results for an image do not depend on threads (below 1 means one), and on the
// other images at most in rounding.
func (n *Network) Run(images Images, threads int) (Outputs, error) {
	if err := images.check(n.arch.side()); err != nil {
		return Outputs{}, fmt.Errorf("nets: %s: %w", n.arch.kind, err)
	}
	var out Outputs
	size := len(images.Pix) / images.N
	for at := 0; at < images.N; at += runBatch {
		count := min(runBatch, images.N-at)
		if err := n.run(&out, images.Pix[at*size:(at+count)*size], count, max(threads, 1)); err != nil {
			return Outputs{}, fmt.Errorf("nets: %s: %w", n.arch.kind, err)
		}
	}
	return out, nil
}

// Features is [Network.Run] for the features alone.
func (n *Network) Features(images Images, threads int) ([]float32, error) {
	out, err := n.Run(images, threads)
	return out.Features, err
}

// Logits is [Network.Run] for the logits alone.
func (n *Network) Logits(images Images, threads int) ([]float32, error) {
	out, err := n.Run(images, threads)
	return out.Logits, err
}

// WithoutBias takes the last layer's bias out of logits, in place. The inception
// score is by custom computed on such logits of [InceptionFID].
func (n *Network) WithoutBias(logits []float32) {
	for i := range logits {
		logits[i] -= n.biases[i%len(n.biases)]
	}
}

// Classify gives the probabilities of the classes for a square image of [Kind.Side]
// pixels.
func (n *Network) Classify(img metric.Image) ([]float32, error) {
	if len(img.Pix) != 3*img.Height*img.Width {
		return nil, fmt.Errorf("nets: classify: an image of %dx%d pixels has %d samples", img.Width, img.Height, len(img.Pix))
	}
	out, err := n.Logits(FromImage(img), 1)
	if err != nil {
		return nil, err
	}
	Softmax(out, len(out))
	return out, nil
}

// Softmax turns rows of logits of this many classes into probabilities, in place.
func Softmax(logits []float32, classes int) {
	for row := range slices.Chunk(logits, classes) {
		top, sum := float64(slices.Max(row)), 0.0
		for _, v := range row {
			sum += math.Exp(float64(v) - top)
		}
		for i, v := range row {
			row[i] = float32(math.Exp(float64(v)-top) / sum)
		}
	}
}

// programKey says what a program was compiled for.
type programKey struct{ images, threads int }

// run appends the outputs of a few images.
func (n *Network) run(out *Outputs, pix []float32, count, threads int) error {
	p, err := n.program(programKey{count, threads})
	if err != nil {
		return err
	}
	copy(p.Input(inputLabel), pix)
	p.Run()
	out.Features = append(out.Features, p.Output(0)...)
	out.Logits = append(out.Logits, p.Output(1)...)
	n.giveBack(programKey{count, threads}, p)
	return nil
}

// program takes an idle program or compiles one.
func (n *Network) program(key programKey) (*cpu.Program, error) {
	n.mu.Lock()
	p := n.idle[key]
	delete(n.idle, key)
	n.mu.Unlock()
	if p != nil {
		return p, nil
	}
	b := &builder{g: graph.New(), arch: n.arch}
	side := n.arch.side()
	nodes := n.arch.build(b, b.input(n.scale, key.images, side, side), true)
	return cpu.Compile(b.g, n.vars, []*graph.Node{nodes.features, nodes.logits}, cpu.Options{Threads: key.threads})
}

// giveBack keeps one program for whole batches and one for what is left over.
func (n *Network) giveBack(key programKey, p *cpu.Program) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for other, idle := range n.idle {
		if (other.images == runBatch) == (key.images == runBatch) {
			idle.Close()
			delete(n.idle, other)
		}
	}
	n.idle[key] = p
}
