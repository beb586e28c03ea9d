package squeezenet

import (
	"math"
	"testing"

	"github.com/sr3-go/sr3/internal/netfile"
	"github.com/sr3-go/sr3/internal/tiling"
	"github.com/sr3-go/sr3/metric"
	"github.com/sr3-go/sr3/metric/distribution"
)

// sixthStage gives the features of the sixth stage by the definition: of the fifth
// Concat, the first stage being a ReLU, at unit length, position by position.
func sixthStage(m *netfile.Model, img metric.Image) (vectors [][]float64) {
	values, seen := interpret(m, img), 0
	for _, n := range m.Nodes {
		if n.Op != "Concat" {
			continue
		}
		if seen++; seen < 5 {
			continue
		}
		p := values[n.Outputs[0]]
		for at := range p.h * p.w {
			v, length := make([]float64, p.c), 0.0
			for c := range v {
				v[c] = p.v[c*p.h*p.w+at]
				length += v[c] * v[c]
			}
			for c := range v {
				if length > 0 {
					v[c] /= math.Sqrt(length)
				}
			}
			vectors = append(vectors, v)
		}
		return vectors
	}
	return nil
}

func TestPositionsFollowTheirDefinition(t *testing.T) {
	n, m := mustParse(t, newONNX(8))
	for _, size := range [][2]int{{31, 31}, {49, 85}} {
		x := random(size[0], size[1])
		got, err := n.Positions(x, 2)
		if err != nil {
			t.Fatal(err)
		}
		want := sixthStage(m, x)
		if got.N != len(want) || got.D != 384 || len(want[0]) != 384 || len(got.Values) != 384*got.N {
			t.Fatalf("%v: %d vectors of %d numbers, want %d of %d", size, got.N, got.D, len(want), len(want[0]))
		}
		for i, v := range want {
			for k, w := range v {
				if g := float64(got.Values[i*got.D+k]); !(math.Abs(g-w) <= 1e-5) {
					t.Fatalf("%v: feature %d of position %d is %g, want %g", size, k, i, g, w)
				}
			}
		}
	}
}

// Tiles change neither the features nor the order of positions.
func TestPositionsInTiles(t *testing.T) {
	n, _ := mustParse(t, newONNX(9))
	for _, c := range []struct{ height, width, core int }{{401, 40, 64}, {40, 369, 48}, {401, 390, 160}} {
		x := random(c.height, c.width)
		want, err := n.positions(x, 1, core)
		if err != nil {
			t.Fatal(err)
		}
		got, err := n.positions(x, 2, c.core)
		if err != nil || len(tiling.Cut(c.height, c.core, halo))*len(tiling.Cut(c.width, c.core, halo)) < 2 || len(got.Values) != len(want.Values) {
			t.Fatalf("%+v: %v", c, err)
		}
		for i, v := range want.Values {
			if math.Abs(float64(got.Values[i]-v)) > 1e-5 {
				t.Fatalf("%+v: value %d is %g, of the whole %g", c, i, got.Values[i], v)
			}
		}
	}
}

// More noise is farther away, through the whole of it.
func TestPositionDistance(t *testing.T) {
	n, _ := mustParse(t, newONNX(10))
	x := random(150, 130)
	gather := func(images ...metric.Image) *distribution.Gaussian {
		var g distribution.Gaussian
		for _, img := range images {
			p, err := n.Positions(img, 1)
			if err != nil {
				t.Fatal(err)
			}
			if err := g.Add(p); err != nil {
				t.Fatal(err)
			}
		}
		return &g
	}
	truth := gather(x, noisy(x, 1))
	distance := func(deviation float64) float64 {
		d, err := gather(noisy(x, deviation), x).FrechetDistance(truth)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	if same, near, far := distance(1), distance(10), distance(60); !(same < 1e-9 && 1e-9 < near && near < far && far < 2) {
		t.Errorf("distances %g, %g, %g", same, near, far)
	}
}

func TestPositionsThatDoNotFit(t *testing.T) {
	n, _ := mustParse(t, newONNX(4))
	_, small := n.Positions(random(30, 50), 1)
	_, samples := n.Positions(metric.Image{Height: 40, Width: 50, Pix: make([]uint8, 20)}, 1)
	for want, err := range map[string]error{"positions|50x30|at least 31": small, "20 samples": samples} {
		if err == nil || !words(err.Error(), want) {
			t.Errorf("error %v, want words %q", err, want)
		}
	}
}
