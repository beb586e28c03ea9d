package heatmap

import "math"

// levels is how many colours a map has.
const levels = 256

// colors goes from black by violet, red and orange to light yellow, in [-1, 1],
// at even distances in Oklab.
var colors = evenColors()

// oklch is a colour by lightness (0 to 1), chroma and hue (in turns).
type oklch struct{ l, c, h float64 }

// path is the curve that colours are taken from, for t from 0 to 1. Its numbers
// keep it within sRGB at nearly its full chroma.
func path(t float64) oklch {
	l := 0.06 + 0.91*t
	return oklch{l: l, c: 0.36 * l * (1 - 0.9*t*t*t), h: 0.79 + 0.51*t}
}

// lab returns lightness and the two axes of colour.
func (p oklch) lab() [3]float64 {
	sin, cos := math.Sincos(2 * math.Pi * p.h)
	return [3]float64{p.l, p.c * cos, p.c * sin}
}

// distance is that of two colours in Oklab.
func distance(a, b [3]float64) float64 {
	return math.Sqrt((a[0]-b[0])*(a[0]-b[0]) + (a[1]-b[1])*(a[1]-b[1]) + (a[2]-b[2])*(a[2]-b[2]))
}

// evenColors walks along the path and takes a colour at every 255th part of its
// length.
func evenColors() (table [levels][3]float32) {
	const pieces = 64 * levels
	length := make([]float64, pieces+1) // up to each point
	for i := 1; i <= pieces; i++ {
		length[i] = length[i-1] + distance(path(float64(i-1)/pieces).lab(), path(float64(i)/pieces).lab())
	}
	at := 0
	for k := range table {
		for want := length[pieces] * float64(k) / (levels - 1); at < pieces && length[at+1] <= want; {
			at++
		}
		for c, v := range linear(path(float64(at) / pieces).lab()) {
			table[k][c] = float32(2*encode(min(max(v, 0), 1)) - 1)
		}
	}
	return table
}

// linear converts Oklab to linear sRGB, 0 to 1 within the gamut.
func linear(lab [3]float64) [3]float64 {
	cube := func(v float64) float64 { return v * v * v }
	l := cube(lab[0] + 0.3963377774*lab[1] + 0.2158037573*lab[2])
	m := cube(lab[0] - 0.1055613458*lab[1] - 0.0638541728*lab[2])
	s := cube(lab[0] - 0.0894841775*lab[1] - 1.2914855480*lab[2])
	return [3]float64{
		4.0767416621*l - 3.3077115913*m + 0.2309699292*s,
		-1.2684380046*l + 2.6097574011*m - 0.3413193965*s,
		-0.0041960863*l - 0.7034186147*m + 1.7076147010*s,
	}
}

// encode applies sRGB's transfer function.
func encode(v float64) float64 {
	if v <= 0.0031308 {
		return 12.92 * v
	}
	return 1.055*math.Pow(v, 1/2.4) - 0.055
}
