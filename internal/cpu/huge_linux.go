package cpu

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePage is the size of the pages that are asked for.
const hugePage = 2 << 20

// useHugePages asks the kernel to back large storage with 2 MiB pages before it is
// touched. Weights are walked through once a call: with 4 KiB pages much of the
// time goes into finding them, all the more in a virtual machine, where a missing
// translation costs two walks. It is only advice: a refusal changes nothing.
func useHugePages(x []float32) {
	start := uintptr(unsafe.Pointer(unsafe.SliceData(x)))
	lead := (hugePage - start%hugePage) % hugePage / 4
	if uintptr(len(x)) < lead+hugePage/4 {
		return
	}
	whole := (uintptr(len(x)) - lead) * 4 &^ (hugePage - 1)
	_ = unix.Madvise(unsafe.Slice((*byte)(unsafe.Pointer(&x[lead])), whole), unix.MADV_HUGEPAGE)
}
