package refine

import (
	"context"
	"math"
	"testing"

	"github.com/sr3-go/sr3/diffusion"
)

// gaussian is data whose elements are independent N(mean, deviation^2): the optimal denoiser, the distribution at
// every noise level and the deterministic path are known in closed form.
type gaussian struct {
	mean, deviation float64
	prediction      diffusion.Prediction
}

// variance returns the variance of y at gamma.
func (d gaussian) variance(g diffusion.Gamma) float64 {
	return float64(g)*d.deviation*d.deviation + 1 - float64(g)
}

// y0 returns c and k of the optimal estimate E[y_0 | y] = c + k y.
func (d gaussian) y0(g diffusion.Gamma) (c, k float64) {
	k = g.Alpha() * d.deviation * d.deviation / d.variance(g)
	return d.mean * (1 - k*g.Alpha()), k
}

// Denoise gives the optimal prediction, of the kind asked for.
func (d gaussian) Denoise(ctx context.Context, dst, y []float32, g diffusion.Gamma) error {
	c, k := d.y0(g)
	a, s := g.Alpha(), g.Sigma()
	for i, v := range y {
		y0 := c + k*float64(v)
		eps := (float64(v) - a*y0) / s
		switch d.prediction {
		case diffusion.PredictEps:
			dst[i] = float32(eps)
		case diffusion.PredictX0:
			dst[i] = float32(y0)
		case diffusion.PredictV:
			dst[i] = float32(a*eps - s*y0)
		}
	}
	return ctx.Err()
}

// path follows the probability-flow ODE exactly from y at gamma q to gamma p: the standardised y stays what it is.
func (d gaussian) path(y float64, q, p diffusion.Gamma) float64 {
	z := (y - q.Alpha()*d.mean) / math.Sqrt(d.variance(q))
	return p.Alpha()*d.mean + math.Sqrt(d.variance(p))*z
}

// refineGaussian runs the options without clipping on n elements.
func refineGaussian(t *testing.T, o Options, d gaussian, n int) []float32 {
	t.Helper()
	y := make([]float32, n)
	o.NoClip, o.Prediction = true, d.prediction
	if err := Run(t.Context(), o, d, y); err != nil {
		t.Fatal(err)
	}
	return y
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

// The ancestral sampler is linear for this denoiser, so the mean and variance after all steps follow exactly from a
// recursion of two numbers, written from the paper's equations 10 and 11 in eps.
func TestAncestralMomentsAreExact(t *testing.T) {
	const n = 1 << 16
	for _, variance := range []string{VarianceBeta, VariancePosterior} {
		for _, steps := range []int{1, 2, 5, 40} {
			for _, d := range []gaussian{{0.3, 0.5, diffusion.PredictEps}, {-0.6, 0.1, diffusion.PredictV}, {0, 1, diffusion.PredictX0}} {
				o := Options{Steps: steps, Variance: variance, Noise: NewNoise(42)}
				mean, v := moments(refineGaussian(t, o, d, n))
				wantMean, wantV := algorithm2Moments(t, d, o)
				if math.Abs(mean-wantMean) > 5*math.Sqrt(wantV/n)+1e-4 {
					t.Errorf("%s, %d steps, %+v: mean %g, want %g", variance, steps, d, mean, wantMean)
				}
				if math.Abs(v-wantV) > 5*wantV*math.Sqrt(2./n)+1e-5 {
					t.Errorf("%s, %d steps, %+v: variance %g, want %g", variance, steps, d, v, wantV)
				}
			}
		}
	}
}

// algorithm2Moments carries the mean and variance through Algorithm 2.
func algorithm2Moments(t *testing.T, d gaussian, o Options) (mean, variance float64) {
	s, err := o.Schedule.Build(o.Steps)
	if err != nil {
		t.Fatal(err)
	}
	mean, variance = 0, 1
	for step := s.Steps(); step >= 1; step-- {
		g, alpha, beta := s.Gamma(step), s.Alpha(step), s.Beta(step)
		c, k := d.y0(g)
		// eps = (y - sqrt(gamma) y0)/sqrt(1-gamma) = e + f y
		e, f := -g.Alpha()*c/g.Sigma(), (1-g.Alpha()*k)/g.Sigma()
		scale := (1 - beta/g.Sigma()*f) / math.Sqrt(alpha)
		mean = scale*mean - beta/g.Sigma()*e/math.Sqrt(alpha)
		variance *= scale * scale
		if step > 1 && o.Variance == VarianceBeta {
			variance += beta
		} else if step > 1 {
			variance += beta * (1 - float64(s.Gamma(step-1))) / (1 - float64(g))
		}
	}
	return mean, variance
}

// With many steps every sampler gives the data's distribution.
func TestSamplersReachTheData(t *testing.T) {
	const n = 1 << 14
	d := gaussian{0.25, 0.4, diffusion.PredictEps}
	for _, sampler := range Samplers() {
		for _, eta := range []float64{0, 0.5, 1} {
			if eta != 0 && sampler != SamplerDDIM {
				continue
			}
			o := Options{Sampler: sampler, Eta: eta, Steps: 250, Noise: NewNoise(3), Threads: 2}
			mean, variance := moments(refineGaussian(t, o, d, n))
			if math.Abs(mean-0.25) > 5*0.4/math.Sqrt(n)+2e-3 {
				t.Errorf("%s eta %g: mean %g, want 0.25", sampler, eta, mean)
			}
			if math.Abs(variance/0.16-1) > 5*math.Sqrt(2./n)+0.03 {
				t.Errorf("%s eta %g: variance %g, want 0.16", sampler, eta, variance)
			}
		}
	}
}

// pathError refines on an even log-SNR grid and returns the largest distance from the exact path, followed to the
// level before the last step, which all these samplers end by taking the estimate of y_0.
func pathError(t *testing.T, sampler string, steps int) float64 {
	const n = 64
	d := gaussian{0.3, 0.5, diffusion.PredictX0}
	schedule := Schedule{Kind: ScheduleLogSNR, GammaMin: 0.01, GammaMax: 0.99}
	o := Options{Sampler: sampler, Steps: steps, Schedule: schedule, Noise: NewNoise(8)}
	got := refineGaussian(t, o, d, n)
	start := make([]float32, n)
	NewNoise(8).Noise(start, InitialNoise)
	c, k := d.y0(0.99)
	var worst float64
	for i, v := range got {
		want := c + k*d.path(float64(start[i]), 0.01, 0.99)
		worst = max(worst, math.Abs(float64(v)-want))
	}
	return worst
}

func TestConvergenceOrder(t *testing.T) {
	for _, c := range []struct {
		sampler string
		order   float64
		steps   int
	}{{SamplerDDIM, 1, 64}, {SamplerDPMPP2M, 2, 40}, {SamplerHeun, 2, 32}, {SamplerUniPC, 3, 40}} {
		coarse, fine := pathError(t, c.sampler, c.steps+1), pathError(t, c.sampler, 2*c.steps+1)
		order := math.Log2(coarse / fine)
		t.Logf("%s: error %.3g in %d steps, %.3g in %d: order %.2f", c.sampler, coarse, c.steps, fine, 2*c.steps, order)
		if math.Abs(order-c.order) > 0.25 {
			t.Errorf("%s converges with order %.2f, want %g", c.sampler, order, c.order)
		}
	}
}

// At a small budget the solvers of higher order are nearer to the path, and the corrector is worth having (here it is
// from 16 steps up).
func TestHigherOrderIsBetter(t *testing.T) {
	const steps = 21
	first, second, corrected := pathError(t, SamplerDDIM, steps), pathError(t, SamplerDPMPP2M, steps), pathError(t, SamplerUniPC, steps)
	t.Logf("error in %d steps: ddim %.3g, dpmpp-2m %.3g, unipc %.3g", steps, first, second, corrected)
	if !(second < first/10 && corrected < second/1.5) {
		t.Errorf("error in %d steps: ddim %.3g, dpmpp-2m %.3g, unipc %.3g", steps, first, second, corrected)
	}
}

// The temperature scales the deviation of what is drawn, exactly, and leaves the mean: the optimal denoiser of Gaussian
// data is affine. 1 is the same as not saying it.
func TestTemperature(t *testing.T) {
	d := gaussian{0.2, 0.4, diffusion.PredictV}
	for _, sampler := range Samplers() {
		o := Options{Sampler: sampler, Steps: 12, Eta: 0.6, Noise: NewNoise(5)}
		full := refineGaussian(t, o, d, 2000)
		o.Temperature = 1
		wantNear(t, sampler+" at temperature 1", refineGaussian(t, o, d, 2000), full, 0)
		o.Noise = listedNoise{}
		centre := refineGaussian(t, o, d, 1)[0]
		o.Noise, o.Temperature = NewNoise(5), 0.7
		cool := refineGaussian(t, o, d, 2000)
		want := make([]float32, len(full))
		for i, v := range full {
			want[i] = centre + 0.7*(v-centre)
		}
		wantNear(t, sampler+" at temperature 0.7", cool, want, 1e-4)
	}
}

// DPM-Solver++ with fresh noise draws from the data's distribution too, and its two-step form is DDIM.
func TestStochasticDPMSolver(t *testing.T) {
	const n = 1 << 14
	d := gaussian{0.25, 0.4, diffusion.PredictEps}
	for _, eta := range []float64{0.5, 1} {
		o := Options{Sampler: SamplerDPMPP2M, Eta: eta, Steps: 60, Schedule: Schedule{Kind: ScheduleLogSNR}, Noise: NewNoise(3)}
		mean, variance := moments(refineGaussian(t, o, d, n))
		if math.Abs(mean-0.25) > 5*0.4/math.Sqrt(n)+2e-3 || math.Abs(variance/0.16-1) > 5*math.Sqrt(2./n)+0.03 {
			t.Errorf("eta %g: mean %g, want 0.25; variance %g, want 0.16", eta, mean, variance)
		}
		o.Steps = 2
		b := o
		b.Sampler = SamplerDDIM
		wantNear(t, "two steps", refineGaussian(t, o, d, 100), refineGaussian(t, b, d, 100), 1e-5)
	}
}
