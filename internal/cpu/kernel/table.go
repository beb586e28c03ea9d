package kernel

// table holds the kernels of one tier. The program has one, chosen at start;
// the matrix tile is chosen by gemmTile instead.
type table struct {
	tier   Tier
	mr, nr int // largest tile
	lanes  int // the float16 conversions take multiples of this

	add, sub, mul            func(dst, a, b []float32)
	axpy                     func(dst []float32, alpha float32, x []float32)
	scaleShift               func(dst, x []float32, scale, shift float32)
	exp, sigmoid, silu       func(dst, x []float32)
	siluGrad                 func(dst, x, g []float32)
	sin, cos                 func(dst, x []float32) (largest float32)
	dropout                  func(dst, x []float32, seed, stream, counter uint64, threshold uint32, scale float32)
	transpose                func(dst []float32, dstStride int, src []float32, srcStride, blocks int)
	sum, sumSquares          func(x []float32) float64
	dot                      func(x, y []float32) float64
	max                      func(x []float32) float32
	addRow, mulRow           func(dst, x, row []float32)
	normApply, normApplySilu func(dst, x, a, b []float32, dstSkip, xSkip int)
	normGradInput            func(dst, x, g, p, q, r []float32)
	normGradInputSilu        func(dst, x, g, a, b, p, q, r []float32)
	sumRows                  func(dst, x []float32)
	moments                  func(sum, sumsq, x []float32)
	normGradSums             func(sumG, sumGX, x, g []float32)
	normGradSumsSilu         func(sumG, sumGX, x, g, a, b []float32)
	adam                     func(p, g, m, v []float32, gscale, b1, omb1, b2, omb2, rc2, eps, step float32)
	adamEMA                  func(p, g, m, v, ema []float32, gscale, b1, omb1, b2, omb2, rc2, eps, step, decay, omd float32)
	winogradInput            winogradFunc
	winogradOutput           winogradBiasFunc
	winogradOutputAdd        winogradAddFunc
	winogradInput2           winogradFunc
	winogradOutput2          winogradBiasFunc
	winogradOutputAdd2       winogradAddFunc
	winogradWeights2         winogradFunc
	winogradGrad             winogradFunc
	winogradWeights          winogradFunc
	winogradWeightsGrad      winogradFunc
	prefetch                 func(p *byte, n int)
	halfEncode               func(dst []uint16, src []float32)
	halfDecode               func(dst []float32, src []uint16)
}

// goTable is the plain Go tier: the specification itself.
var goTable = &table{
	tier: TierGo, mr: goMR, nr: goNR, lanes: 1,

	add:                 refAdd,
	sub:                 refSub,
	mul:                 refMul,
	axpy:                refAxpy,
	scaleShift:          refScaleShift,
	exp:                 refExp,
	sigmoid:             refSigmoid,
	silu:                refSilu,
	siluGrad:            refSiluGrad,
	sin:                 refSin,
	cos:                 refCos,
	dropout:             refDropout,
	transpose:           refTranspose,
	sum:                 refSum,
	sumSquares:          refSumSquares,
	dot:                 refDot,
	max:                 refMax,
	addRow:              refAddRow,
	mulRow:              refMulRow,
	normApply:           refNormApply,
	normApplySilu:       refNormApplySilu,
	normGradInput:       refNormGradInput,
	normGradInputSilu:   refNormGradInputSilu,
	sumRows:             refSumRows,
	moments:             refMoments,
	normGradSums:        refNormGradSums,
	normGradSumsSilu:    refNormGradSumsSilu,
	adam:                refAdam,
	adamEMA:             refAdamEMA,
	winogradInput:       refWinogradInput,
	winogradOutput:      refWinogradOutput,
	winogradOutputAdd:   refWinogradOutputAdd,
	winogradInput2:      refWinogradInput2,
	winogradOutput2:     refWinogradOutput2,
	winogradOutputAdd2:  refWinogradOutputAdd2,
	winogradWeights2:    refWinogradWeights2,
	winogradGrad:        refWinogradGrad,
	winogradWeights:     refWinogradWeights,
	winogradWeightsGrad: refWinogradWeightsGrad,
	prefetch:            refPrefetch,
	halfEncode:          refHalfEncode,
	halfDecode:          refHalfDecode,
}
