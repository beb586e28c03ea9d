package jobs

import (
	"os"

	"golang.org/x/sys/windows"
)

// lockFile takes the lock of an open file, or tells that another process has it. The
// system releases it when the process ends, however it does.
func lockFile(f *os.File) error {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	return windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, new(windows.Overlapped))
}
