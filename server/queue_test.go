package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sr3-go/sr3"
	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/jobs"
	"github.com/sr3-go/sr3/worker"
)

// whole is a server with its real queue, model and worker, on a connection.
type whole struct {
	t   *testing.T
	url string
	key string
}

// newWhole starts one; its store is in dir.
func newWhole(t *testing.T, dir string) (w *whole, stop func()) {
	t.Helper()
	queue, err := jobs.Open(t.Context(), jobs.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	a, _, alice, _ := withKeys(t, func(o *Options) { o.Queue = queue })
	doer := worker.New(testModels(), worker.Limits{}, 1)
	do := a.Observe(func(ctx context.Context, t worker.Task) error { return doer.Do(ctx, t) })
	ctx, cancel := context.WithCancel(context.Background())
	worked := make(chan error, 1)
	go func() {
		worked <- queue.Work(ctx, jobs.Worker{Do: func(ctx context.Context, t *jobs.Task) error { return do(ctx, t) }})
	}()
	url, stopServer := a.serve(t)
	stop = func() {
		err := stopServer()
		cancel()
		if err := errors.Join(err, <-worked, queue.Close()); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	return &whole{t: t, url: url, key: alice}, stop
}

// call sends a request; its answer is held against openapi.json.
func (w *whole) call(method, path string, body io.Reader, header ...string) *http.Response {
	w.t.Helper()
	r, err := http.NewRequest(method, w.url+path, body)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+w.key)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	data := readAll(w.t, res)
	validate(w.t, r, res.StatusCode, res.Header, data)
	res.Body = io.NopCloser(bytes.NewReader(data))
	return res
}

// TestWholeServer takes images through the real queue, the built-in model and back.
func TestWholeServer(t *testing.T) {
	w, stop := newWhole(t, t.TempDir())
	defer stop()
	png := testPNG(16, 12)

	res := w.call("POST", "/v1/upscale?steps=2&seed=3", bytes.NewReader(png), "Content-Type", "image/png")
	want(t, res, 200, "")
	first := readAll(t, res)
	if !bytes.Equal(first, direct(t, png, sr3.Options{Steps: 2, Seed: 3})) {
		t.Error("the result is not what the library makes of the image and the settings")
	}

	body, kind := form(t, png, "photo.png", map[string]string{"settings": `{"samples":2,"steps":2,"seed":3}`})
	res = w.call("POST", "/v1/jobs", body, "Content-Type", kind)
	want(t, res, 202, "")
	job := decode[jobView](t, res)
	kinds := w.watch(job)
	if kinds["end"] != 1 || kinds["state"] == 0 {
		t.Errorf("events %v", kinds)
	}
	done := decode[jobView](t, w.call("GET", job.Links.Self, nil))
	if done.State != jobs.Completed || len(done.Results) != 4 || done.Attempt != 1 {
		t.Fatalf("%s with results %v", done.State, done.Results)
	}
	for _, o := range done.Results {
		res := w.call("GET", job.Links.Result+"?name="+o.Name, nil)
		want(t, res, 200, "")
		data := readAll(t, res)
		if digest(data) != o.SHA256 || o.Name == jobs.ResultImage && !bytes.Equal(data, first) {
			t.Errorf("%s is another image", o.Name)
		}
	}
	want(t, w.call("GET", job.Links.Input, nil), 200, "")
	want(t, w.call("POST", job.Links.Self+"/cancel", nil), 409, "job-finished")
	want(t, w.call("DELETE", job.Links.Self, nil), 204, "")
	if res := w.call("GET", job.Links.Self, nil); res.StatusCode != 404 && res.StatusCode != 410 {
		t.Errorf("a deleted job: status %d", res.StatusCode)
	}
	w.a1111(png)
	w.cancelOne()
	text := string(readAll(t, w.call("GET", "/metrics", nil)))
	for _, line := range []string{`sr3_jobs_total{model="photo-x4",state="completed"}`, "sr3_job_duration_seconds_count", `sr3_refine_step_duration_seconds_count{model="photo-x4"}`, "sr3_queue_depth 0"} {
		if !strings.Contains(text, line) {
			t.Errorf("no %s in the metrics", line)
		}
	}
}

// direct is what the library makes of an image, as a file.
func direct(t *testing.T, data []byte, o sr3.Options) []byte {
	t.Helper()
	img, err := imageio.Decode(data, "image", imageio.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	up, err := sr3.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer up.Close()
	large, err := up.Upscale(t.Context(), img, o)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := imageio.Encode(&b, large, imageio.Options{Format: "png"}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// watch reads a job's events to the end and counts them by their kinds.
func (w *whole) watch(job jobView) map[string]int {
	w.t.Helper()
	r, _ := http.NewRequest("GET", w.url+job.Links.Events, nil)
	r.Header.Set("X-API-Key", w.key)
	res, err := http.DefaultClient.Do(r)
	if err != nil || res.StatusCode != 200 {
		w.t.Fatal(res, err)
	}
	defer res.Body.Close()
	kinds := map[string]int{}
	for in := bufio.NewReader(res.Body); ; {
		e, ok := readEvent(w.t, in)
		if !ok {
			return kinds
		}
		kinds[e.kind]++
	}
}

// a1111 makes chaiNNer's call.
func (w *whole) a1111(png []byte) {
	w.t.Helper()
	data := mustJSON(chainnerBody(png, map[string]any{"resize_mode": 1, "upscaling_resize_w": 50, "upscaling_resize_h": 50}))
	res := w.call("POST", "/sdapi/v1/extra-single-image", bytes.NewReader(data), "Content-Type", "application/json",
		"Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("sr3:"+w.key)))
	want(w.t, res, 200, "")
	var v struct{ Image string }
	if err := json.NewDecoder(res.Body).Decode(&v); err != nil {
		w.t.Fatal(err)
	}
	if got := sizeOf(w.t, v.Image); got != image.Pt(50, 50) {
		w.t.Errorf("%v, want 50x50", got)
	}
}

// cancelOne calls off a job that runs.
func (w *whole) cancelOne() {
	w.t.Helper()
	job := decode[jobView](w.t, w.call("POST", "/v1/jobs?steps=2000", bytes.NewReader(testPNG(64, 64))))
	until := time.Now().Add(20 * time.Second)
	for job.State != jobs.Running && time.Now().Before(until) {
		time.Sleep(10 * time.Millisecond)
		job = decode[jobView](w.t, w.call("GET", job.Links.Self, nil))
	}
	want(w.t, w.call("POST", job.Links.Self+"/cancel", nil), 200, "")
	if kinds := w.watch(job); kinds["end"] != 1 {
		w.t.Errorf("events %v", kinds)
	}
	if job = decode[jobView](w.t, w.call("GET", job.Links.Self, nil)); job.State != jobs.Cancelled {
		w.t.Errorf("the job is %s", job.State)
	}
}

// TestJobsOutliveTheServer stops a server with jobs that wait, and finds them done by
// the next one.
func TestJobsOutliveTheServer(t *testing.T) {
	dir := t.TempDir()
	queue, err := jobs.Open(t.Context(), jobs.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	a := newAPI(t, func(o *Options) { o.Queue = queue })
	var ids []string
	for i := range 3 {
		ids = append(ids, a.submit(8, 8, fmt.Sprintf("?steps=1&seed=%d", i+1)).ID)
	}
	if err := queue.Close(); err != nil {
		t.Fatal(err)
	}
	if queue, err = jobs.Open(t.Context(), jobs.Options{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	defer queue.Close()
	b := newAPI(t, func(o *Options) { o.Queue = queue })
	doer := worker.New(testModels(), worker.Limits{}, 1)
	ctx, cancel := context.WithCancel(t.Context())
	worked := make(chan error, 1)
	go func() {
		worked <- queue.Work(ctx, jobs.Worker{Do: func(ctx context.Context, t *jobs.Task) error { return doer.Do(ctx, t) }})
	}()
	for _, id := range ids {
		b.eventually("job "+id, func() bool {
			return decode[jobView](t, b.call("GET", "/v1/jobs/"+id, nil)).State == jobs.Completed
		})
		want(t, b.call("GET", "/v1/jobs/"+id+"/result", nil), 200, "")
	}
	cancel()
	<-worked
}
