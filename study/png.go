package study

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image/png"

	"github.com/sr3-go/sr3/imageio"
)

// Chunks of PNG: the end, which is always 12 bytes, and a private one that viewers
// skip, which makes files equally long.
const (
	endChunk     = "IEND"
	paddingChunk = "paDd"
	chunkFrame   = 12 // length, type and checksum
)

// plainPNG encodes the picture's 8-bit colours and nothing else: no profile, no text.
func plainPNG(img *imageio.Image) ([]byte, error) {
	var b bytes.Buffer
	if err := png.Encode(&b, img.NRGBA()); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return b.Bytes(), nil
}

// equalise pads PNG files with zeros in a chunk before the end, so that all are
// equally long: a smooth image compresses better than a photograph, and the length of
// a download would tell them apart.
func equalise(files [][]byte) error {
	longest := 0
	for _, f := range files {
		longest = max(longest, len(f))
	}
	for i, f := range files {
		end := len(f) - chunkFrame
		if end < 8 || string(f[end+4:end+8]) != endChunk {
			return fmt.Errorf("pad PNG: file %d does not end as PNG files do", i)
		}
		padding := longest - len(f)
		chunk := binary.BigEndian.AppendUint32(nil, uint32(padding))
		chunk = append(chunk, paddingChunk...)
		chunk = append(chunk, make([]byte, padding)...)
		chunk = binary.BigEndian.AppendUint32(chunk, crc32.ChecksumIEEE(chunk[4:]))
		out := make([]byte, 0, longest+chunkFrame)
		out = append(out, f[:end]...)
		out = append(out, chunk...)
		files[i] = append(out, f[end:]...)
	}
	return nil
}
