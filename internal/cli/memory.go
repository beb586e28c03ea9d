package cli

import (
	"os"
	"strconv"
	"strings"
)

// procField reads a size in KiB from a file of Linux's /proc, such as VmHWM of
// /proc/self/status; nil where there is none.
func procField(path, field string) *float64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		name, rest, ok := strings.Cut(line, ":")
		if !ok || name != field {
			continue
		}
		kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
		if err != nil {
			return nil
		}
		mib := kib / 1024
		return &mib
	}
	return nil
}

// peakRSS is the largest resident memory of this process so far, in MiB.
func peakRSS() *float64 { return procField("/proc/self/status", "VmHWM") }

// memoryTotal and memoryAvailable are the machine's, in MiB.
func memoryTotal() *float64     { return procField("/proc/meminfo", "MemTotal") }
func memoryAvailable() *float64 { return procField("/proc/meminfo", "MemAvailable") }
