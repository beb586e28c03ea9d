// Package squeezenet measures how far an image is from the truth in the eyes of
// a classification network, SqueezeNet 1.1 (Iandola et al. 2016, arXiv
// 1602.07360, in its authors' version 1.1), and classifies images with it.
//
// The measure is called "SqueezeNet 1.1 feature distance" and is to be reported
// under this name. Its form is that of perceptual distances (Zhang et al. 2018,
// arXiv 1801.03924, equation 1) without learnt weights; its numbers are
// comparable with nothing but itself, computed with the same weights.
//
// No weights are part of the program. [Load] reads them from an ONNX file that
// was converted from the authors' Caffe model. Such a network takes B, G, R of
// 0..255 minus (103.939, 116.779, 123.68); the file does not say so, and a file
// with weights for other inputs loads and gives meaningless numbers.
package squeezenet

import (
	"fmt"
	"io"
	"math"
	"os"

	"github.com/sr3-go/sr3/internal/cpu"
	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/internal/parallel"
	"github.com/sr3-go/sr3/metric"
)

const (
	// Classes is the number of classes of [Network.Classify].
	Classes = 1000
	// ClassifySide is the side in pixels of the images that it takes.
	ClassifySide = 224
	// MinSide is the shortest side in pixels that [Network.Distance] takes: below
	// it the last stages have no position left.
	MinSide = 31
	// MaxPixels is the largest area that [Network.Distance] takes; it bounds the
	// memory to about 2 GiB.
	MaxPixels = 4 << 20
)

// maxFile bounds the file: in float32 the network has 4.9 MB of weights.
const maxFile = 32 << 20

// Network is SqueezeNet 1.1 with its weights. It may be used by several
// goroutines.
type Network struct{ vars *cpu.Variables }

// Load reads the network from an ONNX file with weights in float16 or float32.
// It finds the layers by following the graph from its input, so names and order
// do not matter; it refuses every network but SqueezeNet 1.1. Errors name the
// file and what is wrong with it.
func Load(path string) (*Network, error) {
	n, err := load(path)
	if err != nil {
		return nil, fmt.Errorf("squeezenet: load %s: %w", path, err)
	}
	return n, nil
}

func load(path string) (*Network, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("larger than %d MiB; the ONNX file of SqueezeNet 1.1 has 3 to 5", maxFile>>20)
	}
	return parse(data)
}

// parse makes the network of an ONNX file's bytes.
func parse(data []byte) (*Network, error) {
	m, err := parseONNX(data)
	if err != nil {
		return nil, err
	}
	vars, err := trace(m)
	if err != nil {
		return nil, fmt.Errorf("not SqueezeNet 1.1 from Caffe: %w", err)
	}
	return &Network{vars}, nil
}

// Distance is the SqueezeNet 1.1 feature distance of two images of one size: the
// features after the first ReLU and after each of the eight fire modules are
// scaled to unit length over channels at every position (zeros stay zeros); the
// squared differences are summed over channels, averaged over positions and
// summed over the nine stages. It is 0 for equal images, at most 18 and
// symmetric. It needs about 500 bytes of memory a pixel.
// threads below 1 means one; the result does not depend on it. Images that
// differ in size, have a side below [MinSide] or more than [MaxPixels] are errors.
func (n *Network) Distance(a, b metric.Image, threads int) (float64, error) {
	if err := checkPair(a, b); err != nil {
		return 0, fmt.Errorf("squeezenet: distance: %w", err)
	}
	g := graph.New()
	stages := features(g, g.Input("images", 2, a.Height, a.Width, 3))
	p, err := cpu.Compile(g, n.vars, stages, cpu.Options{Threads: max(threads, 1)})
	if err != nil {
		return 0, fmt.Errorf("squeezenet: distance: %w", err)
	}
	defer p.Close()
	in := p.Input("images")
	fill(in[:len(in)/2], a)
	fill(in[len(in)/2:], b)
	p.Run()
	total := 0.0
	for i, s := range stages {
		total += stageDistance(p.Output(i), s.Shape, threads)
	}
	return total, nil
}

// Classify gives the probabilities of the 1000 ImageNet classes, in the order of
// their WordNet identifiers, for an image of 224x224 pixels.
func (n *Network) Classify(img metric.Image) ([]float32, error) {
	if err := check(img); err != nil {
		return nil, fmt.Errorf("squeezenet: classify: %w", err)
	}
	if img.Width != ClassifySide || img.Height != ClassifySide {
		return nil, fmt.Errorf("squeezenet: classify: the image has %dx%d pixels; crop or resize it to %dx%d",
			img.Width, img.Height, ClassifySide, ClassifySide)
	}
	g := graph.New()
	out := probabilities(g, g.Input("image", 1, img.Height, img.Width, 3))
	p, err := cpu.Compile(g, n.vars, []*graph.Node{out}, cpu.Options{Threads: 1})
	if err != nil {
		return nil, fmt.Errorf("squeezenet: classify: %w", err)
	}
	defer p.Close()
	fill(p.Input("image"), img)
	p.Run()
	return append([]float32{}, p.Output(0)...), nil
}

func check(m metric.Image) error {
	if m.Height < 1 || m.Width < 1 || m.Height > 1<<30 || m.Width > 1<<30 ||
		len(m.Pix)%3 != 0 || len(m.Pix)/3 != m.Height*m.Width {
		return fmt.Errorf("an image of %dx%d pixels has %d samples; it must have 3 for each pixel", m.Width, m.Height, len(m.Pix))
	}
	return nil
}

func checkPair(a, b metric.Image) error {
	if err := check(a); err != nil {
		return err
	}
	if err := check(b); err != nil {
		return err
	}
	switch {
	case a.Width != b.Width || a.Height != b.Height:
		return fmt.Errorf("images of %dx%d and %dx%d pixels: they must be of one size", a.Width, a.Height, b.Width, b.Height)
	case min(a.Width, a.Height) < MinSide:
		return fmt.Errorf("images of %dx%d pixels: both sides must have at least %d", a.Width, a.Height, MinSide)
	case a.Width*a.Height > MaxPixels:
		return fmt.Errorf("images of %dx%d pixels: more than %d megapixels; compare crops", a.Width, a.Height, MaxPixels>>20)
	}
	return nil
}

// fill writes an image as the network takes it: B, G, R minus the mean of the
// training images.
func fill(dst []float32, m metric.Image) {
	for i := 0; i < len(dst); i += 3 {
		dst[i] = float32(m.Pix[i+2]) - 103.939
		dst[i+1] = float32(m.Pix[i+1]) - 116.779
		dst[i+2] = float32(m.Pix[i]) - 123.68
	}
}

// stageDistance is one stage's term of the distance between the two images in x,
// of shape s = [2, H, W, C].
func stageDistance(x []float32, s graph.Shape, threads int) float64 {
	half, width, ch := len(x)/2, s[2]*s[3], s[3]
	rows := make([]float64, s[1])
	parallel.For(threads, len(rows), func(y int) {
		for i := y * width; i < (y+1)*width; i += ch {
			rows[y] += unitDistance(x[i:i+ch], x[half+i:half+i+ch])
		}
	})
	total := 0.0
	for _, r := range rows {
		total += r
	}
	return total / float64(s[1]*s[2])
}

// unitDistance is the squared distance of two vectors scaled to unit length.
func unitDistance(a, b []float32) float64 {
	scaleA, scaleB := unitScale(a), unitScale(b)
	sum := 0.0
	for i, v := range a {
		d := float64(v)*scaleA - float64(b[i])*scaleB
		sum += d * d
	}
	return sum
}

// unitScale is the reciprocal length of a vector, 0 for zeros.
func unitScale(a []float32) float64 {
	sum := 0.0
	for _, v := range a {
		sum += float64(v) * float64(v)
	}
	if sum == 0 {
		return 0
	}
	return 1 / math.Sqrt(sum)
}
