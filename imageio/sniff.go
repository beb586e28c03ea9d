package imageio

import (
	"bytes"
	"errors"
	"fmt"
	"image/jpeg"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
)

// sniff finds the format of data from its first bytes.
func sniff(data []byte) (string, error) {
	starts := func(s string) bool { return bytes.HasPrefix(data, []byte(s)) }
	at := func(offset int, s string) bool {
		return len(data) >= offset && bytes.HasPrefix(data[offset:], []byte(s))
	}
	switch {
	case starts(pngSignature):
		return "png", nil
	case starts("\xff\xd8\xff"):
		return "jpeg", nil
	case starts("RIFF") && at(8, "WEBP"):
		return "webp", nil
	case starts("II*\x00"), starts("MM\x00*"):
		return "tiff", nil
	case starts("BM"):
		return "bmp", nil
	case starts("GIF87a"), starts("GIF89a"):
		return "gif", nil
	case len(data) == 0:
		return "", fmt.Errorf("%w: there is no data", ErrUnknownFormat)
	}
	for _, other := range []struct {
		offset     int
		mark, name string
	}{
		{4, "ftypheic", "HEIC"}, {4, "ftypheix", "HEIC"}, {4, "ftypmif1", "HEIF"}, {4, "ftypavif", "AVIF"},
		{0, "\xff\x0a", "JPEG XL"}, {4, "JXL \r\n", "JPEG XL"}, {4, "jP  \r\n", "JPEG 2000"},
		{0, "8BPS", "Photoshop"}, {0, "%PDF", "PDF"}, {0, "II+\x00", "BigTIFF"}, {0, "MM\x00+", "BigTIFF"},
		{0, "version https://git-lfs", "Git LFS pointer"},
	} {
		if at(other.offset, other.mark) {
			return "", fmt.Errorf("%w: this is a %s file; convert it to PNG, JPEG, WebP or TIFF first", ErrUnsupported, other.name)
		}
	}
	return "", fmt.Errorf("%w: read are PNG, JPEG, WebP, TIFF, BMP and GIF", ErrUnknownFormat)
}

// isUnsupported recognises the errors by which decoders refuse a variant.
func isUnsupported(err error) bool {
	var j jpeg.UnsupportedError
	var t tiff.UnsupportedError
	return errors.As(err, &j) || errors.As(err, &t) || errors.Is(err, bmp.ErrUnsupported)
}
