package kernel

import "unsafe"

// Prefetch asks for x to be brought into the second-level cache. It changes nothing
// but the time that reading x takes, if there is other work in between.
func Prefetch[T float32 | uint16](x []T) {
	if len(x) > 0 {
		active.prefetch((*byte)(unsafe.Pointer(&x[0])), len(x)*int(unsafe.Sizeof(x[0])))
	}
}

func refPrefetch(*byte, int) {}
