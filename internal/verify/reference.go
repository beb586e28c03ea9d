package verify

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/sr3-go/sr3/checkpoint"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/unet"
)

// reference reads the tensors of a case.
type reference struct{ file *checkpoint.File }

func (r reference) has(name string) bool { return r.file.Tensors[name] != nil }

// hasPrefix reports whether any tensor's name begins with prefix.
func (r reference) hasPrefix(prefix string) bool {
	for name := range r.file.Tensors {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

func (r reference) tensor(name string) (*checkpoint.Tensor, error) {
	t := r.file.Tensors[name]
	if t == nil {
		return nil, fmt.Errorf("the case has no tensor %s", name)
	}
	return t, nil
}

func (r reference) float64s(name string) ([]float64, error) {
	t, err := r.tensor(name)
	if err != nil {
		return nil, err
	}
	values, err := t.Float64s()
	if err != nil {
		return nil, fmt.Errorf("tensor %s: %w", name, err)
	}
	return values, nil
}

// scalar reads a tensor of one element.
func (r reference) scalar(name string) (float64, error) {
	values, err := r.float64s(name)
	if err == nil && len(values) != 1 {
		err = fmt.Errorf("tensor %s has %d elements, not one", name, len(values))
	}
	if err != nil {
		return 0, err
	}
	return values[0], nil
}

// images reads images [..., channels, H, W] as NHWC and their size.
func (r reference) images(name string) (*batch, error) {
	t, err := r.tensor(name)
	if err != nil {
		return nil, err
	}
	values, err := t.Float32s()
	if err != nil {
		return nil, fmt.Errorf("tensor %s: %w", name, err)
	}
	s := t.Shape
	if len(s) < 4 {
		return nil, fmt.Errorf("tensor %s has shape %v, not that of images", name, s)
	}
	b := &batch{n: 1, c: s[len(s)-3], h: s[len(s)-2], w: s[len(s)-1]}
	for _, d := range s[:len(s)-3] {
		b.n *= d
	}
	b.values = toNHWC(values, b.n, b.c, b.h, b.w)
	return b, nil
}

// parameter reads PREFIX.NAME in the layout of this program.
func (r reference) parameter(prefix string, p unet.Param) ([]float64, error) {
	t, err := r.tensor(prefix + p.Name)
	if err != nil {
		return nil, err
	}
	values, err := t.Float32s()
	if err != nil {
		return nil, fmt.Errorf("tensor %s: %w", prefix+p.Name, err)
	}
	shape, native, err := model.ToNative(p.Name, t.Shape, values)
	if err != nil {
		return nil, err
	}
	if !slices.Equal(shape, p.Shape) {
		return nil, fmt.Errorf("tensor %s has shape %v, the parameter %v", prefix+p.Name, shape, p.Shape)
	}
	return widen(native), nil
}

// batch is images, NHWC.
type batch struct {
	n, c, h, w int
	values     []float32
}

func (b *batch) sameSize(o *batch) bool { return b.n == o.n && b.h == o.h && b.w == o.w }

// channels takes channels from to end of every pixel.
func (b *batch) channels(from, end int) *batch {
	out := &batch{b.n, end - from, b.h, b.w, make([]float32, 0, b.n*b.h*b.w*(end-from))}
	for i := 0; i < len(b.values); i += b.c {
		out.values = append(out.values, b.values[i+from:i+end]...)
	}
	return out
}

// image takes image i.
func (b *batch) image(i int) []float32 {
	size := b.c * b.h * b.w
	return b.values[i*size : (i+1)*size]
}

func toNHWC(src []float32, n, c, h, w int) []float32 {
	dst := make([]float32, len(src))
	for i := range n {
		for k := range c {
			for p := range h * w {
				dst[(i*h*w+p)*c+k] = src[(i*c+k)*h*w+p]
			}
		}
	}
	return dst
}

func widen(values []float32) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = float64(v)
	}
	return out
}

// maxAbs is the largest difference; NaN if any element is.
func maxAbs(a, b []float64) float64 {
	worst := 0.0
	for i, v := range a {
		worst = math.Max(worst, math.Abs(v-b[i])) // math.Max keeps NaN
	}
	return worst
}

// sumAbs is the sum of the differences.
func sumAbs(a, b []float64) float64 {
	sum := 0.0
	for i, v := range a {
		sum += math.Abs(v - b[i])
	}
	return sum
}

// extent is max - min.
func extent(values []float64) float64 { return slices.Max(values) - slices.Min(values) }

// largest is the largest magnitude, norm the Euclidean length.
func largest(values []float64) float64 {
	m := 0.0
	for _, v := range values {
		m = math.Max(m, math.Abs(v))
	}
	return m
}

func norm(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v * v
	}
	return math.Sqrt(sum)
}
