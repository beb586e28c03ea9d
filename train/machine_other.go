//go:build !linux && !darwin

package train

import "os"

// processorName is what the system calls the processor, "" if it does not say.
func processorName() string { return os.Getenv("PROCESSOR_IDENTIFIER") }
