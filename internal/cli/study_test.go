package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// studyBuffer can be read while a command writes to it.
type studyBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *studyBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *studyBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// TestStudyServe serves a study, takes part in it with a link that is made meanwhile,
// stops the server and reads the answer in the report.
func TestStudyServe(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "study")
	run := func(args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		if code := Run(t.Context(), append([]string{"study"}, args...), nil, &out, &errs); code != ExitDone {
			t.Fatalf("%v: code %d: %s", args, code, errs.String())
		}
		return out.String()
	}
	run("new", dir, "--originals", "../../testdata", "--method", "nearest", "--per-subject", "1", "--quiet")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var out, errs studyBuffer
	done := make(chan int, 1)
	go func() {
		done <- Run(ctx, []string{"study", "serve", dir, "--addr", "127.0.0.1:0", "--open"}, nil, &out, &errs)
	}()
	address := regexp.MustCompile(`open to anybody at (http://127\.0\.0\.1:\d+)/`)
	var base string
	for range 500 {
		if m := address.FindStringSubmatch(out.String()); m != nil {
			base = m[1]
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if base == "" {
		t.Fatalf("no address in %q, %q", out.String(), errs.String())
	}
	link := strings.TrimSpace(run("links", dir, "-n", "1", "--url", base))
	studyPost(t, link+"/consent", `{"agree":true}`)
	if reply := studyPost(t, link+"/answers", `{"trial":0,"choice":"left","response_ms":3400,"shown_ms":3000,"views":1}`); !strings.Contains(reply, `"next":1`) {
		t.Errorf("reply %s", reply)
	}
	stop()
	if code := <-done; code != ExitDone {
		t.Errorf("code %d: %s", code, errs.String())
	}
	var report struct{ Answers, Finished int }
	if err := json.Unmarshal([]byte(run("report", dir, "--json")), &report); err != nil || report.Answers != 1 || report.Finished != 1 {
		t.Errorf("report %+v, %v", report, err)
	}
}

func studyPost(t *testing.T, url, body string) string {
	t.Helper()
	r, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	reply, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %s %v", url, r.StatusCode, reply, err)
	}
	return string(reply)
}

func TestStudyBase(t *testing.T) {
	for given, want := range map[[2]string]string{
		{"", "127.0.0.1:8190"}:                    "http://127.0.0.1:8190",
		{"", ":8190"}:                             "http://localhost:8190",
		{"", "[::]:80"}:                           "http://localhost:80",
		{"", "[::1]:80"}:                          "http://[::1]:80",
		{"https://study.example.org/", ":1"}:      "https://study.example.org",
		{"https://study.example.org/path", ":1"}:  "",
		{"ftp://study.example.org", ":1"}:         "",
		{"https://study.example.org?x=1", ":1"}:   "",
		{"", "8190"}:                              "",
		{"http://study.example.org:8000", ":777"}: "http://study.example.org:8000",
	} {
		got, err := studyBase(given[0], given[1])
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%v gives %q, %v; want %q", given, got, err, want)
		}
	}
}
