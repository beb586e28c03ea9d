package cli

import (
	"runtime"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// threadsFlag is -j: a number, or load:process:save as upscalers built on ncnn
// have it, of which the middle one counts here.
type threadsFlag struct{ n *int }

func (f threadsFlag) String() string {
	if f.n == nil || *f.n == 0 {
		return ""
	}
	return strconv.Itoa(*f.n)
}

func (threadsFlag) Type() string { return "threads" }

func (f threadsFlag) Set(s string) error {
	if parts := strings.Split(s, ":"); len(parts) == 3 {
		s = parts[1]
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > 4096 {
		return usagef("want a number of threads from 1 to 4096 (0: one per processor)")
	}
	*f.n = n
	return nil
}

// addThreads adds -j.
func addThreads(f *pflag.FlagSet, n *int) {
	f.VarP(threadsFlag{n}, "threads", "j", "processor threads; the result does not depend on it (default one per processor)")
}

// threadsOrAll is the number to use for a flag's value.
func threadsOrAll(n int) int {
	if n > 0 {
		return n
	}
	return runtime.GOMAXPROCS(0)
}
