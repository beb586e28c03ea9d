package refine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/sr3-go/sr3/diffusion"
)

// outcome returns the mean and deviation of what a deterministic sampler makes of Gaussian data: the way from noise to
// image is affine for the optimal denoiser, so two starts tell all.
func outcome(t testing.TB, c Candidate, d gaussian) (mean, deviation float64) {
	t.Helper()
	o := c.Apply(Options{Noise: listedNoise{InitialNoise: {0, 1}}, NoClip: true, Prediction: d.prediction})
	y := make([]float32, 2)
	if err := Run(t.Context(), o, d, y); err != nil {
		t.Fatal(err)
	}
	return float64(y[0]), math.Abs(float64(y[1] - y[0]))
}

// wasserstein is the squared 2-Wasserstein distance of outcomes from the data, summed over data of several widths, as an
// image has contrast of several kinds.
func wasserstein(t testing.TB) func(context.Context, Candidate) (float64, error) {
	return func(_ context.Context, c Candidate) (float64, error) {
		var sum float64
		for _, d := range []gaussian{{0.3, 0.9, diffusion.PredictV}, {0.3, 0.3, diffusion.PredictV}, {-0.2, 0.05, diffusion.PredictV}} {
			mean, deviation := outcome(t, c, d)
			sum += (mean-d.mean)*(mean-d.mean) + (deviation-d.deviation)*(deviation-d.deviation)
		}
		return sum, nil
	}
}

// The search beats the schedules that it starts from and those that are there without it, sampler by sampler; those of
// higher order have more to win.
func TestSearchBeatsNamedSchedules(t *testing.T) {
	const calls = 6
	score := wasserstein(t)
	for sampler, factor := range map[string]float64{SamplerDDIM: 3, SamplerDPMPP2M: 10, SamplerUniPC: 10, SamplerHeun: 1.5} {
		found, err := Search{Calls: calls, Samplers: []string{sampler}, FixTemperature: true, Score: score}.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		named := math.Inf(1)
		for _, kind := range []string{SchedulePaper, ScheduleLogSNR, ScheduleTraining} {
			c, err := CandidateOf(Options{Sampler: sampler, Steps: StepsFor(sampler, calls), Schedule: Schedule{Kind: kind}})
			if err != nil {
				t.Fatal(err)
			}
			s, _ := score(t.Context(), c)
			named = min(named, s)
		}
		t.Logf("%s: named %.3g, first %.3g, found %.3g in %d trials: %v", sampler, named, found.Trials[0].Score, found.Best.Score,
			len(found.Trials), found.Best.Candidate)
		if !(found.Best.Score < named/factor && found.Best.Score < found.Trials[0].Score/factor) || !found.Converged {
			t.Errorf("%s: found %g, converged %v; named schedules reach %g, the first trial %g", sampler, found.Best.Score, found.Converged,
				named, found.Trials[0].Score)
		}
		if found.Best.Calls() > calls || !found.Best.valid() || found.Best.Temperature != 1 {
			t.Errorf("%s: found %v", sampler, found.Best.Candidate)
		}
	}
}

// The denoiser of a single Gaussian at two steps reaches its deviation exactly: a schedule exists, and is found.
func TestSearchFindsTheExactMarginal(t *testing.T) {
	d := gaussian{0, 0.5, diffusion.PredictX0}
	found, err := Search{Calls: 2, Samplers: []string{SamplerDDIM}, FixTemperature: true, Score: func(_ context.Context, c Candidate) (float64, error) {
		if c.Eta != 0 {
			return 1, nil
		}
		mean, deviation := outcome(t, c, d)
		return math.Hypot(mean-d.mean, deviation-d.deviation), nil
	}}.Run(t.Context())
	if err != nil || found.Best.Score > 0.005 {
		t.Errorf("distance %v from the data, %v", found.Best.Score, err)
	}
}

// An optimum that no rho-schedule reaches is found level by level, with temperature and eta.
func TestSearchMovesEachLevel(t *testing.T) {
	want := []float64{4.1, 3.2, 0.4, -0.3, -6}
	score := func(_ context.Context, c Candidate) (float64, error) {
		var sum float64
		for i, g := range c.Gammas {
			sum += math.Pow(diffusion.Gamma(g).LogSNR()-want[i], 2)
		}
		return sum + 20*math.Pow(c.Temperature-0.85, 2) + 2*math.Pow(c.Eta-0.35, 2), nil
	}
	found, err := Search{Calls: 5, Samplers: []string{SamplerDDIM}, Score: score}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, g := range found.Best.Gammas {
		if got := diffusion.Gamma(g).LogSNR(); math.Abs(got-want[i]) > 0.2 {
			t.Errorf("level %d is at %.3f, want %g", i+1, got, want[i])
		}
	}
	if math.Abs(found.Best.Temperature-0.85) > 0.03 || math.Abs(found.Best.Eta-0.35) > 0.1 {
		t.Errorf("temperature %g, eta %g", found.Best.Temperature, found.Best.Eta)
	}
}

// Of several samplers the one wins that scores best, though it begins worst, and the others do not cost much.
func TestSearchRaces(t *testing.T) {
	offset := map[string]float64{SamplerDDIM: 0.3, SamplerDPMPP2M: 0.2, SamplerUniPC: 0.1, SamplerHeun: 0.4}
	score := func(_ context.Context, c Candidate) (float64, error) {
		cleanest := diffusion.Gamma(c.Gammas[0]).LogSNR()
		return offset[c.Sampler] + math.Abs(cleanest-4.5), nil
	}
	found, err := Search{Calls: 9, Evaluations: 90, Score: score}.Run(t.Context())
	if err != nil || found.Best.Sampler != SamplerUniPC || found.Best.Score > 0.25 {
		t.Fatalf("%v, %v", found.Best, err)
	}
	count := map[string]int{}
	for i, trial := range found.Trials {
		count[trial.Sampler]++
		if trial.Number != i+1 || trial.Calls() > 9 {
			t.Errorf("trial %d is numbered %d and makes %d calls", i+1, trial.Number, trial.Calls())
		}
	}
	if len(found.Trials) > 90 || count[SamplerUniPC] < 45 || count[SamplerHeun] < 3 {
		t.Errorf("%d trials: %v", len(found.Trials), count)
	}
}

// The search has no randomness, stays within its evaluations and tries nothing twice.
func TestSearchIsDeterministic(t *testing.T) {
	for _, evaluations := range []int{1, 3, 20, 61} {
		var first *SearchResult
		for range 2 {
			var heard []Trial
			s := Search{Calls: 4, Evaluations: evaluations, Score: wasserstein(t), OnTrial: func(trial Trial) { heard = append(heard, trial) }}
			found, err := s.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(found.Trials) != evaluations || found.Converged || fmt.Sprint(heard) != fmt.Sprint(found.Trials) {
				t.Errorf("%d trials of %d, %d heard, converged %v", len(found.Trials), evaluations, len(heard), found.Converged)
			}
			seen, best := map[string]bool{}, math.Inf(1)
			for _, trial := range found.Trials {
				if seen[key(trial.Candidate)] {
					t.Errorf("%v is tried again", trial.Candidate)
				}
				if seen[key(trial.Candidate)] = true; trial.Best != (trial.Score < best) {
					t.Errorf("trial %d: best is %v", trial.Number, trial.Best)
				}
				best = min(best, trial.Score)
			}
			if found.Best.Score != best {
				t.Errorf("the best scores %g, the least is %g", found.Best.Score, best)
			}
			if first == nil {
				first = found
			}
			if fmt.Sprint(found) != fmt.Sprint(first) {
				t.Error("a second run differs")
			}
		}
	}
}

// What the search is given comes first and is developed; a cancelled search returns the best so far.
func TestSearchStartAndCancellation(t *testing.T) {
	start := Candidate{Sampler: SamplerDDIM, Gammas: []float64{0.97, 0.4, 0.001}, Temperature: 0.9}
	ctx, cancel := context.WithCancel(t.Context())
	want := func(c Candidate) float64 { // near the start
		var sum float64
		for i, g := range c.Gammas {
			sum += math.Abs(diffusion.Gamma(g).LogSNR() - diffusion.Gamma(start.Gammas[i]).LogSNR() - 0.3)
		}
		return sum
	}
	s := Search{Calls: 3, Samplers: []string{SamplerDDIM}, Start: &start, FixTemperature: true, Score: func(_ context.Context, c Candidate) (float64, error) { return want(c), nil }}
	s.OnTrial = func(trial Trial) {
		if trial.Stage == StageLevels && trial.Number > 60 {
			cancel()
		}
	}
	found, err := s.Run(ctx)
	if !errors.Is(err, context.Canceled) || found == nil {
		t.Fatalf("%v, %v", found, err)
	}
	if key(found.Trials[0].Candidate) != key(start) || found.Best.Score >= want(start)/2 {
		t.Errorf("first %v; best %v", found.Trials[0], found.Best)
	}
}

func TestSearchErrors(t *testing.T) {
	sentinel := errors.New("disk full")
	one := func(context.Context, Candidate) (float64, error) { return 1, nil }
	long := Candidate{Sampler: SamplerHeun, Gammas: []float64{0.9, 0.5, 0.1}, Temperature: 1}
	for _, c := range []struct {
		s      Search
		reason string
	}{
		{Search{Score: one}, "0 calls"},
		{Search{Calls: 3}, "no score"},
		{Search{Calls: 3, Score: one, Evaluations: -1}, "-1 evaluations"},
		{Search{Calls: 3, Score: one, Samplers: []string{"plms"}}, "known are ancestral"},
		{Search{Calls: 4, Score: one, Start: &long}, "5 calls, more than 4"},
		{Search{Calls: 3, Score: func(context.Context, Candidate) (float64, error) { return 0, sentinel }}, "disk full"},
		{Search{Calls: 3, Evaluations: 9, Score: func(context.Context, Candidate) (float64, error) { return 0, ErrNotFinite }}, "no candidate"},
		{Search{Calls: 3, Evaluations: 9, Score: func(context.Context, Candidate) (float64, error) { return math.NaN(), nil }}, "no candidate"},
	} {
		if found, err := c.s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), c.reason) || found != nil {
			t.Errorf("%v, error %v does not name %q", found, err, c.reason)
		}
	}
}

func TestRhoLevels(t *testing.T) {
	// Equation 5 of Karras et al. word by word, with their constants.
	const n, rho, sigmaMin, sigmaMax = 18, 7, 0.002, 80
	got := RhoLevels(n, -2*math.Log(sigmaMin), -2*math.Log(sigmaMax), 1./rho)
	for i := range n {
		sigma := math.Pow(math.Pow(sigmaMax, 1./rho)+float64(i)/(n-1)*(math.Pow(sigmaMin, 1./rho)-math.Pow(sigmaMax, 1./rho)), rho)
		if level := got[n-1-i]; math.Abs(math.Exp(-level/2)/sigma-1) > 1e-9 {
			t.Errorf("level %d has sigma %g, want %g", i, math.Exp(-level/2), sigma)
		}
	}
	for _, curvature := range []float64{-1.5, -0.2, -1e-9, 0, 1e-9, 0.3, 1.5} {
		levels := RhoLevels(10, 10, -12, curvature)
		if levels[0] != 10 || math.Abs(levels[9]+12) > 1e-9 || !slices.IsSortedFunc(levels, func(a, b float64) int { return int(math.Copysign(1, b-a)) }) {
			t.Errorf("curvature %g: %v", curvature, levels)
		}
	}
	if got := RhoLevels(1, 3, -5, 0.5); !slices.Equal(got, []float64{-5}) {
		t.Errorf("one level: %v", got)
	}
}

// Listed levels are resampled smoothly for other numbers of steps: ends stay, levels fall, and the levels of a log-SNR
// schedule stay evenly spaced.
func TestExplicitScheduleIsResampled(t *testing.T) {
	even, _ := Schedule{Kind: ScheduleLogSNR}.Build(10)
	listed := Candidate{}
	for _, g := range even.Gammas()[1:] {
		listed.Gammas = append(listed.Gammas, float64(g))
	}
	bent := gammasOf(RhoLevels(10, 3.5, -8, 0.4))
	for _, steps := range []int{1, 2, 3, 9, 10, 11, 20, 100, 1000} {
		want, _ := Schedule{Kind: ScheduleLogSNR}.Build(steps)
		got, err := listed.Schedule().Build(steps)
		if err != nil {
			t.Fatal(err)
		}
		for i := range steps {
			if g, w := got.Gamma(i+1).LogSNR(), want.Gamma(i+1).LogSNR(); math.Abs(g-w) > 1e-6 {
				t.Errorf("%d steps: level %d at %g, want %g", steps, i+1, g, w)
			}
		}
		got, err = Schedule{Kind: ScheduleExplicit, Gammas: bent}.Build(steps)
		if err != nil || float64(got.Gamma(steps)) != bent[9] || steps > 1 && float64(got.Gamma(1)) != bent[0] {
			t.Errorf("%d steps: the ends moved, %v", steps, err)
		}
		rho := RhoLevels(steps, 3.5, -8, 0.4)
		for i := 0; steps >= 9 && i < steps; i++ {
			if g := got.Gamma(i + 1).LogSNR(); math.Abs(g-rho[i]) > 0.12 {
				t.Errorf("%d steps: level %d at %g, the family has it at %g", steps, i+1, g, rho[i])
			}
		}
	}
	zero, err := Schedule{Kind: ScheduleExplicit, Gammas: []float64{0.9, 0.5, 0}}.Build(7)
	if err != nil || zero.Gamma(7) != 0 || !(zero.Gamma(6) > 0) {
		t.Errorf("from gamma 0: %v, %v", zero.Gammas(), err)
	}
}

// A start whose only level is pure noise wins and is improved.
func TestSearchFromPureNoise(t *testing.T) {
	start := &Candidate{Sampler: SamplerDDIM, Gammas: []float64{0}, Temperature: 1}
	score := func(_ context.Context, c Candidate) (float64, error) {
		switch g := c.Gammas[0]; {
		case g == 0:
			return 1, nil
		case g < 1e-5:
			return 0.5, nil
		}
		return 2, nil
	}
	found, err := Search{Calls: 1, Samplers: []string{SamplerDDIM}, Start: start, Evaluations: 40, FixTemperature: true, Score: score}.Run(t.Context())
	if err != nil || found.Best.Score != 0.5 {
		t.Errorf("%+v, %v", found, err)
	}
}
