package cpu

import (
	"testing"

	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/internal/graph/graphtest"
)

// TestFormsOfOneVariable reads a variable as filters of shapes whose forms have the
// same size but not the same layout.
func TestFormsOfOneVariable(t *testing.T) {
	c := graphtest.Case{Name: "forms", Build: func(b *graphtest.Builder) []*graph.Node {
		x := b.Normal(2, 4, 4, 16)
		conv := func(kernel, in int, w *graph.Node) *graph.Node {
			return b.Conv2D(b.Slice(x, 3, 0, in), b.Reshape(w, kernel, kernel, in, w.Shape.Size()/(kernel*kernel*in)), nil, 1, 0)
		}
		w, thin := b.Weight(3, 3, 16, 32), b.Weight(4, 4, 16, 1)
		return []*graph.Node{
			conv(3, 16, w), conv(3, 8, w), // products for every tap
			conv(4, 16, thin), conv(2, 16, thin), // one product for all taps
			b.MatMul(b.Reshape(x, 1, 32, 16), b.Reshape(w, 1, 288, 16), false, true),
		}
	}}
	graphtest.RunCase(t, c, 1e-4, executePoisoned)
}
