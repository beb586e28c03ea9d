//go:build !unix && !windows

package jobs

import "os"

// lockFile does nothing where there are no locks.
func lockFile(*os.File) error { return nil }
