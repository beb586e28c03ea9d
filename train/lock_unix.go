//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package train

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// lock keeps a second process out of a run directory. The lock ends with the process, however that ends.
func lock(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("another process trains in %s (%w); wait for it, or give another run directory", dir, err)
	}
	return func() { f.Close() }, nil
}
