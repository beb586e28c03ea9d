package plain_test

import (
	"math"
	"testing"

	"github.com/sr3-go/sr3/internal/philox"
)

// Every element follows its own word of the stream whose seed is low + 2^24 high
// and whose number is the site.
func TestDropoutFollowsTheWords(t *testing.T) {
	const low, high, site, n = 1<<24 - 3, 1<<24 - 5, 1 << 33, 1003
	stream := philox.New(low+high<<24, site)
	b := newInputs()
	got := b.run(b.Dropout(b.Fill(1, n), b.of([]float64{low, high}, 2), 0.375, site))
	for i, v := range got {
		want := 1 / 0.625
		if word := stream.Uint32x4(uint64(i) / 4)[i%4]; word < 3<<29 { // 0.375 * 2^32
			want = 0
		}
		if math.Abs(v-want) > 1e-12 {
			t.Fatalf("element %d is %g, want %g", i, v, want)
		}
	}
}
