package server

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/sr3-go/sr3/worker"
)

// testPage stands for the page.
var testPage = fstest.MapFS{
	"index.html":     {Data: []byte("<!doctype html><title>sr3</title>")},
	"assets/app.js":  {Data: []byte("export {}")},
	"assets/app.css": {Data: []byte("body{}")},
}

// testModels are those built in.
var testModels = sync.OnceValue(func() *worker.Models { return worker.NewModels("") })

// api is a server under test. Every answer that it gives is held against
// openapi.json.
type api struct {
	*Server
	t     testing.TB
	queue *fakeQueue
	log   *bytes.Buffer
	key   string // sent along, if set
}

func newAPI(t testing.TB, change ...func(*Options)) *api {
	t.Helper()
	t.Setenv("SR3_MODELS", filepath.Join(t.TempDir(), "none"))
	q := newFakeQueue()
	log := &bytes.Buffer{}
	o := Options{Queue: q, Models: testModels(), Page: testPage, Hold: -1, Logger: slog.New(slog.NewTextHandler(&lockedWriter{w: log}, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	for _, f := range change {
		f(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return &api{Server: s, t: t, queue: q, log: log}
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// do sends a request to the handler and checks the answer against the document.
func (a *api) do(r *http.Request) *http.Response {
	a.t.Helper()
	if a.key != "" && r.Header.Get("Authorization") == "" && r.Header.Get("X-API-Key") == "" {
		r.Header.Set("Authorization", "Bearer "+a.key)
	}
	if r.Host == "example.com" {
		r.Host = "127.0.0.1:7860"
	}
	rec := httptest.NewRecorder()
	a.ServeHTTP(rec, r)
	res := rec.Result()
	validate(a.t, r, res.StatusCode, res.Header, rec.Body.Bytes())
	return res
}

// call makes a request of a method, a path and a body, and pairs of header names and
// values.
func (a *api) call(method, path string, body io.Reader, header ...string) *http.Response {
	a.t.Helper()
	r := httptest.NewRequest(method, path, body)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return a.do(r)
}

// submit makes a job of a PNG.
func (a *api) submit(w, h int, query string, header ...string) jobView {
	a.t.Helper()
	res := a.call("POST", "/v1/jobs"+query, bytes.NewReader(testPNG(w, h)), append([]string{"Content-Type", "image/png"}, header...)...)
	want(a.t, res, http.StatusAccepted, "")
	return decode[jobView](a.t, res)
}

// want checks a status and, of a problem, the code.
func want(t testing.TB, res *http.Response, status int, code string) {
	t.Helper()
	body, _ := io.ReadAll(res.Body)
	res.Body = io.NopCloser(bytes.NewReader(body))
	if res.StatusCode != status {
		t.Fatalf("status %d, want %d: %.300s", res.StatusCode, status, body)
	}
	if code == "" {
		return
	}
	var p problem
	if err := json.Unmarshal(body, &p); err != nil {
		t.Fatalf("not a problem: %v: %.200s", err, body)
	}
	if p.Code != code || p.Status != status {
		t.Fatalf("code %q with status %d, want %q with %d: %s", p.Code, p.Status, code, status, p.Detail)
	}
	if (status == 503 || status == 429) && res.Header.Get("Retry-After") == "" {
		t.Errorf("status %d without Retry-After", status)
	}
}

func decode[T any](t testing.TB, res *http.Response) T {
	t.Helper()
	var v T
	if err := json.NewDecoder(res.Body).Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func readAll(t testing.TB, res *http.Response) []byte {
	t.Helper()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// form makes a multipart body of an image and fields.
func form(t testing.TB, image []byte, name string, fields map[string]string) (io.Reader, string) {
	t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	for field, value := range fields {
		if err := m.WriteField(field, value); err != nil {
			t.Fatal(err)
		}
	}
	if image != nil {
		part, err := m.CreateFormFile("image", name)
		if err != nil {
			t.Fatal(err)
		}
		part.Write(image)
	}
	m.Close()
	return &b, m.FormDataContentType()
}

// document is openapi.json, read once.
var document = sync.OnceValues(func() (*openapi3.T, routers.Router) {
	doc, err := openapi3.NewLoader().LoadFromData(openAPIDocument)
	if err != nil {
		panic(err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		panic(err)
	}
	doc.Servers = nil
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		panic(err)
	}
	return doc, router
})

// secured are headers that every answer must have.
var secured = map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY"}

// validate holds an answer against the document. What the document does not know
// must be a problem of status 404 or 405.
func validate(t testing.TB, r *http.Request, status int, header http.Header, body []byte) {
	t.Helper()
	for name, value := range secured {
		if header.Get(name) != value {
			t.Errorf("%s %s: %s is %q", r.Method, r.URL, name, header.Get(name))
		}
	}
	if !strings.Contains(header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
		t.Errorf("%s %s: Content-Security-Policy is %q", r.Method, r.URL, header.Get("Content-Security-Policy"))
	}
	if status >= 400 && status != http.StatusPreconditionFailed && r.Method != http.MethodHead && header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s %s: status %d is %q, not a problem", r.Method, r.URL, status, header.Get("Content-Type"))
	}
	doc, router := document()
	method := r.Method
	if method == http.MethodHead {
		return
	}
	probe := r.Clone(context.Background())
	probe.URL.Host, probe.URL.Scheme = "", ""
	route, params, err := router.FindRoute(probe)
	if err != nil {
		if !slices.Contains([]int{400, 403, 404, 405}, status) {
			t.Errorf("%s %s: status %d for an address that openapi.json does not have (%v)", r.Method, r.URL, status, err)
		}
		var v any
		if err := json.Unmarshal(body, &v); err != nil {
			t.Errorf("%s %s: %v", r.Method, r.URL, err)
		} else if err := doc.Components.Schemas["Problem"].Value.VisitJSON(v); err != nil {
			t.Errorf("%s %s: %v", r.Method, r.URL, err)
		}
		return
	}
	err = openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: probe, PathParams: params, Route: route},
		Status:                 status, Header: header, Body: io.NopCloser(bytes.NewReader(body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	})
	if err != nil {
		t.Errorf("%s %s: status %d: %v\n%.500s", r.Method, r.URL, status, err, body)
	}
}

// TestDocumentHasAllRoutes compares the routes of the mux with openapi.json, both ways.
func TestDocumentHasAllRoutes(t *testing.T) {
	a := newAPI(t)
	doc, _ := document()
	var documented, routed []string
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			documented = append(documented, method+" "+path)
		}
	}
	replace := strings.NewReplacer("{$}", "", "{file...}", "{file}")
	for _, pattern := range a.routes {
		routed = append(routed, replace.Replace(pattern))
	}
	slices.Sort(documented)
	slices.Sort(routed)
	if !slices.Equal(documented, routed) {
		t.Errorf("openapi.json has\n%s\nthe mux has\n%s", strings.Join(documented, "\n"), strings.Join(routed, "\n"))
	}
}
