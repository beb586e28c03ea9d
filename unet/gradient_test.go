package unet

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/sr3-go/sr3/internal/graph"
)

// TestTrainingGradientElements checks single elements of the gradient of what
// training minimises, mean |prediction - target|^p, by every parameter, by both
// images and by the noise level: a permuted tensor can hide from a direction that
// is drawn once, but not from its elements.
func TestTrainingGradientElements(t *testing.T) {
	paper, lean, attending := smallPaper(true), smallLean(), smallLean()
	paper.Dropout = 0.2
	// Scaled by 5000, the level turns its sines too fast for finite differences.
	paper.EmbeddingScale, lean.EmbeddingScale, attending.EmbeddingScale = 8, 8, 8
	attending.NoMiddleAttention, attending.Attention, attending.Fold = false, []int{16}, 1
	for _, c := range []struct {
		name  string
		cfg   Config
		h, w  int
		power int
	}{
		{"classic", smallClassic(FamilyClassic), 4, 8, 1},
		{"ddpm", smallClassic(FamilyDDPM), 8, 4, 2},
		{"paper", paper, 4, 6, 2},
		{"lean film", lean, 8, 12, 1},
		{"lean attention", attending, 4, 6, 2},
		{"classic told", told(smallClassic(FamilyClassic)), 4, 8, 2},
		{"paper told", told(paper), 4, 6, 2},
		{"lean told", told(lean), 8, 12, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			checkElements(t, c.cfg, c.h, c.w, c.power)
		})
	}
}

// told is a network that is told how its condition was degraded.
func told(cfg Config) Config {
	cfg.AugmentLevels = 3
	return cfg
}

// checkElements compares a random element of every gradient with central
// differences in float64.
func checkElements(t *testing.T, cfg Config, h, w, power int) {
	net := newTestNet(t, cfg, 2, h, w, 2, randomWeights(t, cfg))
	loss := trainingLoss(net, power)
	wrt := append(variables(net.g), imagesAndLevel(net.g)...)
	grads := net.g.Gradients(loss, wrt)
	net.randomInputs()
	net.m.Set("level", []float64{0.8, 0.45})
	net.m.Run(append(grads, loss)...)
	values := make([][]float64, len(wrt))
	largest := 0.0 // root mean square of a tensor's gradient
	for i, n := range grads {
		values[i] = net.m.Value(n)
		largest = max(largest, rms(values[i]))
	}
	pick := rand.New(rand.NewPCG(1, 1))
	for i, n := range wrt {
		if rms(values[i]) == 0 {
			t.Errorf("the gradient by %v is zero", n)
		}
		k := pick.IntN(len(values[i]))
		want := difference(net, loss, n, k)
		if d := math.Abs(values[i][k] - want); !(d <= 1e-6*(rms(values[i])+1e-3*largest)) {
			t.Errorf("by %v, element %d: %.10g, by differences %.10g", n, k, values[i][k], want)
		}
	}
}

// trainingLoss is the mean of |out - target|^power.
func trainingLoss(net testNet, power int) *graph.Node {
	apart := net.g.Sub(net.out, net.g.Input("target", net.out.Shape...))
	if power == 1 {
		return net.g.Mean(net.g.Abs(apart))
	}
	return net.g.Mean(net.g.Square(apart))
}

// imagesAndLevel lists the inputs by which a network has a gradient.
func imagesAndLevel(g *graph.Graph) []*graph.Node {
	var list []*graph.Node
	for _, n := range g.Nodes() {
		if op, is := n.Op.(*graph.Input); is && (op.Label == "condition" || op.Label == "noisy" || op.Label == "level" || op.Label == "augment") {
			list = append(list, n)
		}
	}
	return list
}

// difference is the central difference of the loss by one element.
func difference(net testNet, loss, n *graph.Node, element int) float64 {
	label := ""
	switch op := n.Op.(type) {
	case *graph.Input:
		label = op.Label
	case *graph.Variable:
		label = op.Label
	}
	value := &net.m.Get(label)[element]
	start := *value
	at := func(h float64) float64 {
		*value = start + h
		net.m.Run(loss)
		return net.m.Value(loss)[0]
	}
	const h = 1e-5
	slope := (at(h) - at(-h)) / (2 * h)
	*value = start
	return slope
}

// rms is the root of the mean square.
func rms(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v * v
	}
	return math.Sqrt(sum / float64(len(x)))
}
