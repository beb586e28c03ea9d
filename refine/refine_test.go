package refine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/sr3-go/sr3/diffusion"
	"pgregory.net/rapid"
)

// wavy is a denoiser that is neither linear nor optimal, the same for every position but for a slow drift.
var wavy = diffusion.DenoiserFunc(func(_ context.Context, dst, y []float32, g diffusion.Gamma) error {
	for i, v := range y {
		dst[i] = float32(math.Sin(2*float64(v)+float64(i%7)) + g.Alpha())
	}
	return nil
})

// listedNoise gives noise from a table, as a recorded run would.
type listedNoise map[int][]float32

func (l listedNoise) Noise(dst []float32, step int) { copy(dst, l[step]) }

// recorded returns the noise of n elements and the given steps as a table.
func recorded(seed uint64, n, steps int) listedNoise {
	l := listedNoise{}
	for step := InitialNoise; step < steps; step++ {
		l[step] = make([]float32, n)
		NewNoise(seed).Noise(l[step], step)
	}
	return l
}

func run(t testing.TB, o Options, denoiser diffusion.Denoiser, n int) []float32 {
	t.Helper()
	y := make([]float32, n)
	if err := Run(t.Context(), o, denoiser, y); err != nil {
		t.Fatal(err)
	}
	return y
}

func wantNear(t *testing.T, what string, got, want []float32, tolerance float64) {
	t.Helper()
	for i := range want {
		if !(math.Abs(float64(got[i]-want[i])) <= tolerance) {
			t.Fatalf("%s: element %d is %g, want %g", what, i, got[i], want[i])
		}
	}
}

// Algorithm 2 word by word, in float64, in the paper's own form and without the detour over y_0.
func TestAncestralIsAlgorithm2(t *testing.T) {
	const n, steps = 100, 12
	schedule := Schedule{Kind: ScheduleTraining, Training: diffusion.ScheduleConfig{Kind: "linear", Steps: steps, Start: 1e-4, End: 0.3}}
	noise := recorded(4, n, steps)
	got := run(t, Options{Schedule: schedule, NoClip: true, Noise: noise}, wavy, n)

	s, _ := schedule.Build(0)
	y, f := slices.Clone(noise[InitialNoise]), make([]float32, n)
	for step := steps; step >= 1; step-- {
		alpha, gamma := s.Alpha(step), s.Gamma(step)
		_ = wavy(t.Context(), f, y, gamma)
		for i := range y {
			v := (float64(y[i]) - (1-alpha)/math.Sqrt(1-float64(gamma))*float64(f[i])) / math.Sqrt(alpha)
			if step > 1 {
				v += math.Sqrt(1-alpha) * float64(noise[steps-step][i])
			}
			y[i] = float32(v)
		}
	}
	wantNear(t, "Algorithm 2", got, y, 2e-5)
}

// The sampling loop of the widely used PyTorch implementation: clipped y_0, posterior mean, posterior variance through
// its logarithm.
func TestAncestralAsPublicCodeHasIt(t *testing.T) {
	const n, steps = 100, 12
	schedule := Schedule{Kind: ScheduleTraining, Training: diffusion.ScheduleConfig{Kind: "linear", Steps: steps, Start: 1e-4, End: 0.3}}
	noise := recorded(5, n, steps)
	got := run(t, Options{Schedule: schedule, Variance: VariancePosterior, Noise: noise}, wavy, n)

	s, _ := schedule.Build(0)
	x, eps := slices.Clone(noise[InitialNoise]), make([]float32, n)
	for i := steps - 1; i >= 0; i-- {
		bar, barPrev, beta := float64(s.Gamma(i+1)), float64(s.Gamma(i)), s.Beta(i+1)
		_ = wavy(t.Context(), eps, x, s.Gamma(i+1))
		for j := range x {
			x0 := math.Sqrt(1/bar)*float64(x[j]) - math.Sqrt(1/bar-1)*float64(eps[j])
			x0 = min(max(x0, -1), 1)
			v := beta*math.Sqrt(barPrev)/(1-bar)*x0 + (1-barPrev)*math.Sqrt(1-beta)/(1-bar)*float64(x[j])
			if i > 0 {
				logVariance := math.Log(max(beta*(1-barPrev)/(1-bar), 1e-20))
				v += math.Exp(0.5*logVariance) * float64(noise[steps-1-i][j])
			}
			x[j] = float32(v)
		}
	}
	wantNear(t, "public code", got, x, 2e-5)
}

func TestDDIMWithEta1IsAncestral(t *testing.T) {
	for _, steps := range []int{1, 2, 10, 50} {
		a := run(t, Options{Sampler: SamplerDDIM, Eta: 1, Steps: steps, Noise: NewNoise(6)}, wavy, 300)
		b := run(t, Options{Variance: VariancePosterior, Steps: steps, Noise: NewNoise(6)}, wavy, 300)
		wantNear(t, fmt.Sprintf("%d steps", steps), a, b, 1e-4)
	}
	rapid.Check(t, func(t *rapid.T) {
		q, p := genLevels(t)
		onY, onY0, sigma := ddimStep(q, p, 1)
		posterior := diffusion.NewPosterior(p, q)
		for _, c := range [][2]float64{{onY, posterior.OnY}, {onY0, posterior.OnY0}, {sigma * sigma, posterior.Variance}} {
			if math.Abs(c[0]-c[1]) > 1e-8 {
				t.Fatalf("q %g p %g: ddim %g, posterior %g", float64(q), float64(p), c[0], c[1])
			}
		}
	})
}

func TestFirstOrderDPMSolverIsDDIM(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q, p := genLevels(t)
		onY, onY0 := dpmppFirstOrder(q, p)
		wantY, wantY0, sigma := ddimStep(q, p, 0)
		if math.Abs(onY-wantY) > 1e-9 || math.Abs(onY0-wantY0) > 1e-9 || sigma != 0 {
			t.Fatalf("q %g p %g: %g %g, want %g %g", float64(q), float64(p), onY, onY0, wantY, wantY0)
		}
	})
	for _, steps := range []int{1, 2} { // both steps of two are of first order
		a := run(t, Options{Sampler: SamplerDPMPP2M, Steps: steps}, wavy, 100)
		b := run(t, Options{Sampler: SamplerDDIM, Steps: steps}, wavy, 100)
		wantNear(t, fmt.Sprintf("%d steps", steps), a, b, 1e-5)
	}
}

// genLevels draws two noise levels, q < p, p up to 1.
func genLevels(t *rapid.T) (q, p diffusion.Gamma) {
	q = diffusion.GammaFromLogSNR(rapid.Float64Range(-10, 8).Draw(t, "q"))
	return q, q + diffusion.Gamma(rapid.Float64Range(0.001, 1).Draw(t, "share"))*(1-q)
}

// The factors of any step keep a clean image that is also the estimate in its place: onY a_q + onY0 = a_p.
func TestStepsAreConsistent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]string{SchedulePaper, ScheduleLogSNR}).Draw(t, "kind")
		s, err := Schedule{Kind: kind}.Build(rapid.IntRange(1, 40).Draw(t, "steps"))
		if err != nil {
			t.Fatal(err)
		}
		r := &refinement{grid: s, steps: s.Steps()}
		for k := range r.steps {
			q, p := r.levels(k)
			check := func(name string, onImage, onEstimate, from float64) {
				if math.Abs(onImage*from+onEstimate-p.Alpha()) > 1e-9 {
					t.Fatalf("%s step %d: %g y %+g y0 from %g leads to %g, want %g", name, k, onImage, onEstimate, from, onImage*from+onEstimate, p.Alpha())
				}
			}
			onY, onY0, _ := ddimStep(q, p, 0.7)
			check("ddim", onY, onY0, q.Alpha())
			for _, eta := range []float64{0, 0.4, 1} {
				onY, onY0, onBefore, _ := dpmpp2mStep(r, k, eta)
				check("dpmpp-2m", onY, onY0+onBefore, q.Alpha())
			}
			if !r.last(k) {
				onY, onY0, onEuler, onThere := heunStep(q, p)
				check("heun", onY, onY0+onThere+onEuler*p.Alpha(), q.Alpha())
			}
			if k > 0 {
				from, _ := r.levels(k - 1)
				onFrom, onY0, onBefore, onTwoBefore := unipcCorrector(r, k)
				if got := onFrom*from.Alpha() + onY0 + onBefore + onTwoBefore; math.Abs(got-q.Alpha()) > 1e-9 {
					t.Fatalf("unipc corrector at step %d leads to %g, want %g", k, got, q.Alpha())
				}
			}
		}
	})
}

// All predictions of the same network lead to the same image.
func TestPredictionsAgree(t *testing.T) {
	for _, sampler := range Samplers() {
		var first []float32
		for _, p := range []diffusion.Prediction{diffusion.PredictX0, diffusion.PredictEps, diffusion.PredictV} {
			d := gaussian{0.1, 0.5, p}
			y := run(t, Options{Sampler: sampler, Steps: 9, Prediction: p, Eta: 0.3}, d, 200)
			if first == nil {
				first = y
			}
			wantNear(t, sampler+" "+string(p), y, first, 3e-4)
		}
	}
}

// Bytes do not depend on the threads, nor on noise coming whole or in parts.
func TestThreadsDoNotChangeTheResult(t *testing.T) {
	const n = 3*chunk + 1234
	for _, sampler := range Samplers() {
		o := Options{Sampler: sampler, Steps: 3, Eta: 0.5, Noise: NewNoise(77)}
		one := run(t, o, wavy, n)
		o.Threads = 3
		if !slices.Equal(run(t, o, wavy, n), one) {
			t.Errorf("%s: 3 threads differ from 1", sampler)
		}
		o.Noise = recorded(77, n, 3)
		if !slices.Equal(run(t, o, wavy, n), one) {
			t.Errorf("%s: recorded noise differs from positional noise", sampler)
		}
	}
}

// Noise belongs to its place: a longer image begins with the noise of a shorter one.
func TestNoiseDependsOnPosition(t *testing.T) {
	long, part := make([]float32, 1000), make([]float32, 100)
	n := NewNoise(1)
	for _, step := range []int{InitialNoise, 0, 5} {
		n.Noise(long, step)
		n.NoiseAt(part, step, 123)
		if !slices.Equal(part, long[123:223]) {
			t.Errorf("step %d: a part differs from the whole", step)
		}
	}
	n.Noise(part, 0)
	for what, other := range map[string]func(dst []float32){
		"seed": func(dst []float32) { NewNoise(2).Noise(dst, 0) },
		"step": func(dst []float32) { n.Noise(dst, 1) },
	} {
		got := make([]float32, 100)
		other(got)
		if slices.Equal(got, part) {
			t.Errorf("another %s gives the same noise", what)
		}
	}
}

func TestOnStep(t *testing.T) {
	for _, sampler := range Samplers() {
		var calls int
		counted := diffusion.DenoiserFunc(func(ctx context.Context, dst, y []float32, g diffusion.Gamma) error {
			calls++
			return wavy(ctx, dst, y, g)
		})
		for _, steps := range []int{1, 2, 7} {
			calls = 0
			var seen []Step
			var last []float32
			o := Options{Sampler: sampler, Steps: steps, OnStep: func(s Step) {
				seen, last = append(seen, s), slices.Clone(s.Y)
				if i := slices.IndexFunc(s.Y0, func(v float32) bool { return !(v >= -1 && v <= 1) }); i >= 0 {
					t.Errorf("%s: an estimate of %g was not clamped", sampler, s.Y0[i])
				}
			}}
			y := run(t, o, counted, 50)
			if calls != DenoiserCalls(sampler, steps) {
				t.Errorf("%s: %d calls in %d steps, want %d", sampler, calls, steps, DenoiserCalls(sampler, steps))
			}
			s, _ := o.Schedule.Build(steps)
			for i, step := range seen {
				if step.Index != i || step.Steps != steps || step.Gamma != s.Gamma(steps-1-i) {
					t.Errorf("%s: step %d reported as %d of %d at gamma %g", sampler, i, step.Index, step.Steps, float64(step.Gamma))
				}
			}
			if len(seen) != steps || !slices.Equal(last, y) {
				t.Errorf("%s: %d of %d steps reported, or the last is not the result", sampler, len(seen), steps)
			}
		}
	}
}

// The denoiser hears the schedule's own float64 levels.
func TestGammaIsExact(t *testing.T) {
	s, _ := Schedule{}.Build(6)
	var heard []diffusion.Gamma
	d := diffusion.DenoiserFunc(func(ctx context.Context, dst, y []float32, g diffusion.Gamma) error {
		heard = append(heard, g)
		return wavy(ctx, dst, y, g)
	})
	run(t, Options{Steps: 6}, d, 10)
	want := s.Gammas()[1:]
	slices.Reverse(want)
	if !slices.Equal(heard, want) {
		t.Errorf("heard %v, want %v", heard, want)
	}
}

func TestConstraints(t *testing.T) {
	const n = 200
	for _, sampler := range Samplers() {
		o := Options{Sampler: sampler, Steps: 5, ConstrainY0: func(y0 []float32) {
			for i := range y0 {
				y0[i] = 2.5
			}
		}}
		y := run(t, o, wavy, n)
		wantNear(t, sampler+" under a constraint", y, slices.Repeat([]float32{2.5}, n), 1e-5)
	}
	huge := diffusion.DenoiserFunc(func(_ context.Context, dst, y []float32, _ diffusion.Gamma) error {
		for i := range dst {
			dst[i] = 5 * float32(i%3-1)
		}
		return nil
	})
	clipped := run(t, Options{Steps: 3, Prediction: diffusion.PredictX0}, huge, 3)
	wantNear(t, "clipped", clipped, []float32{-1, 0, 1}, 1e-6)
	free := run(t, Options{Steps: 3, Prediction: diffusion.PredictX0, NoClip: true}, huge, 3)
	wantNear(t, "free", free, []float32{-5, 0, 5}, 1e-5)
	values := []float32{-3, -1, 0.5, 1, 7, float32(math.NaN())}
	Clamp(values)
	if !slices.Equal(values[:5], []float32{-1, -1, 0.5, 1, 1}) || values[5] == values[5] {
		t.Errorf("clamped to %v", values)
	}
}

// A run from an image stays at that image when the denoiser sees it, and does not draw a start.
func TestFromY(t *testing.T) {
	y := []float32{0.5, -0.25}
	g := diffusion.Gamma(0.8)
	want := []float32{y[0] / float32(g.Alpha()), y[1] / float32(g.Alpha())}
	d := diffusion.DenoiserFunc(func(_ context.Context, dst, _ []float32, _ diffusion.Gamma) error {
		clear(dst) // no noise at all
		return nil
	})
	o := Options{Sampler: SamplerDDIM, Schedule: Schedule{Kind: ScheduleExplicit, Gammas: []float64{0.9, 0.8}}, FromY: true}
	if err := Run(t.Context(), o, d, y); err != nil {
		t.Fatal(err)
	}
	wantNear(t, "from y", y, want, 1e-6)
}

func TestCancellation(t *testing.T) {
	for _, sampler := range Samplers() {
		ctx, cancel := context.WithCancel(t.Context())
		steps := 0
		err := Run(ctx, Options{Sampler: sampler, Steps: 10, OnStep: func(s Step) {
			if steps++; s.Index == 3 {
				cancel()
			}
		}}, wavy, make([]float32, 8))
		if !errors.Is(err, context.Canceled) || steps != 4 {
			t.Errorf("%s: %v after %d steps", sampler, err, steps)
		}
	}
}

func TestErrors(t *testing.T) {
	sentinel := errors.New("out of memory")
	failing := diffusion.DenoiserFunc(func(context.Context, []float32, []float32, diffusion.Gamma) error { return sentinel })
	broken := diffusion.DenoiserFunc(func(_ context.Context, dst, _ []float32, _ diffusion.Gamma) error {
		dst[1] = float32(math.NaN())
		return nil
	})
	for _, sampler := range Samplers() {
		err := Run(t.Context(), Options{Sampler: sampler, Steps: 3}, failing, make([]float32, 4))
		if !errors.Is(err, sentinel) || !strings.Contains(err.Error(), "step 1 of 3") {
			t.Errorf("%s: %v", sampler, err)
		}
		if err := Run(t.Context(), Options{Sampler: sampler, Steps: 3}, broken, make([]float32, 4)); !errors.Is(err, ErrNotFinite) {
			t.Errorf("%s: NaN gave %v", sampler, err)
		}
	}
	zero := Schedule{Kind: ScheduleTraining, Training: diffusion.ScheduleConfig{Kind: diffusion.KindJSD, Steps: 10}}
	for _, c := range []struct {
		o      Options
		reason string
	}{
		{Options{Steps: 3, Sampler: "plms"}, "known are ancestral, ddim"},
		{Options{Steps: 3, Variance: "fixed"}, "known are beta"},
		{Options{Steps: 3, Prediction: "score"}, "known are eps"},
		{Options{Steps: 3, Eta: 1.5}, "eta"},
		{Options{Steps: 3, Eta: math.NaN()}, "eta"},
		{Options{Steps: 0}, "steps"},
		{Options{Steps: -4}, "steps"},
		{Options{Steps: 1 << 40}, "steps"},
		{Options{Steps: 3, Schedule: Schedule{Kind: "karras"}}, "known are paper"},
		{Options{Steps: 3, Schedule: Schedule{Kind: ScheduleExplicit}}, "no gammas"},
		{Options{Steps: 3, Schedule: Schedule{Kind: ScheduleExplicit, Gammas: []float64{0.5}}}, "3 steps were asked for and one gamma is listed"},
		{Options{Steps: 1 << 40, Schedule: Schedule{Kind: ScheduleExplicit, Gammas: []float64{0.9, 0.5}}}, "steps"},
		{Options{Steps: -1, Schedule: Schedule{Kind: ScheduleExplicit, Gammas: []float64{0.9, 0.5}}}, "steps"},
		{Options{Steps: 3, Temperature: -0.5}, "temperature -0.5"},
		{Options{Steps: 3, Temperature: math.NaN()}, "temperature"},
		{Options{Steps: 3, Temperature: 2.5}, "temperature 2.5"},
		{Options{Schedule: Schedule{Kind: ScheduleExplicit, Gammas: []float64{0.5, 0.9}}}, "gamma_2"},
		{Options{Steps: 2001, Schedule: Schedule{Kind: ScheduleTraining}}, "2001 of 2000"},
		{Options{Schedule: zero}, "gamma 0"},
	} {
		err := Run(t.Context(), c.o, wavy, make([]float32, 4))
		if err == nil || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%+v: error %v does not name %q", c.o, err, c.reason)
		}
		if v := c.o.Validate(); v == nil || v.Error() != err.Error() {
			t.Errorf("Validate says %v, Run %v", v, err)
		}
	}
}

// From gamma 0 every sampler works with v prediction.
func TestStartFromPureNoise(t *testing.T) {
	d := gaussian{0.2, 0.3, diffusion.PredictV}
	schedule := Schedule{Kind: ScheduleTraining, Training: diffusion.ScheduleConfig{Kind: diffusion.KindJSD, Steps: 40}}
	for _, sampler := range Samplers() {
		for _, steps := range []int{1, 2, 3, 40} {
			y := refineGaussian(t, Options{Sampler: sampler, Schedule: schedule, Steps: steps}, d, 4096)
			if mean, _ := moments(y); math.Abs(mean-0.2) > 0.03 {
				t.Errorf("%s, %d steps: mean %g, want 0.2", sampler, steps, mean)
			}
		}
	}
}

func TestScheduleEnds(t *testing.T) {
	training, _ := Schedule{Kind: ScheduleTraining}.Build(0)
	if training.Steps() != 2000 {
		t.Errorf("the training schedule has %d steps", training.Steps())
	}
	for _, kind := range []string{"", SchedulePaper, ScheduleTraining, ScheduleLogSNR} {
		for _, steps := range []int{1, 2, 3, 10, 100, 1000} {
			s, err := Schedule{Kind: kind}.Build(steps)
			if err != nil {
				t.Fatal(err)
			}
			if got := float64(s.Gamma(steps)); s.Steps() != steps || math.Abs(got/DefaultGammaMin-1) > 1e-4 {
				t.Errorf("%q: %d steps end at gamma %g", kind, s.Steps(), got)
			}
		}
	}
}

func TestScheduleRoundTrip(t *testing.T) {
	for _, c := range []Schedule{{Kind: SchedulePaper}, {Kind: ScheduleTraining, Training: diffusion.TrainingSchedule()},
		{Kind: ScheduleExplicit, Gammas: []float64{0.9, 0.1}}, {Kind: ScheduleLogSNR, GammaMin: 0.01, GammaMax: 0.99}} {
		text, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var back Schedule
		if err := json.Unmarshal(text, &back); err != nil || fmt.Sprint(back) != fmt.Sprint(c) {
			t.Errorf("%s became %+v, %v", text, back, err)
		}
		text, err = toml.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		back = Schedule{}
		if err := toml.Unmarshal(text, &back); err != nil || fmt.Sprint(back) != fmt.Sprint(c) {
			t.Errorf("%s became %+v, %v", text, back, err)
		}
	}
}

// mix takes up to four terms, any of which may be the destination, and skips those with factor 0.
func TestMix(t *testing.T) {
	nan := slices.Repeat([]float32{float32(math.NaN())}, 5)
	x := []float32{1, 2, 3, 4, 5}
	terms := []term{{2, x}, {0, nan}, {-1, []float32{1, 1, 1, 1, 1}}, {0.5, []float32{2, 4, 6, 8, 10}}, {10, []float32{0, 0, 0, 0, 1}}}
	for count, want := range map[int][]float32{0: {0, 0, 0, 0, 0}, 1: {2, 4, 6, 8, 10}, 2: {2, 4, 6, 8, 10}, 3: {1, 3, 5, 7, 9},
		4: {2, 5, 8, 11, 14}, 5: {2, 5, 8, 11, 24}} {
		dst := slices.Clone(x)
		for i := range terms {
			if i == 0 {
				terms[i].x = dst
			}
		}
		mix(1, dst, terms[:count]...)
		if !slices.Equal(dst, want) {
			t.Errorf("%d terms: %v, want %v", count, dst, want)
		}
	}
}

func BenchmarkAncestralStep(b *testing.B) {
	still := diffusion.DenoiserFunc(func(_ context.Context, _, _ []float32, _ diffusion.Gamma) error { return nil })
	y := make([]float32, 3*512*512)
	b.SetBytes(int64(4 * len(y)))
	for b.Loop() {
		if err := Run(b.Context(), Options{Steps: 2, Threads: 2}, still, y); err != nil {
			b.Fatal(err)
		}
	}
}
