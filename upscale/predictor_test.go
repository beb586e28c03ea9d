package upscale

import (
	"math"
	"slices"
	"testing"

	"github.com/sr3-go/sr3/diffusion"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/residual"
)

// predicted is leanModel behind the predictor p.
func predicted(t testing.TB, p *model.Model) *model.Model {
	t.Helper()
	m := leanModel(t)
	m.WithPredictor(p)
	if err := m.Config.Validate(); err != nil {
		t.Fatal(err)
	}
	return m
}

// silence makes the prediction of a network zero.
func silence(m *model.Model) *model.Model {
	clear(m.Weights["head.conv.weight"])
	clear(m.Weights["head.conv.bias"])
	return m
}

func pixels(t testing.TB, m *model.Model, o Options) []float32 {
	t.Helper()
	out, _, err := newRegression(t, m).Upscale(t.Context(), testImage(19, 13), o)
	if err != nil {
		t.Fatal(err)
	}
	return out.Pix
}

// TestPredictorMakesTheCondition: a predictor that adds nothing to the bicubic enlargement changes nothing; behind one
// that does, a refinement that adds nothing leaves its result; and otherwise both count.
func TestPredictorMakesTheCondition(t *testing.T) {
	for _, o := range []Options{{}, {Tile: 32, Overlap: 8, Threads: 2}, {Scale: 6}} {
		plain := pixels(t, leanModel(t), o)
		if got := pixels(t, predicted(t, silence(regressionModel(t))), o); !slices.Equal(got, plain) {
			t.Errorf("%+v: a predictor that adds nothing changes the result", o)
		}
		both := pixels(t, predicted(t, regressionModel(t)), o)
		if slices.Equal(both, plain) {
			t.Errorf("%+v: the predictor is not used", o)
		}
		quiet := silence(predicted(t, regressionModel(t)))
		quiet.Config.Diffusion.Prediction = diffusion.PredictX0
		want := pixels(t, regressionModel(t), o)
		for i, v := range pixels(t, quiet, o) {
			if math.Abs(float64(v-want[i])) > 1e-5 {
				t.Fatalf("%+v: element %d is %v, the predictor's is %v", o, i, v, want[i])
			}
		}
	}
}

// TestPredictorCountsAsACall: progress reaches the end, and names the predictor's call as the first.
func TestPredictorCountsAsACall(t *testing.T) {
	var last Progress
	calls := map[int]bool{}
	pixels(t, predicted(t, regressionModel(t)), Options{Tile: 32, OnWindow: func(p Progress) {
		if p.Share() <= last.Share() && last.Calls > 0 {
			t.Errorf("%+v after %+v", p, last)
		}
		last, calls[p.Call] = p, true
	}})
	if last.Share() != 1 || last.Calls != 4 || last.Call != 4 || len(calls) != 4 {
		t.Errorf("last %+v, calls %v", last, calls)
	}
}

// TestAdaptiveResidual: a network that adds nothing leaves its condition, whatever the
// scale; one that does gives the same bytes on any number of threads, and results
// that are consistent if that is asked for.
func TestAdaptiveResidual(t *testing.T) {
	adaptive := func() *model.Model {
		m := leanModel(t)
		m.Config.Diffusion.Residual, m.Config.Diffusion.Adaptive = 1, residual.Scale{Floor: 0.01, Gain: 2, Knee: 0.13, Radius: 2}
		if err := m.Config.Validate(); err != nil {
			t.Fatal(err)
		}
		return m
	}
	quiet, plain := silence(adaptive()), silence(leanModel(t))
	quiet.Config.Diffusion.Prediction, plain.Config.Diffusion.Prediction = diffusion.PredictX0, diffusion.PredictX0
	want := pixels(t, plain, Options{})
	for i, v := range pixels(t, quiet, Options{}) {
		if math.Abs(float64(v-want[i])) > 1e-5 {
			t.Fatalf("element %d is %v, the condition's is %v", i, v, want[i])
		}
	}
	one := pixels(t, adaptive(), Options{Threads: 1, Tile: 32, Overlap: 8})
	if !slices.Equal(one, pixels(t, adaptive(), Options{Threads: 3, Tile: 32, Overlap: 8})) {
		t.Error("threads change the result")
	}
	if slices.Equal(one, pixels(t, leanModel(t), Options{Tile: 32, Overlap: 8})) {
		t.Error("the scale makes no difference")
	}
	img := testImage(19, 13)
	out, _, err := newRegression(t, adaptive()).Upscale(t.Context(), img, Options{Consistent: new(true)})
	if err != nil {
		t.Fatal(err)
	}
	if got := inconsistency(t, img, out); got > 1 {
		t.Errorf("consistency %v", got)
	}
}
