package resample

import "github.com/sr3-go/sr3/internal/parallel"

// precisionBits is the number of fraction bits of 8-bit weights: 32 bits less
// 8 for the sample and 2 for weights above 1 and negative lobes. It is Pillow's.
const precisionBits = 32 - 8 - 2

// Resize8 resamples src (sh x sw x c) into dst (dh x dw x c), c from 1 to 4,
// with the fixed-point arithmetic of Pillow: weights rounded to 22 fraction
// bits, the horizontal pass rounded to 8 bits, then the vertical pass.
// threads below 1 means one. src and dst must not overlap.
// It fails when a size is not positive or a slice has another length.
func Resize8(dst, src []uint8, dh, dw, sh, sw, c int, k Kernel, threads int) error {
	if err := checkSizes(len(dst), len(src), dh, dw, sh, sw, c, 4); err != nil {
		return err
	}
	y, err := NewAxis(sh, dh, k)
	if err != nil {
		return err
	}
	x, err := NewAxis(sw, dw, k)
	if err != nil {
		return err
	}
	xFix, yFix := fixAxis(x), fixAxis(y)
	bands := (dh + bandRows - 1) / bandRows
	parallel.For(threads, bands, func(b int) {
		from, to := b*bandRows, min((b+1)*bandRows, dh)
		lo, hi := y.span(from, to)
		rows := make([]uint8, (hi-lo)*dw*c)
		for r := lo; r < hi; r++ {
			row8(rows[(r-lo)*dw*c:][:dw*c], src[r*sw*c:][:sw*c], x.Start, xFix, c)
		}
		acc := make([]int32, dw*c)
		for i := from; i < to; i++ {
			column8(dst[i*dw*c:][:dw*c], rows[(y.Start[i]-lo)*dw*c:], yFix[i], acc)
		}
	})
	return nil
}

// fixAxis rounds weights to fixed point, halves away from zero.
func fixAxis(a Axis) [][]int32 {
	fix := make([][]int32, a.Out)
	for i, w := range a.Weights {
		f := make([]int32, len(w))
		for j, v := range w {
			v = float64(v * (1 << precisionBits))
			if v < 0 {
				f[j] = int32(v - 0.5)
			} else {
				f[j] = int32(v + 0.5)
			}
		}
		fix[i] = f
	}
	return fix
}

// row8 resamples one row horizontally.
func row8(dst, src []uint8, start []int, weights [][]int32, c int) {
	const half = 1 << (precisionBits - 1)
	if c == 3 {
		for i, w := range weights {
			s := src[start[i]*3:]
			r, g, b := int32(half), int32(half), int32(half)
			for j, v := range w {
				p := s[j*3 : j*3+3 : j*3+3]
				r += v * int32(p[0])
				g += v * int32(p[1])
				b += v * int32(p[2])
			}
			d := dst[i*3 : i*3+3 : i*3+3]
			d[0], d[1], d[2] = clip8(r), clip8(g), clip8(b)
		}
		return
	}
	for i, w := range weights {
		s := src[start[i]*c:]
		for ch := range c {
			acc := int32(half)
			for j, v := range w {
				acc += v * int32(s[j*c+ch])
			}
			dst[i*c+ch] = clip8(acc)
		}
	}
}

// column8 combines consecutive rows (of len(dst) samples each) into one.
func column8(dst, rows []uint8, w []int32, acc []int32) {
	for i := range acc {
		acc[i] = 1 << (precisionBits - 1)
	}
	n := len(dst)
	for j, v := range w {
		row := rows[j*n:][:n]
		for i, s := range row {
			acc[i] += v * int32(s)
		}
	}
	for i, a := range acc {
		dst[i] = clip8(a)
	}
}

func clip8(v int32) uint8 {
	return uint8(min(max(v>>precisionBits, 0), 255))
}
