// Package squeezenet measures how far an image is from the truth in the eyes of
// a classification network, SqueezeNet 1.1 (Iandola et al. 2016, arXiv
// 1602.07360, in its authors' version 1.1), and classifies images with it.
//
// The measure is called "SqueezeNet 1.1 feature distance" and is to be reported
// under this name. Its form is that of perceptual distances (Zhang et al. 2018,
// arXiv 1801.03924, equation 1) without learnt weights; its numbers are
// comparable with nothing but itself, computed with the same weights. Sets of
// images are compared by the Frechet distance of [Network.Positions].
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
	"github.com/sr3-go/sr3/internal/netfile"
	"github.com/sr3-go/sr3/internal/parallel"
	"github.com/sr3-go/sr3/internal/tiling"
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
	m, err := netfile.ParseONNX(data)
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
// symmetric. It needs about 450 bytes of memory a pixel, and beside the images
// less than 1 GiB however large they are.
// threads below 1 means one; the result does not depend on it. Images that
// differ in size or have a side below [MinSide] are errors.
func (n *Network) Distance(a, b metric.Image, threads int) (float64, error) {
	if err := checkPair(a, b); err != nil {
		return 0, fmt.Errorf("squeezenet: distance: %w", err)
	}
	d, err := n.distance(a, b, threads, core)
	if err != nil {
		return 0, fmt.Errorf("squeezenet: distance: %w", err)
	}
	return d, nil
}

// distance adds up tiles of the given core.
func (n *Network) distance(a, b metric.Image, threads, core int) (float64, error) {
	high, wide := stages(a.Height), stages(a.Width)
	sums := make([]float64, len(high))
	for _, y := range tiling.Cut(a.Height, core, halo) {
		for _, x := range tiling.Cut(a.Width, core, halo) {
			if err := n.addTile(sums, a, b, y, x, threads); err != nil {
				return 0, err
			}
		}
	}
	total := 0.0
	for i, sum := range sums {
		total += sum / float64(high[i].size*wide[i].size)
	}
	return total, nil
}

// addTile adds a tile's squared differences to the sum of each stage.
func (n *Network) addTile(sums []float64, a, b metric.Image, y, x tiling.Tile, threads int) error {
	g := graph.New()
	outputs := features(g, g.Input("images", 2, y.To-y.From, x.To-x.From, 3))
	p, err := cpu.Compile(g, n.vars, outputs, cpu.Options{Threads: max(threads, 1)})
	if err != nil {
		return err
	}
	defer p.Close()
	in := p.Input("images")
	fill(in[:len(in)/2], a, y, x)
	fill(in[len(in)/2:], b, y, x)
	p.Run()
	high, wide := stages(a.Height), stages(a.Width)
	for i, out := range outputs {
		var r region
		r.top, r.bottom = y.Positions(high[i].jump, high[i].size)
		r.left, r.right = x.Positions(wide[i].jump, wide[i].size)
		sums[i] += r.squaredDifferences(p.Output(i), out.Shape, threads)
	}
	return nil
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
	fill(p.Input("image"), img, tiling.Cut(img.Height, core, halo)[0], tiling.Cut(img.Width, core, halo)[0])
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
	}
	return nil
}

// fill writes a tile of an image as the network takes it: B, G, R minus the mean
// of the training images.
func fill(dst []float32, m metric.Image, y, x tiling.Tile) {
	for row := y.From; row < y.To; row++ {
		src := m.Pix[3*(row*m.Width+x.From) : 3*(row*m.Width+x.To)]
		for i := 0; i < len(src); i += 3 {
			dst[i] = float32(src[i+2]) - 103.939
			dst[i+1] = float32(src[i+1]) - 116.779
			dst[i+2] = float32(src[i]) - 123.68
		}
		dst = dst[len(src):]
	}
}

// region is a part of a stage's positions.
type region struct{ top, bottom, left, right int }

// squaredDifferences sums, over the region, the squared differences of the two
// images' features x [2, H, W, C] at unit length.
func (r region) squaredDifferences(x []float32, s graph.Shape, threads int) float64 {
	half, ch := len(x)/2, s[3]
	rows := make([]float64, max(r.bottom-r.top, 0))
	parallel.For(threads, len(rows), func(y int) {
		for k := r.left; k < r.right; k++ {
			i := ((r.top+y)*s[2] + k) * ch
			rows[y] += unitDistance(x[i:i+ch], x[half+i:half+i+ch])
		}
	})
	total := 0.0
	for _, v := range rows {
		total += v
	}
	return total
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
