package server

import (
	"context"
	"crypto/sha256"
	_ "embed" // for openapi.json
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sr3-go/sr3/worker"
)

//go:embed openapi.json
var openAPIDocument []byte

// openAPI is GET /openapi.json.
func (s *Server) openAPI(w http.ResponseWriter, r *http.Request) error {
	sendStatic(w, r, file{data: openAPIDocument, kind: "application/json", etag: etagOf(openAPIDocument)})
	return nil
}

// healthz is GET /healthz: the process answers. It waits for nothing.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write([]byte("{\"status\":\"ok\"}\n"))
	return nil
}

// readyTimeout is how long the queue may take to answer.
const readyTimeout = 2 * time.Second

// readyz is GET /readyz: jobs can be accepted.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) error {
	if s.draining() {
		return errDraining()
	}
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	stats, err := s.o.Queue.Stats(ctx)
	if err != nil {
		s.log.Warn("not ready", "error", err)
		return failf(http.StatusServiceUnavailable, codeNotReady, "the queue does not answer").retry(5 * time.Second)
	}
	if s.o.Ready != nil {
		if err := s.o.Ready(); err != nil {
			s.log.Warn("not ready", "error", err)
			return failf(http.StatusServiceUnavailable, codeNotReady, "the worker has stopped").retry(5 * time.Second)
		}
	}
	return writeJSON(w, http.StatusOK, struct {
		Status  string `json:"status"`
		Waiting int    `json:"waiting"`
		Running int    `json:"running"`
	}{"ready", stats.Waiting, stats.Running})
}

// limits is GET /v1/limits.
func (s *Server) limits(w http.ResponseWriter, _ *http.Request) error {
	l := s.o.Limits
	return writeJSON(w, http.StatusOK, struct {
		MaxBytes        int64   `json:"max_bytes"`
		MaxInputPixels  int64   `json:"max_input_pixels"`
		MaxOutputPixels int     `json:"max_output_pixels"`
		MaxSteps        int     `json:"max_steps"`
		MaxSamples      int     `json:"max_samples"`
		KeepSeconds     float64 `json:"keep_seconds"`
		Auth            bool    `json:"auth"`
	}{l.MaxInputBytes, l.MaxInputPixels, l.MaxOutputPixels, l.MaxSteps, l.MaxSamples, s.o.Keep.Seconds(), s.o.Keys != nil})
}

// catalog is the list of models. Describing one may mean reading its file, so the
// list is kept until the names change, or for a while.
type catalog struct {
	models *worker.Models

	mu    sync.Mutex
	until time.Time
	names []string
	list  []worker.ModelInfo
}

// keepCatalog is how long a list is used.
const keepCatalog = 30 * time.Second

func (c *catalog) all() []worker.ModelInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	if names := c.models.Names(); c.list == nil || time.Now().After(c.until) || !slices.Equal(names, c.names) {
		c.names, c.list, c.until = names, c.models.List(), time.Now().Add(keepCatalog)
	}
	return c.list
}

// models is GET /v1/models.
func (s *Server) models(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, map[string][]worker.ModelInfo{"models": append([]worker.ModelInfo{}, s.catalog.all()...)})
}

// pagePolicy lets the page use its own files, connect to its own server, and show
// images that it made itself.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; " +
	"font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// page are the files of the page, in memory: a request can name those and nothing
// else.
type page struct{ files map[string]file }

type file struct {
	data       []byte
	kind, etag string
}

// kinds are the media types of files.
var kinds = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".mjs": "text/javascript; charset=utf-8",
	".json": "application/json", ".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp", ".ico": "image/x-icon",
	".woff2": "font/woff2", ".webmanifest": "application/manifest+json", ".txt": "text/plain; charset=utf-8",
}

// loadPage reads all files.
func loadPage(files fs.FS) (*page, error) {
	p := &page{files: map[string]file{}}
	if files == nil {
		return p, nil
	}
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		kind := kinds[path.Ext(name)]
		if err != nil || d.IsDir() || kind == "" {
			return err
		}
		data, err := fs.ReadFile(files, name)
		if err == nil {
			p.files[name] = file{data, kind, etagOf(data)}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("serve: the page: %w", err)
	}
	if _, ok := p.files["index.html"]; !ok {
		return nil, errors.New("serve: the page has no index.html")
	}
	return p, nil
}

func etagOf(data []byte) string {
	hash := sha256.Sum256(data)
	return `"` + hex.EncodeToString(hash[:16]) + `"`
}

// static is GET / and GET /assets/...
func (s *Server) static(w http.ResponseWriter, r *http.Request) error {
	name := strings.TrimPrefix(r.URL.Path, "/")
	if name == "" {
		name = "index.html"
	}
	f, ok := s.page.files[name]
	if !ok {
		return failf(http.StatusNotFound, codeNotFound, "there is no such file")
	}
	w.Header().Set("Content-Security-Policy", pagePolicy)
	sendStatic(w, r, f)
	return nil
}

// sendStatic sends a file that the client may keep, but asks for again.
func sendStatic(w http.ResponseWriter, r *http.Request, f file) {
	h := w.Header()
	h.Set("ETag", f.etag)
	h.Set("Cache-Control", "no-cache")
	if sameTag(r.Header.Get("If-None-Match"), f.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", f.kind)
	_, _ = w.Write(f.data)
}
