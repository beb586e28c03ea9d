package unet

import (
	"github.com/sr3-go/sr3/internal/graph"
)

// reach is how far a value of some features looks: a position stands for a
// square of side scale pixels of the input and depends on pixels at most radius
// outside of it.
type reach struct{ scale, radius int }

// ReceptiveField returns a bound in pixels: when the statistics of group
// normalisation are given (Inputs.Stats), a pixel of the prediction depends on
// pixels of the input at most that many rows and columns away. With attention
// there is no bound, and ok is false. An invalid configuration is an error.
func ReceptiveField(cfg Config) (pixels int, ok bool, err error) {
	if err := cfg.Validate(); err != nil {
		return 0, false, err
	}
	m := cfg.Multiple()
	reaches := map[*graph.Node]reach{}
	nodes := trace(cfg, m, m).g.Nodes()
	for _, n := range nodes {
		if _, is := n.Op.(*graph.Attention); is {
			return 0, false, nil
		}
		if r, is := nodeReach(n, reaches); is {
			reaches[n] = r
		}
	}
	return reaches[nodes[len(nodes)-1]].radius, true, nil
}

// nodeReach follows one operation; it reports false for what carries no pixels:
// parameters, the noise level, statistics.
func nodeReach(n *graph.Node, reaches map[*graph.Node]reach) (reach, bool) {
	if op, is := n.Op.(*graph.Input); is && len(op.Dims) == 4 {
		return reach{scale: 1}, true
	}
	var r reach
	for _, in := range n.Inputs {
		if from, is := reaches[in]; is {
			r = reach{from.scale, max(r.radius, from.radius)}
		}
	}
	if r.scale == 0 {
		return r, false
	}
	switch op := n.Op.(type) {
	case *graph.GroupStats:
		return r, false
	case *graph.Conv2D:
		r.radius += op.Pad * r.scale
		r.scale *= op.Stride
	case *graph.SpaceToDepth:
		r.scale *= op.Factor
	case *graph.AvgPool:
		r.scale *= op.Factor
	case *graph.DepthToSpace:
		r = r.split(op.Factor)
	case *graph.Upsample:
		r = r.split(op.Factor)
	}
	return r, true
}

// split turns a position into factor x factor smaller ones, each of which still
// depends on all that the large one depends on.
func (r reach) split(factor int) reach {
	small := r.scale / factor
	return reach{small, r.radius + r.scale - small}
}
