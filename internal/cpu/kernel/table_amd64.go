//go:build !noasm

package kernel

import "golang.org/x/sys/cpu"

var avx2Table = &table{
	tier: TierAVX2, mr: 6, nr: 16,
}

var avx512Table = &table{
	tier: TierAVX512, mr: 14, nr: 32,
}

// detect asks the processor. AVX2 is taken together with FMA and F16C, which
// every processor that has it also has.
func detect() Tier {
	x := &cpu.X86
	switch {
	case !(x.HasAVX2 && x.HasFMA):
		return TierGo
	case x.HasAVX512F && x.HasAVX512VL && x.HasAVX512BW && x.HasAVX512DQ:
		return TierAVX512
	default:
		return TierAVX2
	}
}

func tableFor(t Tier) *table {
	switch t {
	case TierAVX512:
		return avx512Table
	case TierAVX2:
		return avx2Table
	default:
		return goTable
	}
}

// gemmTile runs t in the given tier.
func gemmTile(tier Tier, t *Tile) {
	switch tier {
	case TierAVX512:
		gemmAVX512(t)
	case TierAVX2:
		gemmAVX2(t)
	default:
		gemmGo(t)
	}
}
