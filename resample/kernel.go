package resample

import (
	"fmt"
	"math"
	"strings"
)

// Kernel is an interpolation kernel. When an image is reduced the kernel is
// stretched by the reduction factor (antialiasing), as Pillow does it.
type Kernel uint8

const (
	// Bicubic is Keys' cubic convolution with a = -0.5, support 2.
	Bicubic Kernel = iota
	// Lanczos3 is the sinc function windowed by its own central lobe, support 3.
	Lanczos3
	// Box averages over the area of the output pixel, support 0.5.
	Box
	// Nearest copies the source pixel under the centre of the output pixel; it
	// is never antialiased.
	Nearest
)

var kernelNames = [...]string{"bicubic", "lanczos3", "box", "nearest"}

// String returns the name that [ParseKernel] accepts.
func (k Kernel) String() string {
	if int(k) < len(kernelNames) {
		return kernelNames[k]
	}
	return fmt.Sprintf("Kernel(%d)", uint8(k))
}

// ParseKernel returns the kernel of a name: bicubic, lanczos3, box or nearest.
func ParseKernel(name string) (Kernel, error) {
	for i, n := range kernelNames {
		if n == name {
			return Kernel(i), nil
		}
	}
	return 0, fmt.Errorf("resample: unknown kernel %q; known are %s", name, strings.Join(kernelNames[:], ", "))
}

// support returns the kernel's half width in source pixels at scale 1.
func (k Kernel) support() float64 {
	switch k {
	case Bicubic:
		return 2
	case Lanczos3:
		return 3
	default:
		return 0.5
	}
}

// at evaluates the kernel at distance x. The explicit float64 conversions keep
// compilers for machines with fused multiply-add from fusing, so that weights,
// and with them the 8-bit results, are the same everywhere.
func (k Kernel) at(x float64) float64 {
	switch k {
	case Bicubic:
		return cubic(math.Abs(x))
	case Lanczos3:
		if x < -3 || x >= 3 {
			return 0
		}
		return float64(sinc(x) * sinc(x/3))
	default:
		if x > -0.5 && x <= 0.5 {
			return 1
		}
		return 0
	}
}

func cubic(x float64) float64 {
	const a = -0.5
	switch {
	case x < 1:
		inner := float64((a+2)*x) - (a + 3)
		return float64(float64(inner*x)*x) + 1
	case x < 2:
		inner := float64((x-5)*x) + 8
		return (float64(inner*x) - 4) * a
	default:
		return 0
	}
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	x *= math.Pi
	return math.Sin(x) / x
}
