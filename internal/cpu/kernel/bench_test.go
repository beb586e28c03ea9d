package kernel

import (
	"testing"
)

// BenchmarkElementwise measures kernels on 16384 elements (rows of 64), which
// stay in the second-level cache, in elements per nanosecond.
func BenchmarkElementwise(b *testing.B) {
	const n, width = 16384, 64
	x, y, z := make([]float32, n), make([]float32, n), make([]float32, n)
	m, v := make([]float32, n), make([]float32, n)
	h := make([]uint16, n)
	for i := range x {
		x[i], y[i] = float32(i%13)-6, float32(i%7)-3
	}
	a, s1, s2 := x[:width], make([]float32, width), make([]float32, width)
	for _, k := range []struct {
		name string
		run  func()
	}{
		{"Add", func() { Add(z, x, y) }},
		{"Axpy", func() { Axpy(z, 0, x) }},
		{"Exp", func() { Exp(z, x) }},
		{"Sin", func() { Sin(z, x) }},
		{"Cos", func() { Cos(z, x) }},
		{"Dropout", func() { Dropout(z, x, 1, 2, 3, 1<<30, 1.25) }},
		{"Transpose", func() { Transpose(z, width, x, n/width, width, n/width) }},
		{"Silu", func() { Silu(z, x) }},
		{"SiluGrad", func() { SiluGrad(z, x, y) }},
		{"Sum", func() { Sum(x) }},
		{"Dot", func() { Dot(x, y) }},
		{"Max", func() { Max(x) }},
		{"AddRow", func() { AddRow(z, x, a) }},
		{"SumRows", func() { SumRows(s1, x) }},
		{"Moments", func() { Moments(s1, s2, x) }},
		{"NormApply", func() { NormApply(z, x, a, a, false) }},
		{"NormApplySilu", func() { NormApply(z, x, a, a, true) }},
		{"NormGradSumsSilu", func() { NormGradSums(s1, s2, x, y, a, a, true) }},
		{"NormGradInputSilu", func() { NormGradInput(z, x, y, a, a, a, a, a, true) }},
		{"Adam", func() { Adam(z, x, m, v, nil, 0, 0, 0.9, 0.999, 1, 1, 1, 0) }},
		{"Float16Encode", func() { Float16Encode(h, x) }},
		{"Float16Decode", func() { Float16Decode(z, h) }},
	} {
		before := active
		for tier := TierGo; tier <= detected; tier++ {
			active = tableFor(tier)
			b.Run(k.name+"/"+tier.String(), func(b *testing.B) {
				for b.Loop() {
					k.run()
				}
				b.ReportMetric(n*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "elem/ns")
			})
		}
		active = before
	}
}
