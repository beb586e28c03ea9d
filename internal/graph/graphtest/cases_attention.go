package graphtest

import (
	"math"

	"github.com/sr3-go/sr3/internal/graph"
)

// attentionCases have fewer pixels than a block of an executor that works in
// blocks, and several blocks of them.
func attentionCases() []Case {
	sizes := [][3]int{ // images, pixels, channels
		{1, 1, 1}, {2, 3, 5}, {1, 17, 3}, {3, 16, 17}, {2, 33, 16}, {1, 64, 33}, {1, 15, 100}, {2, 100, 8},
		{1, 256, 6}, {1, 257, 3}, {2, 300, 2}, {1, 600, 4},
	}
	var cases []Case
	for _, s := range sizes {
		scale := float32(1 / math.Sqrt(float64(s[2])))
		cases = append(cases, one(func(b *Builder) *graph.Node {
			return b.Attention(b.Normal(s[0], s[1], 3*s[2]), scale)
		}, "attention/%s", name(s[:])))
	}
	return append(cases,
		// Weights close to 0 and 1: maxima change from block to block.
		one(func(b *Builder) *graph.Node { return b.Attention(b.Normal(1, 530, 3*4), 4) }, "attention/steep"),
		flat(one(func(b *Builder) *graph.Node { return b.Attention(b.Given(ramp(600, false), 1, 600, 3), 1) }, "attention/rising")),
		flat(one(func(b *Builder) *graph.Node { return b.Attention(b.Given(ramp(600, true), 1, 600, 3), 1) }, "attention/falling")),
		Case{Name: "attention/shared", Build: func(b *Builder) []*graph.Node {
			qkv := b.Scale(b.Normal(2, 18, 3*4), 0.5)
			y := b.Attention(qkv, 0.5)
			return []*graph.Node{y, b.Mul(y, b.Slice(qkv, 2, 0, 4)), b.Attention(b.Concat(2, y, y, y), 1)}
		}},
	)
}

// ramp is, for pixels of one channel, queries and keys that go from 0 to 30, whose
// products overflow e^x, and values between -1 and 1. The keys may fall instead.
func ramp(pixels int, falling bool) []float32 {
	var x []float32
	for i := range pixels {
		query := 30 * float32(i+1) / float32(pixels)
		key := query
		if falling {
			key = 30 - query
		}
		x = append(x, query, key, float32(math.Sin(float64(i))))
	}
	return x
}
