package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sr3-go/sr3/internal/cpu"
)

func (f *benchFlags) print(s *streams, r *benchResult, profile []cpu.StepTime) error {
	if f.json {
		return writeJSON(s.out, r)
	}
	what := "call"
	if r.Train {
		what = "training step"
	}
	fmt.Fprintf(s.out, "%s: one %s on %d image(s) of %dx%d with %d thread(s), %s: median %.4f s, best %.4f s, %.1f GFLOP, %.1f GFLOP/s\n",
		r.Config, what, r.Batch, r.Side, r.Side, r.Threads, r.SIMD, r.MedianS, r.MinS, r.GFLOP, r.GFLOPPerS)
	fmt.Fprintf(s.out, "convolutions %.1f GFLOP/s, transforms and packing included\n", r.ConvGFLOPPerS)
	fmt.Fprintf(s.out, "memory of the program besides parameters %.0f MiB\n", r.ProgramMiB)
	if r.PeakRSSMiB != nil {
		fmt.Fprintf(s.out, "peak memory of the process %.0f MiB\n", *r.PeakRSSMiB)
	}
	if f.profile {
		printProfile(s, profile, f.runs)
	}
	return nil
}

// isConvolution says whether a step is a convolution or a gradient of one.
func isConvolution(t cpu.StepTime) bool { return strings.HasPrefix(t.Op, "conv2d") }

// convolutionSpeed is the rate of all convolutions together over a number of runs, in GFLOP/s.
func convolutionSpeed(profile []cpu.StepTime, runs int) float64 {
	var flops, seconds float64
	for _, t := range profile {
		if isConvolution(t) {
			flops, seconds = flops+float64(t.FLOPs), seconds+t.Time.Seconds()
		}
	}
	return flops * float64(runs) / 1e9 / seconds
}

// printProfile lists operations by the time they take in one run, those alike
// together.
func printProfile(s *streams, profile []cpu.StepTime, runs int) {
	type kind struct{ op, detail string }
	type sum struct {
		steps int
		flops int64
		time  time.Duration
	}
	sums := map[kind]sum{}
	for _, t := range profile {
		k := kind{t.Op, t.Detail}
		sums[k] = sum{sums[k].steps + 1, sums[k].flops + t.FLOPs, sums[k].time + t.Time}
	}
	kinds := slices.SortedFunc(maps.Keys(sums), func(a, b kind) int { return int(sums[b].time - sums[a].time) })
	for _, k := range kinds {
		v := sums[k]
		ms := v.time.Seconds() * 1e3 / float64(runs)
		rate := ""
		if v.flops > 0 {
			rate = fmt.Sprintf("%.0f GFLOP/s", float64(v.flops)/1e6/ms)
		}
		fmt.Fprintf(s.out, "%10.3f ms %12s  %3d x %s %s\n", ms, rate, v.steps, k.op, k.detail)
	}
}
