package kernel

import "github.com/sr3-go/sr3/internal/philox"

// Dropout sets dst[i] = x[i]*scale, or 0 where a random word is less than
// threshold: word i%4 of block counter+i/4 of the given stream under seed, as
// [philox.Stream.Uint32x4] has it. A fraction of threshold/2^32 is dropped. All
// tiers agree to the bit. dst may be x.
func Dropout(dst, x []float32, seed, stream, counter uint64, threshold uint32, scale float32) {
	same("Dropout", len(dst), len(x))
	active.dropout(dst, x, seed, stream, counter, threshold, scale)
}

func refDropout(dst, x []float32, seed, stream, counter uint64, threshold uint32, scale float32) {
	s := philox.New(seed, stream)
	for i := 0; i < len(dst); i += 4 {
		words := s.Uint32x4(counter)
		counter++
		for j := i; j < min(i+4, len(dst)); j++ {
			if words[j-i] < threshold {
				dst[j] = 0
			} else {
				dst[j] = x[j] * scale
			}
		}
	}
}
