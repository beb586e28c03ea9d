package main

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// emitPrefetch writes the loop that asks for cache lines ahead of their use. It is
// the same for all instruction sets.
func emitPrefetch(c *build.Context) {
	c.Function("prefetchLines")
	c.Attributes(attr.NOSPLIT)
	c.Pragma("noescape")
	c.SignatureExpr("func(p *byte, n int)")
	c.Doc("prefetchLines asks for the n bytes from p on, for the second-level cache.")
	p, n := c.Load(c.Param("p"), c.GP64()), c.Load(c.Param("n"), c.GP64())
	c.Label("line")
	c.PREFETCHT1(Mem{Base: p})
	c.ADDQ(Imm(64), p)
	c.SUBQ(Imm(64), n)
	c.JG(LabelRef("line"))
	c.RET()
}
