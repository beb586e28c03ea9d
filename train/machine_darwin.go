package train

import "golang.org/x/sys/unix"

// processorName is what the processor calls itself, "" if it does not say.
func processorName() string {
	name, err := unix.Sysctl("machdep.cpu.brand_string")
	if err != nil {
		return ""
	}
	return name
}
