package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/sr3-go/sr3/imageio"
	"github.com/sr3-go/sr3/jobs"
)

// fleetImages writes small images, one of them damaged if asked for.
func fleetImages(t *testing.T, n int, damaged bool) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "in")
	if err := os.MkdirAll(filepath.Join(dir, "sub"), 0o777); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		img := imageio.New(12, 10)
		for k := range img.Pix {
			img.Pix[k] = float32((k*(i+3))%17)/8.5 - 1
		}
		path := filepath.Join(dir, fmt.Sprintf("%d.png", i))
		if i%2 == 1 {
			path = filepath.Join(dir, "sub", fmt.Sprintf("%d.png", i))
		}
		if _, err := imageio.WriteFile(path, img, imageio.Options{Format: "png"}); err != nil {
			t.Fatal(err)
		}
	}
	if damaged {
		if err := os.WriteFile(filepath.Join(dir, "damaged.png"), []byte("\x89PNG\r\n\x1a\n and no more"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// fleetQueue opens a queue that workers can reach.
func fleetQueue(t *testing.T) *jobs.Queue {
	t.Helper()
	models := t.TempDir()
	t.Setenv("SR3_MODELS", models)
	data, err := os.ReadFile("../../testdata/untrained-x4.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(models, "tiny.safetensors"), data, 0o666); err != nil {
		t.Fatal(err)
	}
	q, err := jobs.Open(t.Context(), jobs.Options{Dir: t.TempDir(), Listen: "127.0.0.1:0", MaxBytes: 64 << 20, MaxQueued: 3, Backoff: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() })
	return q
}

// startWorker runs "sr3 worker" until the end of the test.
func startWorker(t *testing.T, url string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan int, 1)
	go func() {
		done <- Run(ctx, []string{"worker", "--nats", url, "-j", "1", "--quiet"}, nil, &bytes.Buffer{}, &bytes.Buffer{})
	}()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			if code := <-done; code != ExitDone {
				t.Errorf("the worker ended with code %d", code)
			}
		}
	}
	t.Cleanup(stop)
	return stop
}

func run(t *testing.T, ctx context.Context, want int, args ...string) (out, messages string) {
	t.Helper()
	var o, e bytes.Buffer
	if code := Run(ctx, args, nil, &o, &e); code != want {
		t.Fatalf("sr3 %s: code %d, want %d\n%s", strings.Join(args, " "), code, want, e.String())
	}
	return o.String(), e.String()
}

// files reads all files below a folder.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		found[rel] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// The fleet makes the same files and ends with the same codes as this machine does,
// with a queue that holds fewer jobs than there are images.
func TestFleetMakesWhatThisMachineMakes(t *testing.T) {
	q := fleetQueue(t)
	startWorker(t, q.WorkerURL())
	in, out := fleetImages(t, 9, true), t.TempDir()
	common := []string{"upscale", in, "-n", "tiny", "--steps", "2", "--seed", "7"}
	with := func(extra ...string) []string { return append(append([]string{}, common...), extra...) }
	run(t, t.Context(), ExitPartial, with("-o", filepath.Join(out, "local"), "--quiet")...)
	events, _ := run(t, t.Context(), ExitPartial, with("-o", filepath.Join(out, "fleet"), "--nats", q.WorkerURL(), "--json")...)
	local, fleet := files(t, filepath.Join(out, "local")), files(t, filepath.Join(out, "fleet"))
	if len(local) != 9 || len(fleet) != 9 {
		t.Fatalf("%d files here, %d by the fleet, want 9", len(local), len(fleet))
	}
	for name, data := range local {
		if fleet[name] != data {
			t.Errorf("%s differs", name)
		}
	}
	count := map[string]int{}
	for line := range strings.Lines(events) {
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		count[e.Event]++
		if e.Event == "done" && (e.Report == nil || e.Report.Seed != 7 || e.Width != 48) {
			t.Errorf("%s", line)
		}
		if e.Event == "summary" && (*e.Done != 9 || *e.Failed != 1) {
			t.Errorf("%s", line)
		}
	}
	if count["done"] != 9 || count["error"] != 1 || count["summary"] != 1 || count["start"] != 1 {
		t.Errorf("events %v", count)
	}
	if list, err := q.List(t.Context(), jobs.Filter{AllOwners: true}); err != nil || len(list) > 0 {
		t.Errorf("%d jobs stay in the queue, %v", len(list), err)
	}
	_, messages := run(t, t.Context(), ExitPartial, with("-o", filepath.Join(out, "fleet"), "--nats", q.WorkerURL())...)
	if !strings.Contains(messages, "0 done, 9 skipped, 1 failed") {
		t.Errorf("again:\n%s", messages)
	}
	one := filepath.Join(in, "0.png")
	for _, nats := range [][]string{nil, {"--nats", q.WorkerURL()}} {
		to := filepath.Join(out, fmt.Sprint("set", len(nats)), "x.png")
		run(t, t.Context(), ExitDone, append([]string{"upscale", one, "-n", "tiny", "--steps", "2", "--samples", "3", "-o", to}, nats...)...)
	}
	a, b := files(t, filepath.Join(out, "set0")), files(t, filepath.Join(out, "set2"))
	if len(a) != 5 || len(b) != 5 {
		t.Fatalf("%d and %d files of draws", len(a), len(b))
	}
	for name, data := range a {
		if b[name] != data {
			t.Errorf("%s differs", name)
		}
	}
}

// After an interruption the same command collects what the fleet did meanwhile.
func TestFleetGoesOn(t *testing.T) {
	q := fleetQueue(t)
	in, out := fleetImages(t, 3, false), filepath.Join(t.TempDir(), "out")
	args := []string{"upscale", in, "-n", "tiny", "--steps", "2", "-o", out, "--nats", q.WorkerURL()}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for {
			if s, _ := q.Stats(ctx); s.Waiting == 3 {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(100 * time.Millisecond)
		cancel()
	}()
	_, messages := run(t, ctx, ExitInterrupted, args...)
	if !strings.Contains(messages, "3 images left with the workers") {
		t.Error(messages)
	}
	startWorker(t, q.WorkerURL())
	for {
		if s, err := q.Stats(t.Context()); err != nil || s.States[jobs.Completed] == 3 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	_, messages = run(t, t.Context(), ExitDone, args...)
	if !strings.Contains(messages, "3 done") || len(files(t, out)) != 3 {
		t.Error(messages)
	}
	// The command has removed its jobs; this process hears of it a little later.
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		info, err := q.Stats(t.Context())
		if err == nil && len(info.States) == 0 {
			return
		}
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("%+v %v", info, err)
		}
	}
}

// Images that wait for workers are not kept in memory, and one that the queue can never
// hold is an error instead of a wait without end.
func TestFleetKeepsFewImagesInMemory(t *testing.T) {
	q := fleetQueue(t)
	f := &upscaleFlags{quiet: true}
	r := &fleet{batch: batch{flags: f, streams: &streams{err: &bytes.Buffer{}}, meter: newMeter(&bytes.Buffer{}, true)}, queue: q, sending: make(chan struct{}, fleetSenders)}
	_, _, err := r.submit(t.Context(), jobs.Request{Data: make([]byte, 65<<20)})
	if err == nil || !strings.Contains(err.Error(), "the queue holds 64 MiB") {
		t.Errorf("an image larger than the queue: %v", err)
	}
	for range fleetSenders {
		r.sending <- struct{}{}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := r.send(ctx, job{in: "/nowhere"}); err != context.DeadlineExceeded {
		t.Errorf("another one is read while %d are sent: %v", fleetSenders, err)
	}
}

// A server that shares a queue with others leaves its settings as they are, unless told.
func TestServeLeavesSharedSettings(t *testing.T) {
	shared, err := jobs.Open(t.Context(), jobs.Options{Dir: t.TempDir(), Listen: "127.0.0.1:0", MaxBytes: 64 << 20, MaxQueued: 3, Keep: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer shared.Close()
	cmd := &cobra.Command{}
	f := &serveFlags{given: func(name string) bool { return name == "max-queue" }}
	f.register(cmd)
	f.queue.URL, f.queue.MaxQueued = shared.WorkerURL(), 7
	q, err := f.openQueue(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	if s, err := q.Stats(t.Context()); err != nil || s.Keep != time.Hour || s.MaxBytes != 64<<20 || s.MaxQueued != 7 {
		t.Errorf("%+v %v", s, err)
	}
}
