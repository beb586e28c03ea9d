//go:build unix

package jobs

import (
	"os"

	"golang.org/x/sys/unix"
)

// lockFile takes the lock of an open file, or tells that another process has it. The
// system releases it when the process ends, however it does.
func lockFile(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }
