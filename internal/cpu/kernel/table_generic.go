//go:build !amd64 || noasm

package kernel

func detect() Tier { return TierGo }

func tableFor(Tier) *table { return goTable }

func gemmTile(_ Tier, t *Tile) { gemmGo(t) }
