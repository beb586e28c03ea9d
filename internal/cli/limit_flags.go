package cli

import (
	"github.com/spf13/pflag"

	"github.com/sr3-go/sr3/worker"
)

// limitFlags bound the jobs that "sr3 serve" accepts and that a worker does.
type limitFlags struct {
	worker.Limits
	maxInputMB int64
}

// register declares the flags.
func (f *limitFlags) register(fl *pflag.FlagSet) {
	l := worker.Limits{}.WithDefaults()
	fl.Int64Var(&f.maxInputMB, "max-input", l.MaxInputBytes>>20, "MiB of the largest image file that is taken")
	fl.Int64Var(&f.MaxInputPixels, "max-input-pixels", l.MaxInputPixels, "largest image in pixels")
	fl.IntVar(&f.MaxOutputPixels, "max-pixels", l.MaxOutputPixels, "largest result in pixels")
	fl.IntVar(&f.MaxSteps, "max-steps", l.MaxSteps, "most refinement steps")
	fl.IntVar(&f.MaxSamples, "max-samples", l.MaxSamples, "most draws of one job")
}

// numbers are the values, to be checked.
func (f *limitFlags) numbers() []boundedInt {
	return []boundedInt{
		{"max-input", f.maxInputMB, 1}, {"max-input-pixels", f.MaxInputPixels, 1}, {"max-pixels", int64(f.MaxOutputPixels), 1},
		{"max-steps", int64(f.MaxSteps), 1}, {"max-samples", int64(f.MaxSamples), 2},
	}
}

// limits are what the flags say.
func (f *limitFlags) limits() worker.Limits {
	l := f.Limits
	l.MaxInputBytes = f.maxInputMB << 20
	return l
}

// boundedInt is the value of a flag and the least that makes sense.
type boundedInt struct {
	flag  string
	value int64
	least int64
}

// checkNumbers finds a value that makes no sense.
func checkNumbers(lists ...[]boundedInt) error {
	for _, list := range lists {
		for _, n := range list {
			if n.value < n.least || n.value > 1<<40 {
				return usagef("--%s %d: want %d or more", n.flag, n.value, n.least)
			}
		}
	}
	return nil
}
