package netfile

import (
	"encoding/binary"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sr3-go/sr3/checkpoint"
)

const bytesType = protowire.BytesType

// decodeFloats reads size little-endian numbers of 2, 4 or 8 bytes.
func decodeFloats(raw []byte, width, size int) ([]float32, error) {
	if len(raw)%width != 0 || len(raw)/width != size {
		return nil, fmt.Errorf("%d bytes, want %d", len(raw), width*size)
	}
	out := make([]float32, size)
	for i := range out {
		switch at := raw[width*i:]; width {
		case 2:
			out[i] = checkpoint.HalfToFloat32(binary.LittleEndian.Uint16(at))
		case 4:
			out[i] = math.Float32frombits(binary.LittleEndian.Uint32(at))
		case 8:
			out[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(at)))
		}
		if v := float64(out[i]); math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("element %d is %v; the file is damaged", i, v)
		}
	}
	return out, nil
}
