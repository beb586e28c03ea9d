package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sr3-go/sr3/jobs"
)

// serve runs the server on a connection of its own.
func (a *api) serve(t *testing.T) (url string, stop func() error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Serve(ctx, l) }()
	stop = func() error { cancel(); err := <-done; done <- err; return err }
	t.Cleanup(func() { stop() })
	return "http://" + l.Addr().String(), stop
}

// event is one of a stream.
type event struct{ kind, data, comment string }

// readEvent reads the next one.
func readEvent(t *testing.T, r *bufio.Reader) (e event, ok bool) {
	t.Helper()
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return e, false
		}
		switch line = strings.TrimSuffix(line, "\n"); {
		case line == "" && e != (event{}):
			return e, true
		case strings.HasPrefix(line, ":"):
			e.comment = line
		case strings.HasPrefix(line, "event: "):
			e.kind = line[7:]
		case strings.HasPrefix(line, "data: "):
			e.data = line[6:]
			checkEvent(t, e.data)
		}
	}
}

// checkEvent holds an event's data against openapi.json.
func checkEvent(t *testing.T, data string) {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(data), &v); err != nil {
		t.Errorf("%v: %s", err, data)
		return
	}
	doc, _ := document()
	if err := doc.Components.Schemas["Event"].Value.VisitJSON(v); err != nil {
		t.Errorf("%v: %s", err, data)
	}
}

func TestEvents(t *testing.T) {
	a := newAPI(t, func(o *Options) { o.Heartbeat = 20 * time.Millisecond })
	url, _ := a.serve(t)
	job := a.submit(4, 4, "")
	r, _ := http.NewRequest("GET", url+job.Links.Events, nil)
	r.Header.Set("Last-Event-ID", "nonsense\xff")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	validate(t, r, res.StatusCode, res.Header, nil)
	in := bufio.NewReader(res.Body)
	next := func() event {
		for {
			e, ok := readEvent(t, in)
			if !ok {
				t.Fatal("the stream ended early")
			}
			if e.comment == "" {
				return e
			}
		}
	}
	if e := next(); e.kind != "state" || !strings.Contains(e.data, `"available"`) {
		t.Errorf("first: %+v", e)
	}
	for e, ok := readEvent(t, in); e.comment == ""; e, ok = readEvent(t, in) {
		if !ok {
			t.Fatal("no heartbeat")
		}
	}
	now := time.Now().UTC()
	a.queue.change(job.ID, func(j *jobs.Job) { j.State, j.Started, j.Attempt = jobs.Running, &now, 1 }, nil)
	if e := next(); e.kind != "state" {
		t.Errorf("running: %+v", e)
	}
	a.queue.change(job.ID, func(j *jobs.Job) {
		j.Progress = &jobs.Progress{Pass: 1, Passes: 1, Step: 1, Steps: 2, Gamma: 0.5, Share: 0.5}
	}, testPNG(2, 2))
	if e := next(); e.kind != "step" || !strings.Contains(e.data, `"preview":"data:image/png;base64,`) {
		t.Errorf("step: %+v", e)
	}
	a.queue.finish(job.ID)
	if e := next(); e.kind != "end" || !strings.Contains(e.data, `"completed"`) {
		t.Errorf("end: %+v", e)
	}
	if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
		t.Errorf("after the end: %q (%v)", rest, err)
	}
	late := a.call("GET", job.Links.Events, nil) // of a job that has ended
	if body := string(readAll(t, late)); !strings.Contains(body, "event: end\n") || strings.Contains(body, "event: state\n") {
		t.Errorf("late: %s", body)
	}
}

func TestWatchersThatVanishAreReleased(t *testing.T) {
	a := newAPI(t, func(o *Options) { o.MaxStreams = 3 })
	url, stop := a.serve(t)
	job := a.submit(4, 4, "")
	ctx, hangUp := context.WithCancel(t.Context())
	var open []*http.Response
	for range 3 {
		r, _ := http.NewRequestWithContext(ctx, "GET", url+job.Links.Events, nil)
		res, err := http.DefaultClient.Do(r)
		if err != nil || res.StatusCode != 200 {
			t.Fatal(res, err)
		}
		open = append(open, res)
	}
	want(t, a.call("GET", job.Links.Events, nil), 503, "busy")
	hangUp()
	a.eventually("watchers to go", func() bool {
		a.queue.mu.Lock()
		defer a.queue.mu.Unlock()
		return a.queue.watchers == 0 && a.streams.inUse() == 0
	})
	for _, res := range open {
		res.Body.Close()
	}
	res, err := http.Get(url + job.Links.Events)
	if err != nil || res.StatusCode != 200 {
		t.Fatal(res, err)
	}
	defer res.Body.Close()
	in := bufio.NewReader(res.Body)
	if e, ok := readEvent(t, in); !ok || e.kind != "state" {
		t.Errorf("first: %+v", e)
	}
	start := time.Now()
	if err := stop(); err != nil || time.Since(start) > 5*time.Second {
		t.Errorf("a stream keeps the server up: %v after %v", err, time.Since(start))
	}
	if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
		t.Errorf("the stream ended with %v: %q", err, rest)
	}
}

// TestClientsThatHangUp checks that a job that nobody can ask for any more is called
// off, and that one with an Idempotency-Key is not.
func TestClientsThatHangUp(t *testing.T) {
	a := newAPI(t)
	url, _ := a.serve(t)
	for i, key := range []string{"", "k"} {
		ctx, hangUp := context.WithCancel(t.Context())
		r, _ := http.NewRequestWithContext(ctx, "POST", url+"/v1/upscale", bytes.NewReader(testPNG(4, 4)))
		if key != "" {
			r.Header.Set("Idempotency-Key", key)
		}
		failed := make(chan error, 1)
		go func() { _, err := http.DefaultClient.Do(r); failed <- err }()
		id := fakeID(i + 1)
		a.eventually("a watcher", func() bool { a.queue.mu.Lock(); defer a.queue.mu.Unlock(); return a.queue.watchers == 1 })
		hangUp()
		<-failed
		a.eventually("the watcher to go", func() bool { a.queue.mu.Lock(); defer a.queue.mu.Unlock(); return a.queue.watchers == 0 })
		a.eventually("the request to end", func() bool { return a.Server.waiting.inUse() == 0 })
		if cancelled := a.queue.state(id) == jobs.Cancelled; cancelled != (key == "") {
			t.Errorf("with key %q the job is %s", key, a.queue.state(id))
		}
	}
}
