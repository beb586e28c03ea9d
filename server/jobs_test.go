package server

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sr3-go/sr3/jobs"
)

func TestSubmit(t *testing.T) {
	a := newAPI(t)
	png := testPNG(8, 6)
	for name, f := range map[string]func() *http.Response{
		"bare": func() *http.Response {
			return a.call("POST", "/v1/jobs?steps=3&seed=7&name=caf%C3%A9.png", bytes.NewReader(png), "Content-Type", "image/png")
		},
		"bare without a type": func() *http.Response {
			return a.call("POST", "/v1/jobs?steps=3&seed=7&name=caf%C3%A9.png", bytes.NewReader(png))
		},
		"form": func() *http.Response {
			body, kind := form(t, png, "café.png", map[string]string{"settings": `{"steps":3,"seed":7}`})
			return a.call("POST", "/v1/jobs", body, "Content-Type", kind)
		},
		"form of fields": func() *http.Response {
			body, kind := form(t, png, "café.png", map[string]string{"steps": "3", "seed": "7"})
			return a.call("POST", "/v1/jobs", body, "Content-Type", kind)
		},
	} {
		t.Run(name, func(t *testing.T) {
			res := f()
			want(t, res, http.StatusAccepted, "")
			job := decode[jobView](t, res)
			if res.Header.Get("Location") != "/v1/jobs/"+job.ID || job.Links.Self != "/v1/jobs/"+job.ID {
				t.Errorf("Location %q, links %+v", res.Header.Get("Location"), job.Links)
			}
			if s := job.Settings; s.Steps != 3 || s.Seed != 7 || s.Model != "photo-x4" || s.Format != "png" {
				t.Errorf("settings %+v", s)
			}
			if in := job.Input; in.Name != "café.png" || in.Width != 8 || in.Height != 6 || in.SHA256 != digest(png) || in.Type != "image/png" {
				t.Errorf("input %+v", in)
			}
			if !bytes.Equal(a.queue.jobs[job.ID].input, png) {
				t.Error("the queue got other bytes")
			}
		})
	}
}

func TestSubmitErrors(t *testing.T) {
	a := newAPI(t, func(o *Options) { o.Limits.MaxInputBytes, o.Limits.MaxInputPixels = 20_000, 10_000 })
	png := testPNG(8, 8)
	bomb := bytes.Clone(png)
	copy(bomb[16:24], []byte{0, 0, 0xEA, 0x60, 0, 0, 0xEA, 0x60}) // a header that claims 60000x60000
	binary.BigEndian.PutUint32(bomb[29:], crc32.ChecksumIEEE(bomb[12:29]))
	for name, c := range map[string]struct {
		query, kind string
		body        []byte
		header      []string
		status      int
		code        string
	}{
		"no image":              {"", "image/png", nil, nil, 422, "image-missing"},
		"text":                  {"", "text/plain", []byte("hello"), nil, 415, "media-type-unsupported"},
		"what curl -d sends":    {"", "application/x-www-form-urlencoded", png, nil, 415, "media-type-unsupported"},
		"form without boundary": {"", "multipart/form-data", png, nil, 415, "media-type-unsupported"},
		"damaged type":          {"", "image/;;=", png, nil, 415, "media-type-unsupported"},
		"compressed":            {"", "image/png", png, []string{"Content-Encoding", "gzip"}, 415, "media-type-unsupported"},
		"unknown format":        {"", "image/png", []byte("GIF98 is not a format, nor is this"), nil, 415, "image-unknown-format"},
		"svg":                   {"", "image/svg+xml", []byte("<svg xmlns='http://www.w3.org/2000/svg'/>"), nil, 415, "image-unknown-format"},
		"cut off":               {"", "image/png", png[:20], nil, 422, "image-damaged"},
		"bomb":                  {"", "image/png", bomb, nil, 422, "image-damaged"}, // so few bytes cannot hold it
		"too many pixels":       {"", "image/png", testPNG(101, 100), nil, 413, "image-too-large"},
		"too many bytes":        {"", "image/png", append(bytes.Clone(png), make([]byte, 20_000)...), nil, 413, "body-too-large"},
		"unknown setting":       {"?stepz=3", "image/png", png, nil, 422, "settings-invalid"},
		"setting twice":         {"?steps=3&steps=4", "image/png", png, nil, 422, "settings-invalid"},
		"no number":             {"?steps=many", "image/png", png, nil, 422, "settings-invalid"},
		"not a number":          {"?scale=NaN", "image/png", png, nil, 422, "settings-invalid"},
		"negative":              {"?steps=-3", "image/png", png, nil, 422, "settings-invalid"},
		"large seed":            {"?seed=18446744073709551615", "image/png", png, nil, 422, "settings-invalid"},
		"sampler":               {"?sampler=magic", "image/png", png, nil, 422, "settings-invalid"},
		"format":                {"?format=exe", "image/png", png, nil, 422, "settings-invalid"},
		"one sample":            {"?samples=1", "image/png", png, nil, 422, "settings-invalid"},
		"next year":             {"?start_after=2999-01-01T00:00:00Z", "image/png", png, nil, 422, "settings-invalid"},
		"too large a result":    {"?scale=1000", "image/png", testPNG(100, 100), nil, 422, "result-too-large"},
		"model":                 {"?model=nobody", "image/png", png, nil, 422, "model-unknown"},
		"model as a path":       {"?model=../../etc/passwd", "image/png", png, nil, 422, "model-unknown"},
		"model as a file":       {"?model=/etc/passwd", "image/png", png, nil, 422, "model-unknown"},
		"damaged query":         {"?steps=%zz", "image/png", png, nil, 400, "bad-request"},
		"long key":              {"", "image/png", png, []string{"Idempotency-Key", strings.Repeat("k", 256)}, 400, "idempotency-key-invalid"},
		"key with a tab":        {"", "image/png", png, []string{"Idempotency-Key", "a\tb"}, 400, "idempotency-key-invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			header := append([]string{"Content-Type", c.kind}, c.header...)
			for _, path := range []string{"/v1/jobs", "/v1/upscale"} {
				want(t, a.call("POST", path+c.query, bytes.NewReader(c.body), header...), c.status, c.code)
			}
		})
	}
	if len(a.queue.jobs) != 0 {
		t.Errorf("%d jobs were made", len(a.queue.jobs))
	}
	if used := a.memory.inUse(); used != 0 {
		t.Errorf("%d bytes of memory are not given back", used)
	}
}

func TestFormErrors(t *testing.T) {
	a := newAPI(t)
	png := testPNG(8, 8)
	_, kindTwice := form(t, png, "a.png", nil)
	for name, c := range map[string]struct {
		image  []byte
		fields map[string]string
		status int
		code   string
	}{
		"no image":         {nil, map[string]string{"settings": "{}"}, 422, "image-missing"},
		"damaged settings": {png, map[string]string{"settings": "{"}, 422, "settings-invalid"},
		"unknown setting":  {png, map[string]string{"settings": `{"owner":"me"}`}, 422, "settings-invalid"},
		"wrong type":       {png, map[string]string{"settings": `{"steps":"3"}`}, 422, "settings-invalid"},
		"list":             {png, map[string]string{"settings": `[]`}, 422, "settings-invalid"},
		"two objects":      {png, map[string]string{"settings": `{}{}`}, 422, "settings-invalid"},
		"a stray bracket":  {png, map[string]string{"settings": `{}]`}, 422, "settings-invalid"},
		"unknown field":    {png, map[string]string{"file": "x"}, 422, "settings-invalid"},
		"long settings":    {png, map[string]string{"settings": strings.Repeat(" ", 20<<10)}, 413, "body-too-large"},
	} {
		t.Run(name, func(t *testing.T) {
			body, kind := form(t, c.image, "a.png", c.fields)
			want(t, a.call("POST", "/v1/jobs", body, "Content-Type", kind), c.status, c.code)
		})
	}
	t.Run("cut off", func(t *testing.T) {
		body, kind := form(t, png, "a.png", nil)
		want(t, a.call("POST", "/v1/jobs", io.LimitReader(body, 200), "Content-Type", kind), 400, "bad-request")
	})
	t.Run("two images", func(t *testing.T) {
		_, boundary, _ := strings.Cut(kindTwice, "boundary=")
		part := "--" + boundary + "\r\nContent-Disposition: form-data; name=\"image\"; filename=\"a.png\"\r\n\r\n" + string(png) + "\r\n"
		want(t, a.call("POST", "/v1/jobs", strings.NewReader(part+part+"--"+boundary+"--\r\n"), "Content-Type", kindTwice), 422, "image-missing")
	})
	t.Run("many fields", func(t *testing.T) {
		fields := map[string]string{}
		for i := range 40 {
			fields[fmt.Sprint(i)] = "x"
		}
		body, kind := form(t, png, "a.png", fields)
		want(t, a.call("POST", "/v1/jobs", body, "Content-Type", kind), 422, "settings-invalid")
	})
}

func TestNamesOfUploads(t *testing.T) {
	a := newAPI(t)
	for given, kept := range map[string]string{
		"../../etc/passwd": "passwd", `C:\Users\me\cat.png`: "cat.png", "a\x00b\r\nc.png": "abc.png", "..": "image", "": "image", "/": "image",
		"\u202egnp.exe": "gnp.exe", "naïve 猫.png": "naïve 猫.png",
	} {
		job := a.submit(4, 4, "?name="+url.QueryEscape(given))
		if job.Input.Name != kept {
			t.Errorf("%q became %q, want %q", given, job.Input.Name, kept)
		}
	}
}

func TestIdempotency(t *testing.T) {
	a := newAPI(t)
	post := func(steps int, image []byte) *http.Response {
		return a.call("POST", fmt.Sprintf("/v1/jobs?seed=-1&steps=%d", steps), bytes.NewReader(image), "Content-Type", "image/png", "Idempotency-Key", "k1")
	}
	first := post(3, testPNG(8, 8))
	want(t, first, http.StatusAccepted, "")
	again := post(3, testPNG(8, 8)) // the random seed must be the same one
	want(t, again, http.StatusOK, "")
	if a, b := decode[jobView](t, first), decode[jobView](t, again); a.ID != b.ID || a.Settings.Seed != b.Settings.Seed || a.Settings.Seed == 0 {
		t.Errorf("%s with seed %d, then %s with seed %d", a.ID, a.Settings.Seed, b.ID, b.Settings.Seed)
	}
	want(t, post(4, testPNG(8, 8)), 422, "idempotency-key-reused")
	want(t, post(3, testPNG(8, 9)), 422, "idempotency-key-reused")
}

func TestListAndGet(t *testing.T) {
	a := newAPI(t)
	for range 5 {
		a.submit(4, 4, "")
	}
	a.queue.finish(fakeID(2))
	page := func(query string) (ids []string, next string) {
		res := a.call("GET", "/v1/jobs"+query, nil)
		want(t, res, 200, "")
		v := decode[struct {
			Jobs []jobView
			Next string
		}](t, res)
		for _, j := range v.Jobs {
			ids = append(ids, strings.TrimLeft(j.ID, "0"))
		}
		return ids, v.Next
	}
	for query, expected := range map[string]string{
		"": "5 4 3 2 1 ", "?limit=2": "5 4 " + fakeID(4), "?limit=2&before=" + fakeID(2): "1 ", "?limit=5": "5 4 3 2 1 ",
		"?state=completed": "2 ", "?state=available,completed&limit=3": "5 4 3 " + fakeID(3), "?state=running": " ",
	} {
		ids, next := page(query)
		if got := strings.Join(ids, " ") + " " + next; got != expected {
			t.Errorf("%q gives %q, want %q", query, got, expected)
		}
	}
	for _, query := range []string{"?limit=0", "?limit=201", "?limit=x", "?before=me", "?state=lost", "?state=", "?limit=%zz"} {
		want(t, a.call("GET", "/v1/jobs"+query, nil), 400, "bad-request")
	}
	want(t, a.call("GET", "/v1/jobs/"+fakeID(1), nil), 200, "")
	want(t, a.call("GET", "/v1/jobs/"+fakeID(9), nil), 404, "job-not-found")
	for _, id := range []string{"x", "..%2f..%2fetc", "*", ">", strings.Repeat("A", 26), fakeID(1) + "%00", "%2e%2e"} {
		res := a.call("GET", "/v1/jobs/"+id, nil)
		if res.StatusCode != 404 {
			t.Errorf("job %q: status %d", id, res.StatusCode)
		}
	}
}

func TestCancelAndDelete(t *testing.T) {
	a := newAPI(t)
	one, two := a.submit(4, 4, ""), a.submit(4, 4, "")
	res := a.call("POST", one.Links.Cancel, nil)
	want(t, res, 200, "")
	if job := decode[jobView](t, res); job.State != jobs.Cancelled || job.Links.Cancel != "" {
		t.Errorf("state %s, link %q", job.State, job.Links.Cancel)
	}
	want(t, a.call("POST", one.Links.Cancel, nil), 409, "job-finished")
	want(t, a.call("GET", one.Links.Result, nil), 409, "job-cancelled")
	want(t, a.call("GET", two.Links.Result, nil), 409, "job-not-finished")
	want(t, a.call("DELETE", two.Links.Self, nil), 204, "")
	for _, c := range [][2]string{{"GET", two.Links.Self}, {"GET", two.Links.Result}, {"GET", two.Links.Events}, {"GET", two.Links.Input}, {"DELETE", two.Links.Self}, {"POST", two.Links.Cancel}} {
		want(t, a.call(c[0], c[1], nil), 410, "job-gone")
	}
}

func TestFaultOfResult(t *testing.T) {
	a := newAPI(t)
	job := a.submit(4, 4, "")
	a.queue.change(job.ID, func(j *jobs.Job) {
		j.State, j.Fault = jobs.Discarded, &jobs.Fault{Code: "image-damaged", Detail: "cut off"}
	}, nil)
	want(t, a.call("GET", job.Links.Result, nil), 409, "image-damaged")
}

func TestResult(t *testing.T) {
	a := newAPI(t)
	job := a.submit(8, 6, "?seed=9&name="+url.QueryEscape(`"süß; x".jpg`))
	a.queue.finish(job.ID)
	whole := a.call("GET", job.Links.Result, nil)
	want(t, whole, 200, "")
	data := readAll(t, whole)
	h := whole.Header
	if !bytes.Equal(data, testPNG(32, 24)) || h.Get("Content-Type") != "image/png" || h.Get("ETag") != `"`+digest(data)+`"` || h.Get("X-SR3-Seed") != "9" {
		t.Errorf("%d bytes, %v", len(data), h)
	}
	if got, want := h.Get("Content-Disposition"), `inline; filename="_s___ x__sr3_x4.png"; filename*=UTF-8''%22s%C3%BC%C3%9F%3B%20x%22_sr3_x4.png`; got != want {
		t.Errorf("Content-Disposition: %s", got)
	}
	want(t, a.call("GET", job.Links.Result, nil, "If-None-Match", h.Get("ETag")), 304, "")
	want(t, a.call("GET", job.Links.Result, nil, "If-None-Match", `"x", W/`+h.Get("ETag")), 304, "")
	want(t, a.call("GET", job.Links.Result, nil, "If-None-Match", `"x"`), 200, "")
	want(t, a.call("GET", job.Links.Result, nil, "If-Match", `"x"`), 412, "")
	part := a.call("GET", job.Links.Result, nil, "Range", "bytes=1-3")
	want(t, part, 206, "")
	if got := readAll(t, part); string(got) != "PNG" {
		t.Errorf("range is %q", got)
	}
	want(t, a.call("GET", job.Links.Result, nil, "Range", "bytes=9999999-"), 416, "range-invalid")
	want(t, a.call("GET", job.Links.Result, nil, "Range", "bytes=0-1,4-5"), 206, "")
	want(t, a.call("HEAD", job.Links.Result, nil), 200, "")
	want(t, a.call("GET", job.Links.Result+"?name=mean", nil), 404, "result-unknown")
	want(t, a.call("GET", job.Links.Result+"?name=../input", nil), 404, "result-unknown")
	want(t, a.call("GET", job.Links.Result+"?name=image", nil), 200, "")
	in := a.call("GET", job.Links.Input, nil)
	want(t, in, 200, "")
	if !bytes.Equal(readAll(t, in), testPNG(8, 6)) {
		t.Error("the input is another one")
	}
	if used := a.memory.inUse(); used != 0 {
		t.Errorf("%d bytes of memory are not given back", used)
	}
}

func TestUpscale(t *testing.T) {
	a := newAPI(t)
	a.queue.auto = true
	res := a.call("POST", "/v1/upscale?seed=5", bytes.NewReader(testPNG(8, 6)), "Content-Type", "image/png", "Range", "bytes=0-3", "If-None-Match", "*")
	want(t, res, 200, "")
	if !bytes.Equal(readAll(t, res), testPNG(32, 24)) || res.Header.Get("X-SR3-Seed") != "5" || res.Header.Get("Link") != "</v1/jobs/"+fakeID(1)+`>; rel="related"` {
		t.Errorf("%v", res.Header)
	}
	a.queue.auto = false
	async := a.call("POST", "/v1/upscale", bytes.NewReader(testPNG(8, 6)), "Prefer", "foo, respond-async; x=1")
	want(t, async, 202, "")
	if async.Header.Get("Preference-Applied") != "respond-async" {
		t.Error("no Preference-Applied")
	}
	slow := a.call("POST", "/v1/upscale", bytes.NewReader(testPNG(8, 6)), "Prefer", "wait=0")
	want(t, slow, 202, "")
	if id := decode[jobView](t, slow).ID; a.queue.state(id) != jobs.Available {
		t.Errorf("the job of a client that waited long enough is %s", a.queue.state(id))
	}
}

// begin starts a request that waits, and returns its job and, later, its answer.
func (a *api) begin(r *http.Request) (id string, answer chan *http.Response) {
	a.t.Helper()
	before := a.queue.made
	answer = make(chan *http.Response, 1)
	go func() { answer <- a.do(r) }()
	a.eventually("a job", func() bool {
		a.queue.mu.Lock()
		defer a.queue.mu.Unlock()
		return a.queue.made > before && len(a.queue.jobs[fakeID(a.queue.made)].watch) > 0
	})
	return fakeID(before + 1), answer
}

func (a *api) eventually(what string, f func() bool) {
	a.t.Helper()
	for start := time.Now(); !f(); time.Sleep(time.Millisecond) {
		if time.Since(start) > 10*time.Second {
			a.t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestUpscaleEnds(t *testing.T) {
	post := func() *http.Request {
		return httptest.NewRequest("POST", "/v1/upscale", bytes.NewReader(testPNG(4, 4)))
	}
	for name, c := range map[string]struct {
		end    func(a *api, id string)
		status int
		code   string
	}{
		"done":      {func(a *api, id string) { a.queue.finish(id) }, 200, ""},
		"cancelled": {func(a *api, id string) { a.queue.Cancel(t.Context(), id) }, 409, "job-cancelled"},
		"fault": {func(a *api, id string) {
			a.queue.change(id, func(j *jobs.Job) {
				j.State, j.Fault = jobs.Discarded, &jobs.Fault{Code: "result-constant", Detail: "flat"}
			}, nil)
		}, 422, "result-constant"},
		"failure": {func(a *api, id string) {
			a.queue.change(id, func(j *jobs.Job) {
				j.State, j.Fault = jobs.Discarded, &jobs.Fault{Code: "failed", Detail: "three times"}
			}, nil)
		}, 500, "failed"},
		"drain":   {func(a *api, id string) { a.Drain() }, 202, ""},
		"deleted": {func(a *api, id string) { a.queue.Delete(t.Context(), id) }, 409, "job-cancelled"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAPI(t)
			id, answer := a.begin(post())
			c.end(a, id)
			want(t, <-answer, c.status, c.code)
			a.eventually("watchers to go", func() bool { a.queue.mu.Lock(); defer a.queue.mu.Unlock(); return a.queue.watchers == 0 })
			if a.Server.waiting.inUse() != 0 {
				t.Error("the place is not given back")
			}
		})
	}
}

func TestQueueErrors(t *testing.T) {
	a := newAPI(t)
	a.queue.full = true
	want(t, a.call("POST", "/v1/jobs", bytes.NewReader(testPNG(4, 4))), 503, "queue-full")
	want(t, a.call("POST", "/v1/upscale", bytes.NewReader(testPNG(4, 4))), 503, "queue-full")
	a.queue.full = false
	job := a.submit(4, 4, "")
	a.queue.broken = errors.New("secret of the store")
	for _, c := range [][2]string{{"GET", "/v1/jobs"}, {"GET", job.Links.Self}, {"POST", "/v1/jobs"}, {"GET", job.Links.Events}} {
		res := a.call(c[0], c[1], bytes.NewReader(testPNG(4, 4)))
		body := readAll(t, res)
		if res.StatusCode != 500 || bytes.Contains(body, []byte("secret")) {
			t.Errorf("%v: status %d: %s", c, res.StatusCode, body)
		}
	}
	want(t, a.call("GET", "/readyz", nil), 503, "not-ready")
	want(t, a.call("GET", "/healthz", nil), 200, "")
	if !strings.Contains(a.log.String(), "secret of the store") {
		t.Error("the log does not say why")
	}
	a.queue.broken = jobs.ErrClosed
	want(t, a.call("GET", "/v1/jobs", nil), 503, "shutting-down")
}
