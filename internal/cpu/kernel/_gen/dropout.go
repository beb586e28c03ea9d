package main

import (
	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Philox4x32 (see internal/philox) multiplies 32 by 32 bits and takes both halves of
// the product. One counter therefore has a 64-bit lane, in whose low half each of its
// four words lies in a vector of its own; the high halves are left as they come, as
// no instruction on the way reads them.
const (
	philoxMultiplier0 = 0xD2511F53
	philoxMultiplier1 = 0xCD9E8D57
	philoxWeyl0       = 0x9E3779B9
	philoxWeyl1       = 0xBB67AE85
	philoxRounds      = 10
)

func init() {
	constants["philoxMultiplier0"] = philoxMultiplier0
	constants["philoxMultiplier1"] = philoxMultiplier1
}

// philox is what the blocks of one kernel share.
type philox struct {
	*vector
	frame    Mem            // keys of all rounds, two each, then one word more
	counters reg.VecVirtual // of the next vector of blocks
	step     Op             // what the next one is ahead
	even     reg.Register   // opmask of the low halves, AVX-512 only
}

// lowWord is the word of the frame with word 1 after the first round, which depends
// on the stream alone. A frame is an even number of words.
const lowWord = 2 * philoxRounds

// word is word i of the frame in all lanes.
func (p *philox) word(i int) reg.VecVirtual {
	r := p.new()
	p.VBROADCASTSS(p.frame.Offset(4*i), r)
	return r
}

// newPhilox fills the frame and the counters from the parameters seed, stream and
// counter. The half of the first round that has the stream for its input is the
// same for all blocks; the keys of that round stand in the frame mixed with it.
func newPhilox(v *vector, table string) *philox {
	p := &philox{vector: v, frame: v.AllocLocal(4 * (lowWord + 2)), step: NewDataAddr(NewStaticSymbol(table), v.bytes())}
	k0, k1, word := v.GP64(), v.GP64(), v.GP64()
	v.Load(v.Param("seed"), k0)
	v.MOVQ(k0, k1)
	v.SHRQ(Imm(32), k1)
	for r := 1; r < philoxRounds; r++ {
		v.LEAL(Mem{Base: k0, Disp: weylSum(philoxWeyl0, r)}, word.As32())
		v.MOVL(word.As32(), p.frame.Offset(8*r))
		v.LEAL(Mem{Base: k1, Disp: weylSum(philoxWeyl1, r)}, word.As32())
		v.MOVL(word.As32(), p.frame.Offset(8*r+4))
	}
	stream, product := v.GP64(), v.GP64()
	v.Load(v.Param("stream"), stream)
	v.MOVL(stream.As32(), product.As32())
	v.MOVL(U32(philoxMultiplier1), word.As32())
	v.IMULQ(word, product)
	v.MOVL(product.As32(), p.frame.Offset(4*lowWord))
	v.SHRQ(Imm(32), product)
	v.XORL(product.As32(), k0.As32())
	v.MOVL(k0.As32(), p.frame)
	v.SHRQ(Imm(32), stream)
	v.XORL(stream.As32(), k1.As32())
	v.MOVL(k1.As32(), p.frame.Offset(4))

	first, err := v.Param("counter").Resolve()
	if err != nil {
		panic(err)
	}
	p.counters = v.new()
	v.VPBROADCASTQ(first.Addr, p.counters)
	v.VPADDQ(NewDataAddr(NewStaticSymbol(table), 0), p.counters, p.counters)
	if v.wide() {
		bits := v.GP32()
		p.even = v.K()
		v.MOVL(U32(0x5555), bits)
		v.KMOVW(bits, p.even)
	}
	return p
}

// weylSum is r times the increment of a key, as a displacement of 32 bits.
func weylSum(weyl uint32, r int) int { return int(int32(weyl * uint32(r))) }

// counterTable emits the counters of one vector of blocks less the first, in the
// order of lanes that blocks undoes, and the distance to the next vector.
func counterTable(v *vector, name string) {
	v.StaticGlobal(name)
	v.DataAttributes(attr.RODATA | attr.NOPTR)
	n := v.lanes / 2
	for lane := range n {
		v.AppendDatum(U64(lane/2 + lane%2*n/2))
	}
	for range n {
		v.AppendDatum(U64(n))
	}
}

// blocks is the words of the next vectors of blocks, count of them, in the order
// of the stream: two vectors for each.
func (p *philox) blocks(count int) []reg.VecVirtual {
	state := make([][4]reg.VecVirtual, count)
	k0, k1 := p.word(0), p.word(1)
	for i := range state {
		state[i] = p.firstRound(k0, k1)
	}
	for r := 1; r < philoxRounds; r++ {
		k0, k1 = p.word(2*r), p.word(2*r+1)
		for i := range state {
			state[i] = p.round(state[i], k0, k1, r == philoxRounds-1)
		}
	}
	var out []reg.VecVirtual
	for _, s := range state {
		low, high := p.new(), p.new()
		p.VPUNPCKLQDQ(s[2], s[0], low)
		p.VPUNPCKHQDQ(s[2], s[0], high)
		out = append(out, low, high)
	}
	return out
}

// firstRound takes the next counters.
func (p *philox) firstRound(k0, k1 reg.VecVirtual) [4]reg.VecVirtual {
	product, c0, c2 := p.new(), p.new(), p.new()
	p.VPMULUDQ(p.constant("philoxMultiplier0"), p.counters, product)
	p.VPSRLQ(Imm(32), p.counters, c0)
	p.flip(c0, k0)
	p.VPSRLQ(Imm(32), product, c2)
	p.flip(c2, k1)
	p.VPADDQ(p.step, p.counters, p.counters)
	return [4]reg.VecVirtual{c0, p.word(lowWord), c2, product}
}

// round is one round, in place. The last one leaves words 0 and 1 in the two halves of
// element 0, words 2 and 3 in those of element 2.
func (p *philox) round(c [4]reg.VecVirtual, k0, k1 reg.VecVirtual, last bool) [4]reg.VecVirtual {
	p.VPMULUDQ(p.constant("philoxMultiplier0"), c[0], c[0])
	p.VPMULUDQ(p.constant("philoxMultiplier1"), c[2], c[2])
	if last {
		return [4]reg.VecVirtual{0: p.mixHalves(c[2], c[1], k0), 2: p.mixHalves(c[0], c[3], k1)}
	}
	p.mixHigh(c[1], c[2], k0)
	p.mixHigh(c[3], c[0], k1)
	return [4]reg.VecVirtual{c[1], c[2], c[3], c[0]}
}

// xor3 is the truth table of the exclusive or of three.
const xor3 = 0x96

// mixHigh turns c into c ^ high half of product ^ k.
func (p *philox) mixHigh(c, product, k reg.VecVirtual) {
	high := p.new()
	p.VPSRLQ(Imm(32), product, high)
	if p.wide() {
		p.VPTERNLOGD(Imm(xor3), k, high, c)
		return
	}
	p.VPXOR(k, c, c)
	p.VPXOR(high, c, c)
}

// mixHalves is c ^ high half of product ^ k in the low half and the low half of
// product in the high one.
func (p *philox) mixHalves(product, c, k reg.VecVirtual) reg.VecVirtual {
	d := p.new()
	p.VPSHUFD(Imm(0xb1), product, d)
	if p.wide() {
		p.VPTERNLOGD(Imm(xor3), k, c, p.even, d)
		return d
	}
	p.VPXOR(k, c, c)
	p.VPXOR(d, c, c)
	p.VPBLENDD(Imm(0xaa), d, c, d)
	return d
}

// dropUnless is x * scale where the word is threshold or more, and 0 elsewhere.
func (v *vector) dropUnless(x, word, threshold, scale reg.VecVirtual) reg.VecVirtual {
	if v.wide() {
		const notLess = 5
		keep := v.K()
		v.VPCMPUD(Imm(notLess), threshold, word, keep)
		v.VMULPS_Z(scale, x, keep, x)
		return x
	}
	keep := v.new()
	v.VPMAXUD(threshold, word, keep)
	v.VPCMPEQD(word, keep, keep)
	v.VMULPS(scale, x, x)
	v.VANDPS(keep, x, x)
	return x
}

// emitDropout writes the loops over several vectors of blocks, and over one of which
// the last may be ragged.
func emitDropout(v *vector) {
	table := "counters" + v.name
	counterTable(v, table)
	v.begin("dropout", "func(dst, x []float32, seed, stream, counter uint64, threshold uint32, scale float32)",
		"dst[i] = x[i]*scale, or 0 where word i of the stream from that counter on is less than threshold.")
	dst, x, n := v.base("dst"), v.base("x"), v.length("dst")
	unroll, scalar := 3, v.scalar // more blocks at a time are worth reading the scalars again
	if v.wide() {
		held := map[string]reg.VecVirtual{"threshold": v.scalar("threshold"), "scale": v.scalar("scale")}
		unroll, scalar = 4, func(name string) reg.VecVirtual { return held[name] }
	}
	v.preload("philoxMultiplier0", "philoxMultiplier1")
	p := newPhilox(v, table)
	apply := func(word reg.VecVirtual, at int, part bool) {
		y := v.dropUnless(v.load(Mem{Base: x, Disp: at}, part), word, scalar("threshold"), scalar("scale"))
		v.store(y, Mem{Base: dst, Disp: at}, part)
	}
	size := unroll * 2 * v.lanes
	v.SUBQ(U32(size), n)
	v.JL(LabelRef("manyEnd"))
	v.Label("many")
	for i, word := range p.blocks(unroll) {
		apply(word, i*v.bytes(), false)
	}
	v.ADDQ(U32(4*size), x)
	v.ADDQ(U32(4*size), dst)
	v.SUBQ(U32(size), n)
	v.JGE(LabelRef("many"))
	v.Label("manyEnd")
	v.ADDQ(U32(size), n)
	v.JZ(LabelRef("done"))

	lanes, some := v.GP64(), v.GP64()
	v.MOVQ(U64(v.lanes), lanes)
	v.Label("rest")
	for _, word := range p.blocks(1) {
		v.MOVQ(n, some)
		v.CMPQ(n, lanes)
		v.CMOVQGT(lanes, some)
		v.setMask(some)
		apply(word, 0, true)
		v.ADDQ(U32(v.bytes()), x)
		v.ADDQ(U32(v.bytes()), dst)
		v.SUBQ(U32(v.lanes), n)
		v.JLE(LabelRef("done"))
	}
	v.JMP(LabelRef("rest"))
	v.Label("done")
	v.end()
}
