package kernel

import (
	"fmt"
	"testing"
)

// BenchmarkGemmTile measures whole tiles of a 3x3 convolution with 128 input
// channels: nine segments, B packed and in the second-level cache.
func BenchmarkGemmTile(b *testing.B) {
	before := active
	defer func() { active = before }()
	for tier := TierGo; tier <= detected; tier++ {
		active = tableFor(tier)
		for _, size := range [][2]int{{MR(), NR()}, {MR(), NR() / 2}, {MR() / 2, NR()}, {MR(), NR() - 3}, {1, NR()}} {
			b.Run(fmt.Sprintf("%s/%dx%d", tier, size[0], size[1]), func(b *testing.B) {
				benchTile(b, size[0], size[1], 128, 9)
			})
		}
		for _, k := range []int{32, 64, 256, 512, 1024} {
			b.Run(fmt.Sprintf("%s/%dx%d/channels=%d", tier, MR(), NR(), k), func(b *testing.B) {
				benchTile(b, MR(), NR(), k, 9)
			})
		}
		b.Run(fmt.Sprintf("%s/%dx%dx%d", tier, MR(), NR(), 9), func(b *testing.B) {
			benchTile(b, MR(), NR(), 3, 9)
		})
	}
}

func benchTile(b *testing.B, m, n, k, segments int) {
	a := make([]float32, (m+2)*k*3*3+64)
	w := make([]float32, segments*k*NR()+64)
	c := make([]float32, m*NR()+64)
	for i := range a {
		a[i] = float32(i%7) - 3
	}
	for i := range w {
		w[i] = float32(i%5) - 2
	}
	aoff, boff := make([]int, segments), make([]int, segments)
	for s := range segments {
		aoff[s] = (s/3)*(m+2)*k + (s%3)*k
		boff[s] = s * k * NR()
	}
	t := Tile{C: &c[0], LDC: NR(), A: &a[0], ARS: k, AKS: 1, B: &w[0], BKS: NR(),
		AOff: &aoff[0], BOff: &boff[0], Segments: segments, K: k, M: m, N: n}
	for b.Loop() {
		GemmTile(&t)
	}
	flops := 2 * float64(m*n*k*segments)
	b.ReportMetric(flops*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}
