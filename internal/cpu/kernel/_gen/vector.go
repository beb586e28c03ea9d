package main

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

const tailMaskName = "tailMask"

// tailMask emits eight words of ones and eight of zeros: a vector read n words
// before the middle has n leading lanes set.
func tailMask(ctx *build.Context) {
	ctx.StaticGlobal(tailMaskName)
	ctx.DataAttributes(attr.RODATA | attr.NOPTR)
	for i := range 16 {
		v := U32(0)
		if i < 8 {
			v = 0xffffffff
		}
		ctx.AppendDatum(v)
	}
}

// tailMaskAt addresses byte off of the table.
func tailMaskAt(off int) Mem {
	return NewStaticMemSymbol(tailMaskName, off)
}

// NewStaticMemSymbol addresses byte off of a file-local symbol.
func NewStaticMemSymbol(name string, off int) Mem {
	return NewDataAddr(NewStaticSymbol(name), off)
}
