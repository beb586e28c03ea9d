package diffusion

import (
	"math"
	"testing"

	"github.com/sr3-go/sr3/internal/philox"
	"pgregory.net/rapid"
)

// genGamma draws a noise level away from both ends, where conversions are exact enough to compare.
func genGamma(t *rapid.T) Gamma {
	return GammaFromLogSNR(rapid.Float64Range(-10, 10).Draw(t, "log-SNR"))
}

func TestGammaConversions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := genGamma(t)
		for name, back := range map[string]Gamma{"alpha": GammaFromAlpha(g.Alpha()), "sigma": GammaFromSigma(g.Sigma()),
			"log-SNR": GammaFromLogSNR(g.LogSNR())} {
			if math.Abs(float64(back-g)) > 1e-15 {
				t.Fatalf("%s: %g became %g", name, float64(g), float64(back))
			}
		}
		if d := g.Alpha()*g.Alpha() + g.Sigma()*g.Sigma() - 1; math.Abs(d) > 1e-15 {
			t.Fatalf("alpha^2 + sigma^2 - 1 = %g", d)
		}
		if !near(math.Log(g.SNR()), g.LogSNR(), 1e-9) && math.Abs(g.LogSNR()) > 1e-6 {
			t.Fatalf("log of SNR %g is not %g", g.SNR(), g.LogSNR())
		}
	})
	if Gamma(0).LogSNR() != math.Inf(-1) || Gamma(1).LogSNR() != math.Inf(1) {
		t.Error("log-SNR at the ends is finite")
	}
	for g, want := range map[Gamma]bool{0: true, 1: true, 0.5: true, -0.1: false, 1.1: false} {
		if g.Valid() != want {
			t.Errorf("Valid(%g) = %v", float64(g), g.Valid())
		}
	}
	if Gamma(math.NaN()).Valid() {
		t.Error("NaN is valid")
	}
}

// Every draw lies between the levels of its step, and follows its distribution function.
func TestGammaDraw(t *testing.T) {
	s := mustBuild(t, ScheduleConfig{Kind: KindLinear, Steps: 4, Start: 0.1, End: 0.5})
	for _, c := range []struct {
		draw GammaDraw
		u, v float64
		want float64
	}{
		{DrawSchedule, 0, 0, 1},
		{DrawSchedule, 0.26, 0, float64(s.Gamma(1))},
		{DrawSchedule, 0.26, 0.5, float64(s.Gamma(1)+s.Gamma(2)) / 2},
		{DrawSchedule, math.Nextafter(1, 0), 0.25, float64(0.75*s.Gamma(3) + 0.25*s.Gamma(4))},
		{DrawSqrt, 0.5, 0.5, math.Pow((s.Gamma(2).Alpha()+s.Gamma(3).Alpha())/2, 2)},
		{DrawSqrt, 0.99, 0, float64(s.Gamma(3))},
		{DrawCosine, 0, 0.3, 1},
		{DrawCosine, 0.5, 0.3, 0.5},
		{DrawCosine, 2. / 3, 0.3, 0.25},
	} {
		if got := c.draw.Draw(s, c.u, c.v); !near(float64(got), c.want, 1e-12) {
			t.Errorf("%s(%g, %g) = %g, want %g", c.draw, c.u, c.v, float64(got), c.want)
		}
	}
}

// The mean of many draws against the exact mean of the mixture of uniforms.
func TestGammaDrawMean(t *testing.T) {
	s := mustBuild(t, ScheduleConfig{Kind: KindLinear, Steps: 50, Start: 1e-3, End: 0.2})
	exact := map[GammaDraw]float64{DrawCosine: 0.5}
	for i := 1; i <= 50; i++ {
		a, b := s.Gamma(i-1).Alpha(), s.Gamma(i).Alpha()
		exact[DrawSchedule] += (a*a + b*b) / 2 / 50
		exact[DrawSqrt] += (a*a + a*b + b*b) / 3 / 50
	}
	const n = 1 << 16
	random := philox.New(5, 0)
	for draw, want := range exact {
		var sum float64
		for i := range uint64(n) {
			g := draw.Draw(s, random.Float64(2*i), random.Float64(2*i+1))
			if !g.Valid() || (draw != DrawCosine && g < s.Gamma(50)) {
				t.Fatalf("%s drew %g", draw, float64(g))
			}
			sum += float64(g)
		}
		if math.Abs(sum/n-want) > 5*0.5/math.Sqrt(n) {
			t.Errorf("%s: mean %g, want %g", draw, sum/n, want)
		}
	}
}

func TestNamesAreChecked(t *testing.T) {
	if GammaDraw("normal").Validate() == nil || Prediction("score").Validate() == nil {
		t.Error("an unknown name passed")
	}
	good := Objective{L1, WeightUniform, PredictEps}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for _, bad := range []Objective{{"l3", WeightUniform, PredictEps}, {L1, "snr", PredictEps}, {L1, WeightUniform, ""}} {
		if bad.Validate() == nil {
			t.Errorf("%+v passed", bad)
		}
	}
	for _, d := range []GammaDraw{DrawSchedule, DrawSqrt, DrawCosine} {
		if err := d.Validate(); err != nil {
			t.Error(err)
		}
	}
}

// One jump with gamma has the moments of the chain of single steps.
func TestDiffuseIsTheForwardChain(t *testing.T) {
	s := mustBuild(t, ScheduleConfig{Kind: KindLinear, Steps: 8, Start: 0.02, End: 0.3})
	const n, clean = 1 << 16, 0.7
	y := make([]float32, n)
	eps := make([]float32, n)
	for i := range y {
		y[i] = clean
	}
	for step := 1; step <= 8; step++ {
		philox.New(9, uint64(step)).Normal(eps, 0)
		Diffuse(y, y, eps, Gamma(s.Alpha(step)))
	}
	mean, variance := moments(y)
	g := s.Gamma(8)
	if want := g.Alpha() * clean; math.Abs(mean-want) > 5*g.Sigma()/math.Sqrt(n) {
		t.Errorf("mean %g, want %g", mean, want)
	}
	if want := 1 - float64(g); math.Abs(variance-want) > 5*want*math.Sqrt(2./n) {
		t.Errorf("variance %g, want %g", variance, want)
	}
}

func moments(x []float32) (mean, variance float64) {
	for _, v := range x {
		mean += float64(v)
	}
	mean /= float64(len(x))
	for _, v := range x {
		variance += (float64(v) - mean) * (float64(v) - mean)
	}
	return mean, variance / float64(len(x))
}

// The posterior is Bayes' rule: the precision of q(y_p | y_0) plus that of q(y_q | y_p), and the mean they imply.
func TestPosteriorIsBayes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := genGamma(t)
		p := q + Gamma(rapid.Float64Range(0.01, 0.99).Draw(t, "share"))*(1-q)
		alpha := float64(q / p)
		precision := 1/(1-float64(p)) + alpha/(1-alpha)
		got := NewPosterior(p, q)
		if !near(got.Variance, 1/precision, 1e-9) {
			t.Fatalf("variance %g, want %g", got.Variance, 1/precision)
		}
		if want := p.Alpha() / (1 - float64(p)) / precision; !near(got.OnY0, want, 1e-9) {
			t.Fatalf("coefficient of y0 %g, want %g", got.OnY0, want)
		}
		if want := math.Sqrt(alpha) / (1 - alpha) / precision; !near(got.OnY, want, 1e-9) {
			t.Fatalf("coefficient of y %g, want %g", got.OnY, want)
		}
	})
	if got := NewPosterior(1, 0.3); got.OnY != 0 || got.Variance != 0 || !near(got.OnY0, 1, 1e-15) {
		t.Errorf("posterior at gamma 1 is %+v, want y0 itself", got)
	}
	dst := []float32{0, 0}
	Posterior{OnY0: 2, OnY: 3}.Mean(dst, []float32{1, 10}, []float32{5, 7})
	if dst[0] != 17 || dst[1] != 41 {
		t.Errorf("mean %v", dst)
	}
}

// From the target of each kind of prediction, y0, eps and v come back.
func TestPredictionsConvert(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := GammaFromLogSNR(rapid.Float64Range(-5, 5).Draw(t, "log-SNR"))
		y0 := []float32{rapid.Float32Range(-1, 1).Draw(t, "y0")}
		eps := []float32{rapid.Float32Range(-3, 3).Draw(t, "eps")}
		y, v := make([]float32, 1), make([]float32, 1)
		Diffuse(y, y0, eps, g)
		PredictV.Target(v, y0, eps, g)
		for _, p := range []Prediction{PredictEps, PredictX0, PredictV} {
			target, got := make([]float32, 1), make([]float32, 1)
			p.Target(target, y0, eps, g)
			for _, c := range []struct {
				name string
				mix  Mix
				want float32
			}{{"y0", p.ToY0(g), y0[0]}, {"eps", p.ToEps(g), eps[0]}, {"v", p.ToV(g), v[0]}} {
				c.mix.Apply(got, target, y)
				if math.Abs(float64(got[0]-c.want)) > 1e-4 {
					t.Fatalf("%s to %s at gamma %g: %g, want %g", p, c.name, float64(g), got[0], c.want)
				}
			}
		}
	})
}

// v prediction is defined at both ends of the noise levels.
func TestVAtTheEnds(t *testing.T) {
	if PredictV.ToY0(0) != (Mix{-1, 0}) || PredictV.ToY0(1) != (Mix{0, 1}) || PredictV.ToEps(1) != (Mix{1, 0}) {
		t.Errorf("%v %v %v", PredictV.ToY0(0), PredictV.ToY0(1), PredictV.ToEps(1))
	}
}

func TestObjectiveValues(t *testing.T) {
	prediction, target := []float32{1, -2, 0.5, 3}, []float32{0, 0, 0.5, 1}
	for _, c := range []struct {
		o        Objective
		gamma    Gamma
		loss     float64
		gradient [4]float32
	}{
		{Objective{L1, WeightUniform, PredictEps}, 0.2, 5. / 4, [4]float32{0.25, -0.25, 0, 0.25}},
		{Objective{L2, WeightUniform, PredictEps}, 0.2, 9. / 4, [4]float32{0.5, -1, 0, 1}},
		{Objective{L2, WeightSNRTrunc, PredictEps}, 0.2, 9, [4]float32{2, -4, 0, 4}},
		{Objective{L1, WeightSNRTrunc, PredictEps}, 0.2, 5. / 2, [4]float32{0.5, -0.5, 0, 0.5}},
		{Objective{L2, WeightSNRTrunc, PredictEps}, 0.8, 9. / 4, [4]float32{0.5, -1, 0, 1}},
		{Objective{L2, WeightSNRTrunc, PredictX0}, 0.8, 9, [4]float32{2, -4, 0, 4}},
		{Objective{L2, WeightSNRTrunc, PredictV}, 0.25, 27. / 16, [4]float32{0.375, -0.75, 0, 0.75}},
	} {
		if got := c.o.Loss(prediction, target, c.gamma); !near(got, c.loss, 1e-9) {
			t.Errorf("%+v: loss %g, want %g", c.o, got, c.loss)
		}
		var got [4]float32
		c.o.Gradient(got[:], prediction, target, c.gamma)
		for i := range got {
			if math.Abs(float64(got[i]-c.gradient[i])) > 1e-6 {
				t.Errorf("%+v: gradient %v, want %v", c.o, got, c.gradient)
				break
			}
		}
	}
	if got := (Objective{L1, WeightUniform, PredictEps}).Loss(nil, nil, 0.5); got != 0 {
		t.Errorf("loss of nothing is %g", got)
	}
}

// The weights make the losses of the three predictions one loss: max(SNR, 1) times the error of y0.
func TestTruncatedSNRIsOneLoss(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := GammaFromLogSNR(rapid.Float64Range(-6, 6).Draw(t, "log-SNR"))
		for _, norm := range []Norm{L1, L2} {
			power := map[Norm]float64{L1: 1, L2: 2}[norm]
			want := math.Pow(max(g.SNR(), 1), power/2)
			for _, p := range []Prediction{PredictEps, PredictX0, PredictV} {
				perUnit := math.Abs(p.ToY0(g).OnPrediction) // error of y0 for a unit error of the prediction
				got := Objective{norm, WeightSNRTrunc, p}.Weight(g) / math.Pow(perUnit, power)
				if !near(got, want, 1e-9) {
					t.Fatalf("%s %s: weight on y0 %g, want %g", norm, p, got, want)
				}
			}
		}
	})
}

// The gradient against central differences of the loss.
func TestObjectiveGradient(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := Objective{rapid.SampledFrom([]Norm{L1, L2}).Draw(t, "norm"),
			rapid.SampledFrom([]Weighting{WeightUniform, WeightSNRTrunc}).Draw(t, "weighting"), PredictV}
		g := genGamma(t)
		prediction, target := make([]float32, 5), make([]float32, 5)
		for i := range target {
			target[i] = rapid.Float32Range(-1, 1).Draw(t, "target")
			prediction[i] = target[i] + rapid.SampledFrom([]float32{-0.75, 0.5, 1.25}).Draw(t, "difference")
		}
		gradient := make([]float32, 5)
		o.Gradient(gradient, prediction, target, g)
		const h = 1.0 / 64
		for i, p := range prediction {
			prediction[i] = p + h
			up := o.Loss(prediction, target, g)
			prediction[i] = p - h
			down := o.Loss(prediction, target, g)
			prediction[i] = p
			if want := (up - down) / (2 * h); math.Abs(float64(gradient[i])-want) > 1e-4 {
				t.Fatalf("%+v element %d: %g, want %g", o, i, gradient[i], want)
			}
		}
	})
}
