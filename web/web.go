// Package web is the page of "sr3 serve": plain HTML, CSS and JavaScript modules,
// embedded as they are written. It asks nothing of any server but the one it came from,
// and works under a Content-Security-Policy that allows nothing inline: scripts, styles
// and connections of the server itself, pictures from there, from memory and from data: URLs.
package web

import (
	"embed"
	"io/fs"
)

//go:embed index.html assets
var embedded embed.FS

// Files returns the page: index.html and what it needs below assets/. Addresses in it are
// relative, so that it can be served below any path, beside the interface under v1/.
func Files() fs.FS { return embedded }
