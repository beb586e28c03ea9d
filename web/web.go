// Package web is the page of "sr3 serve": plain HTML, CSS and JavaScript modules,
// embedded as they are written. The page asks nothing of any server but the one it
// came from; Policy has the browser hold it to that.
package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

// Policy is the Content-Security-Policy under which the page works: no inline script
// or style, pictures from memory, everything else from the server itself.
const Policy = "default-src 'self'; img-src 'self' blob: data:; style-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

//go:embed index.html assets
var embedded embed.FS

// Files returns the page: index.html and what it needs below assets/.
func Files() fs.FS { return embedded }

// Handler serves the page at / and its files below /assets/, with Policy and strong
// ETags. Browsers ask each time whether a file has changed, so that a new version of the
// program is never mixed with an old page. Everything else is 404.
func Handler() http.Handler {
	files := map[string]file{}
	err := fs.WalkDir(embedded, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := embedded.ReadFile(name)
		if err != nil {
			return err
		}
		files[strings.TrimSuffix("/"+name, "index.html")] = newFile(name, data)
		return nil
	})
	if err != nil {
		panic(fmt.Sprintf("web: reading the embedded page: %v", err)) // the compiler put it there
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		f.serve(w, r)
	})
}

type file struct {
	data      []byte
	etag      string
	mediaType string
}

// types are given here because those of the operating system differ.
var types = map[string]string{".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

func newFile(name string, data []byte) file {
	mediaType := types[path.Ext(name)]
	if mediaType == "" {
		mediaType = mime.TypeByExtension(path.Ext(name))
	}
	return file{data: data, etag: fmt.Sprintf(`"%x"`, sha256.Sum256(data)), mediaType: mediaType}
}

func (f file) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "the page can only be read", http.StatusMethodNotAllowed)
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.mediaType)
	h.Set("Content-Security-Policy", Policy)
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", f.etag)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.data))
}
