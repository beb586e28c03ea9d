package cli

import (
	"io/fs"
)

// servePage is the page of "sr3 serve".
func servePage() fs.FS { return nil }
