package squeezenet

// Large images are computed in tiles, so that memory does not grow with the
// image. Each stage's position p sees the pixels around jump*p, where jump is 2
// after the first layer and doubles with every pooling: at most halo pixels to
// either side. So a tile that reaches halo pixels beyond its core has the very
// features of the whole image at the positions of its core.
const (
	// halo is the reach of the last stage: its position p sees pixels 16p-96 to
	// 16p+110. It is a multiple of the largest jump, 16.
	halo = 112
	// core is how many pixels a side a tile contributes, a multiple of 16 too.
	core = 512
)

// tile is a part of one side of an image: pixels from..to are computed, those of
// them in low..high contribute.
type tile struct {
	from, to, low, high int
	last                bool
}

// tiles cuts a side of n pixels. A side that needs no more memory than a tile
// stays whole.
func tiles(n, core int) []tile {
	if n <= core+2*halo {
		return []tile{{0, n, 0, n, true}}
	}
	var list []tile
	for low := 0; low < n; low += core {
		high := min(low+core, n)
		list = append(list, tile{max(low-halo, 0), min(high+halo, n), low, high, high == n})
	}
	return list
}

// positions is the range of a stage's positions, counted within the tile, that
// the tile contributes; the stage has the given jump and, in the whole image,
// size positions along this side.
func (t tile) positions(jump, size int) (low, high int) {
	low, high = t.low/jump, t.high/jump
	if t.last {
		high = size
	}
	skip := t.from / jump
	return min(low, size) - skip, min(high, size) - skip
}

// stage is where a stage's positions lie along one side of an image.
type stage struct{ jump, size int }

// stages lists the nine stages along a side of n pixels.
func stages(n int) []stage {
	s := stage{2, (n-stem().kernel)/stem().stride + 1}
	list := []stage{s}
	for _, f := range fires() {
		if f.pooled {
			s = stage{s.jump * poolStride, (s.size-poolKernel)/poolStride + 1}
		}
		list = append(list, s)
	}
	return list
}
