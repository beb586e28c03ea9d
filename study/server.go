package study

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"path"
	"strings"
)

//go:embed assets
var assets embed.FS

// policy lets pages load from this server alone; scripts and styles are files.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// maxBody bounds what a browser may send.
const maxBody = 4 << 10

// Options say how a study is served.
type Options struct {
	// Open lets anybody who knows the study's address take part. Otherwise it takes a
	// link.
	Open bool
	// Logger is told of failures; nil means nobody is. Of subjects it learns nothing.
	Logger *slog.Logger
}

// Server shows a study to people: an [http.Handler] with these addresses.
//
//	GET  /                           the way in, for open studies
//	POST /start                      makes a subject of an open study and goes to its page
//	GET  /s/TOKEN                    the subject's page
//	GET  /s/TOKEN/state              what the page needs, JSON
//	POST /s/TOKEN/consent            the subject agrees to take part
//	POST /s/TOKEN/answers            an answer, JSON
//	GET  /s/TOKEN/image/TRIAL/NAME   an image of the next trials
//	GET  /assets/...                 script, style, images of the practice trial
type Server struct {
	folder  *Folder
	store   *Store
	options Options
	secret  []byte
	pages   *template.Template
	own     map[string]asset // files under /assets/
	rate    *limiter
	starts  *limiter
	handler http.Handler
}

// NewServer makes the handler of a study. The store stays the caller's to close.
func NewServer(ctx context.Context, f *Folder, s *Store, o Options) (*Server, error) {
	secret, err := s.secret(ctx)
	if err != nil {
		return nil, fmt.Errorf("serve study: %w", err)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	srv := &Server{folder: f, store: s, options: o, secret: secret, rate: newLimiter(30, 90), starts: newLimiter(5, 100)}
	if srv.pages, err = template.ParseFS(assets, "assets/home.html", "assets/study.html"); err != nil {
		return nil, fmt.Errorf("serve study: %w", err)
	}
	if srv.own, err = staticAssets(); err != nil {
		return nil, fmt.Errorf("serve study: %w", err)
	}
	srv.handler = srv.routes()
	return srv, nil
}

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.home)
	mux.HandleFunc("POST /start", s.start)
	mux.HandleFunc("GET /assets/{name}", s.asset)
	mux.HandleFunc("GET /s/{token}", s.subjectPage)
	mux.HandleFunc("GET /s/{token}/state", s.known(s.state))
	mux.HandleFunc("POST /s/{token}/consent", s.known(s.consent))
	mux.HandleFunc("POST /s/{token}/answers", s.known(s.answer))
	mux.HandleFunc("GET /s/{token}/image/{trial}/{name}", s.known(s.image))
	guarded := http.NewCrossOriginProtection().Handler(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer") // addresses hold tokens
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("X-Robots-Tag", "noindex")
		h.Set("Cache-Control", "no-store")
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		guarded.ServeHTTP(w, r)
	})
}

// asset is a file of the page.
type asset struct {
	data      []byte
	mediaType string
}

func staticAssets() (map[string]asset, error) {
	own := map[string]asset{}
	types := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
	entries, err := assets.ReadDir("assets")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		mediaType := types[path.Ext(e.Name())]
		if mediaType == "" {
			continue
		}
		data, err := assets.ReadFile("assets/" + e.Name())
		if err != nil {
			return nil, err
		}
		own[e.Name()] = asset{data, mediaType}
	}
	practice, err := practiceImages()
	if err != nil {
		return nil, err
	}
	for name, data := range practice {
		own[name] = asset{data, "image/png"}
	}
	return own, nil
}

func (s *Server) asset(w http.ResponseWriter, r *http.Request) {
	a, ok := s.own[r.PathValue("name")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", a.mediaType)
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(a.data) // a reader that went away needs no answer
}

// page is what the HTML templates show.
type page struct {
	Title, Text string
	Open        bool
}

func (s *Server) html(w http.ResponseWriter, status int, name string, p page) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if err := s.pages.ExecuteTemplate(w, name, p); err != nil {
		s.options.Logger.Debug("page", "error", err)
	}
}

func (s *Server) home(w http.ResponseWriter, _ *http.Request) {
	p := page{Title: s.folder.Manifest.Title, Open: s.options.Open, Text: "To take part you need a link of your own. Please ask the people who run this study for one."}
	if p.Open {
		p.Text = "You will see pairs of pictures and say which of the two you think is the photograph. Nothing about you is asked or stored."
	}
	s.html(w, http.StatusOK, "home.html", p)
}

func (s *Server) start(w http.ResponseWriter, r *http.Request) {
	title := s.folder.Manifest.Title
	if !s.options.Open {
		s.html(w, http.StatusForbidden, "home.html", page{Title: title, Text: "To take part you need a link of your own. Please ask the people who run this study for one."})
		return
	}
	if !s.starts.allow(0) {
		w.Header().Set("Retry-After", "5")
		s.html(w, http.StatusTooManyRequests, "home.html", page{Title: title, Open: true, Text: "Many people are starting just now. Please try again in a few seconds."})
		return
	}
	tokens, err := s.store.AddSubjects(r.Context(), 1)
	switch {
	case errors.Is(err, ErrFull):
		s.html(w, http.StatusServiceUnavailable, "home.html", page{Title: title, Text: "This study has all the people it can take. Thank you for coming."})
	case err != nil:
		s.options.Logger.Error("start", "error", err)
		s.html(w, http.StatusInternalServerError, "home.html", page{Title: title, Open: true, Text: "Something went wrong on our side. Please try again."})
	default:
		http.Redirect(w, r, "/s/"+tokens[0], http.StatusSeeOther)
	}
}

func (s *Server) subjectPage(w http.ResponseWriter, r *http.Request) {
	p := page{Title: s.folder.Manifest.Title}
	_, err := s.find(r.Context(), r.PathValue("token"))
	switch {
	case errors.Is(err, ErrNoSubject):
		p.Text = "This link is not known here. Please look whether the address is complete."
		s.html(w, http.StatusNotFound, "home.html", p)
	case err != nil:
		s.options.Logger.Error("page", "error", err)
		p.Text = "Something went wrong on our side. Please try again."
		s.html(w, http.StatusInternalServerError, "home.html", p)
	default:
		s.html(w, http.StatusOK, "study.html", p)
	}
}

// find looks a token up if it looks like one.
func (s *Server) find(ctx context.Context, token string) (Subject, error) {
	if len(token) != tokenLength || strings.Trim(token, "abcdefghijklmnopqrstuvwxyz234567") != "" {
		return Subject{}, ErrNoSubject
	}
	return s.store.Find(ctx, token)
}
