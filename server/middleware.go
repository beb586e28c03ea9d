package server

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// handler answers a request, or says what is wrong with it.
type handler func(w http.ResponseWriter, r *http.Request) error

// handle registers a route that asks for a key.
func (s *Server) handle(pattern string, h handler) {
	s.handleOpen(pattern, func(w http.ResponseWriter, r *http.Request) error {
		owner, err := s.authenticate(r)
		if err != nil {
			return err
		}
		return h(w, r.WithContext(context.WithValue(r.Context(), ownerKey{}, owner)))
	})
}

// handleOpen registers a route that everybody may use.
func (s *Server) handleOpen(pattern string, h handler) {
	s.routes = append(s.routes, pattern)
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			s.fail(w, r, err)
		}
	})
}

// fail tells a client what is wrong.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	if rec, ok := w.(*recorder); ok && rec.status != 0 { // the answer has begun
		s.log.Debug("answer broke off", "route", r.Pattern, "error", err)
		panic(http.ErrAbortHandler)
	}
	p := s.problemOf(r, err)
	if r.Method == http.MethodPost && p.retryAfter > 0 {
		s.hold(r.Context())
	}
	p.write(w)
}

// hold lets one who was refused for lack of room wait a little. Clients that ask
// again at once, many of them, would otherwise keep the processors busy that are
// short.
func (s *Server) hold(ctx context.Context) {
	select {
	case <-time.After(s.o.Hold):
	case <-ctx.Done():
	case <-s.drained:
	}
}

type ownerKey struct{}

// ownerOf is whose key a request came with; empty where none is asked for.
func ownerOf(r *http.Request) string {
	owner, _ := r.Context().Value(ownerKey{}).(string)
	return owner
}

// recorder remembers how a request was answered.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController find the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	rec := &recorder{ResponseWriter: w}
	defer func() {
		v := recover()
		if v != nil && v != http.ErrAbortHandler {
			s.log.Error("panic", "method", r.Method, "route", r.Pattern, "panic", v, "stack", string(debug.Stack()))
			if rec.status == 0 {
				failf(http.StatusInternalServerError, codeInternal, "something went wrong; the server's log has the reason").write(rec)
				v = nil
			}
		}
		// What is left of the body is thrown away, not waited for.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.o.BodyGrace))
		s.finish(r, rec, start)
		if v != nil {
			panic(http.ErrAbortHandler) // the answer is not whole: break the connection
		}
	}()
	secure(rec.Header())
	if err := s.guard(r); err != nil {
		s.fail(rec, r, err)
		return
	}
	s.dispatch(rec, r)
}

// dispatch finds the route. What the mux has none for is answered in its stead, so
// that this is a problem too.
func (s *Server) dispatch(w http.ResponseWriter, r *http.Request) {
	h, pattern := s.mux.Handler(r)
	if pattern != "" && r.URL.Path == cleaned(r.URL.Path) && r.RequestURI != "*" {
		s.mux.ServeHTTP(w, r)
		return
	}
	if pattern == "" {
		probe := &headerProbe{header: http.Header{}}
		h.ServeHTTP(probe, r)
		if allow := probe.header.Get("Allow"); probe.status == http.StatusMethodNotAllowed {
			s.fail(w, r, failf(http.StatusMethodNotAllowed, codeMethod, "this address takes %s only", allow).with("Allow", allow))
			return
		}
	}
	s.fail(w, r, errNowhere())
}

func errNowhere() *problem {
	return failf(http.StatusNotFound, codeNotFound, "there is nothing at this address; /openapi.json lists what there is")
}

// cleaned is a path without empty, "." and ".." parts, or something else if it has
// them: no route has such parts, and nobody is redirected.
func cleaned(path string) string {
	if !strings.HasPrefix(path, "/") {
		return ""
	}
	parts := strings.Split(path[1:], "/")
	for i, part := range parts {
		if part == "." || part == ".." || part == "" && i < len(parts)-1 {
			return ""
		}
	}
	return path
}

// headerProbe takes an answer's status and header, and drops its body.
type headerProbe struct {
	header http.Header
	status int
}

func (p *headerProbe) Header() http.Header         { return p.header }
func (p *headerProbe) Write(b []byte) (int, error) { return len(b), nil }
func (p *headerProbe) WriteHeader(status int)      { p.status = status }

// finish counts and logs a request.
func (s *Server) finish(r *http.Request, rec *recorder, start time.Time) {
	status := rec.status
	if status == 0 {
		status = statusClientGone
	}
	route := r.Pattern
	if route == "" {
		route = "none"
	}
	s.metrics.request(route, status)
	level := slog.LevelDebug
	switch {
	case status >= 500 && status != http.StatusServiceUnavailable:
		level = slog.LevelWarn
	case r.Method != http.MethodGet && r.Method != http.MethodHead && status < 400:
		level = slog.LevelInfo
	}
	s.log.Log(context.WithoutCancel(r.Context()), level, "request", "method", r.Method, "route", route, "status", status,
		"bytes", rec.bytes, "took", time.Since(start).Round(time.Millisecond), "remote", r.RemoteAddr)
}

// secure sets what every answer has. The page loosens its own policy.
func secure(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; sandbox")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
}

// proxyHeaders are what proxies add. One may be set up to add none of them.
var proxyHeaders = []string{"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip"}

// guard keeps pages of other sites out where nobody is asked for a key. A browser
// lets any page send requests to this machine; what gives them away is the name they
// were sent to (a name of their own that they had resolve to this machine) and the
// site that they say they come from.
func (s *Server) guard(r *http.Request) error {
	if s.o.Keys != nil {
		return nil
	}
	if slices.ContainsFunc(proxyHeaders, func(name string) bool { return r.Header.Get(name) != "" }) {
		return failf(http.StatusForbidden, codeHost, "this came through a proxy, and the server has no keys: start it with --keys")
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if !loopbackHost(host) {
		return failf(http.StatusForbidden, codeHost, "without keys the server answers only to localhost and loopback addresses; for other names start it with --keys")
	}
	if err := s.foreign.Check(r); err != nil {
		return failf(http.StatusForbidden, codeOrigin, "pages of other sites may not use this server")
	}
	return nil
}

// loopbackHost tells whether a name or address is this machine's alone.
func loopbackHost(host string) bool {
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Zone() == "" && addr.Unmap().IsLoopback()
}

// maxKeyText bounds the text of a key: longer ones are not worth hashing.
const maxKeyText = 256

// authenticate finds whose key a request has.
func (s *Server) authenticate(r *http.Request) (owner string, err error) {
	if s.o.Keys == nil {
		return "", nil
	}
	text := keyText(r)
	challenge := `Bearer realm="sr3"`
	if strings.HasPrefix(r.URL.Path, "/sdapi/") {
		challenge = `Basic realm="sr3", charset="UTF-8"`
	}
	if text == "" {
		return "", failf(http.StatusUnauthorized, codeKeyMissing, "a key is needed: Authorization: Bearer KEY, or X-API-Key: KEY").with("WWW-Authenticate", challenge)
	}
	owner, ok := "", false
	if len(text) <= maxKeyText {
		owner, ok = s.o.Keys.Lookup(text)
	}
	// Browsers remember passwords and send them with requests of any page.
	if _, _, basic := r.BasicAuth(); basic && s.foreign.Check(r) != nil {
		return "", failf(http.StatusForbidden, codeOrigin, "pages of other sites may not use this server")
	}
	if !ok {
		return "", failf(http.StatusUnauthorized, codeKeyUnknown, "this key is not known here").with("WWW-Authenticate", challenge)
	}
	return owner, nil
}

// keyText is the key that a request carries: as a bearer token, in X-API-Key, or as
// the password of HTTP Basic, which is what clients of the A1111 dialect can send.
func keyText(r *http.Request) string {
	if key := r.Header.Get("X-API-Key"); key != "" {
		return key
	}
	if _, password, ok := r.BasicAuth(); ok {
		return password
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	return ""
}

// errDraining is told to those who come while the server goes down.
func errDraining() *problem {
	return failf(http.StatusServiceUnavailable, codeDraining, "the server is going down; try again in a moment").retry(5 * time.Second)
}

// errBusy is told to those for whom there is no room.
func errBusy(what string) *problem {
	return failf(http.StatusServiceUnavailable, codeBusy, "too many %s at the moment; try again", what).retry(2 * time.Second)
}
