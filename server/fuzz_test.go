package server

import (
	"bytes"
	"encoding/base64"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sr3-go/sr3/jobs"
)

// fuzzer makes random requests: most parts are nearly right, some are not at all.
type fuzzer struct {
	*rand.Rand
	images [][]byte
	keys   []string
}

func (f *fuzzer) pick(list ...string) string { return list[f.IntN(len(list))] }

// noise is any bytes.
func (f *fuzzer) noise(most int) []byte {
	b := make([]byte, f.IntN(most+1))
	for i := range b {
		b[i] = byte(f.Uint32())
	}
	return b
}

// words are values that something may trip over.
var words = []string{"", "0", "1", "-1", "3", "1e400", "NaN", "null", "true", "99999999999999999999", "image", "mean", "draw-1", "../../etc/passwd", "/etc/passwd", "..", "\x00", "%", "é", "photo-x4",
	"png", "jpg", "completed", "available,running", "00000000000000000000000001", "00000000000000000000000002", "2030-01-02T03:04:05Z", ">", "*", "$JS.API", "a b", "\r\nX: y", strings.Repeat("9", 400)}

func (f *fuzzer) word() string {
	if f.IntN(8) == 0 {
		return string(f.noise(30))
	}
	return f.pick(words...)
}

// image is a file: whole, damaged, cut off, or none.
func (f *fuzzer) image() []byte {
	data := slices.Clone(f.images[f.IntN(len(f.images))])
	switch f.IntN(4) {
	case 0:
		for range 1 + f.IntN(4) {
			data[f.IntN(len(data))] ^= byte(1 << f.IntN(8))
		}
	case 1:
		data = data[:f.IntN(len(data))]
	case 2:
		if f.IntN(3) == 0 {
			data = f.noise(200)
		}
	}
	return data
}

// body and its type.
func (f *fuzzer) body() (data []byte, kind string) {
	switch f.IntN(6) {
	case 0:
		return f.image(), f.pick("image/png", "image/jpeg", "application/octet-stream", "", "text/html", "image/*;q")
	case 1, 2:
		b := f.pick("x", "----WebKitFormBoundary7", "", strings.Repeat("b", 100))
		var out bytes.Buffer
		for range f.IntN(4) {
			name := f.pick("image", "image", "settings", "settings", "steps", "x", "")
			out.WriteString("--" + b + "\r\nContent-Disposition: form-data; name=\"" + name + "\"")
			out.WriteString(f.pick("; filename=\"a.png\"", "", "; filename=\"../../x\"", "; filename*=UTF-8''%ff"))
			out.WriteString(f.pick("\r\n\r\n", "\r\nContent-Type: image/png\r\n\r\n", "\n\n", ""))
			if name == "image" {
				out.Write(f.image())
			} else {
				out.WriteString(f.pick(`{"steps":3}`, `{"seed":9,"scale":2}`, `{"steps":"x"}`, `{`, `[[[[`, f.word()))
			}
			out.WriteString("\r\n")
		}
		out.WriteString(f.pick("--"+b+"--\r\n", "--"+b, ""))
		return out.Bytes(), f.pick("multipart/form-data; boundary="+b, "multipart/form-data; boundary="+b, "multipart/form-data", "multipart/mixed; boundary="+b)
	case 3, 4:
		image := base64.StdEncoding.EncodeToString(f.image())
		text := `{"image":"` + f.pick("", "data:image/png;base64,", "data:") + image + `","imageList":[{"data":"` + image + `","name":"` + f.pick("a", "../b", "") + `"}],"resize_mode":` + f.pick("0", "1", "2", "null", `"1"`) +
			`,"upscaling_resize":` + f.pick("2", "0.5", "1e308", "-1", "null") + `,"upscaling_resize_w":` + f.pick("9", "40.5", "1e18", "0") + `,"upscaling_crop":` + f.pick("true", "false") + `,"upscaler_1":"` + f.pick("photo-x4", "None", "x\\u0000y") + `"}`
		return []byte(text[:len(text)-f.IntN(2)*f.IntN(len(text))]), f.pick("application/json", "application/json", "application/json; charset=utf-8", "text/json")
	default:
		return f.noise(100), f.word()
	}
}

// request to a route.
func (f *fuzzer) request(route string) *http.Request {
	method, path, _ := strings.Cut(route, " ")
	id := f.pick("00000000000000000000000001", "00000000000000000000000002", "00000000000000000000000003", "00000000000000000000000009", f.word())
	path = strings.NewReplacer("{id}", url.PathEscape(id), "{$}", "", "{file...}", f.pick("app.js", "x", "../index.html", url.PathEscape(f.word()))).Replace(path)
	query := url.Values{}
	for range f.IntN(4) {
		query.Add(f.pick("model", "steps", "seed", "samples", "scale", "eta", "name", "format", "limit", "before", "state", "start_after", "consistent", "width", f.word()), f.word())
	}
	raw := query.Encode()
	if f.IntN(20) == 0 {
		raw = strings.Map(func(r rune) rune {
			if r <= ' ' || r >= 0x7f {
				return -1
			}
			return r
		}, f.word()) + "%zz"
	}
	data, kind := f.body()
	if method == http.MethodGet && f.IntN(10) > 0 {
		data = nil
	}
	if f.IntN(12) == 0 {
		method = f.pick("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH")
	}
	r := &http.Request{Method: method, URL: &url.URL{Path: mustUnescape(path), RawPath: path, RawQuery: raw}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
		Host: f.pick("127.0.0.1:7860", "localhost", "localhost:1", "127.0.0.1:7860", "[::1]", f.word()), Body: io.NopCloser(bytes.NewReader(data)), ContentLength: int64(len(data)), RemoteAddr: "127.0.0.1:9"}
	r.RequestURI = r.URL.RequestURI()
	if f.IntN(10) == 0 {
		r.ContentLength = -1
	}
	r.Header.Set("Content-Type", kind)
	if f.IntN(3) > 0 {
		r.Header.Set("Prefer", f.pick("respond-async", "wait=0", "wait=0, x", "wait=-3", f.word()))
	} else if strings.HasSuffix(path, "/upscale") {
		r.Header.Set("Prefer", "wait=0")
	}
	for range f.IntN(3) {
		r.Header.Set(f.pick("Idempotency-Key", "If-None-Match", "If-Match", "If-Range", "Range", "Last-Event-ID", "Origin", "Sec-Fetch-Site", "Accept", "If-Modified-Since", "Content-Encoding", "Authorization"),
			f.pick("bytes=0-3", "bytes=9999-", "bytes=0-1,2-3,4-5", "*", `"x"`, "none", "cross-site", "same-origin", "Basic e", "Bearer x", "identity", f.word()))
	}
	if len(f.keys) > 0 {
		r.Header.Set("X-API-Key", f.keys[f.IntN(len(f.keys))])
	}
	return r
}

func mustUnescape(path string) string {
	p, err := url.PathUnescape(path)
	if err != nil {
		return path
	}
	return p
}

// requestsPerHandler in TestRandomRequests.
const requestsPerHandler = 10_000

// TestRandomRequests sends random requests to every handler. None may panic, leave
// memory or places taken, or goroutines behind; answers are held against
// openapi.json, each twentieth with its body.
func TestRandomRequests(t *testing.T) {
	a, _, alice, bob := withKeys(t, func(o *Options) { o.Wait, o.WaitA1111, o.Heartbeat, o.Logger = time.Millisecond, 1, time.Hour, nil })
	var bodies int
	for n, route := range a.routes {
		if route == "GET /metrics" {
			continue // its answer grows with the others; it reads nothing of a request
		}
		seed := uint64(n + 1)
		f := &fuzzer{Rand: rand.New(rand.NewPCG(seed, 7)), images: [][]byte{testPNG(3, 2), testPNG(1, 1)}, keys: []string{alice, alice, alice, bob, "no key"}}
		a.queue.auto = n%2 == 1
		a.queue.reset()
		a.fuzzJobs(alice)
		for i := range requestsPerHandler {
			r := f.request(route)
			rec := httptest.NewRecorder()
			if strings.HasSuffix(route, "/events") {
				finishSome(a)
			}
			a.ServeHTTP(rec, r)
			if rec.Code == http.StatusInternalServerError {
				t.Fatalf("%s, request %d: %s %q %v: %s", route, i, r.Method, r.URL, r.Header, rec.Body)
			}
			if i%20 == 0 {
				validate(t, r, rec.Code, rec.Result().Header, rec.Body.Bytes())
				bodies++
			}
			if i%500 == 0 {
				a.queue.reset()
				a.fuzzJobs(alice)
			}
		}
		if used := a.memory.inUse() + a.streams.inUse() + a.Server.waiting.inUse(); used != 0 {
			t.Errorf("%s: %d bytes and places are not given back", route, used)
		}
	}
	a.eventually("goroutines to end", func() bool { return runtime.NumGoroutine() < 50 })
	t.Logf("%d answers validated", bodies)
}

// fuzzJobs makes sure that there are jobs 1 to 3: waiting, completed, failed.
func (a *api) fuzzJobs(key string) {
	auto := a.queue.auto
	a.queue.auto = false
	defer func() { a.queue.auto = auto }()
	a.key = key
	for len(a.queue.jobs) < 3 {
		a.submit(3, 2, "")
	}
	a.queue.finish(fakeID(2))
	a.queue.change(fakeID(3), func(j *jobs.Job) {
		now := time.Now().UTC()
		j.State, j.Finished, j.Fault = jobs.Discarded, &now, &jobs.Fault{Code: "failed", Detail: "three times"}
	}, nil)
}

// finishSome ends the jobs that wait, so that streams of their events end.
func finishSome(a *api) {
	for id, j := range a.queue.jobs {
		if !j.job.State.Finished() {
			a.queue.finish(id)
		}
	}
}

// reset forgets all jobs.
func (q *fakeQueue) reset() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.jobs, q.deleted, q.made = map[string]*fakeJob{}, map[string]string{}, 0
}

// FuzzSubmit looks for bodies that a submission trips over.
func FuzzSubmit(f *testing.F) {
	r := &fuzzer{Rand: rand.New(rand.NewPCG(1, 2)), images: [][]byte{testPNG(3, 2)}}
	for range 40 {
		data, kind := r.body()
		f.Add(data, kind, r.word())
	}
	a := newAPI(f)
	f.Fuzz(func(t *testing.T, data []byte, kind, query string) {
		a.t = t
		a.queue.reset()
		for _, path := range []string{"/v1/jobs", "/sdapi/v1/extra-single-image"} {
			a.o.WaitA1111 = 1
			r := httptest.NewRequest("POST", path, bytes.NewReader(data))
			r.URL.RawQuery = query
			r.Header.Set("Content-Type", kind)
			if res := a.do(r); res.StatusCode == 500 {
				t.Errorf("status 500")
			}
		}
	})
}

// FuzzKeys looks for files of keys that the reader trips over.
func FuzzKeys(f *testing.F) {
	f.Add([]byte(`{"version":1,"keys":[{"name":"a","sha256":"` + strings.Repeat("0a", 32) + `","created":"2026-01-02T03:04:05Z"}]}`))
	f.Add([]byte(`{"version":1,"keys":[{"name":"a","sha256":"0a"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := parseKeys(data)
		for _, k := range list {
			if err == nil && len(k.Owner()) < 10 {
				t.Errorf("owner %q", k.Owner())
			}
		}
	})
}
