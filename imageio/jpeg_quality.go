package imageio

import "encoding/binary"

// luminanceTable is the quantisation table for luminance of ITU-T T.81, table K.1, in zigzag order: what quality 50
// means.
var luminanceTable = [64]int{
	16, 11, 12, 14, 12, 10, 16, 14, 13, 14, 18, 17, 16, 19, 24, 40,
	26, 24, 22, 22, 24, 49, 35, 37, 29, 40, 58, 51, 61, 60, 57, 51,
	56, 55, 64, 72, 92, 78, 64, 68, 87, 69, 55, 56, 80, 109, 81, 87,
	95, 98, 103, 104, 103, 62, 77, 113, 121, 112, 100, 120, 92, 101, 103, 99,
}

// jpegQuality returns the quality, 1 to 100, whose table is nearest to that for luminance (number 0) in a segment of
// quantisation tables; 0 if the segment does not have it.
func jpegQuality(segment []byte) int {
	for len(segment) > 0 {
		number, wide := segment[0]&15, segment[0]>>4 != 0
		size := 64
		if wide {
			size = 128
		}
		if len(segment) < 1+size {
			return 0
		}
		if number == 0 {
			return nearestQuality(segment[1:1+size], wide)
		}
		segment = segment[1+size:]
	}
	return 0
}

// nearestQuality compares a table of 64 elements of one byte, or two if wide, with those of all qualities.
func nearestQuality(table []byte, wide bool) int {
	best, nearest := 0, 0
	for quality := 100; quality > 0; quality-- {
		distance := 0
		for i := range luminanceTable {
			var v int
			if wide {
				v = int(binary.BigEndian.Uint16(table[2*i:]))
			} else {
				v = int(table[i])
			}
			d := v - scaledStep(luminanceTable[i], quality)
			distance += max(d, -d)
		}
		if best == 0 || distance < nearest {
			best, nearest = quality, distance
		}
	}
	return best
}

// scaledStep is a step of the table for a quality, as the encoder of the Independent JPEG Group scales it and others do
// after it.
func scaledStep(step, quality int) int {
	percent := 200 - 2*quality
	if quality < 50 {
		percent = 5000 / quality
	}
	return min(max((step*percent+50)/100, 1), 255)
}
