package kernel

import "unsafe"

// Size of the plain Go tile; its inner block of 4x2 sums fits the scalar
// registers of common machines.
const (
	goMR = 4
	goNR = 8
)

// at is the element i floats from p.
func at(p *float32, i int) *float32 {
	return (*float32)(unsafe.Add(unsafe.Pointer(p), i*4))
}

// offset is element s of a segment table.
func offset(p *int, s int) int {
	return *(*int)(unsafe.Add(unsafe.Pointer(p), s*int(unsafe.Sizeof(int(0)))))
}

// refTile is the specification of GemmTile as a loop.
func refTile(t *Tile) {
	for i := range t.M {
		for j := range t.N {
			var sum float32
			for s := range t.Segments {
				a, b := offset(t.AOff, s)+i*t.ARS, offset(t.BOff, s)+j
				for k := range t.K {
					sum += *at(t.A, a+k*t.AKS) * *at(t.B, b+k*t.BKS)
				}
			}
			finishElement(t, i, j, sum)
		}
	}
}

// finishElement adds bias and residual to a sum, scales and stores it.
func finishElement(t *Tile, i, j int, sum float32) {
	if t.Bias != nil {
		sum += *at(t.Bias, j)
	}
	if t.Res != nil {
		sum += *at(t.Res, i*t.LDRes+j)
	}
	if t.Scale != 0 {
		sum *= t.Scale
	}
	*at(t.C, i*t.LDC+j) = sum
}

// gemmGo is refTile with 4x2 sums at a time, which loads each element of A and
// B once for eight and four products.
func gemmGo(t *Tile) {
	if t.M == goMR {
		j := 0
		for ; j+2 <= t.N; j += 2 {
			gemmGo4x2(t, j)
		}
		if j == t.N {
			return
		}
		gemmGoRest(t, 0, j)
		return
	}
	gemmGoRest(t, 0, 0)
}

// gemmGo4x2 computes columns j and j+1 of a tile of four rows.
func gemmGo4x2(t *Tile, j int) {
	var s00, s01, s10, s11, s20, s21, s30, s31 float32
	for s := range t.Segments {
		a0 := offset(t.AOff, s)
		a1, a2, a3 := a0+t.ARS, a0+2*t.ARS, a0+3*t.ARS
		b := offset(t.BOff, s) + j
		for range t.K {
			b0, b1 := *at(t.B, b), *at(t.B, b+1)
			x := *at(t.A, a0)
			s00 += x * b0
			s01 += x * b1
			x = *at(t.A, a1)
			s10 += x * b0
			s11 += x * b1
			x = *at(t.A, a2)
			s20 += x * b0
			s21 += x * b1
			x = *at(t.A, a3)
			s30 += x * b0
			s31 += x * b1
			a0, a1, a2, a3, b = a0+t.AKS, a1+t.AKS, a2+t.AKS, a3+t.AKS, b+t.BKS
		}
	}
	finishElement(t, 0, j, s00)
	finishElement(t, 0, j+1, s01)
	finishElement(t, 1, j, s10)
	finishElement(t, 1, j+1, s11)
	finishElement(t, 2, j, s20)
	finishElement(t, 2, j+1, s21)
	finishElement(t, 3, j, s30)
	finishElement(t, 3, j+1, s31)
}

// gemmGoRest computes rows from i and columns from j one element at a time.
func gemmGoRest(t *Tile, i, j int) {
	rest := *t
	rest.C = at(t.C, i*t.LDC+j)
	rest.A = at(t.A, i*t.ARS)
	rest.B = at(t.B, j)
	if t.Bias != nil {
		rest.Bias = at(t.Bias, j)
	}
	if t.Res != nil {
		rest.Res = at(t.Res, i*t.LDRes+j)
	}
	rest.M, rest.N = t.M-i, t.N-j
	refTile(&rest)
}
