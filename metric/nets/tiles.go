package nets

// Large images are computed in tiles, so that memory does not grow with the
// image. Position p of a stage sees the pixels around jump*p. A tile that
// reaches halo pixels beyond its core has the very features of the whole image at
// the positions of its core.
const (
	// lpipsHalo is the reach of the last stages: position p of VGG16's sees pixels
	// 16p-90 to 16p+105, of AlexNet's 16p-66 to 16p+96. It is a multiple of 16.
	lpipsHalo = 112
	// lpipsCore is how many pixels a side a tile contributes, a multiple of 16 too.
	lpipsCore = 208
)

// lpipsJumps are the distances, in pixels, of neighbouring positions of the stages.
var lpipsJumps = map[Kind][]int{AlexNet: {4, 8, 16, 16, 16}, VGG16: {1, 2, 4, 8, 16}}

// tile is a part of one side of an image: pixels from..to are computed, those of
// them in low..high contribute.
type tile struct {
	from, to, low, high int
	last                bool
}

// tiles cuts a side of n pixels. A side that needs no more memory than a tile
// stays whole.
func tiles(n, core int) []tile {
	if n <= core+2*lpipsHalo {
		return []tile{{0, n, 0, n, true}}
	}
	var list []tile
	for low := 0; low < n; low += core {
		high := min(low+core, n)
		list = append(list, tile{max(low-lpipsHalo, 0), min(high+lpipsHalo, n), low, high, high == n})
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
