package squeezenet

import (
	"fmt"

	"github.com/sr3-go/sr3/internal/cpu"
	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/internal/tiling"
	"github.com/sr3-go/sr3/metric"
	"github.com/sr3-go/sr3/metric/distribution"
)

// positionStage is the index of the sixth stage, the output of the module fire6.
const positionStage = 5

// Positions gives the features of an image at the sixth of the nine stages of
// [Network.Distance], at unit length as there: one vector of 384 numbers for
// every position, row by row; positions are 16 pixels apart.
//
// Of two sets of images, each gathered in a [distribution.Gaussian], the
// [distribution.Gaussian.FrechetDistance] is the "SqueezeNet 1.1 position Frechet
// distance", from 0 to about 2. It is the arithmetic of the FID on other vectors, of
// another network and with many to an image, so it is no FID and compares only
// with itself. Large images count more than small ones.
//
// threads and the image's smallest side are as in [Network.Distance].
func (n *Network) Positions(img metric.Image, threads int) (distribution.Matrix[float32], error) {
	err := checkPair(img, img)
	var m distribution.Matrix[float32]
	if err == nil {
		m, err = n.positions(img, threads, core)
	}
	if err != nil {
		return m, fmt.Errorf("squeezenet: positions: %w", err)
	}
	return m, nil
}

// positions gathers the vectors of tiles of the given core.
func (n *Network) positions(img metric.Image, threads, core int) (distribution.Matrix[float32], error) {
	high, wide := stages(img.Height)[positionStage], stages(img.Width)[positionStage]
	m := distribution.Matrix[float32]{N: high.size * wide.size, D: positionFeatures()}
	m.Values = make([]float32, m.N*m.D)
	for _, y := range tiling.Cut(img.Height, core, halo) {
		for _, x := range tiling.Cut(img.Width, core, halo) {
			var to region
			to.top, to.bottom = y.Positions(high.jump, high.size)
			to.left, to.right = x.Positions(wide.jump, wide.size)
			offset := (y.From/high.jump)*wide.size + x.From/wide.jump
			if err := n.tilePositions(m.Values[offset*m.D:], wide.size*m.D, img, y, x, to, threads); err != nil {
				return distribution.Matrix[float32]{}, err
			}
		}
	}
	return m, nil
}

// positionFeatures is the number of features of the sixth stage.
func positionFeatures() int { return 2 * fires()[positionStage-1].expand3.outChannels }

// tilePositions writes the vectors that a tile contributes. dst begins at the
// tile's first position; its rows are stride numbers apart.
func (n *Network) tilePositions(dst []float32, stride int, img metric.Image, y, x tiling.Tile, r region, threads int) error {
	g := graph.New()
	out := features(g, g.Input("image", 1, y.To-y.From, x.To-x.From, 3))[positionStage]
	p, err := cpu.Compile(g, n.vars, []*graph.Node{out}, cpu.Options{Threads: max(threads, 1)})
	if err != nil {
		return err
	}
	defer p.Close()
	fill(p.Input("image"), img, y, x)
	p.Run()
	src, d := p.Output(0), out.Shape[3]
	for row := r.top; row < r.bottom; row++ {
		for k := r.left; k < r.right; k++ {
			i := (row*out.Shape[2] + k) * d
			unit(dst[row*stride+k*d:][:d], src[i:i+d])
		}
	}
	return nil
}

// unit writes a vector at unit length, zeros as zeros.
func unit(dst, src []float32) {
	scale := unitScale(src)
	for i, v := range src {
		dst[i] = float32(float64(v) * scale)
	}
}
