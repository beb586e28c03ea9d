package diffusion

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"pgregory.net/rapid"
)

// near reports whether got is want to a relative tolerance (absolute where want is 0).
func near(got, want, tolerance float64) bool {
	return math.Abs(got-want) <= tolerance*max(math.Abs(want), 1e-300) || (want == 0 && math.Abs(got) <= tolerance)
}

func mustBuild(t testing.TB, c ScheduleConfig) NoiseSchedule {
	t.Helper()
	s, err := c.Build()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The named schedules are frozen. The values at t = 1, T/4, T/2 and T come from a separate program that follows the
// published Python definitions in double precision.
func TestSchedulesAreFrozen(t *testing.T) {
	for _, c := range []struct {
		config ScheduleConfig
		want   [4]float64
	}{
		{ScheduleConfig{Kind: "linear", Steps: 2000, Start: 1e-06, End: 0.01}, [4]float64{0.999999, 0.5352504087336928, 0.08178379205169121, 4.3859782361332086e-05}},
		{ScheduleConfig{Kind: "quad", Steps: 1000, Start: 1e-06, End: 0.01}, [4]float64{0.999999, 0.9443362983548815, 0.6482212083814255, 0.03408835110310627}},
		{ScheduleConfig{Kind: "warmup10", Steps: 1000, Start: 1e-06, End: 0.01}, [4]float64{0.999999, 0.13408463195523246, 0.010868701306443353, 7.141261762705551e-05}},
		{ScheduleConfig{Kind: "warmup50", Steps: 1000, Start: 1e-06, End: 0.01}, [4]float64{0.999999, 0.5352733524735332, 0.08137928503973563, 0.0005347012123574067}},
		{ScheduleConfig{Kind: "const", Steps: 100, End: 0.05}, [4]float64{0.95, 0.27738957312183365, 0.07694497527671314, 0.005920529220333997}},
		{ScheduleConfig{Kind: "jsd", Steps: 50}, [4]float64{0.98, 0.7599999999999998, 0.49999999999999983, 0}},
		{ScheduleConfig{Kind: "cosine", Steps: 1000}, [4]float64{0.999958715775178, 0.8470121613269047, 0.49384359044063775, 2.4287669070348542e-09}},
	} {
		s := mustBuild(t, c.config)
		n := c.config.Steps
		for i, at := range []int{1, n / 4, n / 2, n} {
			if got := float64(s.Gamma(at)); !near(got, c.want[i], 1e-11) {
				t.Errorf("%s: gamma_%d = %.17g, want %.17g", c.config.Kind, at, got, c.want[i])
			}
		}
	}
}

// The values that are quoted for linear(1e-6, 1e-2, 2000), to the digits quoted.
func TestTrainingSchedule(t *testing.T) {
	s := mustBuild(t, TrainingSchedule())
	for at, want := range map[int]float64{1: 0.999999, 10: 0.999765, 100: 0.97544, 250: 0.85556, 500: 0.53525,
		1000: 0.08178, 1500: 0.003556, 2000: 4.386e-5} {
		if got := float64(s.Gamma(at)); !near(got, want, 2e-4) {
			t.Errorf("gamma_%d = %g, want %g", at, got, want)
		}
	}
}

// sqrt(gamma_t) of linear(1e-4, 0.3, 12) as PyTorch and NumPy compute it in float64.
func TestLinearAgreesWithPyTorch(t *testing.T) {
	want := []float64{1.0, 0.9999499987499375, 0.9861739704534895, 0.958859708897169, 0.9187602851889454,
		0.8671683091195305, 0.8058517310453037, 0.7369549027671504, 0.6628722120459858, 0.5861045887004297,
		0.509111131297081, 0.43416871800868423, 0.3632516111294113}
	s := mustBuild(t, ScheduleConfig{Kind: KindLinear, Steps: 12, Start: 1e-4, End: 0.3})
	for i, w := range want {
		if got := s.Gamma(i).Alpha(); !near(got, w, 1e-15) {
			t.Errorf("sqrt(gamma_%d) = %.17g, want %.17g", i, got, w)
		}
	}
}

func TestLogSNRScheduleIsEven(t *testing.T) {
	s := mustBuild(t, ScheduleConfig{Kind: KindLogSNR, Steps: 30, Start: 0.9999, End: 4.386e-5})
	step := s.Gamma(1).LogSNR() - s.Gamma(2).LogSNR()
	for i := 2; i <= 30; i++ {
		if d := s.Gamma(i-1).LogSNR() - s.Gamma(i).LogSNR(); !near(d, step, 1e-10) {
			t.Errorf("log-SNR falls by %g at step %d, by %g at 2", d, i, step)
		}
	}
	if s.Gamma(1) != 0.9999 || s.Gamma(30) != 4.386e-5 {
		t.Errorf("ends at %g and %g", s.Gamma(1), s.Gamma(30))
	}
	if one, err := LogSNRSchedule(1, 0.9, 0.1); err != nil || one.Gamma(1) != 0.1 {
		t.Errorf("one step goes to %v, %v", one.Gammas(), err)
	}
}

// The last betas for which linear schedules from 1e-6 end where the training schedule does.
func TestLinearScheduleTo(t *testing.T) {
	for steps, want := range map[int]float64{1000: 0.01993, 500: 0.0396, 250: 0.0782, 100: 0.1876, 50: 0.3506, 25: 0.6104,
		20: 0.7107, 10: 0.9703} {
		s, err := LinearScheduleTo(steps, 1e-6, 4.386e-5)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(s.Beta(steps)-want) > 1e-4 {
			t.Errorf("%d steps: beta_N = %g, want %g", steps, s.Beta(steps), want)
		}
	}
	for steps := 1; steps < 60; steps++ {
		s, err := LinearScheduleTo(steps, 1e-6, 4.386e-5)
		if err != nil {
			t.Fatal(err)
		}
		if got := float64(s.Gamma(steps)); !near(got, 4.386e-5, 1e-9) {
			t.Errorf("%d steps end at gamma %g", steps, got)
		}
	}
	for _, c := range []struct {
		start float64
		end   Gamma
	}{{0, 0.1}, {1, 0.1}, {math.NaN(), 0.1}, {0.5, 0.1}, {1e-6, 0}, {1e-6, 1}, {1e-6, Gamma(math.NaN())}} {
		if _, err := LinearScheduleTo(10, c.start, c.end); err == nil {
			t.Errorf("start %g end %g accepted", c.start, float64(c.end))
		}
	}
}

func TestSchedulesAreMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := rapid.Float64Range(1e-7, 1e-2).Draw(t, "start")
		c := ScheduleConfig{
			Kind:  rapid.SampledFrom(Kinds()).Draw(t, "kind"),
			Steps: rapid.IntRange(1, 300).Draw(t, "steps"),
			Start: start, End: rapid.Float64Range(start, 0.3).Draw(t, "end"),
		}
		if c.Kind == KindLogSNR {
			c.Start, c.End = rapid.Float64Range(0.9, 0.9999999).Draw(t, "max"), rapid.Float64Range(1e-6, 0.5).Draw(t, "min")
		}
		s, err := c.Build()
		if err != nil {
			t.Fatal(err)
		}
		if s.Steps() != c.Steps || s.Gamma(0) != 1 || len(s.Gammas()) != c.Steps+1 {
			t.Fatalf("%d steps from gamma %g", s.Steps(), float64(s.Gamma(0)))
		}
		for i := 1; i <= s.Steps(); i++ {
			if !(s.Gamma(i) < s.Gamma(i-1)) || !s.Gamma(i).Valid() {
				t.Fatalf("gamma_%d = %g after %g", i, float64(s.Gamma(i)), float64(s.Gamma(i-1)))
			}
			if !near(float64(s.Gamma(i-1))*s.Alpha(i), float64(s.Gamma(i)), 1e-9) || s.Alpha(i) != 1-s.Beta(i) {
				t.Fatalf("alpha_%d does not lead from gamma to gamma", i)
			}
		}
	})
}

func TestBadSchedules(t *testing.T) {
	for _, c := range []struct {
		config ScheduleConfig
		reason string
	}{
		{ScheduleConfig{Kind: "sigmoid", Steps: 10}, "known are linear"},
		{ScheduleConfig{Kind: "", Steps: 10}, "no such kind"},
		{ScheduleConfig{Kind: KindLinear, Steps: 0, Start: 0.1, End: 0.2}, "steps"},
		{ScheduleConfig{Kind: KindCosine, Steps: -1}, "steps"},
		{ScheduleConfig{Kind: KindJSD, Steps: 1 << 40}, "steps"},
		{ScheduleConfig{Kind: KindLogSNR, Steps: 1 << 40, Start: 0.9, End: 0.1}, "steps"},
		{ScheduleConfig{Kind: KindLinear, Steps: 10, Start: 0, End: 0.2}, "beta_1"},
		{ScheduleConfig{Kind: KindLinear, Steps: 10, Start: 0.1, End: 1.5}, "beta_"},
		{ScheduleConfig{Kind: KindLinear, Steps: 10, Start: 0.1, End: math.NaN()}, "beta_"},
		{ScheduleConfig{Kind: KindQuad, Steps: 10, Start: -1, End: 0.1}, "beta_1"},
		{ScheduleConfig{Kind: KindConst, Steps: 10, End: 1}, "gamma_2"},
		{ScheduleConfig{Kind: KindConst, Steps: 10, End: 1e-20}, "gamma_1"},
		{ScheduleConfig{Kind: KindLogSNR, Steps: 10, Start: 0.1, End: 0.9}, "lowest"},
		{ScheduleConfig{Kind: KindLogSNR, Steps: 10, Start: 1, End: 0.5}, "highest"},
	} {
		s, err := c.config.Build()
		if err == nil || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%+v: error %v does not name %q", c.config, err, c.reason)
		}
		if s.Steps() != 0 {
			t.Errorf("%+v: a schedule came with the error", c.config)
		}
	}
	if _, err := WarmupSchedule(10, 0.1, 0.2, 1.5); err == nil {
		t.Error("warm-up share 1.5 accepted")
	}
	if _, err := NewNoiseScheduleFromGammas([]Gamma{0.5, 0.6}); err == nil {
		t.Error("rising gammas accepted")
	}
	if _, err := NewNoiseScheduleFromGammas([]Gamma{0.5, Gamma(math.NaN())}); err == nil {
		t.Error("NaN accepted")
	}
}

func TestScheduleConfigRoundTrip(t *testing.T) {
	c := TrainingSchedule()
	text, err := json.Marshal(c)
	if err != nil || string(text) != `{"kind":"linear","steps":2000,"start":0.000001,"end":0.01}` {
		t.Errorf("json %s, %v", text, err)
	}
	var back ScheduleConfig
	if err := json.Unmarshal(text, &back); err != nil || back != c {
		t.Errorf("json gave %+v, %v", back, err)
	}
	text, err = toml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	back = ScheduleConfig{}
	if err := toml.Unmarshal(text, &back); err != nil || back != c {
		t.Errorf("toml gave %+v, %v", back, err)
	}
}

func TestNearest(t *testing.T) {
	s := mustBuild(t, TrainingSchedule())
	for i := 1; i <= s.Steps(); i++ {
		if got := s.Nearest(s.Gamma(i)); got != i {
			t.Fatalf("Nearest(gamma_%d) = %d", i, got)
		}
	}
	for _, c := range []struct {
		gamma Gamma
		want  int
	}{{1, 1}, {0, 2000}, {1e-9, 2000}, {0.9999999, 1},
		{GammaFromLogSNR(0.6*s.Gamma(700).LogSNR() + 0.4*s.Gamma(701).LogSNR()), 700},
		{GammaFromLogSNR(0.4*s.Gamma(700).LogSNR() + 0.6*s.Gamma(701).LogSNR()), 701}} {
		if got := s.Nearest(c.gamma); got != c.want {
			t.Errorf("Nearest(%g) = %d, want %d", float64(c.gamma), got, c.want)
		}
	}
}

func TestStrided(t *testing.T) {
	s := mustBuild(t, ScheduleConfig{Kind: KindLinear, Steps: 10, Start: 0.01, End: 0.1})
	for steps, want := range map[int][]int{1: {10}, 2: {5, 10}, 3: {3, 6, 10}, 10: {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}} {
		got, err := s.Strided(steps)
		if err != nil {
			t.Fatal(err)
		}
		gammas := []Gamma{1}
		for _, at := range want {
			gammas = append(gammas, s.Gamma(at))
		}
		if !slices.Equal(got.Gammas(), gammas) {
			t.Errorf("%d steps visit %v, want %v", steps, got.Gammas(), gammas)
		}
	}
	for _, steps := range []int{0, -1, 11} {
		if _, err := s.Strided(steps); err == nil {
			t.Errorf("%d of 10 steps accepted", steps)
		}
	}
}
