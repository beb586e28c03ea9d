//go:build !unix

package runfiles

// syncDir does nothing: directories cannot be synced here, and the rename is journaled by the file system.
func syncDir(string) error { return nil }
