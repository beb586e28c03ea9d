package server

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sr3-go/sr3/jobs"
)

func TestRate(t *testing.T) {
	a := newAPI(t, func(o *Options) { o.Rate, o.Burst = 0.1, 3 })
	for i := range 5 {
		res := a.call("POST", "/v1/jobs", bytes.NewReader(testPNG(4, 4)))
		if i < 3 {
			want(t, res, 202, "")
			continue
		}
		want(t, res, 429, "rate-limited")
		if after := res.Header.Get("Retry-After"); after != "10" && after != "9" {
			t.Errorf("Retry-After: %s", after)
		}
	}
	want(t, a.call("GET", "/v1/jobs", nil), 200, "") // reading is not limited
	keyed, _, alice, bob := withKeys(t, func(o *Options) { o.Rate, o.Burst = 0.1, 1 })
	post := func(key string) *http.Response {
		return keyed.call("POST", "/v1/jobs", bytes.NewReader(testPNG(4, 4)), "X-API-Key", key)
	}
	want(t, post(alice), 202, "")
	want(t, post(alice), 429, "rate-limited")
	want(t, post(bob), 202, "") // each key has a rate of its own
}

func TestWaitingIsBounded(t *testing.T) {
	a := newAPI(t, func(o *Options) { o.MaxWaiting = 1 })
	id, answer := a.begin(httptest.NewRequest("POST", "/v1/upscale", bytes.NewReader(testPNG(4, 4))))
	want(t, a.call("POST", "/v1/upscale", bytes.NewReader(testPNG(4, 4))), 503, "busy")
	want(t, a.call("POST", "/v1/upscale", bytes.NewReader(testPNG(4, 4)), "Prefer", "respond-async"), 202, "")
	a.queue.finish(id)
	want(t, <-answer, 200, "")
}

// TestMemoryIsBounded opens uploads that claim to be large until there is no room;
// nothing of their bodies has been sent.
func TestMemoryIsBounded(t *testing.T) {
	a := newAPI(t, func(o *Options) { o.MaxMemory, o.BodyGrace = 10<<20, 300*time.Millisecond })
	url, _ := a.serve(t)
	var conns []net.Conn
	for i := range 4 {
		c := dial(t, url)
		conns = append(conns, c)
		fmt.Fprintf(c, "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n", 2<<20)
		a.eventually("memory to be taken", func() bool { return i > 1 || a.memory.inUse() > int64(i+1)*4<<20 })
	}
	for i, c := range conns[2:] { // two have their 4 MiB, there is no room for the others
		if status := readStatus(t, c); status != 503 {
			t.Errorf("upload %d: status %d, want 503", i+2, status)
		}
	}
	for i, c := range conns[:2] { // and those come too slowly
		if status := readStatus(t, c); status != 408 {
			t.Errorf("upload %d: status %d, want 408", i, status)
		}
	}
	a.eventually("memory to be given back", func() bool { return a.memory.inUse() == 0 })
}

func dial(t *testing.T, url string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func readStatus(t *testing.T, c net.Conn) int {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(15 * time.Second))
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Error(err)
		return 0
	}
	res.Body.Close()
	return res.StatusCode
}

// TestSlowBodies checks that a body that dribbles is cut off, that a steady one is
// not, and that others are served meanwhile.
func TestSlowBodies(t *testing.T) {
	a := newAPI(t, func(o *Options) { o.BodyGrace = time.Second })
	url, _ := a.serve(t)
	slow := dial(t, url)
	fmt.Fprintf(slow, "POST /v1/upscale HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: 10000\r\n\r\n")
	stop := make(chan bool)
	defer close(stop)
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
				slow.Write([]byte{0x89})
			}
		}
	}()
	body := append(testPNG(4, 4), make([]byte, 160<<10)...) // may take eleven seconds
	steady := dial(t, url)
	fmt.Fprintf(steady, "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n", len(body))
	const parts = 15
	for i := range parts {
		time.Sleep(100 * time.Millisecond)
		steady.Write(body[i*len(body)/parts : (i+1)*len(body)/parts])
	}
	if status := readStatus(t, steady); status == 408 {
		t.Error("a steady body came too slowly")
	}
	if status := readStatus(t, slow); status != 408 {
		t.Errorf("slow: status %d, want 408", status)
	}
	if res, err := http.Get(url + "/healthz"); err != nil || res.StatusCode != 200 {
		t.Error(res, err)
	}
	if n := a.Server.waiting.inUse() + a.memory.inUse(); n != 0 {
		t.Errorf("%d places or bytes are not given back", n)
	}
}

// TestRestOfTheBodyIsNotWaitedFor sends a whole form and then, after an answer, not
// the rest of what was announced.
func TestRestOfTheBodyIsNotWaitedFor(t *testing.T) {
	a := newAPI(t, func(o *Options) { o.BodyGrace = 300 * time.Millisecond })
	url, _ := a.serve(t)
	body, kind := form(t, testPNG(4, 4), "a.png", nil)
	data, _ := io.ReadAll(body)
	c := dial(t, url)
	fmt.Fprintf(c, "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", kind, len(data)+1000, data)
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	answer, err := io.ReadAll(c) // until the server closes the connection
	if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 202 ")) {
		t.Errorf("%v: %.100q", err, answer)
	}
}

// TestWaitOutlastsDeadlines checks that a request that waits longer than bodies may
// take is not cut off by the deadline of its body.
func TestWaitOutlastsDeadlines(t *testing.T) {
	a := newAPI(t, func(o *Options) { o.BodyGrace = 100 * time.Millisecond })
	url, _ := a.serve(t)
	done := make(chan int, 1)
	go func() {
		res, err := http.Post(url+"/v1/upscale", "image/png", bytes.NewReader(testPNG(4, 4)))
		if err != nil {
			t.Error(err)
			done <- 0
			return
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		done <- res.StatusCode
	}()
	a.eventually("a watcher", func() bool { a.queue.mu.Lock(); defer a.queue.mu.Unlock(); return a.queue.watchers == 1 })
	time.Sleep(300 * time.Millisecond)
	a.queue.finish(fakeID(1))
	if status := <-done; status != 200 {
		t.Errorf("status %d, want 200", status)
	}
}

// TestConnectionsAreBounded checks that connections beyond the bound wait, and are
// served when others close.
func TestConnectionsAreBounded(t *testing.T) {
	a := newAPI(t, func(o *Options) { o.MaxConnections = 2 })
	url, _ := a.serve(t)
	first, second, third := dial(t, url), dial(t, url), dial(t, url)
	ask := func(c net.Conn) { fmt.Fprintf(c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n") }
	for _, c := range []net.Conn{first, second} {
		ask(c)
		if status := readStatus(t, c); status != 200 {
			t.Fatalf("status %d", status)
		}
	}
	ask(third)
	third.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if _, err := third.Read(make([]byte, 1)); err == nil {
		t.Error("a third connection is served")
	}
	first.Close()
	if status := readStatus(t, third); status != 200 {
		t.Errorf("status %d after the first closed", status)
	}
}

func TestServeRefusesToBeOpenToAll(t *testing.T) {
	a := newAPI(t)
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Skip(err)
	}
	if err := a.Serve(t.Context(), l); err == nil || !strings.Contains(err.Error(), "sr3 serve keys new") {
		t.Errorf("serving everybody without keys: %v", err)
	}
	for addr, loopback := range map[string]bool{"127.0.0.1:1": true, "[::1]:1": true, "127.8.9.1:80": true, "localhost:1": true, ":7860": false, "0.0.0.0:1": false, "192.168.0.1:1": false, "example.org:1": false, "127.0.0.1": false} {
		if Loopback(addr) != loopback {
			t.Errorf("Loopback(%s) is %v", addr, !loopback)
		}
	}
}

func TestBudget(t *testing.T) {
	b := newBudget(10)
	release, ok := b.take(1000) // more than there is: alone
	if !ok || b.inUse() != 10 {
		t.Fatalf("%v, %d in use", ok, b.inUse())
	}
	if _, ok := b.take(1); ok {
		t.Error("there was room")
	}
	release()
	release()
	if b.inUse() != 0 {
		t.Errorf("%d in use", b.inUse())
	}
}

func TestMetrics(t *testing.T) {
	a := newAPI(t)
	a.submit(4, 4, "")
	a.call("GET", "/wp-login.php", nil)
	text := string(readAll(t, a.call("GET", "/metrics", nil)))
	for _, line := range []string{
		`sr3_jobs_total{model="photo-x4",state="available"} 1`, `sr3_queue_depth 1`, `sr3_queue_running 0`,
		`sr3_http_requests_total{code="202",route="POST /v1/jobs"} 1`, `sr3_http_requests_total{code="404",route="none"} 1`, "sr3_model_loaded_bytes ", "go_goroutines ",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("no %q", line)
		}
	}
}

// deadlineWriter stands for a connection: it notes what it is told about time.
type deadlineWriter struct {
	*httptest.ResponseRecorder
	onWrite func(deadline time.Time)
	latest  time.Time
}

func (w *deadlineWriter) SetReadDeadline(time.Time) error    { return nil }
func (w *deadlineWriter) SetWriteDeadline(t time.Time) error { w.latest = t; return nil }
func (w *deadlineWriter) Write(p []byte) (int, error) {
	w.onWrite(w.latest)
	return w.ResponseRecorder.Write(p)
}

// TestSlowDownloads checks that a large image is sent with time for what has been
// accepted of it, not for all of it: who reads nothing holds its memory no longer.
func TestSlowDownloads(t *testing.T) {
	a := newAPI(t)
	job := a.submit(4, 4, "")
	a.queue.finish(job.ID)
	large := make([]byte, 8<<20)
	a.queue.change(job.ID, func(j *jobs.Job) { j.Results[0].Bytes, j.Results[0].SHA256 = int64(len(large)), digest(large) }, nil)
	a.queue.jobs[job.ID].results[jobs.ResultImage] = large
	r := httptest.NewRequest("GET", job.Links.Result, nil)
	r.Host = "localhost"
	var first, last time.Duration
	start := time.Now()
	w := &deadlineWriter{ResponseRecorder: httptest.NewRecorder(), onWrite: func(d time.Time) {
		last = d.Sub(start)
		if first == 0 {
			first = last
		}
	}}
	a.ServeHTTP(w, r)
	if w.Code != 200 || w.Body.Len() != len(large) {
		t.Fatalf("status %d, %d bytes", w.Code, w.Body.Len())
	}
	if first > writeTimeout+10*time.Second {
		t.Errorf("the first bytes may take %v", first)
	}
	if all := writeTimeout + 8<<20/minBodyRate*time.Second; last < all {
		t.Errorf("the last bytes have to come after %v; at %d bytes a second all take %v", last, minBodyRate, all)
	}
}
