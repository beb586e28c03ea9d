package cpu_test

import (
	"math"
	"testing"

	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/internal/philox"
)

// TestDropoutBits demands the mask of the definition to the bit over more elements
// than one work item has, on one thread and on two.
func TestDropoutBits(t *testing.T) {
	const low, high, site, n = 1<<24 - 3, 1<<24 - 5, 1<<33 + 7, 3*16384 + 1003
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(i%1001) - 499.75
	}
	set := map[string][]float32{"x": x, "seed": {low, high}}
	stream := philox.New(low+high<<24, site)
	for _, rate := range []float32{0, 0x1p-32, 0.2, math.Nextafter32(1, 0)} {
		g := graph.New()
		out := g.Dropout(g.Input("x", n), g.Input("seed", 2), rate, site)
		for threads := 1; threads <= 2; threads++ {
			got := execute(t, threads, g, set, []*graph.Node{out}, 2)[0]
			for i, v := range got {
				want := x[i] * (1 / (1 - rate))
				if float64(stream.Uint32x4(uint64(i / 4))[i%4])/(1<<32) < float64(rate) {
					want = 0
				}
				if math.Float32bits(v) != math.Float32bits(want) {
					t.Fatalf("rate %v, %d threads: element %d is %v, want %v", rate, threads, i, v, want)
				}
			}
		}
	}
}
