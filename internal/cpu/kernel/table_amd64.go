//go:build !noasm

package kernel

import "golang.org/x/sys/cpu"

var avx2Table = &table{
	tier: TierAVX2, mr: 6, nr: 16, lanes: 8,

	add:                 addAVX2,
	sub:                 subAVX2,
	mul:                 mulAVX2,
	axpy:                axpyAVX2,
	scaleShift:          scaleShiftAVX2,
	exp:                 expAVX2,
	sigmoid:             sigmoidAVX2,
	silu:                siluAVX2,
	siluGrad:            siluGradAVX2,
	sin:                 sinAVX2,
	cos:                 cosAVX2,
	dropout:             dropoutAVX2,
	transpose:           transposeAVX2,
	sum:                 sumAVX2,
	sumSquares:          sumSquaresAVX2,
	dot:                 dotAVX2,
	max:                 maxAVX2,
	addRow:              addRowAVX2,
	mulRow:              mulRowAVX2,
	normApply:           normApplyAVX2,
	normApplySilu:       normApplySiluAVX2,
	normGradInput:       normGradInputAVX2,
	normGradInputSilu:   normGradInputSiluAVX2,
	sumRows:             sumRowsAVX2,
	moments:             momentsAVX2,
	normGradSums:        normGradSumsAVX2,
	normGradSumsSilu:    normGradSumsSiluAVX2,
	adam:                adamAVX2,
	adamEMA:             adamEMAAVX2,
	winogradInput:       winogradInputAVX2,
	winogradOutput:      winogradOutputAVX2,
	winogradOutputAdd:   winogradOutputAddAVX2,
	winogradInput2:      winogradInput2AVX2,
	winogradOutput2:     winogradOutput2AVX2,
	winogradOutputAdd2:  winogradOutputAdd2AVX2,
	winogradWeights2:    winogradWeights2AVX2,
	winogradGrad:        winogradGradAVX2,
	winogradWeights:     winogradWeightsAVX2,
	winogradWeightsGrad: winogradWeightsGradAVX2,
	prefetch:            prefetchLines,
	halfEncode:          halfEncodeAVX2,
	halfDecode:          halfDecodeAVX2,
}

var avx512Table = &table{
	tier: TierAVX512, mr: 14, nr: 32, lanes: 16,

	add:                 addAVX512,
	sub:                 subAVX512,
	mul:                 mulAVX512,
	axpy:                axpyAVX512,
	scaleShift:          scaleShiftAVX512,
	exp:                 expAVX512,
	sigmoid:             sigmoidAVX512,
	silu:                siluAVX512,
	siluGrad:            siluGradAVX512,
	sin:                 sinAVX512,
	cos:                 cosAVX512,
	dropout:             dropoutAVX512,
	transpose:           transposeAVX2,
	sum:                 sumAVX512,
	sumSquares:          sumSquaresAVX512,
	dot:                 dotAVX512,
	max:                 maxAVX512,
	addRow:              addRowAVX512,
	mulRow:              mulRowAVX512,
	normApply:           normApplyAVX512,
	normApplySilu:       normApplySiluAVX512,
	normGradInput:       normGradInputAVX512,
	normGradInputSilu:   normGradInputSiluAVX512,
	sumRows:             sumRowsAVX512,
	moments:             momentsAVX512,
	normGradSums:        normGradSumsAVX512,
	normGradSumsSilu:    normGradSumsSiluAVX512,
	adam:                adamAVX512,
	adamEMA:             adamEMAAVX512,
	winogradInput:       winogradInputAVX512,
	winogradOutput:      winogradOutputAVX512,
	winogradOutputAdd:   winogradOutputAddAVX512,
	winogradInput2:      winogradInput2AVX512,
	winogradOutput2:     winogradOutput2AVX512,
	winogradOutputAdd2:  winogradOutputAdd2AVX512,
	winogradWeights2:    winogradWeights2AVX512,
	winogradGrad:        winogradGradAVX512,
	winogradWeights:     winogradWeightsAVX512,
	winogradWeightsGrad: winogradWeightsGradAVX512,
	prefetch:            prefetchLines,
	halfEncode:          halfEncodeAVX512,
	halfDecode:          halfDecodeAVX512,
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
