package imageio_test

import (
	"bytes"
	"image"
	"image/color"
	"image/draw"
	"testing"

	"github.com/sr3-go/sr3/imageio"
)

// opaqueImage hides the concrete type, as pictures of other packages have one of their own.
type opaqueImage struct{ image.Image }

func TestFromImage(t *testing.T) {
	want := random(8, 13, 9, 8, false, true).NRGBA()
	for i := 3; i < len(want.Pix); i += 4 {
		want.Pix[i] |= 0xc0 // premultiplied types keep colours at high opacity only
	}
	rgba64 := image.NewRGBA64(want.Rect)
	draw.Draw(rgba64, want.Rect, want, image.Point{}, draw.Src)
	for _, img := range []image.Image{want, rgba64, opaqueImage{want}} {
		m, err := imageio.FromImage(img)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.NRGBA(); !bytes.Equal(got.Pix, want.Pix) {
			t.Errorf("%T: pixels differ", img)
		}
	}
	// A part of a picture starts at its own origin.
	for _, img := range []interface {
		draw.Image
		SubImage(image.Rectangle) image.Image
	}{image.NewGray(want.Rect), image.NewNRGBA(want.Rect), image.NewRGBA64(want.Rect), image.NewGray16(want.Rect)} {
		img.Set(5, 4, color.White)
		m, err := imageio.FromImage(img.SubImage(image.Rect(5, 4, 8, 6)))
		if err != nil {
			t.Fatal(err)
		}
		if m.Width != 3 || m.Height != 2 || m.Pix[0] != 1 || m.Pix[3] != -1 {
			t.Errorf("%T: part is %dx%d, %v", img, m.Width, m.Height, m.Pix)
		}
	}
	part := image.NewYCbCr(image.Rect(0, 0, 9, 9), image.YCbCrSubsampleRatio420)
	part.Y[part.YOffset(3, 5)] = 255
	for i := range part.Cb {
		part.Cb[i], part.Cr[i] = 128, 128
	}
	m, err := imageio.FromImage(part.SubImage(image.Rect(3, 5, 7, 8)))
	if err != nil || m.Pix[0] != 1 || m.Pix[3] != -1 {
		t.Errorf("part of a YCbCr picture: %v, %v", m, err)
	}
	if _, err := imageio.FromImage(image.NewGray(image.Rectangle{})); err == nil {
		t.Error("an empty picture is no error")
	}
}
