package kernel

import (
	"math"
	"testing"
)

// halfValue is the value of a finite float16 from its definition.
func halfValue(h uint16) float64 {
	exponent, frac := int(h>>10&31), float64(h&0x3ff)
	value := math.Ldexp(1024+frac, exponent-25)
	if exponent == 0 {
		value = math.Ldexp(frac, -24)
	}
	if h&0x8000 != 0 {
		value = -value
	}
	return value
}

func TestFloat16DecodeAll(t *testing.T) {
	src := make([]uint16, 1<<16)
	for i := range src {
		src[i] = uint16(i)
	}
	want := make([]float32, len(src))
	refHalfDecode(want, src)
	for i, v := range want {
		h := uint16(i)
		switch {
		case h&0x7c00 != 0x7c00:
			if float64(v) != halfValue(h) || math.Signbit(float64(v)) != (h&0x8000 != 0) {
				t.Fatalf("%#x decodes to %v", h, v)
			}
		case h&0x3ff != 0:
			if v == v {
				t.Fatalf("%#x decodes to %v, not NaN", h, v)
			}
		default:
			if !math.IsInf(float64(v), 1-2*int(h>>15)) {
				t.Fatalf("%#x decodes to %v", h, v)
			}
		}
	}
	forEachTier(t, func(t *testing.T) {
		for _, offset := range []int{0, 1, 5, 7} {
			got := make([]float32, len(src)-offset)
			Float16Decode(got, src[offset:])
			for i := range got {
				if math.Float32bits(got[i]) != math.Float32bits(want[offset+i]) {
					t.Fatalf("%#x decodes to %#x, want %#x", src[offset+i], math.Float32bits(got[i]), math.Float32bits(want[offset+i]))
				}
			}
		}
	})
}

// TestFloat16EncodeNearest tries every float16, the midpoints to its neighbour
// and the float32 on both sides of each.
func TestFloat16EncodeNearest(t *testing.T) {
	var src []float32
	var want []uint16
	add := func(x float32, h uint16) {
		src, want = append(src, x, -x), append(want, h, h|0x8000)
	}
	for h := uint16(0); h < 0x7c00; h++ {
		value := float32(halfValue(h))
		mid := float32((halfValue(h) + halfValue(h+1)) / 2) // of 65504 too: 65520
		add(value, h)
		add(math.Nextafter32(mid, 0), h)
		add(mid, h+h&1)
		add(math.Nextafter32(mid, 1e9), h+1)
	}
	inf := float32(math.Inf(1))
	add(inf, 0x7c00)
	add(1e30, 0x7c00)
	add(1e-30, 0)
	add(math.SmallestNonzeroFloat32, 0)
	forEachTier(t, func(t *testing.T) {
		got := make([]uint16, len(src))
		Float16Encode(got, src)
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("%v encodes to %#x, want %#x", src[i], got[i], want[i])
			}
		}
	})
}

func TestFloat16EncodeAgrees(t *testing.T) {
	var src []float32
	for bits := uint64(0); bits < 1<<32; bits += 30011 {
		src = append(src, math.Float32frombits(uint32(bits)))
	}
	want := make([]uint16, len(src))
	refHalfEncode(want, src)
	forEachTier(t, func(t *testing.T) {
		got := make([]uint16, len(src))
		Float16Encode(got, src)
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("%#x encodes to %#x, want %#x", math.Float32bits(src[i]), got[i], want[i])
			}
		}
		for n := range 40 {
			dst := make([]uint16, n+1)
			dst[n] = 0xabcd
			Float16Encode(dst[:n], src[5:5+n])
			for i := range n {
				if dst[i] != want[5+i] || dst[n] != 0xabcd {
					t.Fatalf("%d elements: element %d is %#x", n, i, dst[i])
				}
			}
		}
	})
}
