package nets

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/internal/tiling"
	"github.com/sr3-go/sr3/metric"
)

func smallLPIPS(t testing.TB, kind Kind) *LPIPS {
	t.Helper()
	l, err := loadLPIPSNetwork(small(kind), smallFile(kind))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.loadHeads(filepath.Join("testdata", "lpips-"+string(kind)+".pth")); err != nil {
		t.Fatal(err)
	}
	return l
}

func distance(t testing.TB, l *LPIPS, a, b metric.Image, threads int) float64 {
	t.Helper()
	d, err := l.Distance(a, b, threads)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

var lpipsKinds = []Kind{AlexNet, VGG16}

func TestLPIPSAgreesWithPyTorch(t *testing.T) {
	for _, kind := range lpipsKinds {
		l := smallLPIPS(t, kind)
		var cases []struct {
			Height, Width int
			Distance      float64
		}
		golden(t, "lpips-"+string(kind), &cases)
		for _, c := range cases {
			got := distance(t, l, testImage(0, c.Height, c.Width), testImage(1, c.Height, c.Width), 2)
			t.Logf("%s, %dx%d: %.7g, PyTorch %.7g", kind, c.Width, c.Height, got, c.Distance)
			if math.Abs(got-c.Distance) > 1e-4*c.Distance || c.Distance < 0.01 {
				t.Errorf("%s, %dx%d: %.9g, want %.9g", kind, c.Width, c.Height, got, c.Distance)
			}
		}
	}
}

func TestLPIPSIsADistance(t *testing.T) {
	for _, kind := range lpipsKinds {
		l := smallLPIPS(t, kind)
		a, b := testImage(0, 50, 61), testImage(1, 50, 61)
		if d := distance(t, l, a, a, 1); d != 0 {
			t.Errorf("%s: an image is %g from itself", kind, d)
		}
		want := distance(t, l, a, b, 1)
		if got := distance(t, l, b, a, 1); math.Abs(got-want) > 1e-12 || want <= 0 {
			t.Errorf("%s: %g one way, %g the other", kind, want, got)
		}
		if got := distance(t, l, a, b, 3); got != want {
			t.Errorf("%s: %v on three threads, %v on one", kind, got, want)
		}
	}
}

// Tiles change nothing, whatever is left over at the ends.
func TestLPIPSTilesGiveTheWhole(t *testing.T) {
	for _, kind := range lpipsKinds {
		l := smallLPIPS(t, kind)
		for _, c := range []struct{ height, width, core int }{{40, 310, 64}, {421, 37, 96}, {345, 300, 64}} {
			a, b := testImage(0, c.height, c.width), testImage(1, c.height, c.width)
			want, err := l.distance(a, b, 2, 1024)
			if err != nil {
				t.Fatal(err)
			}
			got, err := l.distance(a, b, 2, c.core)
			if err != nil {
				t.Fatal(err)
			}
			if math.Abs(got-want) > 1e-6*want || len(tiling.Cut(c.height, c.core, lpipsHalo))*len(tiling.Cut(c.width, c.core, lpipsHalo)) < 2 {
				t.Errorf("%s %+v: in tiles %.9g, whole %.9g", kind, c, got, want)
			}
		}
	}
}

func TestLPIPSRefuses(t *testing.T) {
	for _, kind := range lpipsKinds {
		l := smallLPIPS(t, kind)
		side := l.MinSide()
		distance(t, l, testImage(0, side, side), testImage(1, side, side), 1)
		for want, pair := range map[string][2]metric.Image{
			"must have at least": {testImage(0, side-1, side), testImage(0, side-1, side)},
			"of one size":        {testImage(0, side, side), testImage(0, side, side+1)},
			"5 samples":          {testImage(0, side, side), {Height: side, Width: side, Pix: make([]uint8, 5)}},
		} {
			if _, err := l.Distance(pair[0], pair[1], 1); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %v, want %q", kind, err, want)
			}
		}
	}
	l := smallLPIPS(t, AlexNet)
	if err := l.loadHeads("testdata/lpips-vgg16.pth"); err == nil || !strings.Contains(err.Error(), "want [1 12 1 1]") {
		t.Errorf("heads of another network: %v", err)
	}
	if _, err := LoadLPIPS(ResNet50, "a", "b"); err == nil || !strings.Contains(err.Error(), "alexnet and vgg16") {
		t.Errorf("error %v", err)
	}
	if _, err := LoadLPIPS(VGG16, smallFile(VGG16), "b"); err == nil || !strings.Contains(err.Error(), "vgg16-397923af.pth") {
		t.Errorf("error %v", err)
	}
	if got := LPIPSHeads(AlexNet); !strings.Contains(got, "v0.1/alex.pth") {
		t.Errorf("heads are %q", got)
	}
}
