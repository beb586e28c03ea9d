package kernel

// Transpose sets dst[j*dstStride+i] = src[i*srcStride+j] for i < rows, j < cols,
// where cols is at most srcStride and rows at most dstStride. dst and src do not
// overlap.
func Transpose(dst []float32, dstStride int, src []float32, srcStride, rows, cols int) {
	if rows <= 0 || cols <= 0 {
		return
	}
	if rows > dstStride || cols > srcStride {
		panic("kernel: Transpose: rows longer than their distance")
	}
	dst, src = dst[:(cols-1)*dstStride+rows], src[:(rows-1)*srcStride+cols]
	strips, blocks := rows/8, cols/8
	for i := 0; i < 8*strips && blocks > 0; i += 8 {
		active.transpose(dst[i:], dstStride, src[i*srcStride:], srcStride, blocks)
	}
	for i := range rows {
		first := 0
		if i < 8*strips {
			first = 8 * blocks
		}
		for j := first; j < cols; j++ {
			dst[j*dstStride+i] = src[i*srcStride+j]
		}
	}
}
