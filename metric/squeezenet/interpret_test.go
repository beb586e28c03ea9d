package squeezenet

import (
	"math"
	"strings"

	"github.com/sr3-go/sr3/internal/netfile"
	"github.com/sr3-go/sr3/metric"
)

// planes is an image as ONNX lays it out: channels of rows of columns.
type planes struct {
	c, h, w int
	v       []float64
}

func newPlanes(c, h, w int) *planes { return &planes{c, h, w, make([]float64, c*h*w)} }

func (p *planes) at(c, y, x int) float64 { return p.v[(c*p.h+y)*p.w+x] }

// interpret computes all values of a model for one image, node by node, in
// float64 and in ONNX's own layout: a second opinion on everything between the
// file and the features. Nodes must be in an order of computation.
func interpret(m *netfile.Model, img metric.Image) map[string]*planes {
	values := map[string]*planes{}
	for _, name := range m.Inputs {
		if m.Tensors[name] == nil {
			values[name] = bgr(img)
		}
	}
	for _, n := range m.Nodes {
		x := values[n.Inputs[0]]
		var out *planes
		switch n.Op {
		case "Conv":
			out = correlate(n, x, m.Tensors[n.Inputs[1]], m.Tensors[n.Inputs[2]])
		case "Relu":
			out = newPlanes(x.c, x.h, x.w)
			for i, v := range x.v {
				out.v[i] = max(v, 0)
			}
		case "MaxPool":
			out = pool3(x)
		case "Concat":
			y := values[n.Inputs[1]]
			out = &planes{x.c + y.c, x.h, x.w, append(append([]float64{}, x.v...), y.v...)}
		case "GlobalAveragePool":
			out = newPlanes(x.c, 1, 1)
			for i, v := range x.v {
				out.v[i/(x.h*x.w)] += v / float64(x.h*x.w)
			}
		case "Softmax":
			out = newPlanes(x.c, 1, 1)
			sum := 0.0
			for _, v := range x.v {
				sum += math.Exp(v)
			}
			for i, v := range x.v {
				out.v[i] = math.Exp(v) / sum
			}
		case "Dropout":
			out = x
		}
		values[n.Outputs[0]] = out
	}
	return values
}

func bgr(img metric.Image) *planes {
	p := newPlanes(3, img.Height, img.Width)
	for i := range img.Height * img.Width {
		for c, mean := range []float64{103.939, 116.779, 123.68} {
			p.v[c*img.Height*img.Width+i] = float64(img.Pix[3*i+2-c]) - mean
		}
	}
	return p
}

func correlate(n *netfile.Node, x *planes, weight, bias *netfile.Tensor) *planes {
	out, in, k := int(weight.Dims[0]), int(weight.Dims[1]), int(weight.Dims[2])
	w, err := weight.Float32s(out, in, k, k)
	if err != nil {
		panic(err)
	}
	b, err := bias.Float32s(out)
	if err != nil {
		panic(err)
	}
	stride, pad := int(n.Attributes["strides"].Ints[0]), int(n.Attributes["pads"].Ints[0])
	r := newPlanes(out, (x.h+2*pad-k)/stride+1, (x.w+2*pad-k)/stride+1)
	for o := range out {
		for y := range r.h {
			for z := range r.w {
				sum := float64(b[o])
				for i := range in * k * k {
					c, v, h := i/(k*k), y*stride+i/k%k-pad, z*stride+i%k-pad
					if v >= 0 && v < x.h && h >= 0 && h < x.w {
						sum += x.at(c, v, h) * float64(w[o*in*k*k+i])
					}
				}
				r.v[(o*r.h+y)*r.w+z] = sum
			}
		}
	}
	return r
}

func pool3(x *planes) *planes {
	r := newPlanes(x.c, (x.h-3)/2+1, (x.w-3)/2+1)
	for i := range r.v {
		c, y, z := i/(r.h*r.w), i/r.w%r.h, i%r.w
		best := math.Inf(-1)
		for k := range 9 {
			best = max(best, x.at(c, 2*y+k/3, 2*z+k%3))
		}
		r.v[i] = best
	}
	return r
}

// interpretedDistance is the feature distance by its definition.
func interpretedDistance(m *netfile.Model, a, b metric.Image) float64 {
	va, vb := interpret(m, a), interpret(m, b)
	total, first := 0.0, true
	for _, n := range m.Nodes {
		if n.Op == "Concat" || n.Op == "Relu" && first {
			total += stageByDefinition(va[n.Outputs[0]], vb[n.Outputs[0]])
			first = false
		}
	}
	return total
}

func stageByDefinition(a, b *planes) float64 {
	sum := 0.0
	length := func(p *planes, at int) float64 {
		s := 0.0
		for c := range p.c {
			s += p.v[c*p.h*p.w+at] * p.v[c*p.h*p.w+at]
		}
		return math.Sqrt(s)
	}
	for at := range a.h * a.w {
		la, lb := length(a, at), length(b, at)
		for c := range a.c {
			i := c*a.h*a.w + at
			u, v := 0.0, 0.0
			if la > 0 {
				u = a.v[i] / la
			}
			if lb > 0 {
				v = b.v[i] / lb
			}
			sum += (u - v) * (u - v)
		}
	}
	return sum / float64(a.h*a.w)
}

// words lists what a message must contain, separated by vertical bars.
func words(message, want string) bool {
	for w := range strings.SplitSeq(want, "|") {
		if !strings.Contains(message, w) {
			return false
		}
	}
	return true
}
