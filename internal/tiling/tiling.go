// Package tiling cuts a side of an image into tiles whose cores a convolutional
// network computes as it would the whole image.
package tiling

// Tile is a part of one side of an image: pixels From up to To are computed, those
// of them in Low up to High contribute. Last tells that the side ends with it.
type Tile struct {
	From, To, Low, High int
	Last                bool
}

// Cut cuts a side of n pixels into tiles that contribute core pixels each and reach
// halo pixels beyond. A side that needs no more memory than a tile stays whole. For
// [Tile.Positions], core and halo are multiples of every jump.
func Cut(n, core, halo int) []Tile {
	if n <= core+2*halo {
		return []Tile{{0, n, 0, n, true}}
	}
	var list []Tile
	for low := 0; low < n; low += core {
		high := min(low+core, n)
		list = append(list, Tile{max(low-halo, 0), min(high+halo, n), low, high, high == n})
	}
	return list
}

// Positions is the range of a layer's positions, counted within the tile, that the
// tile contributes. Position p of the layer sees the pixels around jump*p, and there
// are size of them along the whole side.
func (t Tile) Positions(jump, size int) (low, high int) {
	low, high = t.Low/jump, t.High/jump
	if t.Last {
		high = size
	}
	skip := t.From / jump
	return min(low, size) - skip, min(high, size) - skip
}
