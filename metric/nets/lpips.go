package nets

import (
	"errors"
	"fmt"
	"math"

	"github.com/sr3-go/sr3/internal/cpu"
	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/internal/parallel"
	"github.com/sr3-go/sr3/internal/tiling"
	"github.com/sr3-go/sr3/metric"
)

// LPIPS is the learned perceptual image patch similarity, version 0.1 (Zhang et al.
// 2018, arXiv 1801.03924): a distance of features of a classifier, channels
// weighted by what people said. It may be used by several goroutines.
type LPIPS struct {
	arch  architecture
	vars  *cpu.Variables
	heads [][]float32 // for each stage, the weight of each channel
}

// LPIPSHeads names the file of channel weights that a network of LPIPS wants and
// the project that publishes it; empty for other networks.
func LPIPSHeads(kind Kind) string {
	if name, ok := lpipsFiles[kind]; ok {
		return fmt.Sprintf("lpips/weights/v0.1/%s of the project PerceptualSimilarity (github.com/richzhang/PerceptualSimilarity)", name)
	}
	return ""
}

var lpipsFiles = map[Kind]string{AlexNet: "alex.pth", VGG16: "vgg.pth"}

// LoadLPIPS reads LPIPS on AlexNet or VGG16: the network from a file that [Load] takes
// too ([Kind.Weights]), the channel weights from the file that [LPIPSHeads] names. The
// network's linear layers are not needed; Caffe's VGG16 is refused, for LPIPS is
// defined on other weights. Errors name the file and what is wrong.
func LoadLPIPS(kind Kind, weights, heads string) (*LPIPS, error) {
	if LPIPSHeads(kind) == "" {
		return nil, fmt.Errorf("nets: LPIPS on %q: it is defined on %s and %s here", kind, AlexNet, VGG16)
	}
	l, err := loadLPIPSNetwork(fullSize(kind), weights)
	if err != nil {
		return nil, fmt.Errorf("nets: load %s for LPIPS from %s: %w; wanted is %s", kind, weights, err, kind.Weights())
	}
	if err := l.loadHeads(heads); err != nil {
		return nil, fmt.Errorf("nets: load the channel weights of LPIPS on %s from %s: %w; wanted is %s", kind, heads, err, LPIPSHeads(kind))
	}
	return l, nil
}

func loadLPIPSNetwork(a architecture, path string) (*LPIPS, error) {
	w, err := readWeights(path, a.layers(true), false)
	if err != nil {
		return nil, err
	}
	w.drop("classifier.")
	l := &LPIPS{arch: a, vars: cpu.NewVariables()}
	return l, w.store(l.vars, a.layers(false))
}

func (l *LPIPS) loadHeads(path string) error {
	w, err := readWeights(path, nil, false)
	if err != nil {
		return err
	}
	_, stages := l.graph(l.arch.side(), l.arch.side())
	for i, s := range stages {
		t, err := w.find(fmt.Sprintf("lin%d.model.1.weight", i), 1, s.Shape[3], 1, 1)
		if err != nil {
			return err
		}
		head, err := t.read(0, s.Shape[3])
		if err != nil {
			return err
		}
		l.heads = append(l.heads, head)
	}
	return w.store(nil, nil)
}

// lpipsScaling takes [0, 1] to [-1, 1] and on to what LPIPS gives its networks.
func lpipsScaling() scaling {
	return standardised([3]float64{(1 - .030) / 2, (1 - .088) / 2, (1 - .188) / 2}, [3]float64{.458 / 2, .448 / 2, .450 / 2})
}

// graph is the network for an image up to its last stage.
func (l *LPIPS) graph(height, width int) (*graph.Graph, []*graph.Node) {
	b := &builder{g: graph.New(), arch: l.arch}
	return b.g, l.arch.build(b, b.input(lpipsScaling(), 1, height, width), false).stages
}

// MinSide is the shortest side in pixels of the images that Distance takes: below
// it the last stage has no position left.
func (l *LPIPS) MinSide() int {
	if l.arch.kind == AlexNet {
		return 31
	}
	return 16
}

// lpipsEpsilon is added to the length of a vector of features before the division.
const lpipsEpsilon = 1e-10

// Distance is LPIPS of two images of one size: features of the five stages are
// scaled to unit length over channels, squared differences are weighted by channel,
// averaged over positions and summed. It is 0 for equal images. Large images are
// computed in tiles, which changes nothing; memory stays below 1 GiB
// beside the images. threads below 1 means one, the result does not depend on it.
// Images that differ in size or have a side below [LPIPS.MinSide] are errors.
func (l *LPIPS) Distance(a, b metric.Image, threads int) (float64, error) {
	d, err := l.distance(a, b, max(threads, 1), lpipsCore)
	if err != nil {
		return 0, fmt.Errorf("nets: LPIPS on %s: %w", l.arch.kind, err)
	}
	return d, nil
}

func (l *LPIPS) check(a, b metric.Image) error {
	for _, m := range []metric.Image{a, b} {
		if m.Height < l.MinSide() || m.Width < l.MinSide() || m.Height > 1<<30 || m.Width > 1<<30 {
			return fmt.Errorf("an image of %dx%d pixels: both sides must have at least %d", m.Width, m.Height, l.MinSide())
		}
		if len(m.Pix)%3 != 0 || len(m.Pix)/3 != m.Height*m.Width {
			return fmt.Errorf("an image of %dx%d pixels has %d samples; it must have 3 for each pixel", m.Width, m.Height, len(m.Pix))
		}
	}
	if a.Height != b.Height || a.Width != b.Width {
		return fmt.Errorf("images of %dx%d and %dx%d pixels: they must be of one size", a.Width, a.Height, b.Width, b.Height)
	}
	return nil
}

// distance adds up tiles of the given core.
func (l *LPIPS) distance(a, b metric.Image, threads, core int) (float64, error) {
	if err := l.check(a, b); err != nil {
		return 0, err
	}
	_, whole := l.graph(a.Height, a.Width) // for its shapes
	sums := make([]float64, len(whole))
	var r lpipsRun
	defer r.close()
	for _, y := range tiling.Cut(a.Height, core, lpipsHalo) {
		for _, x := range tiling.Cut(a.Width, core, lpipsHalo) {
			if err := r.prepare(l, y.To-y.From, x.To-x.From, threads); err != nil {
				return 0, err
			}
			r.addTile(sums, whole, l, a, b, y, x, threads)
		}
	}
	total := 0.0
	for i, s := range whole {
		total += sums[i] / float64(s.Shape[1]*s.Shape[2])
	}
	if math.IsNaN(total) {
		return 0, errors.New("the features are not numbers; are these the right weights?")
	}
	return total, nil
}

// lpipsRun is the network compiled for one size of tile. One image passes after the
// other, which takes half the memory of both together.
type lpipsRun struct {
	program       *cpu.Program
	height, width int
	stages        []*graph.Node
	first         [][]float32 // the stages of the first image
}

// prepare compiles the network unless it is there for this size.
func (r *lpipsRun) prepare(l *LPIPS, height, width, threads int) error {
	if r.program != nil && r.height == height && r.width == width {
		return nil
	}
	r.close()
	g, stages := l.graph(height, width)
	p, err := cpu.Compile(g, l.vars, stages, cpu.Options{Threads: threads})
	if err != nil {
		return err
	}
	r.program, r.height, r.width, r.stages = p, height, width, stages
	r.first = make([][]float32, len(stages))
	return nil
}

func (r *lpipsRun) close() {
	if r.program != nil {
		r.program.Close()
		r.program = nil
	}
}

// addTile adds a tile's weighted differences to the sum of each stage.
func (r *lpipsRun) addTile(sums []float64, whole []*graph.Node, l *LPIPS, a, b metric.Image, y, x tiling.Tile, threads int) {
	fillTile(r.program.Input(inputLabel), a, y, x)
	r.program.Run()
	for i := range r.stages {
		r.first[i] = append(r.first[i][:0], r.program.Output(i)...)
	}
	fillTile(r.program.Input(inputLabel), b, y, x)
	r.program.Run()
	for i, s := range r.stages {
		var at region
		jump := lpipsJumps[l.arch.kind][i]
		at.top, at.bottom = y.Positions(jump, whole[i].Shape[1])
		at.left, at.right = x.Positions(jump, whole[i].Shape[2])
		sums[i] += at.weightedDifferences(r.first[i], r.program.Output(i), s.Shape, l.heads[i], threads)
	}
}

// fillTile writes a tile of an image in [0, 1].
func fillTile(dst []float32, m metric.Image, y, x tiling.Tile) {
	for row := y.From; row < y.To; row++ {
		src := m.Pix[3*(row*m.Width+x.From) : 3*(row*m.Width+x.To)]
		for i, v := range src {
			dst[i] = float32(v) / 255
		}
		dst = dst[len(src):]
	}
}

// region is a part of a stage's positions.
type region struct{ top, bottom, left, right int }

// weightedDifferences sums, over the region, the weighted squared differences of
// two images' features [1, H, W, C] at unit length.
func (r region) weightedDifferences(a, b []float32, s graph.Shape, head []float32, threads int) float64 {
	ch := s[3]
	rows := make([]float64, max(r.bottom-r.top, 0))
	parallel.For(threads, len(rows), func(y int) {
		for k := r.left; k < r.right; k++ {
			i := ((r.top+y)*s[2] + k) * ch
			rows[y] += weightedDistance(a[i:i+ch], b[i:i+ch], head)
		}
	})
	total := 0.0
	for _, v := range rows {
		total += v
	}
	return total
}

func weightedDistance(a, b, head []float32) float64 {
	scaleA, scaleB := 1/(length(a)+lpipsEpsilon), 1/(length(b)+lpipsEpsilon)
	sum := 0.0
	for i, v := range a {
		d := float64(v)*scaleA - float64(b[i])*scaleB
		sum += float64(head[i]) * d * d
	}
	return sum
}

func length(a []float32) float64 {
	sum := 0.0
	for _, v := range a {
		sum += float64(v) * float64(v)
	}
	return math.Sqrt(sum)
}
