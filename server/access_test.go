package server

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// withKeys makes a server that asks for keys, and two of them.
func withKeys(t testing.TB, change ...func(*Options)) (a *api, path, alice, bob string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "deep", "keys.json")
	alice, _, err := NewKey(path, "alice")
	if err != nil {
		t.Fatal(err)
	}
	bob, _, err = NewKey(path, "bob")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := OpenKeys(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return newAPI(t, append(change, func(o *Options) { o.Keys = keys })...), path, alice, bob
}

func TestKeysFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	if _, err := OpenKeys(path, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a file that does not exist was opened")
	}
	text, key, err := NewKey(path, "alice")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(text, "sr3_") || len(text) != 4+43 {
		t.Errorf("key %q", text)
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v (%v), want 0600", st.Mode(), err)
	}
	if data, _ := os.ReadFile(path); bytes.Contains(data, []byte(text)) || !bytes.Contains(data, []byte(key.SHA256)) {
		t.Errorf("the file is %s", data)
	}
	if _, _, err := NewKey(path, "alice"); err == nil {
		t.Error("the same name was taken twice")
	}
	for _, name := range []string{"", "a b", "../a", "-a", strings.Repeat("a", 64), "a\n"} {
		if _, _, err := NewKey(path, name); err == nil {
			t.Errorf("name %q was taken", name)
		}
	}
	if err := RevokeKey(path, "bob"); err == nil {
		t.Error("a key that is not there was revoked")
	}
	if err := RevokeKey(path, "alice"); err != nil {
		t.Error(err)
	}
	if list, err := ListKeys(path); err != nil || len(list) != 0 {
		t.Errorf("left: %v (%v)", list, err)
	}
	if _, err := OpenKeys(path, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a file without keys was opened")
	}
	_, again, err := NewKey(path, "alice")
	if err != nil || again.Owner() == key.Owner() {
		t.Errorf("a new key inherits the jobs of the revoked one: %q (%v)", again.Owner(), err)
	}
}

func TestAuthentication(t *testing.T) {
	a, _, alice, bob := withKeys(t)
	for name, c := range map[string]struct {
		header []string
		code   string
	}{
		"none":          {nil, "key-missing"},
		"bearer":        {[]string{"Authorization", "Bearer " + alice}, ""},
		"lower case":    {[]string{"Authorization", "bearer " + bob}, ""},
		"header":        {[]string{"X-API-Key", alice}, ""},
		"wrong":         {[]string{"X-API-Key", alice[:46] + "?"}, "key-unknown"},
		"longer":        {[]string{"X-API-Key", alice + "x"}, "key-unknown"},
		"huge":          {[]string{"X-API-Key", strings.Repeat("x", 1000)}, "key-unknown"},
		"the name":      {[]string{"X-API-Key", "alice"}, "key-unknown"},
		"other scheme":  {[]string{"Authorization", "Digest " + alice}, "key-missing"},
		"damaged basic": {[]string{"Authorization", "Basic !!!"}, "key-missing"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, route := range a.routes {
				method, path, _ := strings.Cut(route, " ")
				path = strings.NewReplacer("{id}", fakeID(1), "{$}", "", "{file...}", "app.js").Replace(path)
				if path == "/metrics" && c.code == "" {
					continue // slow; below
				}
				res := a.call(method, path, nil, c.header...)
				open := path == "/" || strings.HasPrefix(path, "/assets/") || path == "/v1/limits" || path == "/healthz" || path == "/readyz" || path == "/openapi.json"
				switch {
				case c.code != "" && !open:
					want(t, res, 401, c.code)
					if res.Header.Get("WWW-Authenticate") == "" {
						t.Error("no WWW-Authenticate")
					}
				case res.StatusCode == 401:
					t.Errorf("%s: status 401", route)
				}
			}
		})
	}
	want(t, a.call("GET", "/metrics", nil, "X-API-Key", alice), 200, "")
	r := httptest.NewRequest("GET", "/sdapi/v1/options", nil)
	r.SetBasicAuth("anybody", alice)
	want(t, a.do(r), 200, "")
}

func TestKeysOfOthers(t *testing.T) {
	a, _, alice, bob := withKeys(t)
	a.key = alice
	job := a.submit(4, 4, "")
	if !strings.HasPrefix(job.Owner, "alice-") {
		t.Errorf("owner %q", job.Owner)
	}
	a.queue.finish(job.ID)
	a.key = bob
	for _, c := range [][2]string{
		{"GET", job.Links.Self}, {"GET", job.Links.Result}, {"GET", job.Links.Input}, {"GET", job.Links.Events}, {"POST", job.Links.Self + "/cancel"}, {"DELETE", job.Links.Self},
		{"GET", "/v1/jobs/" + fakeID(77)}, // as for one that there is not
	} {
		want(t, a.call(c[0], c[1], nil), 404, "job-not-found")
	}
	if body := readAll(t, a.call("GET", "/v1/jobs", nil)); string(body) != "{\"jobs\":[]}\n" {
		t.Errorf("bob sees %s", body)
	}
	// The same Idempotency-Key is another one with another key.
	post := func() *http.Response {
		return a.call("POST", "/v1/jobs", bytes.NewReader(testPNG(4, 4)), "Idempotency-Key", "k")
	}
	want(t, post(), 202, "")
	a.key = alice
	want(t, post(), 202, "")
	want(t, a.call("GET", job.Links.Result, nil), 200, "")
	// That there was a job is not told to others either.
	want(t, a.call("DELETE", job.Links.Self, nil), 204, "")
	want(t, a.call("GET", job.Links.Self, nil), 410, "job-gone")
	a.key = bob
	want(t, a.call("GET", job.Links.Self, nil), 404, "job-not-found")
}

func TestKeysAreReadAgain(t *testing.T) {
	a, path, alice, bob := withKeys(t)
	a.key = alice
	want(t, a.call("GET", "/v1/jobs", nil), 200, "")
	if err := RevokeKey(path, "alice"); err != nil {
		t.Fatal(err)
	}
	a.o.Keys.checked = time.Time{} // as if a second had passed
	want(t, a.call("GET", "/v1/jobs", nil), 401, "key-unknown")
	carol, _, err := NewKey(path, "carol")
	if err != nil {
		t.Fatal(err)
	}
	a.key = carol
	a.o.Keys.Reload()
	want(t, a.call("GET", "/v1/jobs", nil), 200, "")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	a.o.Keys.Reload()
	a.key = bob
	want(t, a.call("GET", "/v1/jobs", nil), 200, "") // a damaged file changes nothing
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	a.o.Keys.log = slog.New(slog.NewTextHandler(&log, nil))
	for range 3 { // nor does a lost one, and the log says so once
		a.o.Keys.checked = time.Time{}
		want(t, a.call("GET", "/v1/jobs", nil), 200, "")
	}
	if n := strings.Count(log.String(), "cannot be read"); n != 1 {
		t.Errorf("the log has %d lines about the lost file, want 1:\n%s", n, log.String())
	}
	if _, _, err := NewKey(path, "dave"); err != nil {
		t.Fatal(err)
	}
	a.o.Keys.checked = time.Time{}
	want(t, a.call("GET", "/v1/jobs", nil), 401, "key-unknown")
}

func TestOtherSites(t *testing.T) {
	a := newAPI(t)
	post := func(header ...string) *http.Response {
		return a.call("POST", "/v1/jobs", bytes.NewReader(testPNG(4, 4)), header...)
	}
	for name, c := range map[string]struct {
		host   string
		header []string
		code   string
	}{
		"a program":            {"127.0.0.1:7860", nil, ""},
		"localhost":            {"LocalHost:7860", nil, ""},
		"without port":         {"localhost", nil, ""},
		"IPv6":                 {"[::1]:7860", nil, ""},
		"own page":             {"127.0.0.1:7860", []string{"Origin", "http://127.0.0.1:7860", "Sec-Fetch-Site", "same-origin"}, ""},
		"own page, old":        {"127.0.0.1:7860", []string{"Origin", "http://127.0.0.1:7860"}, ""},
		"rebound name":         {"evil.example:7860", nil, "host-not-allowed"},
		"rebound, same origin": {"evil.example:7860", []string{"Origin", "http://evil.example:7860", "Sec-Fetch-Site", "same-origin"}, "host-not-allowed"},
		"a name like ours":     {"localhost.evil.example", nil, "host-not-allowed"},
		"an address like ours": {"127.0.0.1.nip.io", nil, "host-not-allowed"},
		"other network":        {"192.168.1.2:7860", nil, "host-not-allowed"},
		"no name":              {"", nil, "host-not-allowed"},
		"other site":           {"127.0.0.1:7860", []string{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}, "origin-not-allowed"},
		"other site, old":      {"127.0.0.1:7860", []string{"Origin", "https://evil.example"}, "origin-not-allowed"},
		"other port":           {"127.0.0.1:7860", []string{"Origin", "http://127.0.0.1:8000", "Sec-Fetch-Site", "same-site"}, "origin-not-allowed"},
		"sandboxed":            {"127.0.0.1:7860", []string{"Origin", "null"}, "origin-not-allowed"},
		"proxy":                {"127.0.0.1:7860", []string{"X-Forwarded-For", "203.0.113.9"}, "host-not-allowed"},
		"proxy, nginx":         {"127.0.0.1:7860", []string{"X-Real-IP", "203.0.113.9"}, "host-not-allowed"},
		"proxy, HTTP":          {"127.0.0.1:7860", []string{"Via", "1.1 proxy"}, "host-not-allowed"},
		"proxy, new":           {"127.0.0.1:7860", []string{"Forwarded", "for=203.0.113.9"}, "host-not-allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/v1/jobs", bytes.NewReader(testPNG(4, 4)))
			r.Host = c.host
			for i := 0; i < len(c.header); i += 2 {
				r.Header.Set(c.header[i], c.header[i+1])
			}
			status := 403
			if c.code == "" {
				status = 202
			}
			want(t, a.do(r), status, c.code)
		})
	}
	want(t, post(), 202, "")
	keyed, _, alice, _ := withKeys(t) // with keys, names and proxies are the operator's business
	keyed.key = alice
	want(t, keyed.call("GET", "http://images.example/v1/jobs", nil, "X-Forwarded-For", "203.0.113.9"), 200, "")
	// A browser that once was asked for a password sends it with requests of every page.
	for site, status := range map[string]int{"cross-site": 403, "same-site": 403, "same-origin": 202, "": 202} {
		r := httptest.NewRequest("POST", "/v1/jobs", bytes.NewReader(testPNG(4, 4)))
		r.SetBasicAuth("alice", alice)
		if site != "" {
			r.Header.Set("Sec-Fetch-Site", site)
		}
		if res := keyed.do(r); res.StatusCode != status {
			t.Errorf("a password sent by a page of %q: status %d, want %d", site, res.StatusCode, status)
		}
	}
}

func TestPageAndUnknownAddresses(t *testing.T) {
	a := newAPI(t)
	for path, kind := range map[string]string{"/": "text/html; charset=utf-8", "/assets/app.js": "text/javascript; charset=utf-8", "/assets/app.css": "text/css; charset=utf-8", "/openapi.json": "application/json"} {
		res := a.call("GET", path, nil)
		want(t, res, 200, "")
		if res.Header.Get("Content-Type") != kind {
			t.Errorf("%s is %q", path, res.Header.Get("Content-Type"))
		}
		want(t, a.call("GET", path, nil, "If-None-Match", res.Header.Get("ETag")), 304, "")
	}
	for _, path := range []string{
		"/nothing", "/assets/", "/assets", "/assets/../index.html", "/assets/..%2findex.html", "/assets/%2e%2e/%2e%2e/etc/passwd", "//v1/jobs", "/v1//jobs", "/v1/jobs/", "/./v1/jobs",
		"/assets/app.js/", "/index.html", "/assets//app.js", "/assets/app.js%00", `/assets/..\..\x`, "/sdapi/v1/txt2img", "/v1/jobs/" + fakeID(1) + "/",
	} {
		res := a.call("GET", path, nil)
		if res.StatusCode != 404 {
			t.Errorf("%s: status %d, Location %q", path, res.StatusCode, res.Header.Get("Location"))
		}
	}
	for method, path := range map[string]string{"PUT": "/v1/jobs", "PATCH": "/v1/jobs/" + fakeID(1), "POST": "/healthz", "DELETE": "/", "OPTIONS": "/v1/upscale", "TRACE": "/v1/models", "BREW": "/v1/jobs"} {
		res := a.call(method, path, nil)
		want(t, res, 405, "method-not-allowed")
		if res.Header.Get("Allow") == "" {
			t.Errorf("%s %s: no Allow", method, path)
		}
	}
	if _, err := New(Options{}); err == nil {
		t.Error("a server without a queue")
	}
}

func TestAbout(t *testing.T) {
	a, _, alice, _ := withKeys(t)
	a.key = alice
	limits := decode[map[string]any](t, a.call("GET", "/v1/limits", nil))
	if limits["auth"] != true || limits["max_bytes"] != float64(32<<20) {
		t.Errorf("limits %v", limits)
	}
	models := decode[struct{ Models []map[string]any }](t, a.call("GET", "/v1/models", nil)).Models
	if len(models) == 0 || models[0]["name"] != "photo-x4" || models[0]["scale"] != 4.0 || models[0]["default"] != true {
		t.Errorf("models %v", models)
	}
	want(t, a.call("GET", "/readyz", nil), 200, "")
	a.Drain()
	want(t, a.call("GET", "/readyz", nil), 503, "shutting-down")
	want(t, a.call("POST", "/v1/jobs", bytes.NewReader(testPNG(4, 4))), 503, "shutting-down")
	want(t, a.call("GET", "/healthz", nil), 200, "")
}

func TestPanicIsAProblem(t *testing.T) {
	a := newAPI(t)
	a.mux.HandleFunc("GET /panics", func(http.ResponseWriter, *http.Request) { panic("secret detail") })
	rec := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "http://localhost/panics", nil)
	a.ServeHTTP(rec, r)
	var p problem
	if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil || rec.Code != 500 || p.Code != "internal" || strings.Contains(rec.Body.String(), "secret") {
		t.Errorf("status %d: %s", rec.Code, rec.Body)
	}
	if !strings.Contains(a.log.String(), "secret detail") {
		t.Error("the log does not say why")
	}
	a.mux.HandleFunc("GET /late", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("half")); panic("late") })
	defer func() {
		if v := recover(); v != http.ErrAbortHandler {
			t.Errorf("a half answer ends with %v", v)
		}
	}()
	a.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "http://localhost/late", nil))
}
