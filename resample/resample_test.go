package resample_test

import (
	"bytes"
	"image"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/resample"
	"pgregory.net/rapid"
)

// rgb reads a PNG of testdata as 8-bit RGB samples.
func rgb(t *testing.T, name string) (pix []uint8, h, w int) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	m, ok := img.(*image.RGBA)
	if !ok {
		t.Fatalf("%s is a %T", name, img)
	}
	h, w = m.Rect.Dy(), m.Rect.Dx()
	for i := range h * w {
		pix = append(pix, m.Pix[4*i:4*i+3]...)
	}
	return pix, h, w
}

func TestResize8EqualsPillow(t *testing.T) {
	for _, name := range []string{"astronaut", "chelsea", "coffee"} {
		for _, step := range []struct{ from, to string }{
			{"_hr.png", "_lr4.png"}, {"_hr.png", "_lr8.png"},
			{"_lr4.png", "_bicubic4.png"}, {"_lr8.png", "_bicubic8.png"},
		} {
			t.Run(name+step.to, func(t *testing.T) {
				src, sh, sw := rgb(t, name+step.from)
				want, dh, dw := rgb(t, name+step.to)
				got := make([]uint8, len(want))
				for _, threads := range []int{1, 3} {
					clear(got)
					if err := resample.Resize8(got, src, dh, dw, sh, sw, 3, resample.Bicubic, threads); err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(got, want) {
						t.Fatalf("%d threads: bytes differ from Pillow's", threads)
					}
				}
			})
		}
	}
}

// The float path and the fixed-point path are two implementations of one filter:
// they may differ by the two roundings only.
func TestFloatFollowsEightBit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		side := rapid.IntRange(1, 40)
		sh, sw, dh, dw := side.Draw(t, "sh"), side.Draw(t, "sw"), side.Draw(t, "dh"), side.Draw(t, "dw")
		c := rapid.IntRange(1, 4).Draw(t, "c")
		k := resample.Kernel(rapid.IntRange(0, 3).Draw(t, "kernel"))
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		src := make([]uint8, sh*sw*c)
		srcF := make([]float32, len(src))
		for i := range src {
			src[i] = uint8(96 + rng.IntN(64)) // both passes together overshoot by no more than 64, so nothing is clipped
			srcF[i] = float32(src[i])
		}
		dst := make([]uint8, dh*dw*c)
		dstF := make([]float32, len(dst))
		if err := resample.Resize8(dst, src, dh, dw, sh, sw, c, k, 1); err != nil {
			t.Fatal(err)
		}
		if err := resample.Resize(dstF, srcF, dh, dw, sh, sw, c, k, 2); err != nil {
			t.Fatal(err)
		}
		for i := range dst {
			if d := math.Abs(float64(dst[i]) - float64(dstF[i])); d > 1.3 {
				t.Fatalf("sample %d: 8-bit %d, float %v", i, dst[i], dstF[i])
			}
		}
	})
}

func TestConstantStaysConstant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		side := rapid.IntRange(1, 70)
		sh, sw, dh, dw := side.Draw(t, "sh"), side.Draw(t, "sw"), side.Draw(t, "dh"), side.Draw(t, "dw")
		k := resample.Kernel(rapid.IntRange(0, 3).Draw(t, "kernel"))
		src := bytes.Repeat([]byte{201}, sh*sw)
		dst := make([]uint8, dh*dw)
		if err := resample.Resize8(dst, src, dh, dw, sh, sw, 1, k, 2); err != nil {
			t.Fatal(err)
		}
		for i, v := range dst {
			if v != 201 {
				t.Fatalf("sample %d is %d", i, v)
			}
		}
	})
}

func TestSameSizeIsIdentity(t *testing.T) {
	src, h, w := rgb(t, "coffee_lr4.png")
	for k := resample.Bicubic; k <= resample.Nearest; k++ {
		dst := make([]uint8, len(src))
		if err := resample.Resize8(dst, src, h, w, h, w, 3, k, 2); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(dst, src) {
			t.Errorf("%v changes an image that keeps its size", k)
		}
	}
}

func TestBoxIsTheMean(t *testing.T) {
	src := []float32{1, 2, 3, 4, 5, 6, 7, 8}
	dst := make([]float32, 2)
	if err := resample.Resize(dst, src, 1, 2, 2, 4, 1, resample.Box, 1); err != nil {
		t.Fatal(err)
	}
	if dst[0] != 3.5 || dst[1] != 5.5 {
		t.Errorf("got %v, want the means 3.5 and 5.5", dst)
	}
}

// <A u, v> = <u, A^T v> for every size and kernel.
func TestTransposeIsAdjoint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		side := rapid.IntRange(1, 50)
		sh, sw, dh, dw := side.Draw(t, "sh"), side.Draw(t, "sw"), side.Draw(t, "dh"), side.Draw(t, "dw")
		k := resample.Kernel(rapid.IntRange(0, 3).Draw(t, "kernel"))
		a, err := resample.NewOperator(dh, dw, sh, sw, k)
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 2))
		u, v := normals(rng, sh*sw), normals(rng, dh*dw)
		au, atv := make([]float32, dh*dw), make([]float32, sh*sw)
		if err := errorsOf(a.Apply(au, u, 1, 2), a.Transpose().Apply(atv, v, 1, 2)); err != nil {
			t.Fatal(err)
		}
		left, right, scale := dot(au, v), dot(u, atv), math.Sqrt(dot(u, u)*dot(v, v))
		if math.Abs(left-right) > 1e-5*scale {
			t.Fatalf("<Au,v> = %v, <u,A'v> = %v", left, right)
		}
	})
}

func normals(rng *rand.Rand, n int) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = float32(rng.NormFloat64())
	}
	return s
}

func dot(a, b []float32) (sum float64) {
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestThreadsDoNotChangeFloats(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	src := normals(rng, 97*61*3)
	var first []float32
	for _, threads := range []int{1, 2, 7, 0} {
		dst := make([]float32, 4*97*4*61*3)
		if err := resample.Upsample(dst, src, 97, 61, 3, 4, threads); err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = dst
			continue
		}
		for i := range dst {
			if dst[i] != first[i] {
				t.Fatalf("%d threads: sample %d differs", threads, i)
			}
		}
	}
}

func TestDownsampleOfUpsampleIsClose(t *testing.T) {
	src8, h, w := rgb(t, "chelsea_lr4.png")
	src := make([]float32, len(src8))
	for i, v := range src8 {
		src[i] = float32(v)
	}
	up, back := make([]float32, 16*len(src)), make([]float32, len(src))
	if err := errorsOf(resample.Upsample(up, src, h, w, 3, 4, 2), resample.Downsample(back, up, 4*h, 4*w, 3, 4, 2)); err != nil {
		t.Fatal(err)
	}
	var sum float64
	for i := range src {
		d := float64(src[i] - back[i])
		sum += d * d
	}
	if rms := math.Sqrt(sum / float64(len(src))); rms > 6 {
		t.Errorf("reduction of the enlargement is %.2f of 255 away from the image", rms)
	}
}

func TestErrors(t *testing.T) {
	six := make([]float32, 6)
	for _, test := range []struct {
		name string
		err  error
		want string
	}{
		{"zero height", resample.Resize(nil, six, 0, 2, 1, 2, 3, resample.Bicubic, 1), "2x0 (width x height)"},
		{"short source", resample.Resize(six, six, 1, 2, 2, 2, 3, resample.Bicubic, 1), "source has 6 samples"},
		{"long destination", resample.Resize(make([]float32, 7), six, 1, 2, 1, 2, 3, resample.Bicubic, 1), "destination has 7 samples"},
		{"no channels", resample.Resize(six, six, 1, 2, 1, 2, 0, resample.Bicubic, 1), "0 channels"},
		{"five channels", resample.Resize8(make([]uint8, 5), make([]uint8, 5), 1, 1, 1, 1, 5, resample.Bicubic, 1), "5 channels"},
		{"unknown kernel", resample.Resize(six, six, 1, 2, 1, 2, 3, resample.Kernel(9), 1), "Kernel(9)"},
		{"huge", resample.Resize(six, six, math.MaxInt, math.MaxInt, 1, 2, 3, resample.Bicubic, 1), "sides must be from 1"},
		{"sizes of other slices", resample.Resize(six, six, 1<<30, 1<<30, 1, 2, 3, resample.Bicubic, 1), "destination"},
		{"axis", axisError(0, 2), "cannot take 0 samples to 2"},
		{"indivisible", resample.Downsample(six, six, 10, 7, 3, 4, 1), "divide both sides"},
		{"factor zero", resample.Upsample(six, six, 1, 2, 3, 0, 1), "by 0"},
	} {
		if test.err == nil || !strings.Contains(test.err.Error(), test.want) {
			t.Errorf("%s: error %v does not say %q", test.name, test.err, test.want)
		}
	}
}

func axisError(in, out int) error {
	_, err := resample.NewAxis(in, out, resample.Bicubic)
	return err
}

func TestParseKernel(t *testing.T) {
	for k := resample.Bicubic; k <= resample.Nearest; k++ {
		got, err := resample.ParseKernel(k.String())
		if err != nil || got != k {
			t.Errorf("ParseKernel(%q) = %v, %v", k.String(), got, err)
		}
	}
	if _, err := resample.ParseKernel("spline"); err == nil || !strings.Contains(err.Error(), "bicubic") {
		t.Errorf("error %v does not list the kernels", err)
	}
}

func BenchmarkUpsample4(b *testing.B) {
	const h, w = 256, 256
	src, dst := make([]float32, h*w*3), make([]float32, 16*h*w*3)
	for b.Loop() {
		if err := resample.Upsample(dst, src, h, w, 3, 4, 1); err != nil {
			b.Fatal(err)
		}
	}
}
