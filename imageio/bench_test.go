package imageio_test

import (
	"bytes"
	"testing"

	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/resample"
)

// photo returns a photograph enlarged to 1024x1024.
func photo(b *testing.B) *imageio.Image {
	src := mustDecode(b, mustRead(b, "../resample/testdata/astronaut_hr.png"), "astronaut")
	m := imageio.New(1024, 1024)
	if err := resample.Upsample(m.Pix, src.Pix, 256, 256, 3, 4, 1); err != nil {
		b.Fatal(err)
	}
	return m
}

func BenchmarkEncode(b *testing.B) {
	m := photo(b)
	for _, format := range []string{"png", "jpeg", "webp", "tiff"} {
		b.Run(format, func(b *testing.B) {
			for b.Loop() {
				var buf bytes.Buffer
				if _, err := imageio.Encode(&buf, m, imageio.Options{Format: format}); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(buf.Len()), "bytes")
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	m := photo(b)
	for _, format := range []string{"png", "jpeg", "webp", "tiff"} {
		var buf bytes.Buffer
		if _, err := imageio.Encode(&buf, m, imageio.Options{Format: format}); err != nil {
			b.Fatal(err)
		}
		b.Run(format, func(b *testing.B) {
			for b.Loop() {
				mustDecode(b, buf.Bytes(), format)
			}
		})
	}
}
