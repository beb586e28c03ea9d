package cli

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sr3-go/sr3/internal/cpu"
	"github.com/sr3-go/sr3/internal/cpu/kernel"
	"github.com/sr3-go/sr3/internal/graph"
	"github.com/sr3-go/sr3/internal/graph/plain"
	"github.com/sr3-go/sr3/internal/philox"
	"github.com/sr3-go/sr3/model"
	"github.com/sr3-go/sr3/unet"
)

// doctorReport is the output of "sr3 doctor --json".
type doctorReport struct {
	versionInfo
	Detected    string         `json:"simd_detected"`
	Processors  int            `json:"processors"`
	GOMAXPROCS  int            `json:"gomaxprocs"`
	MemoryMiB   *float64       `json:"memory_mib"`
	FreeMiB     *float64       `json:"memory_available_mib"`
	ModelsDirs  []string       `json:"models_dirs"`
	Models      []modelSummary `json:"models"`
	SelfTest    selfTest       `json:"self_test"`
	GFLOPPerS   float64        `json:"gflop_per_s"`
	Healthy     bool           `json:"healthy"`
	Suggestions []string       `json:"suggestions,omitempty"`
}

// selfTest runs a small network on the machine's kernels.
type selfTest struct {
	MaxError    float64 `json:"max_error"`    // against float64, as a share of the output's range
	ThreadsSame bool    `json:"threads_same"` // one and several threads give the same bytes
	Error       string  `json:"error,omitempty"`
}

// maxSelfTestError is what single precision may cost a small network.
const maxSelfTestError = 1e-4

func newDoctor(s *streams) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check this machine: instructions, threads, memory, models",
		Long: `doctor says what sr3 found on this machine and tests it: a small network is run on
the kernels in use and compared with plain float64 arithmetic, and with itself on
another number of threads. It exits with code 1 when something is wrong.`,
		Example: "  sr3 doctor\n  SR3_SIMD=off sr3 doctor --json",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			r := examine()
			var err error
			if asJSON {
				err = writeJSON(s.out, r)
			} else {
				r.print(s)
			}
			if err == nil && !r.Healthy {
				err = errReported
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// examine gathers the report.
func examine() *doctorReport {
	r := &doctorReport{
		versionInfo: currentVersion(), Detected: kernel.Detected().String(), Processors: runtime.NumCPU(),
		GOMAXPROCS: runtime.GOMAXPROCS(0), MemoryMiB: memoryTotal(), FreeMiB: memoryAvailable(),
		ModelsDirs: model.Directories(), Models: listModels(),
	}
	r.SelfTest, r.GFLOPPerS = runSelfTest()
	r.Healthy = r.SelfTest.Error == "" && r.SelfTest.ThreadsSame && r.SelfTest.MaxError <= maxSelfTestError
	r.suggest()
	return r
}

// suggest adds what the user may want to do.
func (r *doctorReport) suggest() {
	add := func(format string, args ...any) { r.Suggestions = append(r.Suggestions, fmt.Sprintf(format, args...)) }
	if v := os.Getenv(kernel.EnvSIMD); !slices.Contains([]string{"", "off", "avx2", "avx512"}, v) {
		add("%s=%s is not known and has no effect; known are off and avx2", kernel.EnvSIMD, v)
	}
	if kernel.Active() != kernel.Detected() {
		add("%s limits this program to %s; without it %s would be used", kernel.EnvSIMD, r.SIMD, r.Detected)
	}
	if kernel.Detected() == kernel.TierGo && runtime.GOARCH == "amd64" {
		add("this processor, or this build (tag noasm), has no AVX2: expect a tenth of the speed")
	}
	if r.FreeMiB != nil && *r.FreeMiB < 1024 {
		add("less than 1 GiB of memory is free; images of more than 2048x2048 pixels may not fit")
	}
	if !slices.ContainsFunc(r.Models, func(m modelSummary) bool { return m.Error == "" }) {
		add("no model is found by name; train one with \"sr3 train\" or import one with \"sr3 model import\"")
	}
	for _, m := range r.Models {
		if m.Error != "" {
			r.Healthy = false
			add("model %s is %s; %s: %s", m.Name, m.fault.Is, m.fault.WayOut, m.Error)
		}
	}
	if !r.SelfTest.ThreadsSame || r.SelfTest.MaxError > maxSelfTestError {
		add("the self-test failed; try SR3_SIMD=off and report the output of \"sr3 doctor --json\"")
	}
}

func (r *doctorReport) print(s *streams) {
	mib := func(v *float64) string {
		if v == nil {
			return "unknown"
		}
		return fmt.Sprintf("%.1f GiB", *v/1024)
	}
	fmt.Fprintf(s.out, "sr3           %s, %s, %s/%s\n", r.Version, r.Go, r.OS, r.Arch)
	fmt.Fprintf(s.out, "instructions  %s in use, %s detected\n", r.SIMD, r.Detected)
	fmt.Fprintf(s.out, "threads       %d in use, %d processors\n", r.GOMAXPROCS, r.Processors)
	fmt.Fprintf(s.out, "memory        %s, %s available\n", mib(r.MemoryMiB), mib(r.FreeMiB))
	fmt.Fprintf(s.out, "models        found in %s\n", strings.Join(r.ModelsDirs, " and "))
	for _, m := range r.Models {
		if m.Error != "" {
			fmt.Fprintf(s.out, "              %s, %s, %s\n", m.Name, m.fault.Is, m.Where)
			continue
		}
		fmt.Fprintf(s.out, "              %s, x%d, %.2f M parameters, %s\n", m.Name, m.Scale, float64(m.Parameters)/1e6, m.Where)
	}
	fmt.Fprintf(s.out, "self-test     error %.1e of the range (at most %.0e), same bytes on any thread count: %v\n",
		r.SelfTest.MaxError, maxSelfTestError, r.SelfTest.ThreadsSame)
	if r.SelfTest.Error != "" {
		fmt.Fprintf(s.out, "              %s\n", r.SelfTest.Error)
	}
	fmt.Fprintf(s.out, "speed         %.0f GFLOP/s in a small network\n", r.GFLOPPerS)
	for _, line := range r.Suggestions {
		fmt.Fprintf(s.out, "note: %s\n", line)
	}
	if r.Healthy {
		fmt.Fprintln(s.out, "all is well")
	}
}

// runSelfTest compares a small network with float64 and across threads, and times
// a larger one.
func runSelfTest() (selfTest, float64) {
	cfg, err := unet.Preset("tiny")
	if err != nil {
		return selfTest{Error: err.Error()}, 0
	}
	one, err := runTiny(cfg, 16, 1)
	if err != nil {
		return selfTest{Error: err.Error()}, 0
	}
	several, err := runTiny(cfg, 16, max(2, runtime.GOMAXPROCS(0)))
	if err != nil {
		return selfTest{Error: err.Error()}, 0
	}
	want, err := tinyInFloat64(cfg, 16)
	if err != nil {
		return selfTest{Error: err.Error()}, 0
	}
	worst := 0.0
	for i, v := range one {
		worst = math.Max(worst, math.Abs(float64(v)-want[i]))
	}
	return selfTest{MaxError: worst / (slices.Max(want) - slices.Min(want)), ThreadsSame: slices.Equal(one, several)}, smallSpeed()
}

// runTiny runs the network of the self-test on the kernels.
func runTiny(cfg unet.Config, side, threads int) ([]float32, error) {
	params, err := unet.Parameters(cfg)
	if err != nil {
		return nil, err
	}
	p, err := benchProgram(cfg, params, randomWeights, 1, side, nil, cpu.Options{Threads: threads})
	if err != nil {
		return nil, err
	}
	defer p.Close()
	p.Run()
	return slices.Clone(p.Output(0)), nil
}

// tinyInFloat64 is runTiny in plain float64 arithmetic.
func tinyInFloat64(cfg unet.Config, side int) ([]float64, error) {
	params, err := unet.Parameters(cfg)
	if err != nil {
		return nil, err
	}
	g := graph.New()
	in := unet.Inputs{
		Condition: g.Input("condition", 1, side, side, 3), Noisy: g.Input("noisy", 1, side, side, 3), Level: g.Input("level", 1),
	}
	out, err := unet.Build(g, cfg, in)
	if err != nil {
		return nil, err
	}
	m := plain.New(g)
	for i, p := range params {
		values := make([]float32, p.Len())
		randomWeights(values, p, uint64(i))
		m.Set32(p.Name, values)
	}
	for i, label := range []string{"noisy", "condition"} {
		values := make([]float32, side*side*3)
		philox.New(1, uint64(i)).Normal(values, 0)
		m.Set32(label, values)
	}
	m.Set32("level", []float32{float32(philox.New(1, 2).Float64(0))})
	m.Run(out)
	return m.Value(out), nil
}

// smallSpeed is the rate of one call of a small network, in GFLOP/s.
func smallSpeed() float64 {
	cfg, err := unet.Preset("tiny")
	if err != nil {
		return 0
	}
	const side = 64
	flops, errFlops := unet.FLOPs(cfg, side, side)
	params, errParams := unet.Parameters(cfg)
	if errFlops != nil || errParams != nil {
		return 0
	}
	p, err := benchProgram(cfg, params, randomWeights, 1, side, nil, cpu.Options{})
	if err != nil {
		return 0
	}
	defer p.Close()
	p.Run()
	best := time.Hour
	for range 5 {
		start := time.Now()
		p.Run()
		best = min(best, time.Since(start))
	}
	return float64(flops) / 1e9 / best.Seconds()
}
