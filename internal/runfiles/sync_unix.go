//go:build unix

package runfiles

import (
	"errors"
	"os"
	"syscall"
)

// syncDir makes a rename in dir durable. Some file systems cannot sync directories and say EINVAL or ENOTSUP; there
// is nothing more to do on those.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if errors.Is(err, os.ErrPermission) {
		return nil // a directory that may be written but not read
	}
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
		return err
	}
	return nil
}
